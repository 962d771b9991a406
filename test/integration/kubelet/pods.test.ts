/** The kubelet on a real engine: what kubectl prints of pods, and what containers see. One agent on one host. */
import './lab-name.js';
import assert from 'node:assert/strict';
import { useCluster } from '../../e2e/harness/cluster.js';
import type { Json } from '../../e2e/harness/api.js';
import { eventually } from '../../e2e/harness/wait.js';

const PATIENCE_MS = 40_000;
const PODS = '/api/v1/namespaces/default/pods';
const sh = (script: string) => ({ command: ['sh', '-c', script] });
const busybox = (name: string, more: object = { command: ['sleep', '600'] }) => ({
  name,
  image: 'busybox:skein',
  ...more,
});

describe('a kubelet on a real engine', function () {
  this.timeout(90_000);
  const cluster = useCluster(1);
  const api = () => cluster.api(1);
  const create = async (name: string, spec: object, metadata: object = {}) =>
    (await api()).call('POST', PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, ...metadata },
      spec: { terminationGracePeriodSeconds: 0, ...spec },
    });
  const pod = async (name: string): Promise<Json> => (await api()).get(`${PODS}/${name}`);
  /** The columns READY, STATUS and RESTARTS of `kubectl get pods`. */
  const row = async (name: string) => {
    const line = await cluster.kubectlMust(1, ['get', 'pod', name, '--no-headers']);
    return line.trim().split(/\s+/).slice(1, 4);
  };
  const shows = (name: string, ready: string, status: string) =>
    eventually(`${name} is ${ready} ${status}`, PATIENCE_MS, async () => {
      const [a, b] = await row(name);
      if (a === ready && b === status) return true;
      throw new Error(`it is ${a} ${b}`);
    });
  const running = (name: string) =>
    eventually(
      `${name} runs`,
      PATIENCE_MS,
      async () =>
        (await pod(name)).status.conditions?.some(
          ({ type, status }: Json) => type === 'Ready' && status === 'True',
        ) as boolean,
    );
  const inside = (name: string, script: string) => cluster.kubectlMust(1, ['exec', name, '--', 'sh', '-c', script]);

  before('an object that pods refer to', async function () {
    if (cluster.agents.length === 0) return;
    const data = { a: 'one', 'file.txt': 'text\n' };
    await (await api()).call('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'conf' }, data });
  });

  it('runs init containers and sidecars in order, and does not miss the end of any', async () => {
    await create('inits', {
      initContainers: [
        busybox('one', sh('sleep 1')),
        { ...busybox('side'), restartPolicy: 'Always' },
        busybox('two', sh('sleep 1')),
      ],
      containers: [busybox('app')],
    });
    await shows('inits', '2/2', 'Running');
    const { initContainerStatuses } = (await pod('inits')).status;
    const [one, side, two] = initContainerStatuses.map(({ state }: Json) => state);
    assert(one.terminated.finishedAt <= side.running.startedAt, 'the sidecar waits for the one before');
    assert(side.running.startedAt <= two.terminated.startedAt, 'the next waits for the sidecar');
  });

  it('prints the status of what cannot run as a cluster does', async () => {
    const one = (more: object) => ({ containers: [busybox('c', more)] });
    const cases: [name: string, status: string, spec: object][] = [
      ['crash', 'CrashLoopBackOff', one(sh('exit 1'))],
      ['badcmd', 'CrashLoopBackOff', one({ command: ['/nope'] })],
      [
        'initcrash',
        'Init:CrashLoopBackOff',
        { initContainers: [busybox('i', sh('exit 1'))], containers: [busybox('c')] },
      ],
      ['never', 'Error', { restartPolicy: 'Never', ...one(sh('exit 2')) }],
      ['done', 'Completed', { restartPolicy: 'OnFailure', ...one(sh('exit 0')) }],
      [
        'oom',
        'OOMKilled',
        { restartPolicy: 'Never', ...one({ ...sh('tail /dev/zero'), resources: { limits: { memory: '20Mi' } } }) },
      ],
      ['noconf', 'CreateContainerConfigError', one({ envFrom: [{ configMapRef: { name: 'absent' } }] })],
      ['root', 'CreateContainerConfigError', { securityContext: { runAsNonRoot: true }, ...one({}) }],
      ['pull-never', 'ErrImageNeverPull', { containers: [{ name: 'c', image: 'absent:1', imagePullPolicy: 'Never' }] }],
      ['bad-name', 'InvalidImageName', { containers: [{ name: 'c', image: 'UPPER/case:1' }] }],
    ];
    for (const [name, , spec] of cases) await create(name, spec);
    for (const [name, status] of cases) await shows(name, '0/1', status);
    const waiting = async (name: string) => (await pod(name)).status.containerStatuses[0].state.waiting.message;
    assert.equal(await waiting('noconf'), 'configmap "absent" not found');
    assert.match(await waiting('root'), /^container has runAsNonRoot and image will run as root \(pod: "root_default/);
    const { stderr } = await cluster.kubectl(1, ['logs', 'noconf']);
    assert.match(stderr, /container "c" in pod "noconf" is waiting to start: CreateContainerConfigError/);
  });

  it('gives a pod its environment, files, names and limits', async () => {
    await create(
      'env',
      {
        hostname: 'myhost',
        subdomain: 'sub',
        hostAliases: [{ ip: '1.2.3.4', hostnames: ['foo.local'] }],
        securityContext: { runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000 },
        volumes: [
          { name: 'conf', configMap: { name: 'conf' } },
          { name: 'memory', emptyDir: { medium: 'Memory' } },
          { name: 'empty', emptyDir: {} },
          { name: 'down', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
        ],
        containers: [
          busybox('c', {
            command: ['sleep', '600'],
            securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
            resources: { limits: { memory: '32Mi', cpu: '500m' } },
            envFrom: [{ prefix: 'P_', configMapRef: { name: 'conf' } }],
            env: [
              { name: 'PLAIN', value: 'v' },
              { name: 'REF', value: '$(PLAIN)-$(P_a)-$$(X)-$(NOPE)' },
              { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
              { name: 'LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
            ],
            volumeMounts: [
              { name: 'conf', mountPath: '/conf' },
              { name: 'conf', mountPath: '/one.txt', subPath: 'file.txt' },
              { name: 'memory', mountPath: '/memory' },
              { name: 'empty', mountPath: '/empty' },
              { name: 'down', mountPath: '/down' },
            ],
          }),
        ],
      },
      { labels: { app: 'env' } },
    );
    await running('env');
    const { status } = await pod('env');
    assert.equal(status.qosClass, 'Guaranteed');
    assert.equal(await inside('env', 'echo "$REF $IP $LIMIT"'), `v-one-$(X)-$(NOPE) ${status.podIP} 32\n`);
    assert.equal(
      await inside('env', 'hostname -f; cat /conf/a /one.txt /down/labels'),
      'myhost.sub.default.svc.cluster.local\nonetext\napp="env"',
    );
    assert.match(await inside('env', 'cat /etc/hosts'), /1\.2\.3\.4\tfoo\.local\n/);
    assert.match(await inside('env', 'id'), /uid=1000 gid=3000 groups=2000,3000/);
    assert.match(await inside('env', 'df /memory | tail -1'), /^tmpfs/);
    assert.match(await inside('env', 'touch /empty/f && ls -ln /empty/f'), /1000 +2000/);
    assert.notEqual((await cluster.kubectl(1, ['exec', 'env', '--', 'touch', '/x'])).code, 0);
    assert.match(
      await inside(
        'env',
        'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max',
      ),
      /^33554432\n/,
    );
  });

  it('starts, unreadies and restarts a container by its probes', async () => {
    const probe = (command: string[], failureThreshold: number) => ({
      exec: { command },
      periodSeconds: 1,
      failureThreshold,
    });
    await create('probes', {
      containers: [
        busybox('c', {
          ...sh('mkdir -p /www; httpd -p 80 -h /www; sleep 600'),
          ports: [{ name: 'web', containerPort: 80 }],
          startupProbe: probe(['test', '-e', '/started'], 60),
          readinessProbe: { httpGet: { path: '/ready', port: 'web' }, periodSeconds: 1, failureThreshold: 1 },
          livenessProbe: probe(['test', '!', '-e', '/die'], 1),
        }),
      ],
    });
    await shows('probes', '0/1', 'Running');
    assert.equal((await pod('probes')).status.containerStatuses[0].started, false);
    await inside('probes', 'touch /started; echo > /www/ready');
    await shows('probes', '1/1', 'Running');
    await inside('probes', 'rm /www/ready');
    await shows('probes', '0/1', 'Running');
    await inside('probes', 'touch /die');
    await eventually('it was restarted', PATIENCE_MS, async () => (await row('probes'))[2] === '1');
  });

  it('ends pods gracefully, with their hooks, in the time given', async () => {
    const hp = { name: 'hp', hostPath: { path: cluster.agent(1).dataDir } };
    await create('hooks', {
      terminationGracePeriodSeconds: 20,
      volumes: [hp],
      containers: [
        busybox('c', {
          ...sh('trap "echo term >> /hp/order; exit 0" TERM; while true; do sleep 0.1; done'),
          volumeMounts: [{ name: 'hp', mountPath: '/hp' }],
          lifecycle: {
            postStart: { exec: sh('echo post >> /hp/order') },
            preStop: { exec: sh('echo pre >> /hp/order') },
          },
        }),
        busybox('reader', { command: ['sleep', '600'], volumeMounts: [{ name: 'hp', mountPath: '/hp' }] }),
      ],
    });
    await create('reader', {
      volumes: [hp],
      containers: [busybox('c', { command: ['sleep', '600'], volumeMounts: [{ name: 'hp', mountPath: '/hp' }] })],
    });
    await running('hooks');
    await running('reader');
    await cluster.kubectlMust(1, ['delete', 'pod', 'hooks', '--grace-period=3']);
    assert.equal(await inside('reader', 'cat /hp/order'), 'post\npre\nterm\n');
  });

  it('makes the sandbox anew when it is killed', async () => {
    await create('boxed', { containers: [busybox('c')] });
    await running('boxed');
    const sandbox = (await cluster.lab.docker(1, 'ps', '-qf', 'name=_POD_boxed_')).trim();
    await cluster.lab.docker(1, 'kill', sandbox);
    await eventually('it runs in another sandbox', PATIENCE_MS, async () => {
      const now = (await cluster.lab.docker(1, 'ps', '-qf', 'name=_POD_boxed_')).trim();
      return now !== '' && now !== sandbox && (await row('boxed')).join(' ') === '1/1 Running 1';
    });
  });

  it('adopts what runs after kill -9, and restarts nothing', async () => {
    await create('kept', { containers: [busybox('a'), busybox('b')] });
    await running('kept');
    const ids = () => cluster.lab.docker(1, 'ps', '-qf', 'name=_kept_');
    const before = await ids();
    const { podIP } = (await pod('kept')).status;
    await cluster.agent(1).kill();
    await cluster.agent(1).start();
    await cluster.ready(1);
    await eventually('it is ready again', PATIENCE_MS, async () => (await row('kept')).join(' ') === '2/2 Running 0');
    assert.equal(await ids(), before);
    assert.equal((await pod('kept')).status.podIP, podIP);
  });
});

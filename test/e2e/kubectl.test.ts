/**
 * The commands of kubectl that need containers, through the peer that does not run them: by the oldest version (SPDY), by
 * 1.30 (WebSockets for exec, SPDY for port-forward) and by the newest (WebSockets for all).
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { useCluster } from './harness/cluster.js';
import { run } from './harness/command.js';
import { kubectlOf } from './harness/kubectl.js';
import { loudlySkipped } from './harness/report.js';
import { eventually } from './harness/wait.js';

const STREAMING = ['1.27', '1.30', '1.33'];
const NEWEST = '1.33';

const SCRIPT = 'echo one; echo two; mkdir -p www; echo served >www/index.html; exec busybox httpd -f -p 8080 -h www';
const MANIFEST = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      nodeSelector: {kubernetes.io/hostname: h1}
      containers:
      - {name: c, image: 'busybox:1.36', command: [sh, -c, '${SCRIPT}'], ports: [{containerPort: 8080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pair, labels: {app: pair}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: h1
  containers:
  - {name: c, image: 'busybox:1.36', command: [sh, -c, 'echo from c; exec sleep 600']}
  - {name: again, image: 'busybox:1.36', command: [sh, -c, 'echo once more; test -e /flag/seen && exec sleep 600; touch /flag/seen; exit 3'], volumeMounts: [{name: flag, mountPath: /flag}]}
  volumes: [{name: flag, emptyDir: {}}]
`;

describe('kubectl and containers', function () {
  this.timeout(60_000);
  const cluster = useCluster(2);
  let directory: string;
  const program = (version: string) => ({ program: kubectlOf(version) as string, timeoutMs: 25_000 });
  const kubectl = (version: string, line: string[], input = '') =>
    cluster.kubectl(2, line, { ...program(version), input });
  const must = (version: string, line: string[], input = '') =>
    cluster.kubectlMust(2, line, { ...program(version), input });
  const newest = (...line: string[]) => must(NEWEST, line);
  const whole = (line: string[]) => [
    '--kubeconfig',
    cluster.kubeconfig,
    '--server',
    `https://${cluster.agent(2).address}:6443`,
    ...line,
  ];

  /** Starts a command that goes on until it is killed; resolves when its output matches. */
  async function started(
    version: string,
    line: string[],
    pattern: RegExp,
  ): Promise<{ match: string; end(): Promise<void> }> {
    const child = spawn(kubectlOf(version) as string, whole(line), { stdio: ['ignore', 'pipe', 'pipe'] });
    const gone = once(child, 'exit');
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const end = async () => {
      child.kill('SIGKILL');
      await gone;
    };
    try {
      await eventually(`kubectl ${line.join(' ')} says ${pattern}`, 15_000, async () => pattern.test(text));
    } catch (error) {
      await end();
      throw new Error(`kubectl ${line.join(' ')} said: ${text}`, { cause: error });
    }
    return { match: pattern.exec(text)?.[1] ?? '', end };
  }

  const fetched = async (url: string) => (await fetch(url, { signal: AbortSignal.timeout(5_000) })).text();

  before('a Deployment and a pod of two containers run on h1', async function () {
    if (STREAMING.some((version) => kubectlOf(version) === undefined)) {
      loudlySkipped('there is no kubectl.1.27, 1.30 and 1.33 on this machine');
      this.skip();
    }
    directory = await mkdtemp(join(tmpdir(), 'skein-kubectl-'));
    await must(NEWEST, ['apply', '-f', '-'], MANIFEST);
    await newest('rollout', 'status', 'deploy/web', '--timeout=20s');
    await newest('wait', 'pod/pair', '--for=condition=Ready', '--timeout=20s');
  });
  after(async () => {
    if (directory) await rm(directory, { recursive: true, force: true });
  });

  it('prints logs of one container, the one before it, all and many', async () => {
    assert.equal(await newest('logs', 'pair', '-c', 'c'), 'from c\n');
    assert.equal(await newest('logs', 'pair', '-c', 'again', '--previous'), 'once more\n');
    const all = await newest('logs', 'pair', '--all-containers', '--prefix');
    assert.deepEqual(all.trimEnd().split('\n').toSorted(), ['[pod/pair/again] once more', '[pod/pair/c] from c']);
    assert.equal(await newest('logs', '-l', 'app=web', '--tail=1'), 'two\n');
    assert.equal(await newest('logs', 'deploy/web', '--since=1h', '--limit-bytes=4'), 'one\n');
    assert.match(
      await newest('logs', 'svc/web', '--timestamps', '--tail=1'),
      /^\d{4}-\d\d-\d\dT[\d:]+\.\d{5,9}Z two\n$/,
    );
    const { code, stderr } = await kubectl(NEWEST, ['logs', 'pair', '-c', 'c', '--previous']);
    assert.equal(code, 1);
    assert.equal(stderr, 'Error from server (BadRequest): previous terminated container "c" in pod "pair" not found\n');
    const following = await started(NEWEST, ['logs', '-f', 'pair', '-c', 'c'], /from c\n/);
    await following.end();
  });

  for (const version of STREAMING) {
    it(`${version}: exec, attach, cp, port-forward and run`, async () => {
      const failed = await kubectl(version, ['exec', 'deploy/web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
      assert.deepEqual([failed.code, failed.stdout], [7, 'out\n']);
      assert.equal(failed.stderr, 'err\ncommand terminated with exit code 7\n');
      assert.equal(await must(version, ['exec', '-i', 'pair', '-c', 'c', '--', 'sort'], 'b\na\n'), 'a\nb\n');
      const terminal = ['exec', '-it', 'pair', '-c', 'c', '--', 'sh', '-c', 'test -t 0 && echo has a terminal'];
      const words = [kubectlOf(version) as string, ...whole(terminal)].map((word) => `'${word}'`).join(' ');
      assert.match(
        (await run('script', ['-qec', words, '/dev/null'], { timeoutMs: 20_000 })).stdout,
        /has a terminal\r\n/,
      );

      const bytes = randomBytes(300_000);
      const file = join(directory, `sent-${version}`);
      await writeFile(file, bytes);
      await must(version, ['cp', file, 'pair:/tmp/there', '-c', 'c']);
      const sum = createHash('sha256').update(bytes).digest('hex');
      assert.match(await must(version, ['exec', 'pair', '-c', 'c', '--', 'sha256sum', '/tmp/there']), new RegExp(sum));
      await must(version, ['cp', 'pair:/tmp/there', `${file}-back`, '-c', 'c']);
      assert(bytes.equals(await readFile(`${file}-back`)), 'what came back is something else');

      for (const target of ['deploy/web', 'svc/web']) {
        const port = target === 'svc/web' ? ':80' : ':8080';
        const forward = await started(
          version,
          ['port-forward', target, port],
          /Forwarding from 127\.0\.0\.1:(\d+) -> 8080/,
        );
        try {
          assert.equal(await fetched(`http://127.0.0.1:${forward.match}/`), 'served\n');
        } finally {
          await forward.end();
        }
      }

      const once = ['run', 'once', '--rm', '-i', '--image=busybox:1.36', '--restart=Never', '--command', '--'];
      const echoed = await must(version, [...once, 'cat'], 'over there\n');
      assert.match(echoed, /over there\n(?:[\s\S]*)pod "once" deleted/);
      const ended = await kubectl(version, [...once, 'sh', '-c', 'read line; exit 4'], 'x\n');
      assert.equal(ended.code, 4, ended.stdout + ended.stderr);
      assert.match(ended.stdout + ended.stderr, /pod default\/once terminated \(Error\)/);
    });
  }

  it('attach shows what is written from now on', async () => {
    const ticking = ['sh', '-c', 'while sleep 0.3; do echo tick; done'];
    await newest('run', 'ticker', '--image=busybox:1.36', '--restart=Never', '--command', '--', ...ticking);
    await newest('wait', 'pod/ticker', '--for=condition=Ready', '--timeout=20s');
    const attached = await started(NEWEST, ['attach', 'ticker'], /tick\n/);
    await attached.end();
    await newest('delete', 'pod', 'ticker', '--now');
  });

  it('proxy reaches the API, pods and Services', async () => {
    const proxy = await started(NEWEST, ['proxy', '--port=0'], /Starting to serve on (127\.0\.0\.1:\d+)/);
    try {
      const base = `http://${proxy.match}/api/v1/namespaces/default`;
      assert.match(await fetched(`${base}/services/web`), /"kind":\s*"Service"/);
      assert.equal(await fetched(`${base}/services/web:80/proxy/`), 'served\n');
      const pod = await newest('get', 'pod', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}');
      assert.equal(await fetched(`${base}/pods/${pod}:8080/proxy/index.html`), 'served\n');
    } finally {
      await proxy.end();
    }
  });

  it('debug adds a container to a pod, copies a pod and looks at a node', async () => {
    const flags = ['--image=busybox:1.36', '--profile=general'];
    await newest('debug', 'pair', ...flags, '--target=c', '-c', 'dbg', '--', 'sh', '-c', 'ps | grep -c "sleep 60[0]"');
    await newest('debug', 'pair', ...flags, '--copy-to=copy', '-c', 'dbg', '--', 'echo', 'in the copy');
    const created = await newest('debug', 'node/h1', ...flags, '--', 'ls', '/host/etc/hostname');
    const debugger_ =
      /debugging pod (node-debugger-h1-\w+) with container debugger on node h1/.exec(created)?.[1] ?? '';
    const logs = (...line: string[]) =>
      eventually(
        `logs of ${line.join(' ')}`,
        15_000,
        async () => (await kubectl(NEWEST, ['logs', ...line])).stdout || undefined,
      );
    assert.equal((await logs('pair', '-c', 'dbg')).value, '1\n');
    assert.equal((await logs('copy', '-c', 'dbg')).value, 'in the copy\n');
    assert.equal((await logs(debugger_)).value, '/host/etc/hostname\n');
    await newest('delete', 'pod', 'copy', debugger_, '--now');
  });

  it('rolls out, back and shows the history', async () => {
    await newest('set', 'env', 'deploy/web', 'A=b');
    assert.match(
      await newest('rollout', 'status', 'deploy/web', '--timeout=20s'),
      /deployment "web" successfully rolled out\n$/,
    );
    assert.equal(
      await newest('rollout', 'history', 'deploy/web'),
      'deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         <none>\n2         <none>\n\n',
    );
    assert.equal(await newest('rollout', 'undo', 'deploy/web'), 'deployment.apps/web rolled back\n');
    await newest('rollout', 'status', 'deploy/web', '--timeout=20s');
    assert.match(
      await newest('rollout', 'history', 'deploy/web', '--revision=3'),
      /revision #3\nPod Template:\n[\s\S]*Environment:\t<none>/,
    );
    await newest('scale', 'deploy/web', '--replicas=2');
    await newest('wait', 'deploy/web', '--for=jsonpath={.status.readyReplicas}=2', '--timeout=20s');
  });

  it('shows what happened, as events and in descriptions', async () => {
    const described = await newest('describe', 'pod', 'pair');
    assert.match(described, /\nEvents:\n {2}Type +Reason +Age +From +Message\n.*\n {2}Normal +Scheduled|\nEvents:\n/);
    assert.match(described, /Last State: +Terminated\n +Reason: +Error\n +Exit Code: +3\n/);
    const events = await newest('get', 'events', '--field-selector=involvedObject.name=pair');
    assert.match(events, /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n/);
    assert.match(events, /Normal +Started +pod\/pair +Started container c\n/);
    assert.match(
      await newest('events', '--for', 'deployment/web'),
      /Normal +ScalingReplicaSet.* +Deployment\/web +Scaled up replica set web-\w+ from 0 to 1\n/,
    );
    const web = await newest('describe', 'pod', '-l', 'app=web');
    assert.match(
      web,
      /Events:\n {2}Type .*\n {2}-.*\n {2}Normal +Scheduled +\S+ +default-scheduler +Successfully assigned default\/web-/,
    );
  });

  it('top, cluster-info dump and the description of a node', async () => {
    await eventually('usage is known', 25_000, async () => {
      const pods = await kubectl(NEWEST, ['top', 'pod', '--containers']);
      return /\npair +c +\d+m +\d+Mi/.test(pods.stdout) || undefined;
    });
    assert.match(
      await newest('top', 'node'),
      /^NAME +CPU\(cores\) +CPU\(?%\)? +MEMORY\(bytes\) +MEMORY\(?%\)? *\nh1 +\d+m /,
    );
    await newest('cluster-info', 'dump', `--output-directory=${join(directory, 'dump')}`);
    assert.match(await readFile(join(directory, 'dump/default/pair/logs.txt'), 'utf8'), /from c\n/);
    assert.match(
      await newest('describe', 'node', 'h1'),
      /Non-terminated Pods: +\(\d+ in total\)\n[\s\S]*default +pair /,
    );
  });

  it('drains a node, and pods of controllers come up elsewhere once they may', async () => {
    await newest('delete', 'pod', 'pair', '--now');
    const drained = await newest('drain', 'h1', '--force', '--timeout=20s');
    assert.match(
      drained,
      /^node\/h1 cordoned\n(?:evicting pod default\/web-\S+\n){2}(?:pod\/web-\S+ evicted\n){2}node\/h1 drained\n$/,
    );
    assert.match(await newest('get', 'node', 'h1', '--no-headers'), /^h1 +Ready,SchedulingDisabled /);
    await newest(
      'patch',
      'deploy',
      'web',
      '--type=json',
      '-p',
      '[{"op":"remove","path":"/spec/template/spec/nodeSelector"}]',
    );
    await newest('rollout', 'status', 'deploy/web', '--timeout=20s');
    const nodes = await newest('get', 'pod', '-l', 'app=web', '-o', 'jsonpath={.items[*].spec.nodeName}');
    assert.deepEqual(new Set(nodes.split(' ')), new Set(['h2']));
    assert.equal(await newest('uncordon', 'h1'), 'node/h1 uncordoned\n');
  });

  it('deletes with what belongs to it, before it, or without', async () => {
    await newest('delete', 'deploy', 'web', '--cascade=orphan');
    assert.match(await newest('get', 'rs', '-o', 'name'), /^replicaset\.apps\/web-/);
    assert.match(await newest('delete', 'rs', '--all', '--cascade=foreground'), /^replicaset\.apps "web-\w+" deleted/);
    assert.equal(await newest('get', 'pod', '-l', 'app=web', '-o', 'name'), '');
    const waited = kubectl(NEWEST, ['wait', 'svc/web', '--for=delete', '--timeout=20s']);
    await newest('delete', 'svc', 'web');
    assert.equal((await waited).code, 0);
  });
});

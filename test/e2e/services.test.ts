/** Deployments and Services on three hosts, used through any peer. */
import assert from 'node:assert/strict';
import { useCluster } from './harness/cluster.js';
import { describeGets, HttpLoad } from './harness/http-load.js';
import { defaultKubectl } from './harness/kubectl.js';
import { eventually } from './harness/wait.js';

const HOSTS = [1, 2, 3];
const APP = 'app%3Dweb';

describe('workloads on three hosts', function () {
  this.timeout(60_000);
  const cluster = useCluster(3);
  before(function () {
    if (defaultKubectl === undefined) this.skip();
  });

  /** GET from a host, as a user would; the answer's body. */
  const curl = async (host: number, url: string) => {
    const { code, stdout, stderr } = await cluster.lab.exec(host, ['curl', '-sS', '--max-time', '3', url]);
    assert.equal(code, 0, `curl ${url} on h${host}: ${stderr}`);
    return stdout.trim();
  };
  const clusterIp = async (name: string) =>
    (await (await cluster.api(1)).get(`/api/v1/namespaces/default/services/${name}`)).spec.clusterIP as string;

  it('rolls out three replicas and a Service, applied at peer 2, within 10 s', async () => {
    const start = performance.now();
    await cluster.applyExample(2, 'web.yaml');
    await cluster.kubectlMust(3, ['rollout', 'status', 'deployment/web', '--timeout=30s']);
    const tookMs = performance.now() - start;
    assert(tookMs <= 10_000, `took ${tookMs} ms`);
    const pods = await cluster.readyPods(1, 'default', APP);
    assert.deepEqual(
      pods.map(({ spec }) => spec.nodeName as string).toSorted(),
      ['h1', 'h2', 'h3'],
      'one replica on each node',
    );
  });

  it('answers at the ClusterIP, the NodePort and the DNS name from every host', async () => {
    const names = new Set((await cluster.readyPods(1, 'default', APP)).map(({ metadata }) => metadata.name));
    const ip = await clusterIp('web');
    for (const host of HOSTS) {
      await eventually(`the Service answers on h${host}`, 3_000, async () =>
        names.has(await curl(host, `http://${ip}/`)),
      );
      for (const other of HOSTS) assert(names.has(await curl(host, `http://${cluster.lab.address(other)}:30080/`)));
      const lookup = await cluster.lab.exec(host, [
        'busybox',
        'nslookup',
        'web.default.svc.cluster.local',
        '10.96.0.10',
      ]);
      assert.match(lookup.stdout, new RegExp(`Address.*: ${ip.replaceAll('.', '\\.')}\\b`), lookup.stderr);
    }
  });

  it('spreads requests over all replicas', async () => {
    const ip = await clusterIp('web');
    const seen = new Set<string>();
    await eventually('all three replicas answered', 10_000, async () => {
      seen.add(await curl(2, `http://${ip}/`));
      return seen.size === 3;
    });
  });

  it('answers in pods, at every address, on another node than the one that serves', async () => {
    const pods = await cluster.readyPods(1, 'default', APP);
    const ip = await clusterIp('web');
    for (const pod of pods) {
      const get = async (url: string) =>
        (
          await cluster.kubectlMust(1, ['exec', pod.metadata.name, '--', 'timeout', '3', 'wget', '-q', '-O', '-', url])
        ).trim();
      for (const other of pods) assert.equal(await get(`http://${other.status.podIP}:8080/`), other.metadata.name);
      const names = pods.map(({ metadata }) => metadata.name);
      assert(names.includes(await get(`http://${ip}/`)));
      assert(names.includes(await get('http://web/')));
      assert(names.includes(await get('http://web.default.svc.cluster.local/')));
      const other = cluster.agents.find(({ name }) => name !== pod.spec.nodeName);
      assert(names.includes(await get(`http://${other?.address}:30080/`)));
    }
  });

  it('gives a headless Service the addresses of its pods', async () => {
    await cluster.applyExample(3, 'headless.yaml');
    const pods = await cluster.readyPods(1, 'default', APP);
    const expected = pods.map(({ status }) => status.podIP as string).toSorted();
    await eventually('the DNS name stands for all pods', 5_000, async () => {
      const { stdout } = await cluster.lab.exec(1, [
        'busybox',
        'nslookup',
        'web-pods.default.svc.cluster.local',
        '10.96.0.10',
      ]);
      const found = [
        ...stdout
          .split(/Name:/)
          .slice(1)
          .join('')
          .matchAll(/Address.*: ([\d.]+)/g),
      ]
        .map(([, ip]) => ip ?? '')
        .toSorted((a, b) => (a < b ? -1 : 1));
      return JSON.stringify(found) === JSON.stringify(expected);
    });
  });

  it('hands a ConfigMap and a Secret to a pod, as environment and as files that follow changes', async () => {
    await cluster.applyExample(1, 'greeter.yaml');
    await cluster.kubectlMust(2, ['wait', '--for=condition=Ready', 'pod/greeter', '--timeout=15s']);
    const { value: log } = await eventually('the greeter says its lines', 5_000, async () => {
      const text = await cluster.kubectlMust(3, ['logs', 'greeter']);
      return text.includes('Geese take turns at the point.') && text;
    });
    assert.match(log, /^Hello, world, from greeter on h[123]$/m);
  });

  it('loses no request in a rolling update', async function () {
    this.timeout(90_000);
    const ip = await clusterIp('web');
    const loads = [
      new HttpLoad(cluster.lab, 1, `http://${ip}/`),
      new HttpLoad(cluster.lab, 2, `http://${cluster.lab.address(3)}:30080/`),
    ];
    const before = new Set((await cluster.readyPods(1, 'default', APP)).map(({ metadata }) => metadata.uid));
    await cluster.kubectlMust(2, ['set', 'env', 'deployment/web', `VERSION=${Date.now()}`]);
    await cluster.kubectlMust(1, ['rollout', 'status', 'deployment/web', '--timeout=60s']);
    await eventually('the old pods are gone', 30_000, async () => {
      const pods = await (await cluster.api(1)).list(`/api/v1/namespaces/default/pods?labelSelector=${APP}`);
      return pods.every(({ metadata }) => !before.has(metadata.uid));
    });
    for (const load of loads) {
      const notes = await load.stop();
      assert(notes.length >= 50, `only ${notes.length} requests`);
      assert(
        notes.every(({ status }) => status === 200),
        describeGets(notes),
      );
      assert(new Set(notes.map(({ body }) => body)).size > 3, 'old and new pods answered');
    }
  });

  it('rolls back to the revision before', async () => {
    const list = async () =>
      (
        await cluster.kubectlMust(3, [
          'get',
          'deploy',
          'web',
          '-o',
          'jsonpath={.spec.template.spec.containers[0].env[*].name}',
        ])
      ).trim();
    assert.match(await list(), /VERSION/);
    await cluster.kubectlMust(2, ['rollout', 'undo', 'deployment/web']);
    await cluster.kubectlMust(1, ['rollout', 'status', 'deployment/web', '--timeout=60s'], { timeoutMs: 65_000 });
    assert.doesNotMatch(await list(), /VERSION/);
  });

  it('scales up and down', async () => {
    await cluster.kubectlMust(1, ['scale', 'deployment/web', '--replicas=5']);
    await cluster.rolledOut(2, 'default', 'web', 20_000);
    assert.equal((await cluster.readyPods(3, 'default', APP)).length, 5);
    await cluster.kubectlMust(3, ['scale', 'deployment/web', '--replicas=2']);
    await eventually('two pods remain', 20_000, async () => {
      return (await (await cluster.api(1)).list(`/api/v1/namespaces/default/pods?labelSelector=${APP}`)).length === 2;
    });
  });

  it('takes everything of a namespace along with it', async () => {
    await cluster.createNamespace('short-lived', 2);
    await cluster.kubectlMust(1, [
      'create',
      'deployment',
      'idle',
      '--image=busybox:1.36',
      '--replicas=2',
      '--namespace=short-lived',
      '--',
      'sh',
      '-c',
      'trap "exit 0" TERM; while :; do sleep 0.2; done',
    ]);
    await cluster.rolledOut(2, 'short-lived', 'idle', 15_000);
    await cluster.kubectlMust(1, ['delete', 'namespace', 'short-lived', '--timeout=50s']);
    const left = await (await cluster.api(3)).list('/api/v1/pods');
    assert.deepEqual(
      left.filter(({ metadata }) => metadata.namespace === 'short-lived'),
      [],
    );
  });
});

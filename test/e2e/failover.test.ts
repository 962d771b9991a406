/** Peers that die, are cut off or split: what goes on, how soon, and what is whole again afterwards. */
import assert from 'node:assert/strict';
import type { Answer, Api, Json } from './harness/api.js';
import { useCluster } from './harness/cluster.js';
import { describeGets, HttpLoad } from './harness/http-load.js';
import { eventually } from './harness/wait.js';
import { describeFailures, WriteLoad, type WriteReport } from './harness/write-load.js';
import { note } from './harness/report.js';

const HOSTS = [1, 2, 3];
const LOAD = 'load';

describe('a cluster of three loses peers', function () {
  this.timeout(120_000);
  const cluster = useCluster(3);

  before('workloads are up', async () => {
    await cluster.createNamespace(LOAD, 1);
    await (await cluster.api(1)).applyYaml(await cluster.example('web.yaml'));
    await cluster.rolledOut(1, 'default', 'web', 20_000);
  });
  afterEach('all peers are back', async () => {
    await cluster.restore();
    await cluster.rolledOut(1, 'default', 'web', 60_000);
    // What was replaced while its node was away goes too: a sandbox and a container for each pod remain.
    await eventually('only the three replicas remain', 60_000, async () => {
      const pods = await (await cluster.api(1)).list('/api/v1/pods');
      return pods.length === 3 && (await containers()).length === 6;
    });
  });

  const others = (host: number) => HOSTS.filter((one) => one !== host);
  const apisOf = (hosts: readonly number[]): Promise<Api[]> => Promise.all(hosts.map((host) => cluster.api(host)));

  /** Starts ten writes a second through peers, and resolves once they flow. */
  async function flowing(apis: readonly Api[], prefix: string): Promise<WriteLoad> {
    const load = new WriteLoad(apis, LOAD, 10, prefix);
    load.start();
    await eventually('writes flow', 10_000, async () => load.count >= 20);
    return load;
  }

  /** Every acknowledged write is there, at each of the hosts. */
  async function assertAllThere({ notes }: WriteReport, hosts: readonly number[]): Promise<void> {
    for (const api of await apisOf(hosts)) {
      const present = new Set(
        (await api.list(`/api/v1/namespaces/${LOAD}/configmaps`)).map(({ metadata }) => metadata.name),
      );
      const lost = notes.filter(({ status, name }) => status === 201 && !present.has(name));
      assert.deepEqual(lost, [], `acknowledged writes are missing at ${api.peer}`);
    }
  }

  /** A load of writes that goes on until some more were answered after now. */
  async function moreWrites(load: WriteLoad, count: number): Promise<void> {
    const from = load.count;
    await eventually('more writes are answered', 20_000, async () => load.count >= from + count);
  }

  it('kill -9 of the api holder fails no write through the others, and none waits longer than 0.5 s', async () => {
    const holder = await cluster.holder('api', 1);
    const survivors = others(holder);
    const load = await flowing(await apisOf(survivors), 'kill');
    await cluster.agent(holder).kill();
    await moreWrites(load, 30);
    const report = await load.stop();
    note(`longest gap ${report.longestGapMs} ms, slowest write ${report.slowestMs} ms`);
    assert.deepEqual(report.failed, [], describeFailures(report));
    assert(report.longestGapMs <= 500, `the longest gap was ${report.longestGapMs} ms`);
    await assertAllThere(report, survivors);
    await cluster.agent(holder).start();
    await cluster.allReady();
    await assertAllThere(report, [holder]);
  });

  it('a cut cable of the api holder: gap within 2 s, Service within 3 s, replicas elsewhere within 15 s', async () => {
    const holder = await cluster.holder('api', 1);
    const survivors = others(holder);
    const [first] = survivors as [number, number];
    const ip = (await (await cluster.api(first)).get('/api/v1/namespaces/default/services/web')).spec.clusterIP;
    const load = await flowing(await apisOf(survivors), 'cut');
    const traffic = survivors.map((host) => new HttpLoad(cluster.lab, host, `http://${ip}/`, { timeoutMs: 1_000 }));
    await cluster.lab.cut(holder);
    const cutMs = Date.now();
    const nodes = survivors.map((host) => `h${host}`);
    const { tookMs } = await eventually('three replicas run on the survivors', 30_000, async () => {
      return (await cluster.readyPods(first, 'default', 'app%3Dweb', nodes)).length === 3;
    });
    const report = await load.stop();
    const answers = (await Promise.all(traffic.map((one) => one.stop()))).flat();
    const lastFailureMs = Math.max(
      0,
      ...answers.filter(({ status }) => status !== 200).map(({ atMs }) => atMs - cutMs),
    );
    note(
      `longest gap ${report.longestGapMs} ms, last failure of the Service started ${lastFailureMs} ms after the cut, ` +
        `replicas after ${tookMs} ms`,
    );
    assert.deepEqual(report.failed, [], describeFailures(report));
    assert(report.longestGapMs <= 2_000, `the longest gap was ${report.longestGapMs} ms`);
    assert(lastFailureMs <= 3_000, describeGets(answers));
    assert(tookMs <= 15_000, `the replicas took ${tookMs} ms`);
    await assertAllThere(report, survivors);
  });

  it('the last of three takes writes, and runs pods', async () => {
    await Promise.all([1, 2].map((host) => cluster.agent(host).kill()));
    const api = await cluster.api(3);
    const { tookMs } = await eventually('the last one takes a write', 10_000, async () => {
      const answer = await api.send('POST', `/api/v1/namespaces/${LOAD}/configmaps`, {
        metadata: { generateName: 'last-' },
      });
      return answer.status === 201;
    });
    note(`first write after ${tookMs} ms`);
    await api.call('POST', `/api/v1/namespaces/${LOAD}/pods`, {
      metadata: { name: 'last-one' },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'c', image: 'busybox:1.36', command: ['sleep', '600'] }],
      },
    });
    await eventually('a new pod runs', 15_000, async () => {
      const pod = await api.get(`/api/v1/namespaces/${LOAD}/pods/last-one`);
      return pod.status.phase === 'Running' && pod.spec.nodeName === 'h3';
    });
    await eventually('the replicas of the others run here', 30_000, async () => {
      return (await cluster.readyPods(3, 'default', 'app%3Dweb', ['h3'])).length === 3;
    });
    await api.call('DELETE', `/api/v1/namespaces/${LOAD}/pods/last-one`);
  });

  it('all agents killed and started again: everything is there, and no container was restarted', async () => {
    const before = await containers();
    const objects = await snapshot(await cluster.api(1));
    await Promise.all(cluster.agents.map((agent) => agent.kill()));
    await Promise.all(cluster.agents.map((agent) => agent.start()));
    await cluster.allReady();
    for (const api of await apisOf(HOSTS)) assert.deepEqual(names(await snapshot(api)), names(objects));
    await cluster.rolledOut(2, 'default', 'web', 15_000);
    assert.deepEqual(await containers(), before);
    const ip = (await (await cluster.api(1)).get('/api/v1/namespaces/default/services/web')).spec.clusterIP;
    for (const host of HOSTS) {
      const { code, stderr } = await cluster.lab.exec(host, ['curl', '-sS', '--max-time', '3', `http://${ip}/`]);
      assert.equal(code, 0, stderr);
    }
  });

  it('SIGTERM ends an agent cleanly and leaves its containers, which it adopts when it comes back', async () => {
    const before = await containers();
    assert.equal(await cluster.agent(2).stop(), 0);
    assert.deepEqual(await containers(), before);
    await cluster.agent(2).start();
    await cluster.allReady();
    await cluster.rolledOut(2, 'default', 'web', 15_000);
    assert.deepEqual(await containers(), before);
  });

  it('both sides of a split take writes; healed, all three have identical objects within 5 s', async () => {
    const namespace = 'split';
    await cluster.createNamespace(namespace, 1);
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    await (
      await cluster.api(1)
    ).call('POST', path, { metadata: { name: 'shared' }, data: { a: '0', b: '0', both: '0' } });
    await (await cluster.api(1)).call('POST', path, { metadata: { name: 'deleted' }, data: { a: '0' } });
    await cluster.lab.split('1 2', '3');
    const sides = { left: await cluster.api(1), right: await cluster.api(3) };
    for (const [side, api] of Object.entries(sides)) {
      await eventually(`the ${side} side takes writes`, 10_000, async () => {
        return (await api.send('POST', path, { metadata: { name: `only-${side}` }, data: { side } })).status === 201;
      });
    }
    // Whoever writes or looks can tell that there is a split, and what does not work meanwhile.
    for (const [side, missing] of [
      ['left', ['h3']],
      ['right', ['h1', 'h2']],
    ] as const) {
      await eventually(`the ${side} side warns`, 10_000, async () => {
        const { warning } = await sides[side].send('POST', `${path}?dryRun=All`, { metadata: { name: 'warned' } });
        return warning.includes('out of reach') && missing.every((name) => warning.includes(name));
      });
    }
    await eventually('the node on its own says so', 10_000, async () => {
      const { body } = await sides.right.send('GET', '/api/v1/nodes/h3');
      const conditions = (body as { status: { conditions: { type: string; status: string }[] } }).status.conditions;
      return conditions.some(({ type, status }) => type === 'skein.dev/Minority' && status === 'True');
    });
    await sides.right.patch(`${path}/deleted`, { data: { a: 'right' } });
    await sides.left.call('DELETE', `${path}/deleted`);
    await sides.left.patch(`${path}/shared`, { data: { a: 'left', both: 'left' } });
    await sides.right.patch(`${path}/shared`, { data: { b: 'right', both: 'right' } });
    await Promise.all(
      Object.entries(sides).map(async ([side, api]) => {
        for (let i = 0; i < 30; i++)
          await api.call('POST', path, { metadata: { name: `${side}-${i}` }, data: { i: `${i}` } });
      }),
    );
    await sides.left.call('DELETE', `${path}/only-left`);
    await cluster.lab.join();
    const { tookMs } = await eventually('all three show the same', 20_000, async () => {
      const all = await Promise.all((await apisOf(HOSTS)).map((api) => api.list(`${path}?resourceVersion=0`)));
      const texts = all.map((items) => JSON.stringify(items));
      return texts[0] === texts[1] && texts[1] === texts[2] && (all[0]?.length ?? 0) >= 62;
    });
    note(`identical ${tookMs} ms after the heal`);
    const present = await (await cluster.api(2)).list(path);
    const shared = present.find(({ metadata }) => metadata.name === 'shared');
    assert.deepEqual(
      shared.data,
      { a: 'left', b: 'right', both: 'right' },
      'different fields both survive, of one the later',
    );
    assert(present.some(({ metadata }) => metadata.name === 'only-right'));
    assert(!present.some(({ metadata }) => metadata.name === 'only-left'));
    assert(tookMs <= 5_000, `took ${tookMs} ms`);
    await toldOf(namespace);
    // Controllers may still be settling what the split did to nodes and pods: of one moment, all is the same everywhere.
    await eventually('all kinds are identical everywhere', 5_000, async () => {
      const wholes = await Promise.all((await apisOf(HOSTS)).map(async (api) => JSON.stringify(await snapshot(api))));
      return wholes.every((text) => text === wholes[0]);
    });
  });

  /** What the merge overrode, and what a deletion won over, is told by Events, and by every peer with both values. */
  async function toldOf(namespace: string): Promise<void> {
    await eventually('Events on both objects, the one that is gone too', 10_000, async () => {
      const events = await (await cluster.api(2)).list(`/api/v1/namespaces/${namespace}/events`);
      const told = events.filter(({ reason }) => reason === 'MergeConflict');
      return new Set(told.map(({ involvedObject }) => involvedObject.name)).size === 2;
    });
    const answers = await Promise.all(
      (await apisOf(HOSTS)).map((api) => api.send('GET', `/skein/v1/conflicts?namespace=${namespace}`)),
    );
    const [first, ...others] = answers.map(({ text }) => text);
    for (const other of others) assert.equal(other, first);
    const { items } = (answers[0] as Answer).body;
    const shown = items.map(({ name, field, kept, dropped }: Json) => [name, field, kept.value, dropped[0].value]);
    const [gone, both] = shown.toSorted(([a]: [string], [b]: [string]) => (a < b ? -1 : 1));
    assert.deepEqual(both, ['shared', 'data.both', 'right', 'left']);
    assert.deepEqual([gone[0], gone[1], gone[2], gone[3].data], ['deleted', '', undefined, { a: 'right' }]);
    assert.deepEqual(items.find(({ name }: Json) => name === 'shared').dropped[0].part.toSorted(), ['h1', 'h2']);
  }

  /** Ids and start times of all containers, by host. */
  async function containers(): Promise<string[]> {
    const found = await Promise.all(
      HOSTS.map(async (host) => {
        const ids = (await cluster.lab.docker(host, 'ps', '--no-trunc', '-q')).split('\n').filter((id) => id !== '');
        if (ids.length === 0) return [];
        const lines = await cluster.lab.docker(host, 'inspect', '--format', '{{.Id}} {{.State.StartedAt}}', ...ids);
        return lines
          .trim()
          .split('\n')
          .map((line) => `h${host} ${line}`);
      }),
    );
    return found.flat().sort();
  }
});

/** What people and controllers keep, without what changes by itself. */
async function snapshot(api: Api): Promise<Json[]> {
  const paths = [
    '/api/v1/namespaces',
    '/api/v1/configmaps',
    '/api/v1/secrets',
    '/api/v1/services',
    '/api/v1/serviceaccounts',
    '/apis/apps/v1/deployments',
    '/apis/apps/v1/replicasets',
  ];
  return (await Promise.all(paths.map((path) => api.list(path)))).flat();
}

const names = (objects: readonly Json[]) =>
  objects.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name} ${metadata.uid}`).sort();

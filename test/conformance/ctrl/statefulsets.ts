/** StatefulSets: order, identity, updates. A readiness gate says which member is healthy, so no container has to know. */
import assert from 'node:assert/strict';
import { IMAGE, podSpec, podTemplate } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { always, eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';

const ROLLED_MS = 90_000;
const STAYS_MS = 5_000;
const GATE = 'conformance.example.com/healthy';
const NEW_IMAGE = 'registry.k8s.io/pause:3.9';

interface Set {
  readonly sets: Resource;
  readonly pods: Resource;
  readonly namespace: string;
}

/** A StatefulSet `ss` of so many members; `gated` ones are ready only when told. */
async function start(t: Context, replicas: number, spec: Json = {}, gated = false): Promise<Set> {
  t.needsControllers();
  const namespace = await t.namespace('statefulset');
  const sets = t.resource('apps/v1', 'statefulsets', namespace);
  const template = podTemplate('ss');
  if (gated) template.spec.readinessGates = [{ conditionType: GATE }];
  await t.core('services', namespace).create({
    metadata: { name: 'test' },
    spec: { clusterIP: 'None', selector: { app: 'ss' }, ports: [{ port: 80 }] },
  });
  await sets.create({
    metadata: { name: 'ss', labels: { app: 'ss' } },
    spec: { replicas, serviceName: 'test', selector: { matchLabels: { app: 'ss' } }, template, ...spec },
  });
  return { sets, pods: t.core('pods', namespace), namespace };
}

const isReady = ({ status, metadata }: Json): boolean =>
  !metadata.deletionTimestamp &&
  (status.conditions ?? []).some(({ type, status: value }: Json) => type === 'Ready' && value === 'True');

const readyNames = async (pods: Resource) =>
  (await pods.items())
    .filter(isReady)
    .map(({ metadata }) => String(metadata.name))
    .toSorted();

async function ready(pods: Resource, count: number): Promise<void> {
  const what = `${count} ready members`;
  await eventually(
    what,
    async () => (await readyNames(pods)).length === count && (await pods.items()).length === count,
    ROLLED_MS,
  );
}

async function tellHealth(pods: Resource, name: string, healthy: boolean): Promise<void> {
  const condition = { type: GATE, status: healthy ? 'True' : 'False' };
  await pods.patch(name, { status: { conditions: [condition] } }, 'strategic', 'status');
}

async function setHealthy(pods: Resource, name: string, healthy: boolean): Promise<void> {
  await tellHealth(pods, name, healthy);
  await eventually(`${name} to be ${healthy ? '' : 'un'}ready`, async () => isReady(await pods.get(name)) === healthy);
}

const scale = (sets: Resource, replicas: number) => sets.patch('ss', { spec: { replicas } });

async function ordered(t: Context): Promise<void> {
  const { sets, pods } = await start(t, 1, {}, true);
  await eventually('the first member', () => pods.exists('ss-0'));
  await scale(sets, 3);
  await always('nothing beyond an unhealthy member', STAYS_MS, async () => (await pods.items()).length === 1);
  const members = ['ss-0', 'ss-1', 'ss-2'];
  for (const [i, name] of members.entries()) {
    await eventually(name, () => pods.exists(name));
    assert.equal((await pods.items()).length, i + 1, 'a member came before the one below it was healthy');
    await setHealthy(pods, name, true);
  }
  for (const name of members) await setHealthy(pods, name, false);
  const watch = await pods.watch({ resourceVersion: (await pods.list()).metadata.resourceVersion });
  await scale(sets, 0);
  await always('nobody goes while those below are unhealthy', STAYS_MS, async () => (await pods.items()).length === 3);
  await setHealthy(pods, 'ss-0', true);
  // Once it is ready, the last member goes and then it: nobody may see it ready any more.
  await tellHealth(pods, 'ss-1', true);
  const gone: string[] = [];
  while (gone.length < members.length) {
    const { type, object } = await watch.next();
    if (type === 'DELETED') gone.push(String(object.metadata.name));
  }
  assert.deepEqual(gone, members.toReversed());
}

async function burst(t: Context): Promise<void> {
  const { sets, pods } = await start(t, 3, { podManagementPolicy: 'Parallel' }, true);
  await eventually('three members, none of them healthy', async () => (await pods.items()).length === 3);
  assert.deepEqual(await readyNames(pods), []);
  await scale(sets, 5);
  await eventually('five members', async () => (await pods.items()).length === 5);
  await scale(sets, 0);
  await eventually('none', async () => (await pods.items()).length === 0, ROLLED_MS);
}

async function scaleSubresource(t: Context): Promise<void> {
  const { sets, pods } = await start(t, 1);
  await ready(pods, 1);
  const before = await sets.get('ss', 'scale');
  assert.deepEqual([before.spec.replicas, before.status.replicas], [1, 1]);
  before.spec.replicas = 2;
  const updated = await sets.replace(before, 'scale');
  assert.equal(updated.spec.replicas, 2);
  assert.equal((await sets.get('ss')).spec.replicas, 2);
  await sets.patch('ss', { spec: { replicas: 4 } }, 'merge', 'scale');
  assert.equal((await sets.get('ss')).spec.replicas, 4);
  await ready(pods, 4);
  assert.deepEqual(await pods.names(), ['ss-0', 'ss-1', 'ss-2', 'ss-3']);
}

async function collection(t: Context): Promise<void> {
  const { sets, pods } = await start(t, 1);
  await ready(pods, 1);
  await sets.patch('ss', { metadata: { labels: { patched: 'yes' } }, spec: { replicas: 2 } }, 'strategic');
  assert.equal((await sets.get('ss')).metadata.labels.patched, 'yes');
  await ready(pods, 2);
  assert.deepEqual(
    await sets
      .in(undefined)
      .names('app=ss,patched=yes')
      .then((names) => names.includes('ss')),
    true,
  );
  await sets.deleteCollection('patched=yes');
  await eventually('the set to go', async () => !(await sets.exists('ss')));
  await eventually('its members to go', async () => (await pods.items()).length === 0, ROLLED_MS);
}

async function status(t: Context): Promise<void> {
  const { sets, pods } = await start(t, 1);
  await ready(pods, 1);
  const condition = (type: string) => ({ type, status: 'True', reason: 'E2E', message: 'Set from a test' });
  await sets.update('ss', (set) => (set.status.conditions = [condition('StatusUpdate')]), 'status');
  const types = async () => ((await sets.get('ss')).status.conditions ?? []).map(({ type }: Json) => type);
  assert.deepEqual(await types(), ['StatusUpdate']);
  await sets.patch('ss', { status: { conditions: [condition('StatusPatched')] } }, 'merge', 'status');
  assert.deepEqual(await types(), ['StatusPatched']);
  await scale(sets, 2);
  await ready(pods, 2);
  assert.deepEqual(await types(), ['StatusPatched'], 'the controller forgot the condition');
}

const imageOf = ({ spec }: Json) => String(spec.containers[0].image);
const setImage = (sets: Resource, image: string) =>
  sets.patch('ss', { spec: { template: { spec: { containers: [{ name: 'main', image }] } } } }, 'strategic');
const images = async (pods: Resource) =>
  (await pods.items()).toSorted((a, b) => String(a.metadata.name).localeCompare(b.metadata.name)).map(imageOf);

async function rolled(sets: Resource, updated: number): Promise<Json> {
  return eventually(
    `${updated} updated members`,
    async () => {
      const { status: now, metadata } = await sets.get('ss');
      const done = now.observedGeneration === metadata.generation && (now.updatedReplicas ?? 0) === updated;
      return done && now.readyReplicas === 3 && now;
    },
    ROLLED_MS,
  );
}

async function rolling(t: Context): Promise<void> {
  const { sets, pods } = await start(t, 3);
  await ready(pods, 3);
  const first = (await rolled(sets, 3)).updateRevision;
  const { resourceVersion } = (await pods.list()).metadata;
  const watch = await pods.watch({ resourceVersion });
  await setImage(sets, NEW_IMAGE);
  await eventually('a second revision', async () => (await sets.get('ss')).status.updateRevision !== first);
  const during = (await sets.get('ss')).status;
  const second = during.updateRevision;
  await eventually(
    'the update to be complete',
    async () => (await sets.get('ss')).status.currentRevision === second,
    ROLLED_MS,
  );
  assert.deepEqual(await images(pods), [NEW_IMAGE, NEW_IMAGE, NEW_IMAGE]);
  const gone: string[] = [];
  while (gone.length < 3) {
    const { type, object } = await watch.next();
    if (type === 'DELETED') gone.push(String(object.metadata.name));
  }
  assert.deepEqual(gone, ['ss-2', 'ss-1', 'ss-0']);
  await setImage(sets, IMAGE);
  await eventually(
    'the old revision again',
    async () => (await sets.get('ss')).status.currentRevision === first,
    ROLLED_MS,
  );
  await ready(pods, 3);
  assert.deepEqual(await images(pods), [IMAGE, IMAGE, IMAGE]);
}

async function partition(t: Context): Promise<void> {
  const strategy = (at: number) => ({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: at } } });
  const { sets, pods } = await start(t, 3, strategy(3));
  await ready(pods, 3);
  await rolled(sets, 3);
  await setImage(sets, NEW_IMAGE);
  await always('nothing is updated above the partition', STAYS_MS, async () =>
    (await images(pods)).every((image) => image === IMAGE),
  );
  await sets.patch('ss', { spec: strategy(2) });
  const canary = await rolled(sets, 1);
  assert.notEqual(canary.currentRevision, canary.updateRevision);
  assert.deepEqual(await images(pods), [IMAGE, IMAGE, NEW_IMAGE]);
  // Members that are lost halfway come back as they were.
  for (const name of ['ss-0', 'ss-2']) {
    const { uid } = (await pods.get(name)).metadata;
    await pods.delete(name);
    await eventually(
      `${name} anew`,
      async () => (await pods.exists(name)) && (await pods.get(name)).metadata.uid !== uid,
      ROLLED_MS,
    );
  }
  await ready(pods, 3);
  assert.deepEqual(await images(pods), [IMAGE, IMAGE, NEW_IMAGE]);
  for (const at of [1, 0]) {
    await sets.patch('ss', { spec: strategy(at) });
    await rolled(sets, 3 - at);
  }
  assert.deepEqual(await images(pods), [NEW_IMAGE, NEW_IMAGE, NEW_IMAGE]);
  await eventually('the update to be complete', async () => {
    const { currentRevision, updateRevision } = (await sets.get('ss')).status;
    return currentRevision === updateRevision;
  });
}

/** A pod on the same node has the port, so the kubelet refuses the member until that pod is gone. */
async function recreateFailed(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('statefulset');
  const pods = t.core('pods', namespace);
  const [node] = await t.core('nodes').names();
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const spec = () => {
    const made = { ...podSpec(), nodeName: node };
    made.containers[0].ports = [{ containerPort: port, hostPort: port }];
    return made;
  };
  await pods.create({ metadata: { name: 'holder' }, spec: spec() });
  await eventually('the holder of the port', async () => isReady(await pods.get('holder')));
  const watch = await pods.watch({ labelSelector: 'app=ss' });
  await t.resource('apps/v1', 'statefulsets', namespace).create({
    metadata: { name: 'ss' },
    spec: {
      replicas: 1,
      serviceName: 'test',
      selector: { matchLabels: { app: 'ss' } },
      template: { metadata: { labels: { app: 'ss' } }, spec: spec() },
    },
  });
  const failed = await watch.until('a member that failed', ({ object }) => object.status?.phase === 'Failed');
  const { uid } = failed.object.metadata;
  await watch.until('its end', ({ type, object }) => type === 'DELETED' && object.metadata.uid === uid);
  await pods.delete('holder');
  await eventually('the member to run', async () => isReady(await pods.get('ss-0')), ROLLED_MS);
  assert.notEqual((await pods.get('ss-0')).metadata.uid, uid);
}

export const rows: Rows = {
  'sts-recreate-failed': recreateFailed,
  'sts-ordered': ordered,
  'sts-burst': burst,
  'sts-scale': scaleSubresource,
  'sts-collection': collection,
  'sts-status': status,
  'sts-rolling': rolling,
  'sts-partition': partition,
};

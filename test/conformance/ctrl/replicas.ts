/** Deployments, ReplicaSets and ReplicationControllers: what they make of pods, and their subresources. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { always, eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';

const ROLLED_MS = 90_000;
const NEW_IMAGE = 'registry.k8s.io/pause:3.9';

type Plural = 'deployments' | 'replicasets' | 'replicationcontrollers';

interface Workload {
  readonly sets: Resource;
  readonly pods: Resource;
  readonly replicaSets: Resource;
  readonly labels: Json;
}

const selectorOf = (plural: Plural, labels: Json): Json =>
  plural === 'replicationcontrollers' ? labels : { matchLabels: labels };

async function place(t: Context, plural: Plural): Promise<Workload> {
  t.needsControllers();
  const namespace = await t.namespace(plural);
  return {
    sets: plural === 'replicationcontrollers' ? t.core(plural, namespace) : t.resource('apps/v1', plural, namespace),
    pods: t.core('pods', namespace),
    replicaSets: t.resource('apps/v1', 'replicasets', namespace),
    labels: { app: 'web' },
  };
}

const manifest = (plural: Plural, labels: Json, replicas: number, spec: Json = {}, name = 'web'): Json => ({
  metadata: { name, labels },
  spec: {
    replicas,
    selector: selectorOf(plural, labels),
    template: { metadata: { labels }, spec: podSpec() },
    ...spec,
  },
});

async function start(t: Context, plural: Plural, replicas: number, spec: Json = {}): Promise<Workload> {
  const workload = await place(t, plural);
  await workload.sets.create(manifest(plural, workload.labels, replicas, spec));
  await ready(workload, replicas);
  return workload;
}

const isUp = ({ status, metadata }: Json): boolean =>
  !metadata.deletionTimestamp &&
  (status.conditions ?? []).some(({ type, status: value }: Json) => type === 'Ready' && value === 'True');

/** The workload's status says so, and as many pods are there, all ready. */
async function ready({ sets, pods }: Workload, replicas: number): Promise<Json> {
  return eventually(
    `${replicas} ready pods`,
    async () => {
      const { status, metadata, ...rest } = await sets.get('web');
      const items = await pods.items();
      const told = (status.readyReplicas ?? 0) === replicas && status.observedGeneration === metadata.generation;
      return told && items.length === replicas && items.every(isUp) && { ...rest, status, metadata };
    },
    ROLLED_MS,
  );
}

const imageOf = (pod: Json): string => pod.spec.containers[0].image;
const withImage = (image: string) => ({ spec: { template: { spec: { containers: [{ name: 'main', image }] } } } });

async function scale(t: Context, plural: Plural): Promise<void> {
  const workload = await start(t, plural, 1);
  const { sets } = workload;
  const read = await sets.get('web', 'scale');
  assert.deepEqual([read.kind, read.apiVersion, read.spec.replicas], ['Scale', 'autoscaling/v1', 1]);
  const replaced = await sets.update('web', (object) => (object.spec.replicas = 2), 'scale');
  assert.equal(replaced.spec.replicas, 2);
  await ready(workload, 2);
  await sets.patch('web', { spec: { replicas: 4 } }, 'merge', 'scale');
  assert.equal((await sets.get('web')).spec.replicas, 4);
  await ready(workload, 4);
}

async function status(t: Context, plural: Plural): Promise<void> {
  const { sets } = await start(t, plural, 1);
  const has = ({ status: { conditions = [] } }: Json, type: string) =>
    conditions.some((condition: Json) => condition.type === type && condition.status === 'True');
  assert.equal((await sets.get('web', 'status')).status.replicas, 1);
  const condition = (type: string): Json => ({ type, status: 'True', reason: 'E2E', message: 'Set from e2e test' });
  const updated = await sets.update(
    'web',
    (object) => {
      object.status.conditions = [...(object.status.conditions ?? []), condition('StatusUpdate')];
    },
    'status',
  );
  assert.ok(has(updated, 'StatusUpdate'));
  const watch = await sets.watch({ fieldSelector: 'metadata.name=web' });
  t.cleanup(() => Promise.resolve(watch.close()));
  const patched = await sets.patch('web', { status: { conditions: [condition('StatusPatched')] } }, 'merge', 'status');
  assert.ok(has(patched, 'StatusPatched'));
  await watch.until('the patched status', ({ object }) => has(object, 'StatusPatched'));
}

async function recreate(t: Context): Promise<void> {
  const workload = await start(t, 'deployments', 2, { strategy: { type: 'Recreate' } });
  const watch = await workload.pods.watch();
  t.cleanup(() => Promise.resolve(watch.close()));
  const before = new Set((await workload.pods.items()).map(({ metadata }) => metadata.uid));
  await workload.sets.patch('web', withImage(NEW_IMAGE), 'strategic');
  const left = new Set(before);
  await watch.until('a new pod', ({ type, object }) => {
    if (type === 'DELETED') left.delete(object.metadata.uid);
    return type === 'ADDED' && !before.has(object.metadata.uid);
  });
  assert.equal(left.size, 0, 'a new pod was made beside old ones');
  await ready(workload, 2);
}

/** A ReplicaSet that was there first is taken over, and its pods are replaced. */
async function rolling(t: Context): Promise<void> {
  const workload = await place(t, 'deployments');
  const { replicaSets, sets, pods, labels } = workload;
  await replicaSets.create(manifest('replicasets', labels, 1, {}, 'first'));
  await ready({ ...workload, sets: { get: () => replicaSets.get('first') } as unknown as Resource }, 1);
  const template = { metadata: { labels }, spec: { ...podSpec(), containers: [{ name: 'main', image: NEW_IMAGE }] } };
  await sets.create(manifest('deployments', labels, 1, { template }));
  await eventually(
    'the old pods to be replaced',
    async () => {
      const all = await pods.items();
      return all.length === 1 && all.every((pod) => isUp(pod) && imageOf(pod) === NEW_IMAGE);
    },
    ROLLED_MS,
  );
  const old = await replicaSets.get('first');
  assert.deepEqual([old.spec.replicas, old.metadata.ownerReferences[0].name], [0, 'web']);
}

async function historyLimit(t: Context): Promise<void> {
  const workload = await start(t, 'deployments', 1, { revisionHistoryLimit: 0 });
  await workload.sets.patch('web', withImage(NEW_IMAGE), 'strategic');
  await eventually(
    'the old ReplicaSet to go',
    async () => {
      const kept = await workload.replicaSets.items();
      return kept.length === 1 && kept[0].spec.template.spec.containers[0].image === NEW_IMAGE;
    },
    ROLLED_MS,
  );
}

const NOWHERE = { spec: { template: { spec: { nodeSelector: { 'conformance.example.com/nowhere': 'yes' } } } } };

/** Ten pods that run, and a rollout whose pods find no node. */
async function proportional(t: Context): Promise<void> {
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } };
  const workload = await start(t, 'deployments', 10, { strategy });
  const [old] = await workload.replicaSets.items();
  await workload.sets.patch('web', NOWHERE);
  const sizes = async () => {
    const all = await workload.replicaSets.items();
    const next = all.find(({ metadata }) => metadata.uid !== old.metadata.uid);
    return [all.find(({ metadata }) => metadata.uid === old.metadata.uid)?.spec.replicas, next?.spec.replicas];
  };
  const settle = (what: string, expected: readonly number[]) =>
    eventually(what, async () => JSON.stringify(await sizes()) === JSON.stringify(expected), ROLLED_MS);
  // No more than 13 pods, no fewer than 8 that are available.
  await settle('the rollout to be stuck', [8, 5]);
  await workload.sets.patch('web', { spec: { replicas: 30 } });
  // Twenty more, to both by their share: 8 and 5 of 13 become 20 and 13 of 33.
  await settle('the new pods to be shared out', [20, 13]);
}

async function rollover(t: Context): Promise<void> {
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
  const workload = await start(t, 'deployments', 1, { strategy });
  await workload.sets.patch('web', NOWHERE);
  await eventually('the stuck rollout', async () => (await workload.replicaSets.items()).length === 2, ROLLED_MS);
  const last = withImage(NEW_IMAGE);
  const spec = { ...last.spec.template.spec, nodeSelector: null };
  await workload.sets.patch('web', { spec: { template: { spec } } }, 'strategic');
  await eventually(
    'the newest pods',
    async () => {
      const all = await workload.pods.items();
      return all.length === 1 && all.every((pod) => isUp(pod) && imageOf(pod) === NEW_IMAGE);
    },
    ROLLED_MS,
  );
  const sizes: number[] = (await workload.replicaSets.items()).map(({ spec: { replicas } }) => replicas);
  assert.deepEqual(
    sizes.toSorted((a, b) => a - b),
    [0, 0, 1],
  );
}

/** Seen on a watch: creation, patches of all kinds, deletion. */
async function lifecycle(t: Context, plural: Plural): Promise<void> {
  const workload = await place(t, plural);
  const { sets, labels } = workload;
  const watch = await sets.watch({ labelSelector: 'app=web' });
  t.cleanup(() => Promise.resolve(watch.close()));
  await sets.create(manifest(plural, labels, 1));
  await watch.type('ADDED', 'web');
  await ready(workload, 1);
  await sets.patch('web', { metadata: { labels: { patched: 'yes' } } });
  await watch.until('the patch', ({ object }) => object.metadata.labels?.patched === 'yes');
  await sets.patch('web', { spec: { replicas: 2 } }, 'merge', 'scale');
  await watch.until('the scaling', ({ object }) => object.status?.readyReplicas === 2, ROLLED_MS);
  await sets.patch('web', { status: { readyReplicas: 0 } }, 'merge', 'status');
  await watch.until('the status', ({ object }) => object.status?.readyReplicas === 0 || !object.status?.readyReplicas);
  await ready(workload, 2);
  assert.deepEqual(await sets.names('app=web'), ['web']);
  await sets.deleteCollection('app=web');
  await watch.type('DELETED', 'web', ROLLED_MS);
}

async function replaceAndPatch(t: Context): Promise<void> {
  const workload = await start(t, 'replicasets', 1);
  await workload.sets.update('web', (object) => (object.spec.replicas = 3));
  await ready(workload, 3);
  const patch = { metadata: { labels: { patched: 'yes' } }, spec: { replicas: 2, ...withImage(NEW_IMAGE).spec } };
  const patched = await workload.sets.patch('web', patch, 'strategic');
  assert.deepEqual([patched.metadata.labels.patched, patched.spec.replicas], ['yes', 2]);
  await ready(workload, 2);
}

async function collection(t: Context): Promise<void> {
  const { sets, labels } = await start(t, 'replicasets', 1);
  for (const name of ['second', 'third']) await sets.create(manifest('replicasets', { ...labels, name }, 1, {}, name));
  assert.equal((await sets.items('app=web')).length, 3);
  await sets.deleteCollection('app=web');
  await eventually('all to go', async () => (await sets.items('app=web')).length === 0);
}

const owner = ({ metadata }: Json): Json =>
  (metadata.ownerReferences ?? []).find(({ controller }: Json) => controller === true);

/** A pod that was there first is taken over. */
async function adopts(t: Context, plural: Plural): Promise<Workload> {
  const workload = await place(t, plural);
  await workload.pods.create({ metadata: { name: 'orphan', labels: workload.labels }, spec: podSpec() });
  const made = await workload.sets.create(manifest(plural, workload.labels, 1));
  await eventually(
    'the pod to be taken over',
    async () => owner(await workload.pods.get('orphan'))?.uid === made.metadata.uid,
  );
  await always('no other pod is made', 1_000, async () => (await workload.pods.items()).length === 1);
  return workload;
}

/** A pod whose labels do not fit any longer is let go, and replaced. */
async function releases({ pods }: Workload): Promise<void> {
  const [pod] = await pods.items('app=web');
  await pods.patch(pod.metadata.name, { metadata: { labels: { app: 'other' } } });
  await eventually('the pod to be let go', async () => owner(await pods.get(pod.metadata.name)) === undefined);
  await eventually('another in its place', async () => (await pods.items('app=web')).length === 1);
}

export const rows: Rows = {
  'deploy-scale': (t) => scale(t, 'deployments'),
  'deploy-status': (t) => status(t, 'deployments'),
  'deploy-recreate': recreate,
  'deploy-rolling': rolling,
  'deploy-history-limit': historyLimit,
  'deploy-proportional': proportional,
  'deploy-rollover': rollover,
  'deploy-lifecycle': (t) => lifecycle(t, 'deployments'),
  'rs-scale': (t) => scale(t, 'replicasets'),
  'rs-status': (t) => status(t, 'replicasets'),
  'rs-replace-patch': replaceAndPatch,
  'rs-collection': collection,
  'rs-adopt-release': async (t) => releases(await adopts(t, 'replicasets')),
  'rc-scale': (t) => scale(t, 'replicationcontrollers'),
  'rc-adopt': async (t) => void (await adopts(t, 'replicationcontrollers')),
  'rc-release': async (t) => releases(await start(t, 'replicationcontrollers', 1)),
  'rc-lifecycle': (t) => lifecycle(t, 'replicationcontrollers'),
};

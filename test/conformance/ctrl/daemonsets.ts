/** DaemonSets and their revisions. Each row has labels of its own, and nodes get labels that only it knows. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';

const ROLLED_MS = 90_000;
const NEW_IMAGE = 'registry.k8s.io/pause:3.9';

interface Daemons {
  readonly sets: Resource;
  readonly pods: Resource;
  readonly revisions: Resource;
  /** Nodes that take pods. */
  readonly nodes: readonly string[];
}

async function start(t: Context, podFields: Json = {}, spec: Json = {}): Promise<Daemons> {
  t.needsControllers();
  const namespace = await t.namespace('daemonset');
  const sets = t.resource('apps/v1', 'daemonsets', namespace);
  const labels = { app: 'daemon' };
  await sets.create({
    metadata: { name: 'daemon', labels },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { ...podSpec(), ...podFields } },
      ...spec,
    },
  });
  const nodes = (await t.core('nodes').items())
    .filter((node) => !(node.spec.taints ?? []).some(({ effect }: Json) => effect !== 'PreferNoSchedule'))
    .map(({ metadata }) => String(metadata.name))
    .toSorted();
  const revisions = t.resource('apps/v1', 'controllerrevisions', namespace);
  return { sets, pods: t.core('pods', namespace), revisions, nodes };
}

const isRunning = ({ status, metadata }: Json): boolean =>
  !metadata.deletionTimestamp &&
  (status.conditions ?? []).some(({ type, status: value }: Json) => type === 'Ready' && value === 'True');

/** A ready pod on each of these nodes and no other pods. */
async function runsOn(pods: Resource, nodes: readonly string[]): Promise<void> {
  await eventually(
    `a daemon on ${nodes.join(', ') || 'no node'}`,
    async () => {
      const present = await pods.items();
      const places = present.map(({ spec }) => String(spec.nodeName)).toSorted();
      return present.every(isRunning) && JSON.stringify(places) === JSON.stringify(nodes);
    },
    ROLLED_MS,
  );
}

async function simple(t: Context): Promise<void> {
  const { pods, nodes } = await start(t);
  await runsOn(pods, nodes);
  const [first] = await pods.items();
  await pods.delete(first.metadata.name);
  await runsOn(pods, nodes);
  assert.ok(!(await pods.exists(first.metadata.name)));
}

async function nodeSelection(t: Context): Promise<void> {
  const key = `conformance.example.com/${t.unique('color')}`;
  const { sets, pods, nodes } = await start(t, { nodeSelector: { [key]: 'blue' } });
  const all = t.core('nodes');
  const [node = ''] = nodes;
  const paint = (color: string | null) => all.patch(node, { metadata: { labels: { [key]: color } } });
  t.cleanup(() => paint(null));
  await eventually('the set to be looked at', async () => (await sets.get('daemon')).status.observedGeneration === 1);
  await runsOn(pods, []);
  await paint('blue');
  await runsOn(pods, [node]);
  await paint('green');
  await runsOn(pods, []);
  await sets.patch('daemon', {
    spec: { updateStrategy: { type: 'RollingUpdate' }, template: { spec: { nodeSelector: { [key]: 'green' } } } },
  });
  await runsOn(pods, [node]);
}

async function retryFailed(t: Context): Promise<void> {
  const { pods, nodes } = await start(t);
  await runsOn(pods, nodes);
  const [first] = await pods.items();
  await eventually('the failed pod to go', async () => {
    const present = (await pods.items()).find(({ metadata }) => metadata.uid === first.metadata.uid);
    // The kubelet, which knows better, may have its word in the same moment: then it is said once more.
    if (present?.status.phase === 'Running') {
      await pods.patch(first.metadata.name, { status: { phase: 'Failed' } }, 'merge', 'status').catch(() => undefined);
    }
    return present === undefined;
  });
  await runsOn(pods, nodes);
}

const setImage = (sets: Resource, image: string) =>
  sets.patch('daemon', { spec: { template: { spec: { containers: [{ name: 'main', image }] } } } }, 'strategic');
const imageOf = ({ spec }: Json) => String(spec.containers[0].image);

async function rolling(t: Context): Promise<void> {
  const { sets, pods, revisions, nodes } = await start(t, {}, { updateStrategy: { type: 'RollingUpdate' } });
  await runsOn(pods, nodes);
  const [first] = await revisions.items();
  assert.equal(first.revision, 1);
  const hash = first.metadata.labels['controller-revision-hash'];
  for (const { metadata } of await pods.items()) assert.equal(metadata.labels['controller-revision-hash'], hash);
  await setImage(sets, NEW_IMAGE);
  await eventually(
    'all to be new',
    async () => (await pods.items()).every((pod) => imageOf(pod) === NEW_IMAGE),
    ROLLED_MS,
  );
  await runsOn(pods, nodes);
  const numbers = (await revisions.items()).map(({ revision }) => Number(revision));
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    [1, 2],
  );
}

async function rollback(t: Context): Promise<void> {
  const { sets, pods, nodes } = await start(t, {}, { updateStrategy: { type: 'RollingUpdate' } });
  await runsOn(pods, nodes);
  assert.ok(nodes.length > 1, 'one node alone shows nothing');
  // A template that can never be ready, without any need for an image that is missing.
  await sets.patch('daemon', {
    spec: { template: { spec: { readinessGates: [{ conditionType: 'conformance.example.com/never' }] } } },
  });
  const isNew = ({ spec }: Json) => (spec.readinessGates ?? []).length > 0;
  await eventually('one new pod', async () => (await pods.items()).some(isNew), ROLLED_MS);
  const good = (await pods.items()).filter((pod) => !isNew(pod) && isRunning(pod));
  assert.equal(good.length, nodes.length - 1);
  await sets.patch('daemon', { spec: { template: { spec: { readinessGates: null } } } });
  await runsOn(pods, nodes);
  const after = new Map((await pods.items()).map(({ metadata, status }) => [metadata.uid, status]));
  for (const { metadata } of good) {
    const status = after.get(metadata.uid);
    assert.ok(status, `${metadata.name} was replaced`);
    for (const { restartCount } of status.containerStatuses ?? []) assert.equal(restartCount, 0);
  }
}

async function collection(t: Context): Promise<void> {
  const { sets, pods, nodes } = await start(t);
  await runsOn(pods, nodes);
  const name = sets.namespace ?? '';
  await sets.patch('daemon', { metadata: { labels: { row: name } } });
  assert.deepEqual(await sets.in(undefined).names(`row=${name}`), ['daemon']);
  await sets.deleteCollection(`row=${name}`);
  await eventually('the set to go', async () => !(await sets.exists('daemon')));
  await eventually('its pods to go', async () => (await pods.items()).length === 0, ROLLED_MS);
}

async function status(t: Context): Promise<void> {
  const { sets, pods, nodes } = await start(t);
  await runsOn(pods, nodes);
  const condition = (type: string) => ({ type, status: 'True', reason: 'E2E', message: 'Set from a test' });
  await sets.update('daemon', (set) => (set.status.conditions = [condition('StatusUpdate')]), 'status');
  const types = async () => ((await sets.get('daemon')).status.conditions ?? []).map(({ type }: Json) => type);
  assert.deepEqual(await types(), ['StatusUpdate']);
  await sets.patch('daemon', { status: { conditions: [condition('StatusPatched')] } }, 'merge', 'status');
  assert.deepEqual(await types(), ['StatusPatched']);
  const { desiredNumberScheduled, numberReady } = (await sets.get('daemon')).status;
  assert.deepEqual([desiredNumberScheduled, numberReady], [nodes.length, nodes.length]);
}

async function controllerRevision(t: Context): Promise<void> {
  const { sets, pods, revisions, nodes } = await start(t);
  await runsOn(pods, nodes);
  const [initial] = await revisions
    .in(undefined)
    .items('app=daemon')
    .then((all) => all.filter(({ metadata }) => metadata.namespace === revisions.namespace));
  const { name, labels, ownerReferences } = initial.metadata;
  const patched = await revisions.patch(name, { metadata: { labels: { [name]: 'patched' } } });
  assert.equal(patched.metadata.labels[name], 'patched');
  const second = { metadata: { name: t.unique('daemon'), labels, ownerReferences }, data: initial.data, revision: 2 };
  const created = await revisions.create(second);
  assert.equal(created.revision, 2);
  assert.equal((await revisions.items()).length, 2);
  await revisions.delete(name);
  await eventually('one revision', async () => (await revisions.items()).length === 1);
  const updated = await revisions.update(created.metadata.name, (revision) => {
    revision.metadata.labels[created.metadata.name] = 'updated';
  });
  assert.equal(updated.metadata.labels[created.metadata.name], 'updated');
  await sets.patch('daemon', { spec: { template: { spec: { terminationGracePeriodSeconds: 1 } } } });
  const third = await eventually('the next revision', async () =>
    (await revisions.items()).find(({ revision }) => revision === 3),
  );
  assert.deepEqual(third.metadata.ownerReferences[0].name, 'daemon');
  await revisions.deleteCollection(`${created.metadata.name}=updated`);
  await eventually('it alone', async () => (await revisions.names()).join() === third.metadata.name);
}

export const rows: Rows = {
  'ds-simple': simple,
  'ds-node-selection': nodeSelection,
  'ds-retry-failed': retryFailed,
  'ds-rolling': rolling,
  'ds-rollback': rollback,
  'ds-collection': collection,
  'ds-status': status,
  controllerrevision: controllerRevision,
};

/** What goes with its owner, what stays, and what waits. */
import assert from 'node:assert/strict';
import { podSpec, podTemplate } from '../api/fixtures.js';
import type { Context, Rows, RowTest } from '../framework/context.js';
import { always, eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';

const COLLECTED_MS = 60_000;
/** How long what must stay is looked at. */
const STAYS_MS = 10_000;

async function replicationController(t: Context, namespace: string, name: string, replicas: number): Promise<Json> {
  const controllers = t.core('replicationcontrollers', namespace);
  const created = await controllers.create({
    metadata: { name },
    spec: { replicas, selector: { app: name }, template: podTemplate(name) },
  });
  const pods = t.core('pods', namespace);
  await eventually(`${replicas} pods of ${name}`, async () => (await pods.items(`app=${name}`)).length === replicas);
  return created;
}

async function rcBackground(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('gc');
  await replicationController(t, namespace, 'simpletest', 2);
  await t.core('replicationcontrollers', namespace).delete('simpletest', { propagationPolicy: 'Background' });
  const pods = t.core('pods', namespace);
  await eventually('the pods to be collected', async () => (await pods.items()).length === 0, COLLECTED_MS);
}

async function rcOrphan(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('gc');
  const controllers = t.core('replicationcontrollers', namespace);
  const replicas = 10;
  await replicationController(t, namespace, 'simpletest', replicas);
  await controllers.delete('simpletest', { propagationPolicy: 'Orphan' });
  await eventually('the controller to go', async () => !(await controllers.exists('simpletest')), COLLECTED_MS);
  const pods = t.core('pods', namespace);
  await always('all pods are left', STAYS_MS, async () => (await pods.items()).length === replicas);
  for (const { metadata } of await pods.items()) assert.deepEqual(metadata.ownerReferences ?? [], []);
}

async function rcForeground(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('gc');
  const controllers = t.core('replicationcontrollers', namespace);
  const pods = t.core('pods', namespace);
  await replicationController(t, namespace, 'simpletest', 10);
  // One pod that does not go until it is let go, so that the waiting can be seen.
  const [held] = await pods.items();
  const { name } = held.metadata;
  await pods.patch(name, { metadata: { finalizers: ['conformance.example.com/hold'] } });
  t.cleanup(() => pods.patch(name, { metadata: { finalizers: null } }));
  await controllers.delete('simpletest', { propagationPolicy: 'Foreground' });
  const going = await controllers.get('simpletest');
  assert.ok(going.metadata.deletionTimestamp);
  assert.ok(going.metadata.finalizers.includes('foregroundDeletion'));
  await eventually('the other pods to go', async () => (await pods.items()).length === 1, COLLECTED_MS);
  assert.ok(await controllers.exists('simpletest'), 'the controller went before its last pod');
  await pods.patch(name, { metadata: { finalizers: null } });
  await eventually('the controller to go', async () => !(await controllers.exists('simpletest')), COLLECTED_MS);
  assert.deepEqual(await pods.items(), []);
}

/** The pods of one controller, half of them owned by a second one as well. */
async function twoOwners(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('gc');
  const controllers = t.core('replicationcontrollers', namespace);
  const pods = t.core('pods', namespace);
  await replicationController(t, namespace, 'to-be-deleted', 10);
  const staying = await replicationController(t, namespace, 'to-stay', 0);
  const owner = { apiVersion: 'v1', kind: 'ReplicationController', name: 'to-stay', uid: staying.metadata.uid };
  const half = (await pods.items()).slice(0, 5).map(({ metadata }) => String(metadata.name));
  for (const name of half) await pods.update(name, ({ metadata }) => metadata.ownerReferences.push(owner));
  await controllers.delete('to-be-deleted', { propagationPolicy: 'Foreground' });
  await eventually('the controller to go', async () => !(await controllers.exists('to-be-deleted')), COLLECTED_MS);
  const left = await pods.items();
  assert.deepEqual(left.map(({ metadata }) => String(metadata.name)).toSorted(), half.toSorted());
  for (const { metadata } of left) {
    assert.ok(!metadata.deletionTimestamp, `${metadata.name} is being deleted`);
    assert.deepEqual(
      metadata.ownerReferences.map(({ name }: Json) => name),
      ['to-stay'],
    );
  }
}

async function cycle(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('gc');
  const pods = t.core('pods', namespace);
  const names = ['pod1', 'pod2', 'pod3'];
  const uids = new Map<string, string>();
  for (const name of names) uids.set(name, (await pods.create({ metadata: { name }, spec: podSpec() })).metadata.uid);
  for (const [i, name] of names.entries()) {
    const owner = names[(i + 2) % 3] as string;
    const reference = { apiVersion: 'v1', kind: 'Pod', name: owner, uid: uids.get(owner) };
    await pods.patch(name, {
      metadata: { ownerReferences: [{ ...reference, controller: true, blockOwnerDeletion: true }] },
    });
  }
  await pods.delete('pod1', { propagationPolicy: 'Foreground', gracePeriodSeconds: 0 });
  await eventually('all three to be collected', async () => (await pods.items()).length === 0, COLLECTED_MS);
}

async function deployed(t: Context): Promise<{ namespace: string; deployments: Resource; replicaSets: Resource }> {
  t.needsControllers();
  const namespace = await t.namespace('gc');
  const deployments = t.resource('apps/v1', 'deployments', namespace);
  const replicaSets = t.resource('apps/v1', 'replicasets', namespace);
  await deployments.create({
    metadata: { name: 'simpletest' },
    spec: { replicas: 2, selector: { matchLabels: { app: 'gc' } }, template: podTemplate('gc') },
  });
  await eventually('the ReplicaSet', async () => (await replicaSets.items()).length === 1);
  await eventually('its pods', async () => (await t.core('pods', namespace).items()).length === 2);
  return { namespace, deployments, replicaSets };
}

const deploymentBackground: RowTest = async (t) => {
  const { namespace, deployments, replicaSets } = await deployed(t);
  await deployments.delete('simpletest', { propagationPolicy: 'Background' });
  await eventually(
    'the ReplicaSet to be collected',
    async () => (await replicaSets.items()).length === 0,
    COLLECTED_MS,
  );
  const pods = t.core('pods', namespace);
  await eventually('the pods to be collected', async () => (await pods.items()).length === 0, COLLECTED_MS);
};

const deploymentOrphan: RowTest = async (t) => {
  const { namespace, deployments, replicaSets } = await deployed(t);
  await deployments.delete('simpletest', { propagationPolicy: 'Orphan' });
  await eventually('the Deployment to go', async () => !(await deployments.exists('simpletest')), COLLECTED_MS);
  await always('the ReplicaSet and its pods are left', STAYS_MS, async () => {
    const pods = await t.core('pods', namespace).items();
    return (await replicaSets.items()).length === 1 && pods.length === 2;
  });
  const [left] = await replicaSets.items();
  assert.deepEqual(left.metadata.ownerReferences ?? [], []);
};

export const rows: Rows = {
  'gc-rc-background': rcBackground,
  'gc-rc-orphan': rcOrphan,
  'gc-rc-foreground': rcForeground,
  'gc-two-owners': twoOwners,
  'gc-cycle': cycle,
  'gc-deploy-background': deploymentBackground,
  'gc-deploy-orphan': deploymentOrphan,
};

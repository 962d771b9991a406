import assert from 'node:assert/strict';
import { isNotFound } from '../../../../../src/api/errors.js';
import type { KubeObject } from '../../../../../src/api/object.js';
import { CONFIGMAPS, NAMESPACES, NODES, PODS, REPLICASETS, SECRETS } from '../../../../../src/api/resource.js';
import type { Namespace } from '../../../../../src/api/types/core-v1.js';
import { garbageCollector } from '../../../../../src/control/controllers/garbagecollector/controller.js';
import { harness, type Harness } from '../harness.js';

describe('garbage collector', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(garbageCollector(h, { resources: [CONFIGMAPS, SECRETS, PODS, REPLICASETS, NODES] }));
  });
  afterEach(() => h.stop());

  const refTo = (owner: KubeObject, block = true) => ({
    apiVersion: owner.apiVersion ?? '',
    kind: owner.kind ?? '',
    name: owner.metadata.name ?? '',
    uid: owner.metadata.uid ?? '',
    blockOwnerDeletion: block,
  });
  const map = (name: string, namespace = 'ns') => h.client.create(CONFIGMAPS, { metadata: { namespace, name } });
  const secret = (name: string, owners: KubeObject[], finalizers?: string[], namespace = 'ns') =>
    h.client.create<KubeObject>(SECRETS, {
      metadata: {
        namespace,
        name,
        ownerReferences: owners.map((owner) => refTo(owner)),
        ...(finalizers ? { finalizers } : {}),
      },
    });
  const exists = async (resource: typeof SECRETS, name: string, namespace = 'ns') => {
    try {
      await h.client.get(resource, namespace, name);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  };

  it('deletes dependents, through several levels, after their owner', async () => {
    const owner = await map('owner');
    const child = await secret('child', [owner]);
    await h.client.create<KubeObject>(CONFIGMAPS, {
      metadata: { namespace: 'ns', name: 'grandchild', ownerReferences: [refTo(child)] },
    });
    await h.clock.advance(10);
    assert.ok(await exists(SECRETS, 'child'));
    await h.client.delete(CONFIGMAPS, 'ns', 'owner', { propagationPolicy: 'Background' });
    await h.clock.advance(100);
    assert.deepEqual([...h.client.all(SECRETS), ...h.client.all(CONFIGMAPS)], []);
  });

  it('keeps what has another owner, and drops the reference to the one that is gone', async () => {
    const [a, b] = [await map('a'), await map('b')];
    await secret('child', [a, b]);
    await h.client.delete(CONFIGMAPS, 'ns', 'a');
    await h.clock.advance(100);
    const child = await h.client.get(SECRETS, 'ns', 'child');
    assert.deepEqual(
      child.metadata.ownerReferences?.map(({ name }) => name),
      ['b'],
    );
  });

  it('goes by uid: an owner of the same name is another owner', async () => {
    const owner = await map('owner');
    h.client.holdWatches();
    await h.client.delete(CONFIGMAPS, 'ns', 'owner');
    await map('owner');
    await secret('child', [owner]);
    h.client.releaseWatches();
    await h.clock.advance(100);
    assert.equal(await exists(SECRETS, 'child'), false);
  });

  it('orphans when asked to', async () => {
    const owner = await map('owner');
    await secret('child', [owner]);
    await h.clock.advance(10);
    await h.client.delete(CONFIGMAPS, 'ns', 'owner', { propagationPolicy: 'Orphan' });
    await h.clock.advance(100);
    assert.equal(await exists(CONFIGMAPS, 'owner'), false);
    const child = await h.client.get(SECRETS, 'ns', 'child');
    assert.equal(child.metadata.ownerReferences, undefined);
  });

  it('in the foreground, the owner outlives the dependents that block it', async () => {
    const owner = await map('owner');
    await secret('slow', [owner], ['test/hold']);
    await h.clock.advance(10);
    await h.client.delete(CONFIGMAPS, 'ns', 'owner', { propagationPolicy: 'Foreground' });
    await h.clock.advance(100);
    assert.ok((await h.client.get(SECRETS, 'ns', 'slow')).metadata.deletionTimestamp);
    assert.ok(await exists(CONFIGMAPS, 'owner'));
    await h.client.patch(SECRETS, 'ns', 'slow', 'merge', { metadata: { finalizers: null } });
    await h.clock.advance(100);
    assert.equal(await exists(CONFIGMAPS, 'owner'), false);
  });

  it('in the foreground, objects that own each other in a ring all go', async () => {
    const names = ['a', 'b', 'c'];
    const ring = [];
    for (const name of names) ring.push(await map(name));
    for (const [i, name] of names.entries()) {
      const owner = ring[(i + 2) % 3] as KubeObject;
      await h.client.patch(CONFIGMAPS, 'ns', name, 'merge', { metadata: { ownerReferences: [refTo(owner)] } });
    }
    await h.clock.advance(10);
    await h.client.delete(CONFIGMAPS, 'ns', 'a', { propagationPolicy: 'Foreground' });
    await h.clock.advance(100);
    assert.deepEqual(h.client.all(CONFIGMAPS), []);
  });

  it('looks for namespaced owners in the namespace of the dependent alone', async () => {
    const elsewhere = await map('owner', 'other');
    await secret('child', [elsewhere]);
    const node = await h.client.create<KubeObject>(NODES, {
      metadata: { name: 'node', ownerReferences: [refTo(elsewhere)] },
    });
    await h.clock.advance(100);
    assert.equal(await exists(SECRETS, 'child'), false);
    assert.ok(await exists(NODES, node.metadata.name ?? '', ''));
  });

  it('leaves alone what is owned by a kind it does not know', async () => {
    await secret('child', [{ apiVersion: 'x.example/v1', kind: 'Widget', metadata: { name: 'w', uid: 'some-uid' } }]);
    await h.clock.advance(100);
    assert.ok(await exists(SECRETS, 'child'));
  });
});

describe('garbage collector, of what a merge left without a namespace', () => {
  let h: Harness;
  beforeEach(() => {
    h = harness();
  });
  afterEach(() => h.stop());
  const namesOf = () => h.client.all<KubeObject>(CONFIGMAPS).map(({ metadata }) => metadata.name ?? '');

  it('deletes it, whether the object or the deletion of the namespace comes first', async () => {
    await h.run(garbageCollector(h, { resources: [NAMESPACES, CONFIGMAPS] }));
    await h.client.create(NAMESPACES, { metadata: { name: 'here' } });
    await h.client.create(NAMESPACES, { metadata: { name: 'going' } });
    await h.client.create(CONFIGMAPS, { metadata: { namespace: 'here', name: 'kept' } });
    await h.client.create(CONFIGMAPS, { metadata: { namespace: 'going', name: 'early' } });
    await h.clock.advance(100);
    assert.deepEqual(new Set(namesOf()), new Set(['early', 'kept']));
    await h.client.delete(NAMESPACES, '', 'going');
    const { spec: _, ...released } = await h.client.get<Namespace>(NAMESPACES, '', 'going');
    await h.client.update<Namespace>(
      NAMESPACES,
      { ...released, spec: { finalizers: [] } },
      { subresource: 'finalize' },
    );
    await h.client.create(CONFIGMAPS, { metadata: { namespace: 'going', name: 'late' } });
    await h.clock.advance(100);
    assert.deepEqual(namesOf(), ['kept']);
  });

  it('finds it at its start', async () => {
    await h.client.create(CONFIGMAPS, { metadata: { namespace: 'gone', name: 'left' } });
    await h.run(garbageCollector(h, { resources: [NAMESPACES, CONFIGMAPS] }));
    await h.clock.advance(100);
    assert.deepEqual(namesOf(), []);
  });
});

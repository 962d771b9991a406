import assert from 'node:assert/strict';
import { createKindPolicies } from '../../../src/agent/kind-policies.js';
import { majorityExecutor } from '../../../src/agent/majority.js';
import { partitionOf } from '../../../src/agent/partitions.js';
import { ApiError, type Status } from '../../../src/api/errors.js';
import type { KubeObject } from '../../../src/api/object.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { keyString, type ObjectKey, type WriteExecutor } from '../../../src/store/object-store.js';
import { foundedRegistry, REGISTRY_OBJECT, type PeerRegistry } from '../../../src/store/replication/peer-registry.js';
import { REVOKED_PEERS } from '../../../src/store/replication/revoked-peer.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { MemoryStore } from '../../../src/testing/memory-store.js';

const epoch = { n: 1, leader: 'a' };
const ANNOTATION = 'skein.dev/partition';

const at = (group: string, resource: string, name: string, namespace = 'default'): ObjectKey => ({
  group,
  resource,
  namespace,
  name,
});
const owner = (kind: string, name: string) => [{ apiVersion: '', kind, name, uid: 'u', controller: true }];
const object = (name: string, metadata: object = {}, spec?: object): KubeObject => ({
  metadata: { name, namespace: 'default', ...metadata },
  ...(spec ? { spec } : {}),
});

describe('what a part without a majority may change', () => {
  const state = new Map<string, KubeObject>();
  const put = (key: ObjectKey, value: KubeObject) => state.set(keyString(key), value);
  const policy = (key: ObjectKey, value: KubeObject) => partitionOf(key, value, (other) => state.get(keyString(other)));
  beforeEach(() => state.clear());

  it('follows the kind', () => {
    assert.equal(policy(at('coordination.k8s.io', 'leases', 'x'), object('x')), 'majority');
    assert.equal(policy(at('apps', 'statefulsets', 'x'), object('x')), 'majority');
    assert.equal(policy(at('apps', 'deployments', 'x'), object('x')), 'replicate');
    assert.equal(policy(at('', 'pods', 'x'), object('x')), 'replicate');
  });

  it('lets the Leases of roles and nodes be', () => {
    assert.equal(policy(at('coordination.k8s.io', 'leases', 'skein-api', 'kube-system'), object('x')), 'replicate');
    assert.equal(policy(at('coordination.k8s.io', 'leases', 'n', 'kube-node-lease'), object('n')), 'replicate');
    assert.equal(policy(at('coordination.k8s.io', 'leases', 'other', 'kube-system'), object('x')), 'majority');
  });

  it('follows the annotation of an object, or of what controls it', () => {
    const held = { annotations: { [ANNOTATION]: 'hold' } };
    assert.equal(
      policy(at('', 'configmaps', 'x'), object('x', { annotations: { [ANNOTATION]: 'majority' } })),
      'majority',
    );
    assert.equal(
      policy(at('', 'configmaps', 'x'), object('x', { annotations: { [ANNOTATION]: 'nonsense' } })),
      'replicate',
    );
    put(at('apps', 'deployments', 'web'), object('web', held));
    put(at('apps', 'replicasets', 'web-1'), object('web-1', { ownerReferences: owner('Deployment', 'web') }));
    assert.equal(policy(at('', 'pods', 'p'), object('p', { ownerReferences: owner('ReplicaSet', 'web-1') })), 'hold');
  });

  it('counts pods and claims of a StatefulSet as its identity', () => {
    const pod = object('db-0', { ownerReferences: owner('StatefulSet', 'db') });
    assert.equal(policy(at('', 'pods', 'db-0'), pod), 'majority', 'also when the set is gone');
    const set = (metadata: object) =>
      object('db', metadata, {
        volumeClaimTemplates: [{ metadata: { name: 'data' } }, { metadata: { name: 'my-log' } }],
      });
    put(at('apps', 'statefulsets', 'db'), set({}));
    const claim = (name: string) => policy(at('', 'persistentvolumeclaims', name), object(name));
    assert.deepEqual(['data-db-0', 'my-log-db-12', 'data-db-x', 'data-other-0', 'data-db'].map(claim), [
      'majority',
      'majority',
      'replicate',
      'replicate',
      'replicate',
    ]);
    put(at('apps', 'statefulsets', 'db'), set({ annotations: { [ANNOTATION]: 'replicate' } }));
    assert.equal(claim('data-db-0'), 'replicate');
    assert.equal(policy(at('', 'pods', 'db-0'), pod), 'replicate');
  });
});

describe('the guard of the majority', () => {
  let voters: string[];
  let sequence = 0;
  const registry = KindRegistry.load();
  const policies = createKindPolicies(registry);
  /** Puts what a request says; refusals are answers, as the API's executor has it. */
  const plain: WriteExecutor = (transaction, request) => {
    const { key, value, also } = request as { key: ObjectKey; value?: KubeObject; also?: [ObjectKey, KubeObject] };
    try {
      if (also) transaction.put(...also);
      const body = value ? transaction.put(key, value) : transaction.delete(key);
      return { code: 200, body, warnings: [] };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { code: error.code, body: error.toStatus(), warnings: [] };
    }
  };
  const refused: string[] = [];
  const metrics = { ...noMetrics, counter: () => ({ inc: (labels?: object) => refused.push(JSON.stringify(labels)) }) };

  async function storeOf(ids: string) {
    voters = ['a'];
    const standing = () => ({ self: 'a', epoch, voters, majorityRevision: Infinity });
    const executor = majorityExecutor(plain, { policies, metrics, standing });
    const store = new MemoryStore({ clock: new ManualClock(), executor });
    store.assign(REGISTRY_OBJECT, {
      ...foundedRegistry(
        ids.split('').map((id) => ({ id, name: `node-${id}` })),
        epoch,
      ),
      metadata: { name: 'peers', resourceVersion: '1' },
    } as PeerRegistry);
    const write = async (request: object) => store.write(`id-${++sequence}`, request);
    return { store, write };
  }

  const lease = at('coordination.k8s.io', 'leases', 'leader');

  it('refuses with 503 and Retry-After, writes nothing, and counts it', async () => {
    const { store, write } = await storeOf('ab');
    const other = at('', 'configmaps', 'beside');
    const reply = await write({ key: lease, value: object('leader'), also: [other, object('beside')] });
    const status = reply.body as Status;
    assert.deepEqual([reply.code, status.reason, status.details?.retryAfterSeconds], [503, 'ServiceUnavailable', 5]);
    assert.match(
      status.message ?? '',
      /^cannot write leases "leader": this part of the cluster has 1 of 2 registered peers/,
    );
    assert.equal(store.get(other), undefined);
    assert.deepEqual(refused.splice(0), ['{"resource":"leases"}']);
    assert.equal((await write({ key: other, value: object('beside') })).code, 200);
  });

  it('asks for the acknowledgement of a majority where there is one', async () => {
    const { write } = await storeOf('ab');
    voters = ['a', 'b'];
    assert.equal((await write({ key: lease, value: object('leader') })).majority, true);
    assert.equal((await write({ key: at('', 'configmaps', 'x'), value: object('x') })).majority, undefined);
  });

  it('lets nobody add or take away the mark without a majority', async () => {
    const { store, write } = await storeOf('abc');
    const key = at('', 'configmaps', 'marked');
    const marked = object('marked', { annotations: { [ANNOTATION]: 'majority' } });
    assert.equal((await write({ key, value: marked })).code, 503);
    store.assign(key, marked);
    assert.equal((await write({ key, value: object('marked') })).code, 503);
    assert.equal((await write({ key })).code, 503);
  });

  it('lets a node go on to report the status of a pod', async () => {
    const { write } = await storeOf('abc');
    const value = object('db-0', { ownerReferences: owner('StatefulSet', 'db') });
    const key = at('', 'pods', 'db-0');
    assert.equal((await write({ key, value, subresource: 'status' })).code, 200);
    assert.equal((await write({ key, value })).code, 503);
  });

  it('keeps roles from touching pods that are held, and warns users', async () => {
    const { store, write } = await storeOf('abc');
    const set = at('apps', 'replicasets', 'web');
    const held = object('web', { annotations: { [ANNOTATION]: 'hold' } });
    const answer = await write({ key: set, value: held });
    assert.match(answer.warnings.join(), /its pods are left as they are/);
    const pod = at('', 'pods', 'web-1');
    const value = object('web-1', { ownerReferences: owner('ReplicaSet', 'web') });
    assert.equal((await write({ key: pod, value, fence: { role: 'controllers', epoch: 1 } })).code, 503);
    store.assign(pod, value);
    assert.equal((await write({ key: pod, fence: { role: 'controllers', epoch: 1 } })).code, 503);
    assert.equal((await write({ key: pod })).code, 200);
    voters = ['a', 'b'];
    assert.equal((await write({ key: pod, value, fence: { role: 'controllers', epoch: 1 } })).code, 200);
  });

  it('strikes a peer off for good: at once with a majority, with --force without one, but never the last', async () => {
    const { store, write } = await storeOf('abc');
    const remove = async (name: string, force = false) => (await write({ removePeer: { name, force } })).code;
    const left = () => (store.get(REGISTRY_OBJECT) as PeerRegistry).peers.map(({ id }) => id).join('');
    assert.equal(await remove('node-x'), 404);
    assert.equal(await remove('node-c'), 409);
    assert.equal(await remove('node-c', true), 200);
    assert.equal(left(), 'ab');
    assert.equal(await remove('b', true), 200);
    assert.equal(left(), 'a');
    assert.equal(await remove('node-a'), 400);
    const revoked = store.list(REVOKED_PEERS.group, REVOKED_PEERS.resource);
    assert.deepEqual(
      revoked.map(({ metadata }) => metadata.name),
      ['b', 'c'],
    );
    assert.equal((await write({ key: lease, value: object('leader') })).code, 200);
  });
});

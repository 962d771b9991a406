/** What histories of whole agents found in merges, each by itself. */
import assert from 'node:assert/strict';
import type { KubeObject } from '../../src/api/object.js';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { configMap, keyOf, NAMESPACE, requestOf } from './clients.js';

type Part = Parameters<typeof requestOf>[1];

describe('a merge', function () {
  this.timeout(60_000);
  let sequence = 0;
  let cluster: SimCluster;
  const peer = (i: number) => cluster.peers[i] as SimPeer;

  async function write(through: SimPeer, part: Part): Promise<KubeObject> {
    const id = `merge-${++sequence}`;
    const reply = await cluster.until(through.replica.write(id, requestOf(id, part)));
    assert.ok(reply.code < 300, JSON.stringify(reply.body));
    return reply.body as KubeObject;
  }
  const patch = (through: SimPeer, resource: string, name: string, object: object, subresource = '') =>
    write(through, { verb: 'patch', resource, name, patch: 'merge', object, subresource, group: group(resource) });
  const group = (resource: string) => (resource === 'statefulsets' ? 'apps' : '');

  /** Cuts the last peer off: the others are the majority, with the sequencer they had. */
  async function split(): Promise<void> {
    cluster.network.partition([[peer(0).id, peer(1).id], [peer(2).id]]);
    await cluster.clock.run(() => peer(2).replica.view?.members.length === 1 && cluster.isWhole([peer(0), peer(1)]));
    // Longer than clocks differ.
    await cluster.clock.run(500);
  }

  async function heal(): Promise<void> {
    await cluster.clock.run(500);
    cluster.network.heal();
    await cluster.clock.run(() => cluster.isSettled());
  }

  beforeEach(async () => {
    cluster = new SimCluster({ seed: 8, peers: 3 });
    await cluster.found();
    await cluster.clock.run(() => cluster.isMeshed());
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } };
    await write(peer(0), { verb: 'create', resource: 'namespaces', name: '', object: namespace });
    const template = { metadata: { labels: { app: 'db' } }, spec: { containers: [{ name: 'c', image: 'app:1' }] } };
    const object = {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace: NAMESPACE },
      spec: { replicas: 3, serviceName: 'db', selector: { matchLabels: { app: 'db' } }, template },
    };
    await write(peer(0), { verb: 'create', group: 'apps', resource: 'statefulsets', name: '', object });
    const shared = configMap('shared', { a: '1' });
    await write(peer(0), { verb: 'create', resource: 'configmaps', name: '', object: shared });
    await cluster.clock.run(() => cluster.isSettled());
  });

  it('keeps what a majority decided of a StatefulSet, though the rest wrote a status later', async () => {
    await split();
    await patch(peer(0), 'statefulsets', 'db', { spec: { replicas: 5 } });
    await cluster.clock.run(500);
    await patch(peer(2), 'statefulsets', 'db', { status: { replicas: 1 } }, 'status');
    await heal();
    const set = peer(2).replica.get({ ...keyOf('', 'db'), group: 'apps', resource: 'statefulsets' });
    assert.equal((set as { spec?: { replicas?: number } } | undefined)?.spec?.replicas, 5);
  });

  it('does not bring a StatefulSet back that a majority deleted, though the rest wrote a status later', async () => {
    await split();
    await write(peer(0), { verb: 'delete', group: 'apps', resource: 'statefulsets', name: 'db' });
    await cluster.clock.run(500);
    await patch(peer(2), 'statefulsets', 'db', { status: { replicas: 1 } }, 'status');
    await heal();
    assert.deepEqual(peer(0).replica.list('apps', 'statefulsets'), []);
  });

  it('never shows an object under an older version than before', async () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'one', namespace: NAMESPACE },
      spec: { containers: [{ name: 'c', image: 'app:1' }] },
    };
    await write(peer(0), { verb: 'create', resource: 'pods', name: '', object: pod });
    await split();
    await patch(peer(2), 'pods', 'one', { status: { message: 'there' } }, 'status');
    await cluster.clock.run(500);
    await patch(peer(0), 'pods', 'one', { status: { message: 'here' } }, 'status');
    const version = () => Number(peer(2).replica.get(keyOf('pods', 'one'))?.metadata.resourceVersion);
    const before = version();
    assert.ok(before > Number(peer(0).replica.get(keyOf('pods', 'one'))?.metadata.resourceVersion), 'a higher line');
    await heal();
    const merged = peer(2).replica.get(keyOf('pods', 'one')) as { status?: { message?: string } } | undefined;
    assert.equal(merged?.status?.message, 'here');
    assert.ok(version() > before, `${version()} after ${before}`);
  });
});

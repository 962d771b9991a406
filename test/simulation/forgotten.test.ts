/** A peer that was away longer than deletions are remembered, on simulated parts. */
import assert from 'node:assert/strict';
import { WATERMARK_OBJECT, upToOf } from '../../src/store/replication/watermark.js';
import { stampMs } from '../../src/store/stamp.js';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { configMap, requestOf } from './clients.js';

const RETENTION_MS = 10_000;

describe('a peer that was away longer than deletions are remembered', function () {
  this.timeout(60_000);
  let sequence = 0;
  let cluster: SimCluster;
  const peer = (i: number) => cluster.peers[i] as SimPeer;

  async function write(i: number, part: Parameters<typeof requestOf>[1], code: number) {
    const id = `forgotten-${++sequence}`;
    const reply = await cluster.until(peer(i).replica.write(id, requestOf(id, part)));
    assert.equal(reply.code, code, JSON.stringify(reply.body));
  }
  const create = (i: number, name: string) =>
    write(i, { verb: 'create', resource: 'configmaps', name: '', object: configMap(name) }, 201);
  const remove = (i: number, name: string) => write(i, { verb: 'delete', resource: 'configmaps', name }, 200);
  const names = (i: number) =>
    peer(i)
      .replica.list('', 'configmaps')
      .map(({ metadata }) => metadata.name);
  const collected = (i: number) => stampMs(upToOf(peer(i).replica.get(WATERMARK_OBJECT)));

  beforeEach(async () => {
    cluster = new SimCluster({ seed: 9, peers: 3, settings: { tombstoneRetentionMs: RETENTION_MS } });
    await cluster.found();
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
    await write(0, { verb: 'create', resource: 'namespaces', name: '', object: namespace }, 201);
    for (const name of ['deleted-by-many', 'deleted-by-one', 'kept', 'changed']) await create(0, name);
    await cluster.clock.run(RETENTION_MS);
    await cluster.clock.run(() => cluster.isSettled());
  });

  async function cut(): Promise<void> {
    cluster.network.partition([[peer(0).id, peer(1).id], [peer(2).id]]);
    await cluster.clock.run(() => peer(2).replica.view?.members.length === 1);
    await cluster.clock.run(() => peer(0).replica.view?.members.length === 2);
  }

  it('brings nothing back, keeps what it wrote, and its own deletions hold', async () => {
    await cut();
    await remove(0, 'deleted-by-many');
    await remove(0, 'changed');
    await remove(2, 'deleted-by-one');
    await create(2, 'own');
    await write(
      2,
      { verb: 'patch', patch: 'merge', resource: 'configmaps', name: 'changed', object: { data: { by: 'p2' } } },
      200,
    );
    const deletedMs = peer(0).life?.clock.nowMs() ?? 0;
    await cluster.clock.run(2 * RETENTION_MS);
    for (const i of [0, 1, 2]) assert.ok(collected(i) > deletedMs, `p${i} has forgotten`);
    cluster.network.heal();
    await cluster.clock.run(() => cluster.isSettled());
    for (const i of [0, 1, 2]) assert.deepEqual(names(i), ['changed', 'kept', 'own'], `p${i}`);
  });

  it('brings nothing back from its disk either', async () => {
    peer(2).crash({ powerLoss: true });
    await cluster.clock.run(() => peer(0).replica.view?.members.length === 2);
    await remove(0, 'deleted-by-many');
    await cluster.clock.run(2 * RETENTION_MS);
    await cluster.until(peer(2).start());
    await cluster.clock.run(() => cluster.isSettled());
    for (const i of [0, 1, 2]) assert.deepEqual(names(i), ['changed', 'deleted-by-one', 'kept'], `p${i}`);
  });

  it('is still told of deletions that are remembered', async () => {
    await cut();
    await remove(0, 'deleted-by-many');
    await cluster.clock.run(RETENTION_MS / 2);
    cluster.network.heal();
    await cluster.clock.run(() => cluster.isSettled());
    for (const i of [0, 1, 2]) assert.deepEqual(names(i), ['changed', 'deleted-by-one', 'kept'], `p${i}`);
  });
});

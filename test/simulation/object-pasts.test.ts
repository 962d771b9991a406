/** What peers remember of the objects' changes, through restarts, power loss, splits and absences. */
import assert from 'node:assert/strict';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { configMap, keyOf, requestOf } from './clients.js';

describe('the history of objects in a cluster', function () {
  this.timeout(60_000);
  let sequence = 0;
  let cluster: SimCluster;
  const peer = (i: number) => cluster.peers[i] as SimPeer;

  async function write(i: number, part: Parameters<typeof requestOf>[1], code = 200) {
    const id = `past-${++sequence}`;
    const reply = await cluster.until(peer(i).replica.write(id, requestOf(id, part)));
    assert.equal(reply.code, code, JSON.stringify(reply.body));
  }
  const create = (i: number, name: string) =>
    write(i, { verb: 'create', resource: 'configmaps', name: '', object: configMap(name, { n: '0' }) }, 201);
  const change = (i: number, name: string, data: object) =>
    write(i, { verb: 'patch', patch: 'merge', resource: 'configmaps', name, object: { data } });
  const changesAt = (i: number, name: string) => peer(i).replica.past(keyOf('configmaps', name)).changes;
  const valuesAt = (i: number, name: string) =>
    changesAt(i, name).map(({ kind, fields }) => [kind, fields.find(({ path }) => path.at(-1) === 'n')?.new]);
  const settled = () => cluster.clock.run(() => cluster.isSettled(), { what: 'settling' });

  async function begin(settings: ConstructorParameters<typeof SimCluster>[0]['settings'] = {}) {
    cluster = new SimCluster({ seed: 11, peers: 3, settings });
    await cluster.found();
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
    await write(0, { verb: 'create', resource: 'namespaces', name: '', object: namespace }, 201);
    await create(0, 'x');
    await create(0, 'gone');
    for (const n of ['1', '2', '3']) await change(0, 'x', { n });
    await write(0, { verb: 'delete', resource: 'configmaps', name: 'gone' });
    await settled();
  }
  const LIFE = [
    ['created', undefined],
    ['changed', '1'],
    ['changed', '2'],
    ['changed', '3'],
  ];

  it('survives that all agents are killed, or lose their power', async () => {
    await begin();
    for (const powerLoss of [false, true]) {
      // At any moment: what is not among the records yet is in the log.
      for (const one of cluster.peers) one.crash({ powerLoss });
      await cluster.until(Promise.all(cluster.peers.map((one) => one.start())));
      await settled();
    }
    for (const i of [0, 1, 2]) {
      assert.deepEqual(valuesAt(i, 'x'), LIFE, `p${i}`);
      assert.deepEqual(
        changesAt(i, 'gone').map(({ kind }) => kind),
        ['created', 'deleted'],
        `p${i}`,
      );
    }
    const past = peer(1).replica.past(keyOf('configmaps', 'x'));
    const shown = past.at({ revision: past.changes[1]?.revision ?? 0 }) as { data?: { n?: string } };
    assert.equal(shown.data?.n, '1');
    await change(2, 'x', { n: '4' });
    await settled();
    assert.deepEqual(valuesAt(0, 'x'), [...LIFE, ['changed', '4']]);
  });

  it('reaches a peer that was away longer than the log', async () => {
    await begin({ logBytes: 1, logFrames: 1 });
    peer(2).crash();
    await cluster.clock.run(() => peer(0).replica.view?.members.length === 2);
    for (const n of ['4', '5']) await change(0, 'x', { n });
    await create(0, 'new');
    await cluster.clock.run(1_000);
    await cluster.until(peer(2).start());
    await settled();
    const isAsElsewhere = () => {
      for (const name of ['x', 'new', 'gone']) {
        assert.deepEqual(changesAt(2, name), changesAt(0, name), name);
        assert.ok(changesAt(2, name).length > 0, name);
      }
    };
    isAsElsewhere();
    // What it was handed is on its disk, too.
    peer(2).crash({ powerLoss: true });
    await cluster.until(peer(2).start());
    await settled();
    isAsElsewhere();
  });

  it('says of a merge that it was one, and leads back across it', async () => {
    await begin();
    cluster.network.partition([[peer(0).id, peer(1).id], [peer(2).id]]);
    await cluster.clock.run(() => peer(2).replica.view?.members.length === 1);
    await cluster.clock.run(() => peer(0).replica.view?.members.length === 2);
    await change(0, 'x', { a: 'many' });
    // Two parts of the object, of which the last write stamped one.
    await change(2, 'x', { b: 'one' });
    await change(2, 'x', { n: '9' });
    cluster.network.heal();
    await settled();
    for (const i of [0, 1, 2]) {
      const merge = changesAt(i, 'x').at(-1);
      assert.equal(merge?.kind, 'merged', `p${i}`);
      const fields = merge?.fields.filter(({ path }) => path[0] === 'data').map(({ path }) => path.join('.'));
      assert.deepEqual(fields?.toSorted(), ['data.b', 'data.n'], `p${i}`);
    }
    // The peer that came over knows what the others know, and not its own line of revisions.
    assert.deepEqual(changesAt(2, 'x'), changesAt(0, 'x'));
    const past = peer(2).replica.past(keyOf('configmaps', 'x'));
    const before = past.at({ revision: (past.changes.at(-1)?.revision ?? 0) - 1 }) as { data?: object };
    assert.deepEqual(before.data, { n: '3', a: 'many' });
  });
});

/** A synchronisation whose messages come twice, late, or out of turn: more than a stream ever does. */
import assert from 'node:assert/strict';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { checkConvergence } from './checks.js';
import { configMap, requestOf } from './clients.js';

const SEEDS = 6;
const OBJECTS = 60;

/** The halves of a split with objects of their own each, brought together in many small pieces. */
async function merge(seed: number): Promise<void> {
  const settings = { sliceRecords: 2, syncChunkBytes: 1_000 };
  const cluster = new SimCluster({ seed, peers: 3, settings });
  const [one, two, three] = cluster.peers as [SimPeer, SimPeer, SimPeer];
  const create = async (peer: SimPeer, resource: string, name: string, object: object) => {
    const request = requestOf(name, { verb: 'create', resource, name: '', object });
    const { code } = await cluster.until(peer.replica.write(name, request));
    assert.equal(code, 201, name);
  };
  await cluster.found();
  await create(one, 'namespaces', 'default', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } });
  cluster.network.partition([[one.id], [two.id, three.id]]);
  await cluster.clock.run(() => one.replica.view?.members.length === 1 && two.replica.view?.members.length === 2);
  const names = Array.from({ length: OBJECTS }, (_, i) => `${i % 2 === 0 ? 'left' : 'right'}-${i}`);
  for (const [i, name] of names.entries())
    await create(i % 2 === 0 ? one : two, 'configmaps', name, configMap(name, {}));
  for (const [a, b] of [
    [one, two],
    [one, three],
    [two, three],
  ] as const)
    cluster.network.setLink(a.id, b.id, { duplicateChance: 0.3, overtakeChance: 0.3 });
  cluster.network.heal();
  await cluster.clock.run(() => cluster.isSettled(), { limitMs: 30_000, what: `settling, seed ${seed}` });
  assert.deepEqual(checkConvergence(cluster), [], `seed ${seed}`);
  const shown = one.replica.list('', 'configmaps').map(({ metadata }) => metadata.name ?? '');
  assert.deepEqual(shown.toSorted(), names.toSorted(), `seed ${seed}`);
}

describe('a synchronisation whose messages come twice, late, or out of turn', function () {
  this.timeout(60_000);

  it('leaves nothing out of what either side has', async () => {
    for (let seed = 1; seed <= SEEDS; seed++) await merge(seed);
  });
});

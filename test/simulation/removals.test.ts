/** What becomes of a peer that is removed from the cluster, wherever it is, and of what it has acknowledged. */
import assert from 'node:assert/strict';
import type { SimPeer } from '../../src/testing/sim-cluster.js';
import { checkConvergence } from './checks.js';
import { configMap, requestOf } from './clients.js';
import { Stage } from './stage.js';

const SEEDS = [1, 2, 3, 4, 5, 6];
const LEASE = { group: 'coordination.k8s.io', version: 'v1', resource: 'leases' };
const lease = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'leader', namespace: 'default' },
  spec: { holderIdentity: 'one' },
};

/** All but the removed one are one cluster; it has no part in it. */
async function assertWithout(removed: SimPeer, stage: Stage): Promise<void> {
  const others = stage.cluster.peers.filter((peer) => peer !== removed);
  const ids = others.map(({ id }) => id).join();
  const registered = ({ life }: SimPeer) => life?.replica.registry?.peers.map(({ id }) => id).join();
  const isSettled = () => stage.cluster.isSettled(others) && others.every((peer) => registered(peer) === ids);
  await stage.until(isSettled, `${ids} to be one cluster`);
  stage.cluster.dismiss(removed);
  assert.deepEqual(checkConvergence(stage.cluster), []);
}

describe('a peer that is removed', function () {
  this.timeout(60_000);

  it('ends by itself, also as the sequencer: the others go on, and have all that it acknowledged', async () => {
    for (const seed of SEEDS) {
      const stage = await Stage.of(3, seed);
      const { cluster } = stage;
      const leader = cluster.leader ?? assert.fail('nobody leads');
      const gone = seed % 2 === 0 ? leader : (cluster.peers.find((peer) => peer !== leader) as SimPeer);
      const { epoch } = leader.replica.view ?? assert.fail('no view');
      const acknowledged: string[] = [];
      const codes: Promise<unknown>[] = [];
      for (let i = 0; i < 40; i++) {
        if (i === 10) {
          const removePeer = { name: gone.id, force: false };
          const asked = stage.peer(seed % 3);
          const answer = asked.replica.write('remove', { removePeer }).catch(() => undefined);
          // Asked at itself, it may be cut off before it hears the answer.
          codes.push(Promise.race([answer, asked.life?.gone]));
        }
        const object = configMap(`w${i}`);
        const request = requestOf(`w${i}`, { verb: 'create', resource: 'configmaps', name: '', object });
        const note = ({ code }: { readonly code: number }) => code === 201 && acknowledged.push(`w${i}`);
        const answer = gone.life?.replica.write(`w${i}`, request).then(note, () => undefined);
        if (answer) codes.push(Promise.race([answer, gone.life?.gone]));
        await cluster.clock.run(20);
      }
      await cluster.until(Promise.all(codes));
      await stage.until(() => gone.removed, 'the removed peer to end');
      await assertWithout(gone, stage);
      const names = new Set(stage.names(stage.peer(0)));
      assert.deepEqual(
        acknowledged.filter((name) => !names.has(name)),
        [],
        `seed ${seed}`,
      );
      assert.ok(acknowledged.length >= 10);
      const now = stage.peer(0).replica.view?.epoch ?? assert.fail('no view');
      assert.equal(now.n > epoch.n, gone === leader, 'only a sequencer is succeeded');
    }
  });

  it('that was away is let in by nobody: what it had acknowledged is kept, what it does alone is its own', async () => {
    for (const seed of SEEDS) {
      const stage = await Stage.of(3, seed);
      const away = stage.peer(seed % 3);
      const others = stage.cluster.peers.filter((peer) => peer !== away);
      await stage.create(away, 'before');
      away.crash({ powerLoss: true });
      await stage.until(() => stage.cluster.isSettled(others), 'its absence to be noticed');
      await stage.remove(away, others[0] as SimPeer);
      await stage.cluster.until(away.start());
      await stage.until(() => away.replica.view?.members.length === 1, 'it to be alone');
      await stage.create(away, 'alone');
      await stage.create(others[1] as SimPeer, 'after');
      await stage.cluster.clock.run(5_000);
      assert.deepEqual(away.replica.view?.members, [away.id]);
      assert.deepEqual(stage.names(away), ['alone', 'before']);
      await assertWithout(away, stage);
      assert.deepEqual(stage.names(stage.peer(0)), ['after', 'before']);
    }
  });

  it('on the other side of a split stays there; who was with it comes over, with what both acknowledged', async () => {
    for (const seed of SEEDS) {
      const stage = await Stage.of(5, seed);
      const [a, b, c, y, x] = stage.cluster.peers as [SimPeer, SimPeer, SimPeer, SimPeer, SimPeer];
      stage.split([a, b, c], [x, y]);
      await stage.until(() => a.replica.view?.members.length === 3 && x.replica.view?.members.length === 2, 'a split');
      await stage.remove(x, a);
      await stage.create(x, 'through-the-removed');
      await stage.create(y, 'through-its-mate');
      await stage.create(b, 'on-the-other-side');
      stage.cluster.network.heal();
      await assertWithout(x, stage);
      assert.deepEqual(stage.names(a), ['on-the-other-side', 'through-its-mate', 'through-the-removed']);
    }
  });

  it('by a part without a majority loses its mates to it, though their part is the larger', async () => {
    for (const seed of SEEDS) {
      const stage = await Stage.of(4, seed);
      const [a, x, y, z] = stage.cluster.peers as [SimPeer, SimPeer, SimPeer, SimPeer];
      stage.split([a], [x, y, z]);
      await stage.until(() => a.replica.view?.members.length === 1 && x.replica.view?.members.length === 3, 'a split');
      await stage.remove(x, a, true);
      await stage.create(y, 'over-there');
      stage.cluster.network.heal();
      await assertWithout(x, stage);
      assert.deepEqual(stage.names(z), ['over-there']);
    }
  });

  it('counts for no majority any more', async () => {
    const stage = await Stage.of(5, 1);
    const [a, b, c, d, e] = stage.cluster.peers as [SimPeer, SimPeer, SimPeer, SimPeer, SimPeer];
    const create = (at: SimPeer) => stage.write(at, { ...LEASE, verb: 'create', name: '', object: lease });
    for (const gone of [d, e]) {
      await stage.remove(gone, a);
      await stage.until(() => gone.removed, 'it to end');
      await stage.until(() => stage.registered.length === (gone === d ? 4 : 3), 'it to be struck off');
    }
    // With their old stores they are three machines, and one registered peer.
    for (const gone of [d, e]) await stage.cluster.until(gone.start());
    stage.split([a, b], [c, d, e]);
    await stage.until(() => a.replica.view?.members.length === 2, 'a split');
    await stage.until(() => c.replica.view?.members.length === 1, 'a split');
    assert.equal(await create(c), 503);
    assert.equal(await create(a), 201);
  });

  it('comes back with its old store as nobody, and with an empty one as another peer', async () => {
    const stage = await Stage.of(3, 1);
    const { cluster } = stage;
    const gone = stage.peer(2);
    await stage.create(gone, 'kept');
    await stage.remove(gone, stage.peer(0));
    await stage.until(() => gone.removed, 'it to end');
    gone.removed = false;
    await cluster.until(gone.start());
    await stage.until(() => gone.removed, 'it to end again');
    cluster.dismiss(gone);
    const successor = cluster.enlist();
    await cluster.until(successor.start());
    await stage.until(() => cluster.isSettled() && stage.registered.includes(successor.id), 'it to belong');
    assert.deepEqual(stage.names(successor), ['kept']);
    assert.equal(stage.registered.length, 3);
  });
});

/** What becomes of a peer that is removed from the cluster, wherever it is, and of what it has acknowledged. */
import assert from 'node:assert/strict';
import type { PeerRemoval } from '../../src/agent/peer-removal.js';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { checkConvergence } from './checks.js';
import { configMap, requestOf } from './clients.js';

const SEEDS = [1, 2, 3, 4, 5, 6];
const LEASE = { group: 'coordination.k8s.io', version: 'v1', resource: 'leases' };
const lease = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'leader', namespace: 'default' },
  spec: { holderIdentity: 'one' },
};

class Removal {
  private sequence = 0;

  private constructor(readonly cluster: SimCluster) {}

  static async of(peers: number, seed: number): Promise<Removal> {
    const cluster = new SimCluster({ seed, peers });
    await cluster.found();
    const removal = new Removal(cluster);
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
    await removal.write(removal.peer(0), { verb: 'create', resource: 'namespaces', name: '', object: namespace });
    await cluster.clock.run(() => cluster.isSettled() && removal.registered.length === peers);
    return removal;
  }

  peer(i: number): SimPeer {
    return this.cluster.peers[i] ?? assert.fail(`there is no peer ${i}`);
  }

  get registered(): string[] {
    return this.peer(0).replica.registry?.peers.map(({ id }) => id) ?? [];
  }

  async write(at: SimPeer, part: Parameters<typeof requestOf>[1] | PeerRemoval): Promise<number> {
    const id = `removal-${++this.sequence}`;
    const request = 'removePeer' in part ? part : requestOf(id, part);
    const { code } = await this.cluster.until(at.replica.write(id, request));
    return code;
  }

  async create(at: SimPeer, name: string): Promise<void> {
    const object = configMap(name);
    assert.equal(await this.write(at, { verb: 'create', resource: 'configmaps', name: '', object }), 201, name);
  }

  async remove(peer: SimPeer, at: SimPeer, force = false): Promise<void> {
    assert.equal(await this.write(at, { removePeer: { name: peer.id, force } }), 200);
  }

  split(...groups: readonly (readonly SimPeer[])[]): void {
    this.cluster.network.partition(groups.map((group) => group.map(({ id }) => id)));
  }

  async until(isTrue: () => boolean, what: string): Promise<void> {
    await this.cluster.clock.run(isTrue, { limitMs: 10_000, what });
  }

  /** All but the removed one are one cluster; it has no part in it. */
  async assertWithout(removed: SimPeer): Promise<void> {
    const others = this.cluster.peers.filter((peer) => peer !== removed);
    const ids = others.map(({ id }) => id).join();
    const registered = ({ life }: SimPeer) => life?.replica.registry?.peers.map(({ id }) => id).join();
    const isSettled = () => this.cluster.isSettled(others) && others.every((peer) => registered(peer) === ids);
    await this.until(isSettled, `${ids} to be one cluster`);
    this.cluster.dismiss(removed);
    assert.deepEqual(checkConvergence(this.cluster), []);
  }

  names(at: SimPeer): string[] {
    return at.replica.list('', 'configmaps').map(({ metadata }) => metadata.name ?? '');
  }
}

describe('a peer that is removed', function () {
  this.timeout(60_000);

  it('ends by itself, also as the sequencer: the others go on, and have all that it acknowledged', async () => {
    for (const seed of SEEDS) {
      const removal = await Removal.of(3, seed);
      const { cluster } = removal;
      const leader = cluster.leader ?? assert.fail('nobody leads');
      const gone = seed % 2 === 0 ? leader : (cluster.peers.find((peer) => peer !== leader) as SimPeer);
      const { epoch } = leader.replica.view ?? assert.fail('no view');
      const acknowledged: string[] = [];
      const codes: Promise<unknown>[] = [];
      for (let i = 0; i < 40; i++) {
        if (i === 10) {
          const removePeer = { name: gone.id, force: false };
          codes.push(
            removal
              .peer(seed % 3)
              .replica.write('remove', { removePeer })
              .catch(() => undefined),
          );
        }
        const object = configMap(`w${i}`);
        const request = requestOf(`w${i}`, { verb: 'create', resource: 'configmaps', name: '', object });
        const note = ({ code }: { readonly code: number }) => code === 201 && acknowledged.push(`w${i}`);
        const answer = gone.life?.replica.write(`w${i}`, request).then(note, () => undefined);
        if (answer) codes.push(Promise.race([answer, gone.life?.gone]));
        await cluster.clock.run(20);
      }
      await cluster.until(Promise.all(codes));
      await removal.until(() => gone.removed, 'the removed peer to end');
      await removal.assertWithout(gone);
      const names = new Set(removal.names(removal.peer(0)));
      assert.deepEqual(
        acknowledged.filter((name) => !names.has(name)),
        [],
        `seed ${seed}`,
      );
      assert.ok(acknowledged.length >= 10);
      const now = removal.peer(0).replica.view?.epoch ?? assert.fail('no view');
      assert.equal(now.n > epoch.n, gone === leader, 'only a sequencer is succeeded');
    }
  });

  it('that was away is let in by nobody: what it had acknowledged is kept, what it does alone is its own', async () => {
    for (const seed of SEEDS) {
      const removal = await Removal.of(3, seed);
      const away = removal.peer(seed % 3);
      const others = removal.cluster.peers.filter((peer) => peer !== away);
      await removal.create(away, 'before');
      away.crash({ powerLoss: true });
      await removal.until(() => removal.cluster.isSettled(others), 'its absence to be noticed');
      await removal.remove(away, others[0] as SimPeer);
      await removal.cluster.until(away.start());
      await removal.until(() => away.replica.view?.members.length === 1, 'it to be alone');
      await removal.create(away, 'alone');
      await removal.create(others[1] as SimPeer, 'after');
      await removal.cluster.clock.run(5_000);
      assert.deepEqual(away.replica.view?.members, [away.id]);
      assert.deepEqual(removal.names(away), ['alone', 'before']);
      await removal.assertWithout(away);
      assert.deepEqual(removal.names(removal.peer(0)), ['after', 'before']);
    }
  });

  it('on the other side of a split stays there; who was with it comes over, with what both acknowledged', async () => {
    for (const seed of SEEDS) {
      const removal = await Removal.of(5, seed);
      const [a, b, c, y, x] = removal.cluster.peers as [SimPeer, SimPeer, SimPeer, SimPeer, SimPeer];
      removal.split([a, b, c], [x, y]);
      await removal.until(
        () => a.replica.view?.members.length === 3 && x.replica.view?.members.length === 2,
        'a split',
      );
      await removal.remove(x, a);
      await removal.create(x, 'through-the-removed');
      await removal.create(y, 'through-its-mate');
      await removal.create(b, 'on-the-other-side');
      removal.cluster.network.heal();
      await removal.assertWithout(x);
      assert.deepEqual(removal.names(a), ['on-the-other-side', 'through-its-mate', 'through-the-removed']);
    }
  });

  it('by a part without a majority loses its mates to it, though their part is the larger', async () => {
    for (const seed of SEEDS) {
      const removal = await Removal.of(4, seed);
      const [a, x, y, z] = removal.cluster.peers as [SimPeer, SimPeer, SimPeer, SimPeer];
      removal.split([a], [x, y, z]);
      await removal.until(
        () => a.replica.view?.members.length === 1 && x.replica.view?.members.length === 3,
        'a split',
      );
      await removal.remove(x, a, true);
      await removal.create(y, 'over-there');
      removal.cluster.network.heal();
      await removal.assertWithout(x);
      assert.deepEqual(removal.names(z), ['over-there']);
    }
  });

  it('counts for no majority any more', async () => {
    const removal = await Removal.of(5, 1);
    const [a, b, c, d, e] = removal.cluster.peers as [SimPeer, SimPeer, SimPeer, SimPeer, SimPeer];
    const create = (at: SimPeer) => removal.write(at, { ...LEASE, verb: 'create', name: '', object: lease });
    for (const gone of [d, e]) {
      await removal.remove(gone, a);
      await removal.until(() => gone.removed, 'it to end');
      await removal.until(() => removal.registered.length === (gone === d ? 4 : 3), 'it to be struck off');
    }
    // With their old stores they are three machines, and one registered peer.
    for (const gone of [d, e]) await removal.cluster.until(gone.start());
    removal.split([a, b], [c, d, e]);
    await removal.until(() => a.replica.view?.members.length === 2, 'a split');
    await removal.until(() => c.replica.view?.members.length === 1, 'a split');
    assert.equal(await create(c), 503);
    assert.equal(await create(a), 201);
  });

  it('comes back with its old store as nobody, and with an empty one as another peer', async () => {
    const removal = await Removal.of(3, 1);
    const { cluster } = removal;
    const gone = removal.peer(2);
    await removal.create(gone, 'kept');
    await removal.remove(gone, removal.peer(0));
    await removal.until(() => gone.removed, 'it to end');
    gone.removed = false;
    await cluster.until(gone.start());
    await removal.until(() => gone.removed, 'it to end again');
    cluster.dismiss(gone);
    const successor = cluster.enlist();
    await cluster.until(successor.start());
    await removal.until(() => cluster.isSettled() && removal.registered.includes(successor.id), 'it to belong');
    assert.deepEqual(removal.names(successor), ['kept']);
    assert.equal(removal.registered.length, 3);
  });
});

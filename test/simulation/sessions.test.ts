/** What a client that stays with one peer may rely on while the peer comes and goes: see `session-guarantees.ts`. */
import assert from 'node:assert/strict';
import type { KubeObject } from '../../src/api/object.js';
import { seededRandom } from '../../src/base/random.js';
import { StoreUnavailable } from '../../src/store/object-store.js';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { Clients, configMap, keyOf, NAMESPACE, registerLog, requestOf, VOTED } from './clients.js';

const SEEDS = 6;
/** Mostly its disk is not the slowest, and has everything. */
const POWER_LOSSES = 25;
/** What each side has of its own: in small pieces it takes a while to bring over. */
const OBJECTS = 20;
const SMALL_PIECES = { sliceRecords: 2, syncChunkBytes: 1_000 };

async function create(cluster: SimCluster, peer: SimPeer, name: string): Promise<void> {
  const request = requestOf(name, { verb: 'create', resource: 'configmaps', name: '', object: configMap(name) });
  assert.equal((await cluster.until(peer.replica.write(name, request))).code, 201, name);
}

async function createNamespace(cluster: SimCluster, peer: SimPeer): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } };
  const request = requestOf('namespace', { verb: 'create', resource: 'namespaces', name: '', object });
  await cluster.until(peer.replica.write(request.id, request));
}

function cutOff(cluster: SimCluster, alone: SimPeer): void {
  cluster.network.partition([[alone.id], cluster.peers.filter((peer) => peer !== alone).map(({ id }) => id)]);
}

/** A peer that leads itself alone, and the others without it; each side has objects that the other lacks. */
async function splitCluster(seed: number): Promise<{ readonly cluster: SimCluster; readonly alone: SimPeer }> {
  const cluster = new SimCluster({ seed, peers: 3, settings: SMALL_PIECES });
  await cluster.found();
  const [alone, two, three] = cluster.peers as [SimPeer, SimPeer, SimPeer];
  await createNamespace(cluster, alone);
  cutOff(cluster, alone);
  const apart = () => alone.replica.view?.members.length === 1 && two.replica.view?.members.length === 2;
  await cluster.clock.run(apart, { limitMs: 20_000, what: 'a view on each side' });
  for (let i = 0; i < OBJECTS; i++) {
    await create(cluster, alone, `alone-${i}`);
    await create(cluster, i % 2 === 0 ? two : three, `others-${i}`);
  }
  return { cluster, alone };
}

describe('a client that stays with one peer', function () {
  this.timeout(60_000);

  it('reads what the peer acknowledged while others took it in, though it loses them again', async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { cluster, alone } = await splitCluster(seed);
      cluster.network.heal();
      await cluster.clock.run(() => alone.replica.currentMode === 'following', { limitMs: 20_000 });
      const acknowledged = create(cluster, alone, 'own');
      let isDone = false;
      const cut = async () => {
        // As soon as it is answered; after a while in any case.
        for (let ms = 0; !isDone && ms < 20 * seed; ms++) await cluster.clock.sleep(1);
        cutOff(cluster, alone);
      };
      void cut();
      await acknowledged.finally(() => (isDone = true));
      assert.ok(alone.replica.get(keyOf('configmaps', 'own')), `seed ${seed}: it was answered and does not show`);
      const isAlone = () => alone.replica.view?.members.length === 1;
      await cluster.clock.run(isAlone, { limitMs: 20_000, what: 'a view of its own' });
      await cluster.until(alone.replica.barrier());
      assert.ok(alone.replica.get(keyOf('configmaps', 'own')), `seed ${seed}: it shows no more`);
    }
  });

  it('reads what the peer acknowledged before it lost its power, though it comes back alone', async () => {
    for (let seed = 1; seed <= POWER_LOSSES; seed++) {
      const cluster = new SimCluster({ seed, peers: 3, disk: { writeMs: 20 } });
      await cluster.found();
      const peer = cluster.up.find((one) => one !== cluster.leader) as SimPeer;
      await createNamespace(cluster, peer);
      await cluster.clock.run(() => cluster.isSettled());
      await create(cluster, peer, 'made');
      peer.crash({ powerLoss: true });
      cutOff(cluster, peer);
      await cluster.until(peer.start());
      await cluster.until(peer.replica.barrier());
      assert.ok(peer.replica.get(keyOf('configmaps', 'made')), `seed ${seed}: it shows no more`);
    }
  });

  it('changes what it created alone while the others take the peer in, who do not know of it yet', async () => {
    const { cluster, alone } = await splitCluster(3);
    await create(cluster, alone, 'own');
    cluster.network.heal();
    let last = '';
    for (let n = 0; !cluster.isWhole(); n++) {
      last = `v${n}`;
      const patch = { verb: 'patch', resource: 'configmaps', name: 'own', patch: 'merge' } as const;
      const request = requestOf(`own-${n}`, { ...patch, object: { data: { last } } });
      const reply = await cluster.until(alone.replica.write(request.id, request));
      assert.equal(reply.code, 200, JSON.stringify(reply.body));
      const { revision } = alone.replica;
      assert.ok(revision >= Number((reply.body as KubeObject).metadata.resourceVersion));
      await cluster.clock.run(5);
    }
    const shown = alone.replica.get(keyOf('configmaps', 'own')) as KubeObject & { data: { last: string } };
    assert.equal(shown.data.last, last);
  });
});

describe('a request that cannot be carried out', function () {
  this.timeout(60_000);

  const unavailable = async (cluster: SimCluster, promise: Promise<unknown>): Promise<StoreUnavailable> => {
    const outcome: unknown = await cluster.until(promise.catch((error: unknown) => error));
    assert.ok(outcome instanceof StoreUnavailable, JSON.stringify(outcome));
    return outcome;
  };
  const append = (peer: SimPeer, id: string) => {
    const present = peer.replica.get(keyOf('configmaps', VOTED)) as KubeObject;
    const object = { ...structuredClone(present), data: { log: '1' } };
    return peer.replica.write(id, requestOf(id, { verb: 'update', resource: 'configmaps', name: VOTED, object }));
  };

  it('is refused after a time at a peer that nobody has brought over, and is not done later', async () => {
    const cluster = new SimCluster({ seed: 5, peers: 1 });
    await cluster.found();
    const late = cluster.enlist();
    cutOff(cluster, late);
    await cluster.until(late.start());
    const request = requestOf('x', { verb: 'create', resource: 'configmaps', name: '', object: configMap('x') });
    const [read, write] = [unavailable(cluster, late.replica.barrier()), late.replica.write('x', request)];
    assert.equal((await read).refused, true);
    assert.equal((await unavailable(cluster, write)).refused, true);
  });

  it('is of unknown outcome when a sequencer had it before, and refused when none had', async () => {
    const cluster = new SimCluster({ seed: 6, peers: 3 });
    await cluster.found();
    const clients = new Clients(cluster, seededRandom(6), 100);
    await cluster.until(clients.prepare(cluster.peers[0] as SimPeer));
    await cluster.clock.run(() => cluster.isSettled() && cluster.isMeshed());
    const peer = cluster.up.find((one) => one !== cluster.leader) as SimPeer;
    const others = cluster.up.filter((one) => one !== peer);
    const early = append(peer, 'early');
    const isThere = () => registerLog(others[0]?.replica.get(keyOf('configmaps', VOTED))) === '1';
    cluster.network.cut((cluster.leader as SimPeer).id, peer.id, true);
    await cluster.clock.run(isThere, { limitMs: 2_000, what: 'the write at the sequencer' });
    cutOff(cluster, peer);
    assert.equal((await unavailable(cluster, early)).refused, false);
    assert.equal((await cluster.until(append(peer, 'later'))).code, 503);
  });
});

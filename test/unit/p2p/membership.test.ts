import assert from 'node:assert/strict';
import { silentLogger } from '../../../src/base/log.js';
import { seededRandom } from '../../../src/base/random.js';
import { Membership, type MembershipOptions } from '../../../src/p2p/membership.js';
import type { Liveness } from '../../../src/p2p/membership-view.js';
import type { PeerId } from '../../../src/p2p/transport.js';
import { SimClock, type PeerClock } from '../../../src/testing/sim-clock.js';
import { SimNetwork, type SimNetworkOptions } from '../../../src/testing/sim-network.js';

const id = (index: number) => `p${String(index).padStart(2, '0')}` as PeerId;

async function cluster(count: number, options: MembershipOptions = {}, net: Partial<SimNetworkOptions> = {}) {
  const clock = new SimClock();
  const network = new SimNetwork({ clock, random: seededRandom(count), ...net });
  const peers: { membership: Membership; clock: PeerClock }[] = [];
  const log: string[] = [];
  const add = async (index: number) => {
    const own = clock.skewed(index * 1000);
    const transport = network.transport({ id: id(index), name: `n${index}`, addresses: [] });
    const membership = new Membership({ clock: own, log: silentLogger }, transport, options);
    const seen = new Map<PeerId, Liveness>();
    membership.onChange(() => {
      for (const m of membership.members()) {
        if (seen.get(m.id) === m.liveness) continue;
        seen.set(m.id, m.liveness);
        log.push(`${index}: ${m.id} ${m.liveness}`);
      }
    });
    await membership.start();
    await transport.start();
    peers[index] = { membership, clock: own };
  };
  for (let i = 0; i < count; i++) await add(i);
  const liveness = (at: number, of: number) => peers[at]!.membership.members().find((m) => m.id === id(of))?.liveness;
  const others = (of: number) => peers.map((_, i) => i).filter((i) => i !== of);
  const untilSeen = async (of: number, wanted: Liveness, by = others(of), limitMs = 10_000) => {
    const begun = clock.monotonicMs();
    await clock.run(() => by.every((at) => liveness(at, of) === wanted), { limitMs, what: `${of} ${wanted}` });
    return clock.monotonicMs() - begun;
  };
  await clock.run(() => peers.every(({ membership }) => membership.members().length === count));
  await clock.run(1000);
  log.length = 0;
  const crash = (index: number, silent: boolean) => {
    network.crash(id(index), { silent });
    peers[index]!.clock.halt();
  };
  return { clock, network, peers, log, add, liveness, untilSeen, crash };
}

describe('Membership', () => {
  it('sees a killed process as dead within 100 ms, with two peers and with more', async () => {
    for (const count of [2, 3, 7]) {
      const { untilSeen, crash, peers } = await cluster(count);
      crash(0, false);
      const tookMs = await untilSeen(0, 'dead');
      assert.ok(tookMs <= 100, `${count} peers: ${tookMs} ms`);
      assert.ok(!peers[1]!.membership.alive().includes(id(0)));
    }
  });

  it('sees a machine that is cut off as dead within 1.5 s', async () => {
    for (const count of [2, 3, 7]) {
      const { untilSeen, crash } = await cluster(count);
      crash(0, true);
      const tookMs = await untilSeen(0, 'dead');
      assert.ok(tookMs > 500 && tookMs <= 1500, `${count} peers: ${tookMs} ms`);
    }
  });

  it('declares nobody dead on a healthy network', async () => {
    const { clock, log } = await cluster(7, {}, { link: { delayMs: 20, jitterMs: 150 } });
    await clock.run(60_000);
    assert.deepEqual(log, []);
  });

  it('only suspects a peer that a third one still hears, and takes the suspicion back', async () => {
    const { clock, network, liveness, untilSeen, log, peers } = await cluster(3);
    network.cut(id(0), id(1));
    await untilSeen(0, 'suspect', [1]);
    await clock.run(5000);
    assert.equal(liveness(1, 0), 'suspect');
    assert.equal(peers[1]!.membership.detour(id(0)), id(2));
    assert.equal(peers[1]!.membership.detour(id(2)), undefined);
    assert.equal(peers[1]!.membership.alive().length, 3);
    network.heal();
    await untilSeen(0, 'alive', [1]);
    assert.equal(peers[1]!.membership.detour(id(0)), undefined);
    assert.ok(!log.some((line) => line.endsWith('dead')));
  });

  it('keeps a peer alive whose connection merely breaks', async () => {
    const { clock, network, log } = await cluster(3);
    network.setLink(id(0), id(1), { breakChance: 1 });
    await clock.run(() => log.length > 0);
    network.setLink(id(0), id(1), {});
    await clock.run(3000);
    assert.ok(log.includes('0: p01 suspect'));
    assert.ok(!log.some((line) => line.endsWith('dead')), log.join());
  });

  it('does not take its own standstill for the silence of others', async () => {
    const { clock, network, peers, log } = await cluster(3);
    peers[0]!.clock.freeze(3000);
    network.freeze(id(0), 3000);
    await clock.run(10_000);
    assert.ok(log.includes('1: p00 dead') && log.includes('2: p00 dead'));
    assert.ok(!log.some((line) => line.startsWith('0:') && line.endsWith('dead')), log.join());
    assert.ok(peers.every(({ membership }) => membership.members().every((m) => m.liveness === 'alive')));
  });

  it('splits and heals', async () => {
    const { network, untilSeen, peers, clock } = await cluster(5);
    network.partition([
      [id(0), id(1)],
      [id(2), id(3), id(4)],
    ]);
    await untilSeen(0, 'dead', [2, 3, 4], 1500);
    await untilSeen(4, 'dead', [0, 1], 1500);
    await clock.run(500);
    assert.deepEqual(peers[0]!.membership.alive(), [id(0), id(1)]);
    assert.deepEqual(peers[3]!.membership.alive(), [id(2), id(3), id(4)]);
    network.heal();
    await clock.run(() => peers.every(({ membership }) => membership.alive().length === 5), { limitMs: 2500 });
  });

  it('welcomes a restarted peer', async () => {
    const { crash, untilSeen, add } = await cluster(3);
    crash(2, false);
    await untilSeen(2, 'dead');
    await add(2);
    await untilSeen(2, 'alive');
  });

  it('spreads attributes when they change, and again to who restarts', async () => {
    const { clock, peers, crash, add, untilSeen } = await cluster(3);
    const seenBy = (at: number) => peers[at]!.membership.members().find((m) => m.id === id(0))?.attributes;
    peers[0]!.membership.setAttributes({ load: 0.5 });
    await clock.run(50);
    assert.deepEqual([seenBy(0), seenBy(1), seenBy(2)], [{ load: 0.5 }, { load: 0.5 }, { load: 0.5 }]);
    crash(2, false);
    await untilSeen(2, 'dead');
    await add(2);
    await clock.run(() => (seenBy(2) as { load?: number } | undefined)?.load === 0.5);
    assert.throws(() => peers[0]!.membership.setAttributes({ big: 'x'.repeat(5000) }), /4096 bytes/);
  });

  it('repairs attributes that were lost on the way', async () => {
    const { clock, network, peers } = await cluster(2);
    network.setLink(id(0), id(1), { lossChance: 1 });
    peers[0]!.membership.setAttributes({ a: 1 });
    await clock.run(50);
    network.setLink(id(0), id(1), {});
    await clock.run(500);
    assert.deepEqual(peers[1]!.membership.members().find((m) => m.id === id(0))?.attributes, { a: 1 });
  });

  it('watches only neighbours in a large cluster, yet everybody learns of a death', async () => {
    const { clock, untilSeen, crash, log } = await cluster(16, { fullMeshUpTo: 8, neighbours: 2 });
    crash(5, true);
    const tookMs = await untilSeen(5, 'dead');
    assert.ok(tookMs < 2000, `${tookMs} ms`);
    await clock.run(3000);
    assert.ok(
      log.every((line) => line.includes('p05')),
      log.filter((line) => !line.includes('p05')).join(),
    );
  });

  it('remembers only so many dead members', async () => {
    const { crash, untilSeen, clock, peers } = await cluster(6, { maxDead: 2 });
    for (const index of [5, 4, 3, 2]) {
      crash(index, false);
      await untilSeen(index, 'dead', [0, 1]);
      await clock.run(10);
    }
    const dead = peers[0]!.membership.members().filter((m) => m.liveness === 'dead');
    assert.deepEqual(
      dead.map((m) => m.id),
      [id(2), id(3)],
    );
    peers[0]!.membership.forget(id(2));
    assert.equal(peers[0]!.membership.members().length, 3);
  });
});

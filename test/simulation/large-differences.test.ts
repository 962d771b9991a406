/** A peer that is brought over with many differences, and dies at any write to its disk meanwhile. */
import assert from 'node:assert/strict';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { configMap, requestOf } from './clients.js';

type Part = Parameters<typeof requestOf>[1];

/** More than a slice, so that the state is put together aside; of every kind: changed there, here, on both sides, and deleted. */
const OBJECTS = 24;
const name = (i: number) => `c${String(i).padStart(2, '0')}`;

class Split {
  private sequence = 0;
  private constructor(readonly cluster: SimCluster) {}

  static async of(seed: number): Promise<Split> {
    const cluster = new SimCluster({ seed, peers: 2 });
    await cluster.found();
    const split = new Split(cluster);
    await split.fill();
    return split;
  }

  peer(i: number): SimPeer {
    return this.cluster.peers[i] as SimPeer;
  }

  private async fill(): Promise<void> {
    const { cluster } = this;
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
    await this.write(0, { verb: 'create', resource: 'namespaces', name: '', object: namespace });
    for (let i = 0; i < OBJECTS; i++) await this.create(0, name(i));
    await cluster.clock.run(() => cluster.isSettled());
    this.part();
    await cluster.clock.run(() => [0, 1].every((i) => this.peer(i).replica.view?.members.length === 1));
    // Longer than clocks differ.
    await cluster.clock.run(500);
    for (let i = 0; i < OBJECTS; i++) await this.change(i);
    for (const side of [0, 1]) await this.create(side, `own-${side}`);
    await cluster.clock.run(500);
  }

  private create(side: number, of: string): Promise<void> {
    return this.write(side, {
      verb: 'create',
      resource: 'configmaps',
      name: '',
      object: configMap(of, { at: 'first' }),
    });
  }

  private async change(i: number): Promise<void> {
    if (i % 4 === 3) return this.write(i % 8 === 3 ? 0 : 1, { verb: 'delete', resource: 'configmaps', name: name(i) });
    for (const side of i % 4 === 2 ? [0, 1] : [i % 4]) {
      const object = { data: { [`by-${side}`]: String(i) } };
      await this.write(side, { verb: 'patch', patch: 'merge', resource: 'configmaps', name: name(i), object });
    }
  }

  private async write(side: number, part: Part): Promise<void> {
    const id = `large-${++this.sequence}`;
    const request = this.peer(side).replica.write(id, requestOf(id, part));
    const reply = await this.cluster.until(request);
    assert.ok(reply.code < 300, JSON.stringify(reply.body));
  }

  part(): void {
    this.cluster.network.partition([[this.peer(0).id], [this.peer(1).id]]);
  }

  async heal(): Promise<void> {
    this.cluster.network.heal();
    await this.cluster.clock.run(() => this.cluster.isSettled());
  }

  /** What a peer shows, revisions apart. */
  shown(i: number): Record<string, unknown> {
    const objects = this.peer(i).replica.list('', 'configmaps') as readonly {
      metadata: { name?: string };
      data?: object;
    }[];
    return Object.fromEntries(objects.map(({ metadata, data }) => [metadata.name, { ...data }]));
  }
}

describe('a peer that is brought over with many differences', function () {
  this.timeout(120_000);

  for (const powerLoss of [false, true]) {
    const how = powerLoss ? 'loses its power' : 'is killed';
    it(`has one line's state or the other's when it ${how} at any write meanwhile, and nothing is lost`, async () => {
      const seed = powerLoss ? 3 : 4;
      const whole = await Split.of(seed);
      const own = [whole.shown(0), whole.shown(1)] as const;
      const began = [0, 1].map((i) => whole.peer(i).disk.writes);
      await whole.heal();
      const victim = whole.peer(0).replica.currentMode === 'following' ? 0 : 1;
      const merged = whole.shown(victim);
      assert.equal(Object.keys(merged).length, OBJECTS - OBJECTS / 4 + 2);
      assert.deepEqual(merged[name(2)], { at: 'first', 'by-0': '2', 'by-1': '2' });
      const writes = whole.peer(victim).disk.writes - (began[victim] ?? 0);
      assert.ok(writes > 2, `${writes} writes`);
      let olds = 0;
      for (let n = 1; n <= writes; n++) {
        const split = await Split.of(seed);
        const { cluster } = split;
        const peer = split.peer(victim);
        const nth = peer.disk.writes + n;
        cluster.network.heal();
        await cluster.clock.run(() => peer.disk.writes >= nth);
        peer.crash({ powerLoss });
        split.part();
        await cluster.until(peer.start());
        await cluster.until(peer.replica.barrier());
        const there = split.shown(victim);
        const isOld = JSON.stringify(there) === JSON.stringify(own[victim]);
        if (isOld) olds += 1;
        else assert.deepEqual(there, merged, `write ${n} of ${writes}`);
        await split.heal();
        for (const i of [0, 1]) assert.deepEqual(split.shown(i), merged, `write ${n} of ${writes}, at ${i}`);
      }
      assert.ok(olds > 0 && olds < writes, `${olds} of ${writes} before the new state`);
    });
  }
});

/** What a cluster of replicas does in the situations that people ask about, on simulated parts, with the times it takes. */
import assert from 'node:assert/strict';
import type { KubeObject } from '../../src/api/object.js';
import { RevisionGone, StoreUnavailable } from '../../src/store/object-store.js';
import { SimCluster, type SimClusterOptions, type SimPeer } from '../../src/testing/sim-cluster.js';
import { dump } from './checks.js';
import { configMap, keyOf, requestOf } from './clients.js';
import { runHistory } from './history.js';

let sequence = 0;

class Scenario {
  private constructor(readonly cluster: SimCluster) {}

  static async of(peers: number, seed = 1, options: Partial<SimClusterOptions> = {}): Promise<Scenario> {
    const cluster = new SimCluster({ seed, peers, ...options });
    await cluster.found();
    const scenario = new Scenario(cluster);
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
    await scenario.write(scenario.peer(0), { verb: 'create', resource: 'namespaces', name: '', object: namespace });
    return scenario;
  }

  peer(i: number): SimPeer {
    const peer = this.cluster.peers[i];
    assert.ok(peer);
    return peer;
  }

  get leader(): SimPeer {
    const { leader } = this.cluster;
    assert.ok(leader);
    return leader;
  }

  get others(): SimPeer[] {
    return this.cluster.up.filter((peer) => peer !== this.cluster.leader);
  }

  /** Writes and returns the answer and the virtual milliseconds it took. */
  async write(peer: SimPeer, part: Parameters<typeof requestOf>[1], id = `id-${++sequence}`) {
    const fromMs = this.cluster.clock.monotonicMs();
    const reply = await this.cluster.until(peer.replica.write(id, requestOf(id, part)));
    return { code: reply.code, body: reply.body as KubeObject, ms: this.cluster.clock.monotonicMs() - fromMs };
  }

  async create(peer: SimPeer, name: string, data: Record<string, string> = {}) {
    const reply = await this.write(peer, {
      verb: 'create',
      resource: 'configmaps',
      name: '',
      object: configMap(name, data),
    });
    assert.equal(reply.code, 201, name);
    return reply;
  }

  names(peer: SimPeer): string[] {
    return peer.replica.list('', 'configmaps').map(({ metadata }) => metadata.name ?? '');
  }

  async settled(limitMs = 5_000, peers: readonly SimPeer[] = this.cluster.peers): Promise<number> {
    const fromMs = this.cluster.clock.monotonicMs();
    await this.cluster.clock.run(() => this.cluster.isSettled(peers), { limitMs, what: 'settling' });
    const [first, ...rest] = peers as [SimPeer, ...SimPeer[]];
    for (const other of rest) assert.equal(dump(other), dump(first));
    return this.cluster.clock.monotonicMs() - fromMs;
  }
}

const say = (line: string) => process.stdout.write(`      ${line}\n`);
const median = (times: readonly number[]) => times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0;
const report = (what: string, times: readonly number[]) =>
  say(`${what}: median ${median(times).toFixed(0)} ms, longest ${Math.max(...times).toFixed(0)} ms`);

describe('a cluster of replicas', function () {
  this.timeout(60_000);
  const seeds = Array.from({ length: 12 }, (_, i) => i + 1);

  it('takes the next write at most 0.5 s after the sequencer was killed', async () => {
    const times: number[] = [];
    for (const seed of seeds) {
      const scenario = await Scenario.of([3, 2, 5][seed % 3] as number, seed);
      await scenario.cluster.clock.run(seed * 97);
      scenario.leader.crash();
      times.push((await scenario.create(scenario.cluster.up[seed % scenario.cluster.up.length] as SimPeer, 'x')).ms);
    }
    report('first write after a kill', times);
    assert.ok(Math.max(...times) <= 500, String(times));
  });

  it('takes the next write at most 2 s after the cable of the sequencer was cut', async () => {
    const times: number[] = [];
    for (const seed of seeds) {
      const scenario = await Scenario.of([3, 2, 5][seed % 3] as number, seed);
      await scenario.cluster.clock.run(seed * 97);
      const { leader, others } = scenario;
      scenario.cluster.network.partition([[leader.id], others.map(({ id }) => id)]);
      times.push((await scenario.create(others[0] as SimPeer, 'x')).ms);
    }
    report('first write after a cut', times);
    assert.ok(Math.max(...times) <= 2_000, String(times));
  });

  it('sends a watch of either side of a split to list again after the merge, or shows it all that it has missed', async () => {
    let resumed = 0;
    let gone = 0;
    for (const seed of seeds) {
      const scenario = await Scenario.of(3 + (seed % 2) * 2, seed);
      const { cluster, leader, others } = scenario;
      await scenario.create(leader, 'before');
      await scenario.settled();
      // The sequencer with a majority, or without one.
      const kept = [leader, ...others.slice(0, seed % 3 === 0 ? 1 : others.length - 1)];
      const rest = cluster.peers.filter((one) => !kept.includes(one));
      cluster.network.partition([kept.map(({ id }) => id), rest.map(({ id }) => id)]);
      for (let i = 0; i < 6; i++) {
        await scenario.create(kept[0] as SimPeer, `kept-${i}`);
        await scenario.create(rest[0] as SimPeer, `rest-${i}`);
      }
      const seen = [kept, rest].map(([one]) => {
        const { replica } = one as SimPeer;
        return { revision: replica.revision, names: scenario.names(one as SimPeer) };
      });
      cluster.network.heal();
      await scenario.settled(20_000);
      await scenario.create(rest[0] as SimPeer, 'after');
      await scenario.settled();
      for (const { revision, names } of seen) {
        for (const one of cluster.peers) {
          const known = new Set(names);
          try {
            one.replica.watch('', 'configmaps', undefined, revision, {
              onEvents: (events) => events.forEach(({ object }) => known.add(object.metadata.name ?? '')),
              onEnd: () => undefined,
            })();
          } catch (error) {
            assert.ok(error instanceof RevisionGone, String(error));
            gone++;
            continue;
          }
          resumed++;
          assert.deepEqual([...known].toSorted(), scenario.names(one), `seed ${seed}: from ${revision} at ${one.id}`);
        }
      }
    }
    say(`${resumed} watches resumed, ${gone} sent to list again`);
    assert.ok(resumed > 0 && gone > 0);
  });

  it('serves at a peer whose link to the sequencer alone is broken, by way of a third', async () => {
    const [first, later]: [number[], number[]] = [[], []];
    for (const seed of seeds) {
      const scenario = await Scenario.of(seed % 2 === 0 ? 3 : 5, seed);
      const { cluster, leader } = scenario;
      await cluster.clock.run(seed * 97);
      const cutOff = scenario.others[seed % 2] as SimPeer;
      const { epoch } = leader.replica.view ?? assert.fail('no view');
      const [from, to] = seed % 3 === 1 ? [cutOff, leader] : [leader, cutOff];
      cluster.network.cut(from.id, to.id, seed % 3 !== 0);
      first.push((await scenario.create(cutOff, 'first')).ms);
      await cluster.clock.run(2_000);
      for (const name of ['a', 'b', 'c']) later.push((await scenario.create(cutOff, name)).ms);
      later.push((await scenario.create(leader, 'at-the-sequencer')).ms);
      assert.deepEqual(leader.replica.view?.epoch, epoch, 'nobody was taken for dead');
      cluster.network.heal();
      await scenario.settled();
    }
    report('first write across a broken link', first);
    report('later ones', later);
    assert.ok(Math.max(...first) <= 4_000, String(first));
    assert.ok(Math.max(...later) <= 100, String(later));
  });

  it('does not stop for a peer that only follows', async () => {
    const scenario = await Scenario.of(3);
    const [first, second] = scenario.others as [SimPeer, SimPeer];
    first.crash();
    assert.ok((await scenario.create(second, 'x')).ms < 100);
  });

  it('does a request once though its sequencer dies with the answer', async () => {
    for (const seed of seeds) {
      const scenario = await Scenario.of(3, seed);
      const { cluster, leader } = scenario;
      const through = scenario.others[0] as SimPeer;
      const request = requestOf('once', { verb: 'create', resource: 'configmaps', name: '', object: configMap('x') });
      const reply = through.replica.write('once', request);
      await cluster.clock.run(seed * 0.25);
      leader.crash();
      const { code, body } = await cluster.until(reply);
      assert.equal(code, 201, `seed ${seed}`);
      assert.equal((body as KubeObject).metadata.uid, through.replica.get(keyOf('configmaps', 'x'))?.metadata.uid);
    }
  });

  it('does a request once that changed nothing: a copy that comes later changes nothing either', async () => {
    const scenario = await Scenario.of(3);
    const removal = { verb: 'delete', resource: 'configmaps', name: 'x' } as const;
    assert.equal((await scenario.write(scenario.others[0] as SimPeer, removal, 'sent-twice')).code, 404);
    await scenario.create(scenario.leader, 'x');
    assert.equal((await scenario.write(scenario.others[0] as SimPeer, removal, 'sent-twice')).code, 404);
    assert.deepEqual(scenario.names(scenario.leader), ['x']);
  });

  it('does not refuse what only a majority may do because it was done: two lines meet before the first answer', async () => {
    const outcomes: number[] = [];
    for (const seed of seeds) {
      const scenario = await Scenario.of(4, seed);
      const { cluster, leader } = scenario;
      await cluster.clock.run(() => cluster.isSettled() && leader.replica.registry?.peers.length === 4);
      const [through, ...rest] = scenario.others as [SimPeer, ...SimPeer[]];
      const ids = scenario.others.map(({ id }) => id);
      cluster.network.partition([ids, [leader.id]]);
      await cluster.clock.run(() => through.replica.view?.members.length === 3, {
        limitMs: 20_000,
        what: 'three of four',
      });
      // With one of the three gone the write is in the log of two, and no majority's yet.
      const gone = rest.find((peer) => peer.replica.view?.epoch.leader !== peer.id) as SimPeer;
      gone.crash({ powerLoss: true });
      const object = configMap('x');
      Object.assign(object.metadata, { annotations: { 'skein.dev/partition': 'majority' } });
      const request = requestOf('once', { verb: 'create', resource: 'configmaps', name: '', object });
      const reply = through.replica.write('once', request);
      await cluster.clock.run(50);
      cluster.network.partition([ids.filter((id) => id !== gone.id), [leader.id, gone.id]]);
      await gone.start();
      await cluster.clock.run(() => leader.replica.view?.members.length === 2, {
        limitMs: 20_000,
        what: 'two and two',
      });
      cluster.network.heal();
      // Of unknown outcome is an honest answer, too; refused because it is there already is none.
      const unknown = (error: unknown) => (assert(error instanceof StoreUnavailable && !error.refused), 0);
      outcomes.push(await cluster.until(reply.then(({ code }) => code, unknown)));
    }
    assert.deepEqual(new Set(outcomes), new Set([0, 201]));
  });

  it('answers two creations of one name with one 201', async () => {
    const scenario = await Scenario.of(3);
    for (let i = 0; i < 10; i++) {
      const answers = scenario.cluster.peers.map((peer, n) =>
        peer.replica.write(
          `c${i}-${n}`,
          requestOf('', { verb: 'create', resource: 'configmaps', name: '', object: configMap(`c${i}`) }),
        ),
      );
      const codes = (await scenario.cluster.until(Promise.all(answers))).map(({ code }) => code);
      assert.deepEqual(
        codes.toSorted((a, b) => a - b),
        [201, 409, 409],
      );
    }
  });

  it('goes on with one of two peers, and takes the other in again', async () => {
    for (const dying of [0, 1]) {
      const scenario = await Scenario.of(2);
      await scenario.create(scenario.peer(0), 'before');
      scenario.peer(dying).crash({ powerLoss: true });
      await scenario.create(scenario.peer(1 - dying), 'alone');
      await scenario.cluster.until(scenario.peer(dying).start());
      await scenario.settled();
      assert.deepEqual(scenario.names(scenario.peer(dying)), ['alone', 'before']);
    }
  });

  it('goes on with the last of three, and merges what the others wrote when they come back', async () => {
    const scenario = await Scenario.of(3);
    const [last, second, third] = [scenario.peer(0), scenario.peer(1), scenario.peer(2)];
    await scenario.create(last, 'a');
    third.crash({ silent: true });
    await scenario.create(last, 'b');
    second.crash({ silent: true });
    const { ms } = await scenario.create(last, 'c');
    assert.ok(ms <= 2_000, String(ms));
    await scenario.cluster.until(Promise.all([second.start(), third.start()]));
    await scenario.settled();
    assert.deepEqual(scenario.names(third), ['a', 'b', 'c']);
  });

  it('comes back from its disks with everything after all lost power', async () => {
    const scenario = await Scenario.of(3);
    for (let i = 0; i < 30; i++) await scenario.create(scenario.peer(i % 3), `c${10 + i}`);
    const before = dump(scenario.leader);
    for (const peer of scenario.cluster.peers) peer.crash({ powerLoss: true });
    await scenario.cluster.until(Promise.all(scenario.cluster.peers.map((peer) => peer.start())));
    await scenario.settled();
    assert.equal(dump(scenario.peer(1)), before);
  });

  it('serves and writes from the disk of one peer that comes back alone', async () => {
    const scenario = await Scenario.of(3);
    await scenario.create(scenario.peer(0), 'a');
    await scenario.settled();
    for (const peer of scenario.cluster.peers) peer.crash({ powerLoss: true });
    await scenario.cluster.until(scenario.peer(2).start());
    const { ms } = await scenario.create(scenario.peer(2), 'b');
    assert.deepEqual(scenario.names(scenario.peer(2)), ['a', 'b']);
    assert.ok(ms <= 2_000, String(ms));
  });

  it('gives an empty peer everything, which never founds a cluster of its own', async () => {
    const cluster = new SimCluster({ seed: 3, peers: 3 });
    const [first, second, empty] = cluster.peers as [SimPeer, SimPeer, SimPeer];
    await cluster.until(empty.start());
    await cluster.clock.run(5_000);
    assert.equal(empty.replica.currentMode, 'idle');
    await cluster.until(Promise.all([first.start(true), second.start()]));
    await cluster.clock.run(() => cluster.isSettled());
    assert.equal(dump(empty), dump(first));
  });

  it('brings a peer up to date whose part of the log is gone, and never goes back in revisions', async () => {
    const scenario = await Scenario.of(3, 1, { settings: { logFrames: 4, logBytes: 2_000, syncChunkBytes: 1_000 } });
    await scenario.create(scenario.peer(0), 'gone');
    const late = scenario.others[0] as SimPeer;
    late.crash();
    const { leader } = scenario;
    await scenario.write(leader, { verb: 'delete', resource: 'configmaps', name: 'gone' });
    for (let i = 0; i < 60; i++) await scenario.create(leader, `c${10 + i}`);
    await scenario.cluster.clock.run(500);
    await scenario.cluster.until(late.start());
    const ms = await scenario.settled();
    assert.equal(scenario.names(late).length, 60);
    say(`60 objects behind: identical after ${ms.toFixed(0)} ms`);
  });

  it('brings over a peer whose every answer takes longer than a synchronisation waits at first', async () => {
    const settings = { syncIdleMs: 100, probeMs: 50 };
    const scenario = await Scenario.of(3, 1, { settings, link: { delayMs: 150 } });
    const { cluster } = scenario;
    const [one, two, three] = [scenario.peer(0), scenario.peer(1), scenario.peer(2)];
    cluster.network.partition([[one.id], [two.id, three.id]]);
    await cluster.clock.run(() => one.replica.view?.members.length === 1 && two.replica.view?.members.length === 2);
    for (let i = 0; i < 40; i++) await scenario.create(one, `left-${i}`);
    await scenario.create(three, 'right');
    cluster.network.heal();
    await scenario.settled(20_000);
    assert.equal(scenario.names(two).length, 41);
  });

  it('brings over a peer though more is written meanwhile than the log keeps', async () => {
    const settings = { logFrames: 4, logBytes: 2_000, syncChunkBytes: 1_000 };
    const scenario = await Scenario.of(3, 1, { settings, link: { delayMs: 40 } });
    const { cluster, leader } = scenario;
    const late = scenario.others[0] as SimPeer;
    late.crash();
    for (let i = 0; i < 60; i++) await scenario.create(leader, `c${10 + i}`);
    let n = 0;
    const cancel = cluster.every(20, () => {
      const object = { data: { n: String(++n) } };
      const part = {
        verb: 'patch',
        resource: 'configmaps',
        name: `c${10 + (n % 60)}`,
        patch: 'merge',
        object,
      } as const;
      void leader.replica.write(`more-${n}`, requestOf(`more-${n}`, part));
    });
    const fromMs = cluster.clock.monotonicMs();
    await cluster.until(late.start());
    await cluster.clock.run(() => cluster.isWhole(), { limitMs: 10_000, what: 'bringing it over' });
    say(`a vote while others write: ${(cluster.clock.monotonicMs() - fromMs).toFixed(0)} ms after the start`);
    cancel();
    await scenario.settled();
  });

  it('merges the halves of a split within 5 s, field by field', async () => {
    const times: number[] = [];
    for (const seed of seeds) {
      const scenario = await Scenario.of(3, seed);
      const { cluster } = scenario;
      await scenario.create(scenario.peer(0), 'shared', { a: '1', b: '1' });
      const [one, two, three] = [scenario.peer(0), scenario.peer(1), scenario.peer(2)];
      cluster.network.partition([[one.id], [two.id, three.id]]);
      await cluster.clock.run(() => one.replica.view?.members.length === 1 && two.replica.view?.members.length === 2);
      const patch = (peer: SimPeer, data: Record<string, string>) =>
        scenario.write(peer, {
          verb: 'patch',
          resource: 'configmaps',
          name: 'shared',
          patch: 'merge',
          object: { data },
        });
      await patch(one, { a: 'one', c: 'one' });
      await cluster.clock.run(500); // Longer than clocks differ.
      await patch(two, { b: 'two', c: 'two' });
      for (let i = 0; i < 20; i++) await scenario.create(one, `left-${i}`);
      for (let i = 0; i < 20; i++) await scenario.create(three, `right-${i}`);
      cluster.network.heal();
      times.push(await scenario.settled());
      const shared = one.replica.get(keyOf('configmaps', 'shared')) as KubeObject & { data: object };
      assert.deepEqual(shared.data, { a: 'one', b: 'two', c: 'two' });
      assert.equal(scenario.names(two).length, 41);
    }
    report('identical after a heal', times);
  });

  it('leaves a peer out whose disk fails, and takes it back with a disk that works', async () => {
    const scenario = await Scenario.of(3);
    const broken = scenario.leader;
    broken.disk.fail(new Error('no space left on device'));
    const through = scenario.others[0] as SimPeer;
    const { ms } = await scenario.create(through, 'x');
    assert.ok(ms <= 2_000, String(ms));
    assert.equal(broken.failed, true);
    // The agent ends when its replica fails.
    broken.crash();
    await scenario.create(through, 'y');
    broken.disk.fail(undefined);
    await scenario.cluster.until(broken.start());
    await scenario.settled();
    assert.deepEqual(scenario.names(broken), ['x', 'y']);
  });

  it('sets damaged data aside and gets everything back from the others', async () => {
    const scenario = await Scenario.of(3);
    await scenario.create(scenario.leader, 'x');
    const damaged = scenario.others[0] as SimPeer;
    await scenario.settled();
    damaged.crash();
    damaged.disk.damage();
    await scenario.create(scenario.leader, 'y');
    await scenario.cluster.until(damaged.start());
    await scenario.settled();
    assert.deepEqual(scenario.names(damaged), ['x', 'y']);
  });

  it('keeps the order of a role: sticky holders, a higher epoch with each takeover', async () => {
    const scenario = await Scenario.of(3);
    const before = scenario.leader.replica.view?.roles;
    assert.ok(before);
    scenario.leader.crash();
    await scenario.create(scenario.cluster.up[0] as SimPeer, 'x');
    const after = scenario.leader.replica.view?.roles;
    assert.equal(new Set(Object.values(after ?? {}).map(({ holder }) => holder)).size, 2, 'spread over both');
    for (const [role, { holder, epoch }] of Object.entries(before)) {
      const now = after?.[role];
      if (now?.holder === holder) assert.equal(now.epoch, epoch);
      else assert.ok((now?.epoch ?? 0) > epoch, role);
    }
  });

  it('replays a history exactly from its seed', async () => {
    const [one, two] = [await runHistory(4), await runHistory(4)];
    assert.equal(one.digest, two.digest);
    assert.equal(one.events, two.events);
    assert.deepEqual(one.faults, two.faults);
  });
});

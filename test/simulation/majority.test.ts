/**
 * What must never exist twice, under faults: the checks are those of a cluster that was never split. `SEED=n` replays one
 * history, `HISTORIES=n` sets how many run, `FIRST=n` where they begin.
 */
import assert from 'node:assert/strict';
import { seededRandom } from '../../src/base/random.js';
import { SimCluster, type SimClusterOptions, type SimPeer } from '../../src/testing/sim-cluster.js';
import { checkConvergence } from './checks.js';
import type { PeerRemoval } from '../../src/agent/peer-removal.js';
import { Clients, requestOf } from './clients.js';
import { Electors } from './electors.js';
import { CONVERGENCE_MS, disturb, mend } from './history.js';

const say = (line: string) => process.stdout.write(`${line}\n`);
const only = process.env['SEED'];
const count = Number(process.env['HISTORIES'] ?? 60);
const first = Number(process.env['FIRST'] ?? 1);

async function runHistory(seed: number, onLog?: SimClusterOptions['onLog']) {
  const random = seededRandom(seed * 6971 + 5);
  const peers = [2, 3, 3, 4, 5, 5][random.int(6)] as number;
  const loss = random.int(5) === 0;
  const cluster = new SimCluster({
    seed,
    peers,
    ...(onLog ? { onLog } : {}),
    ...(loss ? { link: { lossChance: 0.003, breakChance: 0.0005 } } : {}),
    settings: random.int(3) === 0 ? { logFrames: 8, logBytes: 4096, syncChunkBytes: 2048 } : {},
  });
  const faults: string[] = [];
  const note = (what: string) => {
    faults.push(what);
    onLog?.(cluster.clock.monotonicMs(), '*', 'fault', what);
  };
  await cluster.found();
  const clients = new Clients(cluster, random, 200);
  const electors = new Electors(cluster, random);
  await cluster.until(clients.prepare(cluster.peers[0] as SimPeer));
  await cluster.until(electors.prepare(cluster.peers[0] as SimPeer));
  clients.start(2);
  electors.start(3);
  await cluster.clock.run(1_000);
  await cluster.until(disturb(cluster, random, note), 120_000, 'the faults');
  await mend(cluster, note);
  // A leader is elected again once the last one's time is over.
  await cluster.clock.run(6_000);
  clients.stop();
  electors.stop();
  await cluster.clock.run(() => clients.idle && electors.idle && cluster.isSettled(), {
    limitMs: CONVERGENCE_MS + 10_000,
    what: `seed ${seed}: settling`,
  });
  const [peer] = cluster.peers as [SimPeer];
  const problems = [...checkConvergence(cluster), ...electors.problems(peer)];
  const registered = peer.replica.registry?.peers.length;
  if (registered !== peers) problems.push(`${registered} of ${peers} peers are registered`);
  const mendedMs = cluster.clock.monotonicMs() - 6_000;
  if (!electors.terms.some(({ untilMs }) => untilMs > mendedMs)) problems.push('nobody leads after the last repair');
  for (const one of cluster.peers) one.crash();
  return { problems, electors, faults };
}

describe('what only a majority changes', function () {
  this.timeout(600_000);

  if (only !== undefined) {
    it(`seed ${only}`, async () => {
      const { problems, electors, faults } = await runHistory(Number(only), (ms, peer, level, message, fields) =>
        say(`${ms.toFixed(1).padStart(9)} ${peer} ${level} ${message} ${fields ? JSON.stringify(fields) : ''}`),
      );
      say(JSON.stringify({ faults, terms: electors.terms, appends: electors.appends }));
      assert.deepEqual(problems, []);
    });
    return;
  }

  it(`has one leader at a time, and one line of writes, in ${count} histories of faults`, async () => {
    const failures: string[] = [];
    const sum = { terms: 0, appends: 0, acknowledged: 0, refused: 0 };
    for (let seed = first; seed < first + count; seed++) {
      try {
        const { problems, electors } = await runHistory(seed);
        sum.terms += electors.terms.length;
        sum.appends += electors.appends.length;
        sum.acknowledged += electors.appends.filter(({ code }) => code === 200).length;
        sum.refused += electors.refused;
        if (problems.length > 0) failures.push(`SEED=${seed}: ${problems.slice(0, 3).join('\n    ').slice(0, 1500)}`);
      } catch (error) {
        failures.push(`SEED=${seed}: ${String(error instanceof Error ? (error.stack ?? error.message) : error)}`);
      }
    }
    say(
      `      ${count} histories: ${sum.terms} terms of leaders, ${sum.appends} appends, ${sum.acknowledged} acknowledged, ` +
        `${sum.refused} writes refused for want of a majority`,
    );
    assert.equal(failures.length, 0, `${failures.length} histories failed\n${failures.slice(0, 20).join('\n')}`);
  });
});

describe('a part of the cluster without a majority', function () {
  this.timeout(60_000);
  let sequence = 0;
  const LEASE = { group: 'coordination.k8s.io', version: 'v1', resource: 'leases' };
  const lease = (holderIdentity: string) => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'leader', namespace: 'default' },
    spec: { holderIdentity },
  });
  const leaseKey = { group: LEASE.group, resource: LEASE.resource, namespace: 'default', name: 'leader' };

  async function of(peers: number): Promise<SimCluster> {
    const cluster = new SimCluster({ seed: 11, peers });
    await cluster.found();
    await write(cluster, 0, {
      verb: 'create',
      resource: 'namespaces',
      name: '',
      object: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } },
    });
    await cluster.clock.run(() => cluster.isSettled() && peer(cluster, 0).replica.registry?.peers.length === peers);
    return cluster;
  }
  const peer = (cluster: SimCluster, i: number) => cluster.peers[i] as SimPeer;
  const holder = (cluster: SimCluster, i: number) =>
    (peer(cluster, i).replica.get(leaseKey) as { spec?: { holderIdentity?: string } } | undefined)?.spec
      ?.holderIdentity;

  async function write(cluster: SimCluster, i: number, part: Parameters<typeof requestOf>[1] | PeerRemoval) {
    const id = `majority-${++sequence}`;
    const request = 'removePeer' in part ? part : requestOf(id, part);
    return cluster.until(peer(cluster, i).replica.write(id, request));
  }
  const create = (cluster: SimCluster, i: number, who: string) =>
    write(cluster, i, { ...LEASE, verb: 'create', name: '', object: lease(who) });

  it('reads Leases and refuses to write them; the others go on, and one state remains', async () => {
    const cluster = await of(3);
    assert.equal((await create(cluster, 0, 'first')).code, 201);
    await cluster.clock.run(() => cluster.isSettled());
    cluster.network.partition([[peer(cluster, 0).id], [peer(cluster, 1).id, peer(cluster, 2).id]]);
    await cluster.clock.run(() => peer(cluster, 0).replica.view?.voters.length === 1);
    await cluster.clock.run(() => peer(cluster, 1).replica.view?.voters.length === 2);
    const update = (i: number, who: string) =>
      write(cluster, i, {
        ...LEASE,
        verb: 'patch',
        patch: 'merge',
        name: 'leader',
        object: { spec: { holderIdentity: who } },
      });
    const refused = await update(0, 'left');
    assert.equal(refused.code, 503);
    assert.match((refused.body as { message: string }).message, /1 of 3 registered peers, which is no majority/);
    assert.equal(holder(cluster, 0), 'first');
    assert.equal((await update(1, 'right')).code, 200);
    cluster.network.heal();
    await cluster.clock.run(() => cluster.isSettled());
    assert.equal(holder(cluster, 0), 'right');
    assert.equal((await update(0, 'left')).code, 200);
  });

  it('never lets through what it wrote while it did not know of the split, though its clock is ahead', async () => {
    const cluster = await of(5);
    await create(cluster, 0, 'first');
    await cluster.clock.run(() => cluster.isSettled());
    const leader = cluster.peers.indexOf(cluster.leader as SimPeer);
    const mate = (leader + 1) % 5;
    const [one = 0] = [0, 1, 2, 3, 4].filter((i) => i !== leader && i !== mate);
    peer(cluster, leader).jump(60_000);
    const sides = [[leader, mate], [0, 1, 2, 3, 4].filter((i) => i !== leader && i !== mate)];
    cluster.network.partition(sides.map((side) => side.map((i) => peer(cluster, i).id)));
    const update = (i: number, who: string) =>
      write(cluster, i, {
        ...LEASE,
        verb: 'patch',
        patch: 'merge',
        name: 'leader',
        object: { spec: { holderIdentity: who } },
      });
    const unsure = await update(leader, 'tail');
    assert.equal(unsure.code, 504);
    assert.equal(holder(cluster, leader), 'tail', 'two of five have it');
    assert.equal((await update(one, 'majority')).code, 200);
    // The part with the lost write is to be the one that takes in a peer of the former majority.
    for (const i of sides[1] ?? []) if (i !== one) peer(cluster, i).crash();
    cluster.network.heal();
    const three = [leader, mate, one].map((i) => peer(cluster, i));
    await cluster.clock.run(() => cluster.isSettled(three));
    assert.deepEqual(
      [leader, mate, one].map((i) => holder(cluster, i)),
      ['majority', 'majority', 'majority'],
    );
    assert.equal((await update(mate, 'next')).code, 200, 'three of five are a majority again');
  });

  it('is one of two peers, until its operator strikes off the one that is gone for good', async () => {
    const cluster = await of(2);
    peer(cluster, 1).crash();
    await cluster.clock.run(() => peer(cluster, 0).replica.view?.voters.length === 1);
    assert.equal((await create(cluster, 0, 'one')).code, 503);
    assert.equal((await write(cluster, 0, { removePeer: { name: 'p1', force: false } })).code, 409);
    assert.equal((await write(cluster, 0, { removePeer: { name: 'p1', force: true } })).code, 200);
    assert.equal((await create(cluster, 0, 'one')).code, 201);
  });

  it('is no peer that is alone in a cluster of one', async () => {
    const cluster = await of(1);
    assert.equal((await create(cluster, 0, 'one')).code, 201);
  });
});

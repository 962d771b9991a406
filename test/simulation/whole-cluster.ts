/** One seeded history of whole agents with users and faults; then everything is mended and must become as wished. */
import { seededRandom, type Random } from '../../src/base/random.js';
import { WholeCluster, type WholeClusterOptions } from '../../src/testing/sim-agent.js';
import type { SimPeer } from '../../src/testing/sim-cluster.js';
import { createHash } from 'node:crypto';
import { Observer } from './checks.js';
import { duplicates, MachineObserver, resurrected, unsettled, wholeState } from './whole-cluster-checks.js';
import { Users } from './whole-cluster-users.js';

/** How long after the last repair everything must be as wished, in simulated milliseconds. */
export const REPAIRED_MS = 60_000;
/** How long after it a Deployment may run more pods than wished, in simulated milliseconds. */
const EXTRA_MS = 10_000;

export interface WholeHistory {
  readonly problems: readonly string[];
  readonly faults: readonly string[];
  readonly acknowledged: number;
  readonly failed: number;
  /** From the last repair until everything was as wished. */
  readonly repairedMs: number;
  /** From the last repair until no Deployment ran more pods than wished. */
  readonly extraMs: number;
  readonly extraSeconds: number;
  readonly twinSeconds: number;
  readonly simulatedMs: number;
  readonly digest: string;
}

type Note = (what: string) => void;

export async function runWholeHistory(seed: number, onLog?: WholeClusterOptions['onLog']): Promise<WholeHistory> {
  const random = seededRandom(seed * 4_409 + 29);
  const peers = [3, 3, 3, 4, 5][random.int(5)] as number;
  const cluster = new WholeCluster({ seed, peers, ...(onLog ? { onLog } : {}) });
  const { sim } = cluster;
  const faults: string[] = [];
  const note: Note = (what) => {
    faults.push(what);
    onLog?.(sim.clock.monotonicMs(), '*', 'fault', what);
  };
  await sim.found();
  const observer = new Observer(sim);
  const machines = new MachineObserver(cluster);
  const users = new Users(cluster, random);
  // The namespaces are made by the controllers of the new cluster.
  await sim.clock.run(2_000);
  await sim.until(users.prepare());
  await sim.clock.run(10_000);
  users.start(2);
  await sim.until(disturb(cluster, random, note), 600_000, 'the faults');
  users.stop();
  await sim.until(mend(cluster, note), 60_000, 'the repair');
  const fromMs = sim.clock.monotonicMs();
  const problems = await settle(cluster, users);
  const repairedMs = sim.clock.monotonicMs() - fromMs;
  const [first, ...others] = sim.peers as [SimPeer, ...SimPeer[]];
  const state = wholeState(first);
  for (const other of others) if (wholeState(other) !== state) problems.push(`${other.id} and ${first.id} differ`);
  problems.push(...duplicates(first), ...resurrected(first, users.deleted));
  problems.push(...machines.problems, ...observer.problems);
  const extraMs = Math.max(0, machines.lastExtraMs - fromMs);
  if (extraMs > EXTRA_MS) problems.push(`more pods than wished until ${extraMs} ms after the last repair`);
  const simulatedMs = sim.clock.monotonicMs();
  const digest = createHash('sha256').update(state).digest('hex').slice(0, 16);
  for (const peer of sim.peers) peer.crash();
  return {
    problems,
    faults,
    acknowledged: users.acknowledged,
    failed: users.failed,
    repairedMs,
    extraMs,
    extraSeconds: machines.extraSeconds,
    twinSeconds: machines.twinSeconds,
    simulatedMs,
    digest,
  };
}

/** Until everything is as wished, or what is not after the time it gets. */
async function settle(cluster: WholeCluster, users: Users): Promise<string[]> {
  const { clock } = cluster.sim;
  const endMs = clock.monotonicMs() + REPAIRED_MS;
  let open: string[] = [];
  while (clock.monotonicMs() < endMs) {
    await clock.run(250);
    open = users.idle ? await unsettled(cluster) : ['a user still waits'];
    if (open.length === 0) return [];
  }
  return open.map((text) => `${REPAIRED_MS} ms after the last repair: ${text}`);
}

async function disturb(cluster: WholeCluster, random: Random, note: Note): Promise<void> {
  const { clock, network, peers } = cluster.sim;
  const rounds = 3 + random.int(4);
  for (let round = 0; round < rounds; round++) {
    await clock.sleep(1_000 + random.int(10_000));
    const peer = peers[random.int(peers.length)] as SimPeer;
    switch (random.int(9)) {
      case 0:
      case 1: {
        const target = random.int(2) === 0 ? (cluster.sim.leader ?? peer) : peer;
        note(`kill ${target.id}`);
        target.crash({ silent: random.int(4) === 0 });
        break;
      }
      case 2:
        note(`power loss ${peer.id}`);
        await cluster.losePower(peer);
        break;
      case 3:
        note('power loss of all');
        for (const one of peers) await cluster.losePower(one);
        await clock.sleep(random.int(20_000));
        break;
      case 4:
      case 5:
      case 6: {
        const left = peers.filter(() => random.int(2) === 0).map(({ id }) => id);
        const right = peers.map(({ id }) => id).filter((id) => !left.includes(id));
        note(`split ${left.join('')} | ${right.join('')}`);
        network.partition([left, right]);
        await clock.sleep(random.int(30_000));
        break;
      }
      case 7: {
        const ms = 500 + random.int(6_000);
        note(`freeze ${peer.id} ${ms}`);
        peer.freeze(ms);
        break;
      }
      case 8:
        note('mend');
        await mend(cluster, () => undefined);
        break;
    }
    if (random.int(2) === 0) await startAll(cluster, note);
  }
}

async function startAll({ sim }: WholeCluster, note: Note): Promise<void> {
  for (const peer of sim.peers) {
    if (peer.isUp) continue;
    note(`start ${peer.id}`);
    await peer.start();
  }
}

async function mend(cluster: WholeCluster, note: Note): Promise<void> {
  note('mend');
  cluster.sim.network.heal();
  await startAll(cluster, note);
}

/** One seeded history: a cluster, clients, a stream of faults, then everything is mended and checked. */
import type { Random } from '../../src/base/random.js';
import { seededRandom } from '../../src/base/random.js';
import { SimCluster, type SimClusterOptions, type SimPeer } from '../../src/testing/sim-cluster.js';
import { checkConvergence, checkOperations, dump, Observer } from './checks.js';
import { Clients } from './clients.js';

export interface HistoryResult {
  readonly seed: number;
  readonly peers: number;
  readonly whole: boolean;
  readonly problems: readonly string[];
  readonly operations: number;
  readonly acknowledged: number;
  readonly faults: readonly string[];
  /** Virtual time from the last repair until all peers were identical. */
  readonly convergedMs: number;
  readonly events: number;
  readonly digest: string;
}

/** How long after the last repair all peers must be identical, in virtual milliseconds. */
export const CONVERGENCE_MS = 5_000;

export async function runHistory(seed: number, onLog?: SimClusterOptions['onLog']): Promise<HistoryResult> {
  const random = seededRandom(seed * 7919 + 17);
  const peers = [2, 3, 3, 3, 4, 5][random.int(6)] as number;
  const whole = random.int(3) === 0;
  const loss = !whole && random.int(5) === 0;
  const cluster = new SimCluster({
    seed,
    peers,
    ...(onLog ? { onLog } : {}),
    ...(loss ? { link: { lossChance: 0.003, breakChance: 0.0005 } } : {}),
    // Every other one squashes documents whenever they are written.
    ...(seed % 2 === 0 ? { documentLimits: { changes: 0, bytes: 0 } } : {}),
    settings: random.int(3) === 0 ? { logFrames: 8, logBytes: 4096, syncChunkBytes: 2048 } : {},
  });
  const faults: string[] = [];
  const note = (what: string) => {
    faults.push(what);
    onLog?.(cluster.clock.monotonicMs(), '*', 'fault', what);
  };
  await cluster.found();
  const observer = new Observer(cluster);
  const clients = new Clients(cluster, random, 150);
  await cluster.until(clients.prepare(cluster.peers[0] as SimPeer));
  clients.start(3);
  const faultsDone = whole ? crashOneByOne(cluster, random, note) : disturb(cluster, random, note);
  await cluster.until(faultsDone, 120_000, 'the faults');
  clients.stop();
  const fromMs = cluster.clock.monotonicMs();
  await mend(cluster, note);
  const problems: string[] = [];
  try {
    await cluster.clock.run(() => clients.idle && cluster.isSettled(), { limitMs: CONVERGENCE_MS });
  } catch {
    problems.push(
      `not settled ${CONVERGENCE_MS} ms after the last repair: ${describe(cluster)} clients ${clients.idle ? 'idle' : 'busy'}`,
    );
  }
  const convergedMs = cluster.clock.monotonicMs() - fromMs;
  if (problems.length === 0) {
    problems.push(...checkConvergence(cluster));
    problems.push(...checkOperations(clients.operations, cluster.peers[0] as SimPeer, whole));
    problems.push(...observer.checkWatches(whole));
  }
  problems.push(...observer.problems);
  const acknowledged = clients.operations.filter(({ code }) => code > 0 && code < 300).length;
  const digest = problems.length === 0 ? dump(cluster.peers[0] as SimPeer) : '';
  for (const peer of cluster.peers) peer.crash();
  return {
    seed,
    peers,
    whole,
    problems,
    operations: clients.operations.length,
    acknowledged,
    faults,
    convergedMs,
    events: cluster.clock.eventCount,
    digest,
  };
}

const describe = (cluster: SimCluster): string =>
  cluster.peers
    .map(({ id, life, failed }) => {
      if (!life) return `${id}: down`;
      const { view, currentMode, position, leader } = life.replica;
      const where = `${position.applied.revision}/${position.head.revision}@${position.head.epoch.n}`;
      return `${id}: ${currentMode}${failed ? ' FAILED' : ''} leader ${leader} ${where} promised ${position.promised.n}/${position.promised.leader} voters ${view?.voters.join('') ?? '-'} of ${view?.members.join('') ?? '-'}`;
    })
    .join('; ');

export type Note = (what: string) => void;

/** Faults that never split the cluster: one peer at a time dies and comes back before the next one does; or all at once. */
async function crashOneByOne(cluster: SimCluster, random: Random, note: Note): Promise<void> {
  const { clock } = cluster;
  for (let round = 0; round < 4; round++) {
    await clock.sleep(100 + random.int(600));
    if (random.int(6) === 0) {
      note('crash all');
      for (const peer of cluster.peers) peer.crash({ powerLoss: random.int(2) === 0 });
      await clock.sleep(random.int(300));
      await Promise.all(
        cluster.peers.map(async (peer) => {
          await clock.sleep(random.int(900));
          await peer.start();
        }),
      );
    } else {
      const peer = cluster.peers[random.int(cluster.peers.length)] as SimPeer;
      await bringDown(peer, random, note);
      if (random.int(3) === 0) peer.jump(random.int(20_000) - 10_000);
      await clock.sleep(random.int(2_500));
      note(`start ${peer.id}`);
      await peer.start();
    }
    while (!cluster.isWhole() || !cluster.isMeshed()) await clock.sleep(50);
  }
}

async function bringDown(peer: SimPeer, random: Random, note: Note): Promise<void> {
  switch (random.int(4)) {
    case 0:
      note(`stop ${peer.id}`);
      await peer.stop();
      return;
    case 1:
      note(`power loss ${peer.id}`);
      peer.crash({ powerLoss: true });
      return;
    case 2:
      note(`silent power loss ${peer.id}`);
      peer.crash({ powerLoss: true, silent: true });
      return;
    default:
      note(`kill ${peer.id}`);
      peer.crash();
  }
}

/** Anything may happen to anybody. */
export async function disturb(cluster: SimCluster, random: Random, note: Note): Promise<void> {
  const { clock, network, peers } = cluster;
  const any = () => peers[random.int(peers.length)] as SimPeer;
  const rounds = 5 + random.int(6);
  for (let round = 0; round < rounds; round++) {
    await clock.sleep(50 + random.int(1_200));
    const [a, b] = [any(), any()];
    switch (random.int(13)) {
      case 0:
      case 1:
        if (a.isUp) await bringDown(a, random, note);
        break;
      case 2:
      case 3:
        for (const peer of peers) {
          if (peer.isUp) continue;
          note(`start ${peer.id}`);
          await peer.start();
        }
        break;
      case 4:
      case 5:
      case 6: {
        const left = peers.filter(() => random.int(2) === 0).map(({ id }) => id);
        const right = peers.map(({ id }) => id).filter((id) => !left.includes(id));
        note(`split ${left.join('')} | ${right.join('')}`);
        network.partition([left, right]);
        break;
      }
      case 7:
        if (a === b) break;
        note(`cut ${a.id} ${b.id}`);
        network.cut(a.id, b.id, random.int(2) === 0);
        break;
      case 8:
      case 9:
        note('heal');
        network.heal();
        break;
      case 10: {
        const ms = random.int(3_000);
        note(`freeze ${a.id} ${ms}`);
        a.freeze(ms);
        break;
      }
      case 11: {
        const ms = random.int(2) * random.int(120);
        note(`slow ${a.id} ${ms}`);
        network.slow(a.id, ms);
        break;
      }
      case 12:
        note(`clock ${a.id}`);
        a.jump(random.int(60_000) - 30_000);
        break;
    }
  }
}

export async function mend(cluster: SimCluster, note: Note): Promise<void> {
  note('mend');
  cluster.network.heal();
  for (const peer of cluster.peers) {
    cluster.network.slow(peer.id, 0);
    peer.disk.fail(undefined);
    if (peer.failed) peer.crash();
    if (!peer.isUp) await cluster.until(peer.start());
  }
}

/** One seeded history: a cluster, clients, a stream of faults, then everything is mended and checked. */
import type { Random } from '../../src/base/random.js';
import { seededRandom } from '../../src/base/random.js';
import { FRAME_RANGE } from '../../src/store/replication/frame-log.js';
import { SimCluster, type SimClusterOptions, type SimPeer } from '../../src/testing/sim-cluster.js';
import { checkConvergence, checkOperations, checkOrder, dump, Observer } from './checks.js';
import { Clients, drawMix } from './clients.js';
import { JOINING, SPLITTING, strike, WHOLE, type Fault, type FaultContext } from './faults.js';
import { sizeOf } from './history-shape.js';
import { Removals } from './removals.js';
import { checkSessions } from './session-guarantees.js';
import type { Trait } from './trait.js';
import { Upgrades } from './upgrades.js';

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

/** Every eighth history each has the faults of upgrades, and of removals, too. */
const traitOf = (seed: number): TraitName => (({ 5: 'upgrades', 7: 'removals' }) as const)[seed % 8] ?? 'none';
export type TraitName = 'none' | 'upgrades' | 'removals';

/** What of a history is otherwise, to see that its checks notice. */
export type Breakage = Partial<Omit<SimClusterOptions, 'seed' | 'peers' | 'onLog'>> & {
  readonly whole?: boolean;
  readonly trait?: TraitName;
  /** Reads do not ask the sequencer how far it is. */
  readonly staleReads?: boolean;
};

function clusterFor(seed: number, random: Random, breakage: Breakage, onLog?: SimClusterOptions['onLog']) {
  const { peers, rounds } = sizeOf(seed, random);
  const whole = breakage.whole ?? random.int(3) === 0;
  const link = {
    ...(random.int(5) === 0 ? { lossChance: 0.003, breakChance: 0.0005 } : {}),
    ...(random.int(5) === 0 ? { duplicateChance: 0.02 } : {}),
    ...(random.int(5) === 0 ? { overtakeChance: 0.02 } : {}),
  };
  const { whole: _, staleReads: __, trait: ___, ...others } = breakage;
  const cluster = new SimCluster({
    seed,
    peers,
    ...(onLog ? { onLog } : {}),
    ...(whole ? {} : { link }),
    // Every fourth one squashes documents whenever they are written.
    ...(random.int(4) === 0 ? { documentLimits: { changes: 0, bytes: 0 } } : {}),
    // Now and then each peer works on its documents by itself.
    shareDocuments: random.int(20) !== 0,
    settings: random.int(3) === 0 ? { logFrames: 8, logBytes: 4096, syncChunkBytes: 2048 } : {},
    disk: { tears: (key) => key.startsWith(FRAME_RANGE[0]) },
    ...others,
  });
  return { cluster, rounds, whole, link };
}

export async function runHistory(
  seed: number,
  onLog?: SimClusterOptions['onLog'],
  breakage: Breakage = {},
): Promise<HistoryResult> {
  const random = seededRandom(seed * 7919 + 17);
  const { trait: name = traitOf(seed) } = breakage;
  // eslint-disable-next-line prefer-const -- the cluster logs before there is one
  let trait: Trait | undefined;
  const listen: SimClusterOptions['onLog'] = (ms, peer, level, message, fields) => {
    trait?.onLog?.(peer, message);
    onLog?.(ms, peer, level, message, fields);
  };
  const { cluster, rounds, whole, link } = clusterFor(seed, random, breakage, name === 'none' ? onLog : listen);
  const peers = cluster.peers.length;
  const faults: string[] = whole ? [] : Object.keys(link);
  const note = (what: string) => {
    faults.push(what);
    onLog?.(cluster.clock.monotonicMs(), '*', 'fault', what);
  };
  await cluster.found();
  const observer = new Observer(cluster);
  const clients = new Clients(cluster, random, 220, breakage.staleReads, drawMix(random));
  await cluster.until(clients.prepare(cluster.peers[0] as SimPeer));
  if (name === 'upgrades') trait = new Upgrades(cluster, note, random.int(3) > 0);
  else if (name === 'removals') trait = new Removals(cluster, clients);
  const members = () => trait?.members?.() ?? cluster.peers;
  clients.start(3);
  if (whole) observer.wander(random);
  const faultsDone = whole
    ? disturbWhole({ cluster, random, note }, rounds, [...WHOLE, ...(trait?.wholeFaults ?? [])])
    : disturb(cluster, random, note, rounds, [...SPLITTING, ...JOINING, ...(trait?.faults ?? [])]);
  await cluster.until(faultsDone, 120_000, 'the faults');
  clients.stop();
  const fromMs = cluster.clock.monotonicMs();
  trait?.beforeMending();
  await mend(cluster, note);
  const problems: string[] = [];
  try {
    const isDone = () => clients.idle && cluster.isSettled(members()) && (trait?.isDone() ?? true);
    await cluster.clock.run(isDone, { limitMs: CONVERGENCE_MS });
  } catch {
    problems.push(
      `not settled ${CONVERGENCE_MS} ms after the last repair: ${describe(cluster)} clients ${clients.idle ? 'idle' : 'busy'}`,
    );
  }
  const convergedMs = cluster.clock.monotonicMs() - fromMs;
  if (problems.length === 0) {
    trait?.finish();
    problems.push(...checkConvergence(cluster));
    problems.push(...checkOperations(clients.operations, cluster.peers[0] as SimPeer, whole));
    problems.push(...checkOrder(clients.operations, cluster.peers[0] as SimPeer, whole));
    problems.push(...checkSessions(clients.operations));
    problems.push(...observer.checkWatches(whole));
  }
  problems.push(...observer.problems, ...(trait?.problems ?? []));
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

/** Mostly the next fault comes before anybody has noticed; at times there is time to go on without those who are gone. */
const pauseMs = (random: Random): number => (random.int(3) === 0 ? 1_000 + random.int(1_500) : 50 + random.int(500));

/** Faults that never split the cluster, one at a time. */
async function disturbWhole(context: FaultContext, rounds: number, faults: readonly Fault[]): Promise<void> {
  const { cluster, random } = context;
  const isCalm = () => cluster.isWhole() && cluster.isMeshed() && cluster.peers.every(({ disk }) => !disk.isFull);
  for (let round = 0; round < rounds; round++) {
    await cluster.clock.sleep(pauseMs(random));
    await strike(context, faults);
    while (!isCalm()) await cluster.clock.sleep(50);
  }
}

/** Anything may happen to anybody. */
export async function disturb(
  cluster: SimCluster,
  random: Random,
  note: Note,
  rounds = 4 + random.int(4),
  faults: readonly Fault[] = SPLITTING,
): Promise<void> {
  await cluster.clock.sleep(50 + random.int(250));
  for (let round = 0; round < rounds; round++) {
    await strike({ cluster, random, note }, round === 0 ? faults.filter(({ mends }) => !mends) : faults);
    await cluster.clock.sleep(pauseMs(random));
  }
}

export async function mend(cluster: SimCluster, note: Note): Promise<void> {
  note('mend');
  cluster.network.heal();
  for (const peer of cluster.peers) {
    cluster.network.slow(peer.id, 0);
    peer.disk.free();
    if (peer.failed) peer.crash();
    if (!peer.isUp) await cluster.until(peer.start());
  }
}

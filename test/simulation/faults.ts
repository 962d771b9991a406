/** What may happen to a simulated cluster: data, from which a history draws by weight. */
import type { Random } from '../../src/base/random.js';
import type { SimCluster, SimPeer } from '../../src/testing/sim-cluster.js';

export interface FaultContext {
  readonly cluster: SimCluster;
  readonly random: Random;
  /** Written down with the history; the first word is what faults are counted by. */
  readonly note: (what: string) => void;
}

export interface Fault {
  /** How often, against the others. */
  readonly weight: number;
  /** Only undoes what others did. */
  readonly mends?: true;
  /** Does nothing where it does not apply. */
  readonly run: (context: FaultContext, peer: SimPeer) => void | Promise<void>;
}

const ids = (peers: readonly SimPeer[]): string => peers.map(({ id }) => id).join('');
const any = ({ cluster, random }: FaultContext): SimPeer => cluster.peers[random.int(cluster.peers.length)] as SimPeer;

/** Ends a peer's process, in one of the ways there are. */
export async function bringDown({ random, note }: FaultContext, peer: SimPeer): Promise<void> {
  if (!peer.isUp) return;
  // What waits for room cannot be stopped in order.
  switch (random.int(peer.disk.isFull ? 3 : 4)) {
    case 0:
      note(`power-loss ${peer.id}`);
      peer.crash({ powerLoss: true });
      return;
    case 1:
      note(`silent-power-loss ${peer.id}`);
      peer.crash({ powerLoss: true, silent: true });
      return;
    case 2:
      note(`kill ${peer.id}`);
      peer.crash();
      return;
    default:
      note(`stop ${peer.id}`);
      await peer.stop();
  }
}

export async function bringUp({ note }: FaultContext, peer: SimPeer): Promise<void> {
  if (peer.failed) peer.crash();
  if (peer.isUp) return;
  peer.disk.free();
  note(`start ${peer.id}`);
  await peer.start();
}

export async function restartAll(context: FaultContext): Promise<void> {
  const { cluster, random, note } = context;
  note('restart-all');
  const isBlackout = random.int(2) === 0;
  for (const peer of cluster.peers) peer.crash({ powerLoss: isBlackout || random.int(2) === 0 });
  await cluster.clock.sleep(random.int(300));
  await Promise.all(
    cluster.peers.map(async (peer) => {
      await cluster.clock.sleep(random.int(900));
      peer.disk.free();
      await peer.start();
    }),
  );
}

function freeze({ random, note }: FaultContext, peer: SimPeer, limitMs: number): void {
  const ms = random.int(limitMs);
  note(`pause ${peer.id} ${ms}`);
  peer.freeze(ms);
}

function jump({ random, note }: FaultContext, peer: SimPeer): void {
  const ms = random.int(60_000) - 30_000;
  note(`clock-jump ${peer.id} ${ms}`);
  peer.jump(ms);
}

function fill({ cluster, random, note }: FaultContext, peer: SimPeer): void {
  if (!peer.isUp || peer.disk.isFull) return;
  const ms = random.int(2_500);
  note(`full-disk ${peer.id} ${ms}`);
  peer.disk.fill();
  cluster.clock.timer(ms, () => peer.disk.free());
}

/** Until it is called upon again. */
function slow({ cluster, random, note }: FaultContext, peer: SimPeer): void {
  const ms = cluster.network.slownessOf(peer.id) > 0 ? 0 : 1 + random.int(120);
  note(`slow ${peer.id} ${ms}`);
  cluster.network.slow(peer.id, ms);
}

/** Anything may happen to anybody, several at a time. */
export const SPLITTING: readonly Fault[] = [
  { weight: 2, run: bringDown },
  {
    weight: 2,
    mends: true,
    run: async (context) => {
      for (const peer of context.cluster.peers) await bringUp(context, peer);
    },
  },
  {
    weight: 3,
    run: ({ cluster: { peers, network }, random, note }) => {
      const left = peers.filter(() => random.int(2) === 0);
      const right = peers.filter((peer) => !left.includes(peer));
      note(`split ${ids(left)} | ${ids(right)}`);
      network.partition([left.map(({ id }) => id), right.map(({ id }) => id)]);
    },
  },
  {
    // Two sides that do not see each other, and one peer that sees both.
    weight: 1,
    run: ({ cluster: { peers, network }, random, note }, bridge) => {
      const others = peers.filter((peer) => peer !== bridge);
      const left = others.filter(() => random.int(2) === 0);
      const right = others.filter((peer) => !left.includes(peer));
      note(`bridge ${ids(left)} - ${bridge.id} - ${ids(right)}`);
      network.partition([[...left, bridge].map(({ id }) => id), [...right, bridge].map(({ id }) => id)]);
    },
  },
  {
    weight: 1,
    run: (context, a) => {
      const others = context.cluster.peers.filter((peer) => peer !== a);
      const b = others[context.random.int(others.length)];
      if (!b) return;
      const isOneWay = context.random.int(2) === 0;
      context.note(`${isOneWay ? 'one-way-cut' : 'cut'} ${a.id} ${b.id}`);
      context.cluster.network.cut(a.id, b.id, isOneWay);
    },
  },
  {
    weight: 2,
    mends: true,
    run: ({ cluster, note }) => {
      note('heal');
      cluster.network.heal();
    },
  },
  { weight: 1, run: (context, peer) => freeze(context, peer, 3_000) },
  { weight: 1, run: slow },
  { weight: 1, run: jump },
  { weight: 1, run: fill },
  { weight: 0.4, run: restartAll },
];

const MOST_PEERS = 7;

async function join({ cluster, note }: FaultContext): Promise<void> {
  if (cluster.peers.length >= MOST_PEERS) return;
  const peer = cluster.enlist();
  note(`join ${peer.id}`);
  await peer.start();
}

export const JOINING: readonly Fault[] = [{ weight: 0.4, run: join }];

/** Restarts a peer, of whose disk something may be unreadable by then. */
async function restart(context: FaultContext, peer: SimPeer): Promise<void> {
  await bringDown(context, peer);
  if (context.random.int(3) === 0) jump(context, peer);
  if (context.random.int(6) === 0 && peer.disk.corrupt()) context.note(`corruption ${peer.id}`);
  await context.cluster.clock.sleep(context.random.int(2_500));
  await bringUp(context, peer);
}

/** A machine is taken out for good: stopped, and removed from the register of peers. */
async function leave({ cluster, note }: FaultContext, peer: SimPeer): Promise<void> {
  if (cluster.peers.length < 4) return;
  note(`leave ${peer.id}`);
  await peer.stop();
  cluster.dismiss(peer);
  const removePeer = { name: peer.id, force: true };
  for (let n = 0; ; n++) {
    const other = cluster.up[0] as SimPeer;
    const reply = await other.replica.write(`leave-${peer.id}-${n}`, { removePeer }).catch(() => undefined);
    if (reply?.code === 200 || reply?.code === 404) return;
    await cluster.clock.sleep(100);
  }
}

/** Nothing of this splits the cluster: what hits one peer is over before the next is hit. */
export const WHOLE: readonly Fault[] = [
  { weight: 6, run: restart },
  { weight: 1, run: restartAll },
  { weight: 1, run: fill },
  { weight: 1, run: slow },
  { weight: 0.7, run: join },
  { weight: 0.7, run: leave },
];

/** Lets one of the faults happen to a peer. */
export async function strike(context: FaultContext, faults: readonly Fault[]): Promise<void> {
  let dice = context.random.next() * faults.reduce((sum, { weight }) => sum + weight, 0);
  const fault = faults.find(({ weight }) => (dice -= weight) < 0) ?? faults[0];
  await fault?.run(context, any(context));
}

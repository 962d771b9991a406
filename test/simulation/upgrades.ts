/**
 * A cluster that is taken from this build to one that knows a newer format, peer by peer, and back where that is still possible:
 * the faults of it, and what must hold (docs/adr/0020).
 */
import type { VersionRange } from '../../src/base/version-range.js';
import { FORMATS } from '../../src/store/formats.js';
import { formatOf, START } from '../../src/store/log-entry.js';
import { FRAME_RANGE } from '../../src/store/replication/frame-log.js';
import { levelOf, REGISTRY_KEY, registryOf, type PeerRegistry } from '../../src/store/replication/peer-registry.js';
import {
  META,
  readFrame,
  readMeta,
  RECORD_RANGE,
  storedRecord,
  WrongFormat,
  type StoredMeta,
} from '../../src/store/replication/storage.js';
import { decodeRecord } from '../../src/store/record.js';
import type { SimCluster, SimPeer } from '../../src/testing/sim-cluster.js';
import { bringDown, bringUp, type Fault, type FaultContext } from './faults.js';
import type { Trait } from './trait.js';

/** What the build of the next release knows. */
export const NEXT = Object.freeze({ oldest: FORMATS.oldest, newest: FORMATS.newest + 1 });

/** How often somebody looks after peers that nobody talks to because they are too old, in milliseconds. */
const TEND_MS = 200;

export class Upgrades implements Trait {
  readonly problems: string[] = [];
  private highest: number = FORMATS.newest;

  /** @param completes every peer is upgraded in the end. */
  constructor(
    private readonly cluster: SimCluster,
    private readonly note: (what: string) => void,
    private readonly completes: boolean,
  ) {
    cluster.every(20, () => this.look());
    cluster.every(TEND_MS, () => this.tend());
  }

  readonly faults: readonly Fault[] = [
    { weight: 3, run: (context) => this.upgrade(context, this.any(context, FORMATS)) },
    { weight: 4, run: (context) => this.upgradeAll(context) },
    { weight: 5, run: (context) => this.goBack(context, this.any(context, NEXT)) },
  ];

  get wholeFaults(): readonly Fault[] {
    return this.faults;
  }

  onLog(peer: string, message: string): void {
    if (message.includes('could not be read')) this.problem(`${peer}: ${message}`);
  }

  beforeMending(): void {
    for (const peer of this.cluster.peers) {
      if (peer.formats === NEXT || (!this.completes && this.highest <= peer.formats.newest)) continue;
      this.note(`upgrade ${peer.id}`);
      peer.crash();
      peer.formats = NEXT;
    }
  }

  /** The level is what it is to be: when all peers know the next one, they come to it. */
  isDone(): boolean {
    const { peers } = this.cluster;
    const least = Math.min(...peers.map(({ formats }) => formats.newest));
    return peers.every(({ life }) => life && life.replica.level === Math.max(least, this.highest));
  }

  finish(): void {
    for (const peer of this.cluster.peers) {
      this.checkDisk(peer);
      const { level, id } = { level: peer.replica.level, id: peer.id };
      if (level < this.highest) this.problem(`${id} is at level ${level}, though ${this.highest} was reached`);
    }
  }

  private any({ random }: FaultContext, formats: VersionRange): SimPeer | undefined {
    const peers = this.cluster.peers.filter((peer) => peer.formats === formats);
    return peers[random.int(peers.length || 1)];
  }

  private async upgrade(context: FaultContext, peer: SimPeer | undefined): Promise<void> {
    if (!peer) return;
    await bringDown(context, peer);
    context.note(`upgrade ${peer.id}`);
    peer.formats = NEXT;
    await context.cluster.clock.sleep(context.random.int(800));
    await bringUp(context, peer);
  }

  /** Those that are left, one after the other, and a while for the cluster to notice. */
  private async upgradeAll(context: FaultContext): Promise<void> {
    for (const peer of this.cluster.peers.filter(({ formats }) => formats !== NEXT)) await this.upgrade(context, peer);
    await context.cluster.clock.sleep(context.random.int(2_000));
  }

  /** A build that cannot read the store does not start, and leaves it as it is; any other one goes on with it. */
  private async goBack(context: FaultContext, peer: SimPeer | undefined): Promise<void> {
    if (!peer) return;
    await bringDown(context, peer);
    if (peer.isUp) return;
    peer.disk.free();
    this.checkDisk(peer);
    context.note(`go-back ${peer.id}`);
    const level = levelOnDisk(peer);
    const wasRefused = await this.isRefused(peer);
    if (wasRefused !== level > FORMATS.newest) {
      this.problem(`${peer.id} was ${wasRefused ? '' : 'not '}refused by a store of level ${level}`);
    }
    if (!wasRefused) return;
    context.note(`refused-to-go-back ${peer.id}`);
    await bringUp(context, peer);
  }

  /** Starts the old build; the new one is the next to start again when it refuses. */
  private async isRefused(peer: SimPeer): Promise<boolean> {
    const before = textOf(peer);
    peer.formats = FORMATS;
    try {
      await peer.start();
      return false;
    } catch (error) {
      if (!(error instanceof WrongFormat)) throw error;
    } finally {
      if (!peer.isUp) peer.formats = NEXT;
    }
    if (textOf(peer) !== before) this.problem(`${peer.id} refused its store, and changed it`);
    return true;
  }

  /** An operator upgrades whoever is too old for the cluster, as `skein status` tells. */
  private tend(): void {
    for (const peer of this.cluster.up) {
      if (peer.formats.newest >= this.highest || peer.failed) continue;
      this.note(`upgrade ${peer.id}`);
      peer.crash();
      peer.formats = NEXT;
      peer.start().catch((error: unknown) => this.problem(`${peer.id} could not be upgraded: ${String(error)}`));
    }
  }

  private look(): void {
    for (const { id, formats, replica } of this.cluster.up) {
      const { level, registry } = replica;
      this.highest = Math.max(this.highest, level);
      if (level > formats.newest) this.problem(`${id} is at level ${level} and knows ${formats.newest}`);
      const known = registry?.peers.map(({ newest = FORMATS.oldest }) => newest) ?? [];
      const noted = registry?.level ?? FORMATS.oldest;
      if (known.some((newest) => newest < noted))
        this.problem(`${id}: level ${noted} over peers that know ${known.join()}`);
    }
  }

  /** The note of the level is never behind what is there, but for what a peer was about to be given: that is dropped unread. */
  private checkDisk(peer: SimPeer): void {
    const { level, applied } = noteOf(peer);
    const ranges = applied.revision === 0 ? [FRAME_RANGE] : [FRAME_RANGE, RECORD_RANGE];
    for (const [key, value] of peer.disk.contents) {
      if (ranges.some(([from, to]) => key >= from && key < to) && formatOf(value) > level)
        this.problem(`${peer.id} holds ${key} in format ${formatOf(value)}, and is noted to be at ${level}`);
    }
  }

  private problem(text: string): void {
    this.problems.push(`${this.cluster.clock.monotonicMs().toFixed(1)} ms: ${text}`);
  }
}

/** What the store says of itself. */
function noteOf({ disk }: SimPeer): Pick<StoredMeta, 'level' | 'applied'> {
  const meta = disk.contents.get(META);
  return meta ? readMeta(meta, NEXT) : { level: FORMATS.oldest, applied: START };
}

/** The level to which the cluster has come, as far as the store can know. */
export function levelOnDisk(peer: SimPeer): number {
  let { level } = noteOf(peer);
  const see = (registry: PeerRegistry | undefined) => (level = Math.max(level, levelOf(registry)));
  for (const [key, value] of peer.disk.contents) {
    if (key === RECORD_RANGE[0] + REGISTRY_KEY) see(registryOf(storedRecord([key, value], NEXT)));
    if (key < FRAME_RANGE[0] || key >= FRAME_RANGE[1]) continue;
    for (const entry of readFrame(value, NEXT)?.entries ?? []) {
      if (entry.op === 'put' && entry.key === REGISTRY_KEY) see(JSON.parse(entry.value) as PeerRegistry);
      if (entry.op === 'merge' && entry.key === REGISTRY_KEY) see(registryOf(decodeRecord(entry.record, NEXT)));
    }
  }
  return level;
}

/** Everything in the store, to compare. */
export const textOf = ({ disk }: SimPeer): string =>
  [...disk.contents]
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .toSorted()
    .join('\n');

/**
 * The `Transport` in memory, on a simulated clock and seeded randomness. It keeps the promises of the real one (in order
 * and at most once on a channel while the connection lasts, nothing between channels) and has the ways in which the real
 * one fails: delays, connections that break, cables that are cut without a word (what was sent stays in flight and
 * arrives late, or never), one-way and bridging splits, processes that die with or without the kernel saying goodbye. On
 * request it is worse than the real one ever is: messages arrive twice, or overtake each other.
 *
 * Peers of one network know each other and connect by themselves once they are started and can talk both ways.
 */
import type { Cancel, Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import type { Admission } from '../p2p/libp2p/admission.js';
import type { PeerId, PeerInfo } from '../p2p/transport.js';
import { SimConnection, type End, type Lane } from './sim-connection.js';
import { SimTransport } from './sim-transport.js';

/** How one direction between two peers behaves. Times are in milliseconds. */
export interface LinkOptions {
  /** The least a message takes. */
  readonly delayMs: number;
  /** What a message may take on top, uniformly random. */
  readonly jitterMs: number;
  /** Chance that a message is lost together with its connection, 0 to 1. */
  readonly breakChance: number;
  /** Chance that a message is lost though the connection stays (its stream was reset and opened again), 0 to 1. */
  readonly lossChance: number;
  /** Chance that a hop of a gossip message is lost, 0 to 1. */
  readonly gossipLossChance: number;
  /** Chance that a message arrives once more, up to {@link ECHO_MS} later, 0 to 1. More than a stream ever does. */
  readonly duplicateChance: number;
  /** Chance that a message overtakes those that are under way before it, 0 to 1. More than a stream ever does. */
  readonly overtakeChance: number;
}

export interface SimNetworkOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** How links behave that were not told otherwise: 0.5 ms delay, 0.5 ms jitter, no loss unless told. */
  readonly link?: Partial<LinkOptions>;
  /** The longest wait before peers that lost each other try again, in milliseconds; 1000 unless told. */
  readonly redialMs?: number;
  /** Bytes that may be under way to one peer before `send` refuses; 64 MiB unless told. */
  readonly sendBufferBytes?: number;
}

const DEFAULT_LINK: LinkOptions = {
  delayMs: 0.5,
  jitterMs: 0.5,
  breakChance: 0,
  lossChance: 0,
  gossipLossChance: 0,
  duplicateChance: 0,
  overtakeChance: 0,
};

/** How late a message may arrive once more, in milliseconds. */
const ECHO_MS = 300;

export class SimNetwork {
  readonly clock: Clock;
  readonly random: Random;
  private readonly live = new Map<PeerId, SimTransport>();
  private readonly connections = new Map<string, SimConnection>();
  private readonly dialing = new Map<string, Cancel>();
  private readonly links = new Map<string, Partial<LinkOptions>>();
  private readonly blocked = new Set<string>();
  private readonly slowMs = new Map<PeerId, number>();
  private readonly frozenUntilMs = new Map<PeerId, number>();
  private readonly base: LinkOptions;

  constructor(private readonly options: SimNetworkOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.base = { ...DEFAULT_LINK, ...options.link };
  }

  /**
   * A transport for that peer. Made again for the same id after a stop or a crash, it is that peer restarted. Two peers that do not
   * admit each other try again and again.
   */
  transport(info: PeerInfo, admission?: Admission): SimTransport {
    return new SimTransport(this, info, admission);
  }

  /** How messages between two peers travel, in both directions. */
  setLink(a: PeerId, b: PeerId, link: Partial<LinkOptions>): void {
    this.links.set(wayKey(a, b), link);
    this.links.set(wayKey(b, a), link);
  }

  /** Makes everything that reaches that peer, and everything it answers, take `ms` longer. 0 ends it. */
  slow(id: PeerId, ms: number): void {
    this.slowMs.set(id, ms);
  }

  /** The milliseconds that {@link slow} gave to that peer. */
  slownessOf(id: PeerId): number {
    return this.slowMs.get(id) ?? 0;
  }

  /** Nothing is delivered to that peer for `ms`, as to a stopped process. Freeze its `PeerClock` along with it. */
  freeze(id: PeerId, ms: number): void {
    this.frozenUntilMs.set(id, this.clock.monotonicMs() + ms);
    this.clock.timer(ms, () => this.flush());
  }

  /**
   * Only peers that share a group can talk from now on. Groups may overlap: a peer in two of them is a bridge. A peer in
   * no group is alone. Replaces earlier cuts.
   */
  partition(groups: readonly (readonly PeerId[])[]): void {
    const ids = new Set([...this.live.keys(), ...groups.flat()]);
    this.blocked.clear();
    for (const a of ids)
      for (const b of ids)
        if (a !== b && !groups.some((group) => group.includes(a) && group.includes(b))) this.blocked.add(wayKey(a, b));
    this.flush();
  }

  /** Cuts both directions between two peers; with `oneWay`, only what `a` sends to `b`. */
  cut(a: PeerId, b: PeerId, oneWay = false): void {
    this.blocked.add(wayKey(a, b));
    if (!oneWay) this.blocked.add(wayKey(b, a));
  }

  /** Mends the cuts between two peers, or all of them. Stalled messages of connections that still exist arrive. */
  heal(a?: PeerId, b?: PeerId): void {
    if (a === undefined || b === undefined) this.blocked.clear();
    else {
      this.blocked.delete(wayKey(a, b));
      this.blocked.delete(wayKey(b, a));
    }
    this.flush();
  }

  /** True when what `a` sends can reach `b`. */
  reaches(a: PeerId, b: PeerId): boolean {
    return !this.blocked.has(wayKey(a, b));
  }

  /**
   * The process dies without a word of its own. Its machine's kernel closes the connections, unless the machine dies with
   * it (`silent`). The transport object is of no use afterwards.
   */
  crash(id: PeerId, options: { readonly silent?: boolean } = {}): void {
    const transport = this.live.get(id);
    if (!transport) return;
    transport.die();
    this.remove(transport, options.silent ?? false);
  }

  // What follows is for SimTransport.

  /** @internal */
  join(transport: SimTransport): void {
    const { id } = transport.self;
    if (this.live.has(id)) throw new Error(`peer ${id} is already on the network`);
    this.live.set(id, transport);
    for (const other of this.live.keys()) if (other !== id) this.dialSoon(id, other, this.delay(id, other) * 3);
  }

  /** @internal */
  remove(transport: SimTransport, silent: boolean): void {
    const { id } = transport.self;
    if (this.live.get(id) !== transport) return;
    this.live.delete(id);
    for (const [key, connection] of this.connections) {
      const mine = connection.end(id);
      if (mine.owner !== transport) continue;
      mine.open = false;
      if (silent) continue;
      this.connections.delete(key);
      this.closeFar(connection, id, true);
    }
  }

  /** @internal Sends on the connection between two peers; false when there is none or too much is under way. */
  send(from: SimTransport, to: PeerId, channel: string, message: Uint8Array): boolean {
    const connection = this.connections.get(pairKey(from.self.id, to));
    const mine = connection?.end(from.self.id);
    if (!connection || !mine?.open || mine.owner !== from) return false;
    const far = connection.far(from.self.id);
    const limit = this.options.sendBufferBytes ?? 64 * 1024 * 1024;
    if (far.inFlightBytes + message.length > limit) return false;
    const link = this.link(from.self.id, to);
    if (link.breakChance > 0 && this.random.next() < link.breakChance) {
      this.breakConnection(connection);
      return true;
    }
    if (link.lossChance > 0 && this.random.next() < link.lossChance) return true;
    const lane = far.lanes.get(channel) ?? { queue: [], lastArrivalMs: 0, stalled: 0 };
    far.lanes.set(channel, lane);
    const copy = message.slice();
    const post = () => {
      far.inFlightBytes += copy.length;
      const overtakes = link.overtakeChance > 0 && this.random.next() < link.overtakeChance;
      lane.queue.splice(overtakes ? this.random.int(lane.queue.length + 1) : lane.queue.length, 0, copy);
      this.carry(from.self.id, far, channel, lane);
    };
    post();
    if (link.duplicateChance > 0 && this.random.next() < link.duplicateChance) {
      this.clock.timer(this.random.next() * ECHO_MS, () => {
        if (far.open && far.lanes.get(channel) === lane) post();
      });
    }
    return true;
  }

  /** @internal Floods a message over the connections as they are now; every peer gets it at most once. */
  gossip(from: SimTransport, topic: string, message: Uint8Array): void {
    const copy = message.slice();
    const reached = new Map<PeerId, number>([[from.self.id, 0]]);
    const queue: PeerId[] = [from.self.id];
    for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
      for (const to of this.live.keys()) {
        if (reached.has(to) || !this.connected(at, to) || !this.reaches(at, to)) continue;
        if (this.random.next() < this.link(at, to).gossipLossChance) continue;
        const arrivalMs = (reached.get(at) ?? 0) + this.delay(at, to);
        reached.set(to, arrivalMs);
        queue.push(to);
        const target = this.live.get(to);
        const arrive = (): void => {
          const waitMs = this.frozenForMs(to);
          if (waitMs > 0) this.clock.timer(waitMs, arrive);
          else if (target && this.live.get(to) === target) target.receiveGossip(from.self.id, topic, copy);
        };
        this.clock.timer(arrivalMs, arrive);
      }
    }
  }

  /** @internal One side ends the connection; the other one hears of it if it can be told. */
  hangUp(from: SimTransport, to: PeerId): void {
    const key = pairKey(from.self.id, to);
    const connection = this.connections.get(key);
    const mine = connection?.end(from.self.id);
    if (!connection || !mine?.open) return;
    this.connections.delete(key);
    this.closeEnd(connection, from.self.id);
    this.closeFar(connection, from.self.id, false);
    this.dialSoon(from.self.id, to);
  }

  private connected(a: PeerId, b: PeerId): boolean {
    const connection = this.connections.get(pairKey(a, b));
    return connection !== undefined && connection.ends[0].open && connection.ends[1].open;
  }

  private link(from: PeerId, to: PeerId): LinkOptions {
    const own = this.links.get(wayKey(from, to));
    return own ? { ...this.base, ...own } : this.base;
  }

  private delay(from: PeerId, to: PeerId): number {
    const link = this.link(from, to);
    const slow = this.slownessOf(from) + this.slownessOf(to);
    return link.delayMs + slow + (link.jitterMs > 0 ? this.random.next() * link.jitterMs : 0);
  }

  private carry(from: PeerId, far: End, channel: string, lane: Lane): void {
    const to = far.owner.self.id;
    const nowMs = this.clock.monotonicMs();
    lane.lastArrivalMs = Math.max(nowMs + this.delay(from, to), lane.lastArrivalMs);
    this.clock.timer(lane.lastArrivalMs - nowMs, () => {
      if (!far.open) return;
      if (!this.reaches(from, to) || this.frozenForMs(to) > 0) {
        lane.stalled++;
        return;
      }
      const message = lane.queue.shift();
      if (!message) return;
      far.inFlightBytes -= message.length;
      far.owner.receive(from, channel, message);
    });
  }

  private frozenForMs(id: PeerId): number {
    return (this.frozenUntilMs.get(id) ?? 0) - this.clock.monotonicMs();
  }

  /** Sends what was stalled, in order, where the way is free again, and lets peers that lost each other dial. */
  private flush(): void {
    for (const connection of this.connections.values())
      for (const far of connection.ends) {
        const to = far.owner.self.id;
        const from = connection.far(to).owner.self.id;
        if (!far.open || !this.reaches(from, to) || this.frozenForMs(to) > 0) continue;
        for (const [channel, lane] of far.lanes)
          for (; lane.stalled > 0; lane.stalled--) this.carry(from, far, channel, lane);
      }
    for (const a of this.live.keys())
      for (const b of this.live.keys()) if (a < b && !this.connected(a, b)) this.dialSoon(a, b);
  }

  private breakConnection(connection: SimConnection): void {
    const [a, b] = [connection.ends[0].owner.self.id, connection.ends[1].owner.self.id];
    this.connections.delete(pairKey(a, b));
    this.closeEnd(connection, a);
    this.closeFar(connection, a, false);
    this.dialSoon(a, b);
  }

  private closeEnd(connection: SimConnection, id: PeerId): void {
    const mine = connection.end(id);
    if (!mine.open) return;
    mine.open = false;
    mine.lanes.clear();
    mine.owner.disconnected(connection.far(id).owner.self.id, connection);
  }

  /** The other side learns that `id` closed, one delay later, if the way is free then; else when it next matters. */
  private closeFar(connection: SimConnection, id: PeerId, gone: boolean): void {
    const far = connection.far(id);
    const other = far.owner.self.id;
    const peer = connection.end(id).owner.self;
    this.clock.timer(this.delay(id, other), () => {
      if (!this.reaches(id, other)) return;
      this.closeEnd(connection, other);
      if (gone) this.redialRefused(far.owner, peer);
    });
  }

  /** The survivor dials at once; the dead process' machine answers that nobody listens. */
  private redialRefused(survivor: SimTransport, peer: PeerInfo): void {
    this.clock.timer(this.delay(survivor.self.id, peer.id) + this.delay(peer.id, survivor.self.id), () => {
      const reachable = this.reaches(survivor.self.id, peer.id) && this.reaches(peer.id, survivor.self.id);
      if (!reachable || this.live.has(peer.id) || this.live.get(survivor.self.id) !== survivor) return;
      survivor.refused(peer);
    });
  }

  private dialSoon(a: PeerId, b: PeerId, withinMs?: number): void {
    const key = pairKey(a, b);
    if (this.dialing.has(key)) return;
    const waitMs = withinMs ?? this.random.next() * (this.options.redialMs ?? 1000);
    const cancel = this.clock.timer(waitMs, () => {
      this.dialing.delete(key);
      this.dial(a, b);
    });
    this.dialing.set(key, cancel);
  }

  private dial(a: PeerId, b: PeerId): void {
    const [left, right] = [this.live.get(a), this.live.get(b)];
    if (!left || !right || this.connected(a, b)) return;
    if (!this.reaches(a, b) || !this.reaches(b, a)) return; // `heal` dials again
    const [atLeft, atRight] = [left.admit(right), right.admit(left)];
    if (!atLeft || !atRight) {
      this.dialSoon(a, b);
      return;
    }
    const key = pairKey(a, b);
    const old = this.connections.get(key);
    if (old) this.replace(old);
    left.dropped(right.self.id);
    right.dropped(left.self.id);
    const connection = new SimConnection(left, right);
    this.connections.set(key, connection);
    left.connected(atLeft, connection);
    right.connected(atRight, connection);
  }

  /** A half-open connection is noticed when the peer comes back with a new one. */
  private replace(old: SimConnection): void {
    for (const end of old.ends)
      if (this.live.get(end.owner.self.id) === end.owner) this.closeEnd(old, end.owner.self.id);
  }
}

function pairKey(a: PeerId, b: PeerId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function wayKey(from: PeerId, to: PeerId): string {
  return `${from}>${to}`;
}

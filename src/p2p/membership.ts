/**
 * Membership on a transport: heartbeats, questions to third peers, and the attributes that peers spread about themselves.
 * What follows from all that is decided in `membership-core.ts`.
 *
 * Up to `fullMeshUpTo` peers everyone watches everyone; beyond, each peer exchanges heartbeats with its neighbours in the
 * ring of sorted ids, and who loses a neighbour tells the rest, who look for themselves.
 */
import { Packr } from 'msgpackr';
import type { Cancel, Clock } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import type { Logger } from '../base/log.js';
import {
  decide,
  newMembershipState,
  type MembershipAction,
  type MembershipEvent,
  type MembershipState,
  type MembershipTiming,
} from './membership-core.js';
import type { Member, MembershipView } from './membership-view.js';
import type { PeerId, PeerInfo, Transport } from './transport.js';

export interface MembershipOptions extends Partial<MembershipTiming> {
  /** Milliseconds between heartbeats; 200 unless told. */
  readonly heartbeatMs?: number;
  /** Milliseconds between looks at who is silent; 50 unless told. */
  readonly tickMs?: number;
  /** Up to how many members everyone watches everyone; 30 unless told. */
  readonly fullMeshUpTo?: number;
  /** How many neighbours on either side of the ring are watched beyond that; 4 unless told. */
  readonly neighbours?: number;
}

/**
 * A heartbeat at 200 ms and a timeout of 800 ms were measured to hold with 20 peers on two cores; a little more leaves room for
 * machines that also run workloads, and still lets a cut-off sequencer be replaced within two seconds.
 */
export const DEFAULT_TIMING: MembershipTiming = {
  timeoutMs: 1_100,
  confirmMs: 300,
  askMs: 40,
  askPeers: 3,
  maxDead: 256,
};

const CHANNEL = 'membership';
const MAX_ATTRIBUTE_BYTES = 4096;
type Attributes = Readonly<Record<string, unknown>>;

/**
 * On the wire: heartbeat `[0, version, attributes or null]`, request for attributes `[1]`, question `[2, about]`, answer
 * `[3, about, connected, heardAgoMs]`, request for a heartbeat `[4]`, verdict `[5, about]`.
 */
type Message =
  | readonly [0, number, Attributes | null]
  | readonly [1]
  | readonly [2, PeerId]
  | readonly [3, PeerId, boolean, number]
  | readonly [4]
  | readonly [5, PeerId];

export class Membership implements Service, MembershipView {
  readonly name = 'membership';
  private readonly packr = new Packr({ useRecords: false, variableMapSize: true });
  private readonly timing: MembershipTiming;
  private readonly startedMs: number;
  private state: MembershipState;
  private own: Attributes = {};
  private version: number;
  private readonly attributes = new Map<PeerId, { readonly version: number; readonly value: Attributes }>();
  private readonly listeners = new Set<() => void>();
  private watched: ReadonlySet<PeerId> = new Set();
  private watchAll = true;
  private cancels: Cancel[] = [];

  constructor(
    private readonly deps: { readonly clock: Clock; readonly log: Logger },
    private readonly transport: Transport,
    private readonly options: MembershipOptions = {},
  ) {
    this.timing = {
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMING.timeoutMs,
      confirmMs: options.confirmMs ?? DEFAULT_TIMING.confirmMs,
      askMs: options.askMs ?? DEFAULT_TIMING.askMs,
      askPeers: options.askPeers ?? DEFAULT_TIMING.askPeers,
      maxDead: options.maxDead ?? DEFAULT_TIMING.maxDead,
    };
    this.startedMs = deps.clock.monotonicMs();
    this.state = newMembershipState(this.startedMs);
    // Differs from the versions of this peer's earlier runs.
    this.version = Math.floor(deps.clock.nowMs());
  }

  get self(): PeerInfo {
    return this.transport.self;
  }

  start(): Promise<void> {
    const { clock } = this.deps;
    const tickMs = this.options.tickMs ?? 50;
    this.state.lastTickMs = clock.monotonicMs();
    this.cancels = [
      this.transport.onMessage(CHANNEL, (from, message) => this.receive(from, message)),
      this.transport.subscribe({
        onConnected: (peer) => {
          this.feed({ type: 'connected', peer });
          this.send(peer.id, [0, this.version, this.own]);
        },
        onDisconnected: (peer) => this.feed({ type: 'disconnected', id: peer.id }),
        onRefused: (peer) => this.feed({ type: 'refused', id: peer.id }),
      }),
      clock.interval(this.options.heartbeatMs ?? 200, () => this.beat()),
      clock.interval(tickMs, () => this.feed({ type: 'tick', tickMs, watched: (id) => this.watches(id) })),
    ];
    return Promise.resolve();
  }

  stop(): Promise<void> {
    for (const cancel of this.cancels.splice(0)) cancel();
    return Promise.resolve();
  }

  members(): readonly Member[] {
    const self: Member = { ...this.self, liveness: 'alive', sinceMs: this.startedMs, attributes: this.own };
    const others = [...this.state.members.values()].map(({ peer, liveness, sinceMs }) => ({
      ...peer,
      liveness,
      sinceMs,
      attributes: this.attributes.get(peer.id)?.value ?? {},
    }));
    return [self, ...others].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  alive(): readonly PeerId[] {
    const ids = [this.self.id];
    for (const [id, member] of this.state.members) if (member.liveness !== 'dead') ids.push(id);
    return ids.toSorted();
  }

  detour(id: PeerId): PeerId | undefined {
    const member = this.state.members.get(id);
    const via = member?.liveness === 'suspect' ? member.vouchedBy : undefined;
    const third = via === undefined ? undefined : this.state.members.get(via);
    return third?.connected && third.liveness === 'alive' ? via : undefined;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Spreads new facts about this peer. Throws when they exceed 4 KiB. */
  setAttributes(attributes: Attributes): void {
    const packed = this.packr.pack(attributes);
    if (packed.length > MAX_ATTRIBUTE_BYTES)
      throw new Error(`a peer may tell ${MAX_ATTRIBUTE_BYTES} bytes about itself, not ${packed.length}`);
    const present = this.packr.pack(this.own);
    if (packed.equals(present)) return;
    this.own = Object.freeze({ ...attributes });
    this.version++;
    for (const peer of this.transport.peers()) this.send(peer.id, [0, this.version, this.own]);
    this.notify();
  }

  /** Removes a dead member from the list; it comes back if it connects again. */
  forget(id: PeerId): void {
    if (this.state.members.get(id)?.liveness !== 'dead') return;
    this.state.members.delete(id);
    this.attributes.delete(id);
    this.notify();
  }

  private beat(): void {
    for (const peer of this.transport.peers()) if (this.watches(peer.id)) this.send(peer.id, [0, this.version, null]);
  }

  private watches(id: PeerId): boolean {
    return this.watchAll || this.watched.has(id);
  }

  private send(to: PeerId, message: Message): void {
    this.transport.send(to, CHANNEL, this.packr.pack(message));
  }

  private receive(from: PeerId, bytes: Uint8Array): void {
    const message = this.packr.unpack(bytes) as Message;
    this.feed({ type: 'heard', id: from });
    switch (message[0]) {
      case 0:
        this.learn(from, message[1], message[2]);
        return;
      case 1:
        this.send(from, [0, this.version, this.own]);
        return;
      case 2:
        this.answer(from, message[1]);
        return;
      case 3:
        this.feed({ type: 'opinion', from, about: message[1], connected: message[2], heardAgoMs: message[3] });
        return;
      case 4:
        this.send(from, [0, this.version, null]);
        return;
      case 5:
        this.feed({ type: 'told-dead', id: message[1] });
        return;
      default:
        this.deps.log.debug('a membership message of an unknown kind', { peer: from });
    }
  }

  private learn(from: PeerId, version: number, attributes: Attributes | null): void {
    if (this.attributes.get(from)?.version === version) return;
    if (attributes === null) {
      this.send(from, [1]);
      return;
    }
    this.attributes.set(from, { version, value: Object.freeze(attributes) });
    this.notify();
  }

  private answer(to: PeerId, about: PeerId): void {
    const member = this.state.members.get(about);
    if (!member) return;
    const heardAgoMs = this.deps.clock.monotonicMs() - member.lastHeardMs;
    const fine = member.connected && member.liveness === 'alive';
    // Who is not watched is not heard regularly: an open connection says nothing either way.
    if (fine && !this.watches(about) && heardAgoMs >= this.timing.timeoutMs / 2) return;
    this.send(to, [3, about, fine, heardAgoMs]);
  }

  private feed(event: MembershipEvent): void {
    const actions = decide(this.state, event, this.deps.clock.monotonicMs(), this.timing);
    for (const action of actions) this.execute(action);
    if (actions.some((action) => action.type === 'changed')) {
      this.chooseNeighbours();
      this.notify();
    }
  }

  private execute(action: MembershipAction): void {
    switch (action.type) {
      case 'changed':
        return;
      case 'ask':
        for (const peer of action.peers) this.send(peer, [2, action.about]);
        return;
      case 'ping':
        this.send(action.id, [4]);
        return;
      case 'hang-up':
        this.transport.hangUp(action.id);
        return;
      case 'bury':
        this.deps.log.info('a peer is dead', { peer: action.id, node: this.state.members.get(action.id)?.peer.name });
        this.transport.hangUp(action.id);
        if (!this.watchAll) for (const peer of this.transport.peers()) this.send(peer.id, [5, action.id]);
        return;
      default:
        action satisfies never;
    }
  }

  /** Beyond a full mesh: the next few ids on either side of the ring. The relation is symmetric. */
  private chooseNeighbours(): void {
    for (const id of this.attributes.keys()) if (!this.state.members.has(id)) this.attributes.delete(id);
    const ids = this.alive();
    this.watchAll = ids.length <= (this.options.fullMeshUpTo ?? 30);
    if (this.watchAll) return;
    const at = ids.indexOf(this.self.id);
    const reach = this.options.neighbours ?? 4;
    const chosen = new Set<PeerId>();
    for (let step = 1; step <= reach; step++)
      for (const index of [at + step, at - step + ids.length]) {
        const id = ids[index % ids.length];
        if (id !== undefined) chosen.add(id);
      }
    // A new neighbour's silence counts from now.
    for (const id of chosen) {
      const member = this.state.members.get(id);
      if (member && !this.watched.has(id)) member.lastHeardMs = this.deps.clock.monotonicMs();
    }
    this.watched = chosen;
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}

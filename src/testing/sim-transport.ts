/** One peer's end of a {@link SimNetwork}. */
import type { Admission } from '../p2p/libp2p/admission.js';
import type { PeerId, PeerInfo, Transport, TransportEvents } from '../p2p/transport.js';
import type { SimConnection } from './sim-connection.js';
import type { SimNetwork } from './sim-network.js';

export class SimTransport implements Transport {
  readonly name = 'sim-transport';
  private running = false;
  private readonly present = new Map<PeerId, { peer: PeerInfo; connection: SimConnection }>();
  private readonly listeners = new Set<TransportEvents>();
  private readonly channels = new Map<string, (from: PeerId, message: Uint8Array) => void>();
  private readonly topics = new Map<string, Set<(from: PeerId | undefined, message: Uint8Array) => void>>();

  constructor(
    private readonly network: SimNetwork,
    readonly self: PeerInfo,
    /** Whom it talks to; to everybody unless told. */
    private readonly admission?: Admission,
  ) {}

  start(): Promise<void> {
    this.network.join(this);
    this.running = true;
    return Promise.resolve();
  }

  stop(): Promise<void> {
    if (!this.running) return Promise.resolve();
    this.running = false;
    this.network.remove(this, false);
    const gone = [...this.present.values()].map(({ peer }) => peer);
    this.present.clear();
    for (const peer of gone) for (const listener of this.listeners) listener.onDisconnected(peer);
    return Promise.resolve();
  }

  peers(): readonly PeerInfo[] {
    return [...this.present.values()].map(({ peer }) => peer).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  subscribe(events: TransportEvents): () => void {
    this.listeners.add(events);
    for (const peer of this.peers()) events.onConnected(peer);
    return () => this.listeners.delete(events);
  }

  send(to: PeerId, channel: string, message: Uint8Array): boolean {
    return this.running && this.network.send(this, to, channel, message);
  }

  onMessage(channel: string, handler: (from: PeerId, message: Uint8Array) => void): () => void {
    if (this.channels.has(channel)) throw new Error(`channel ${channel} already has a handler`);
    this.channels.set(channel, handler);
    return () => {
      if (this.channels.get(channel) === handler) this.channels.delete(channel);
    };
  }

  publish(topic: string, message: Uint8Array): void {
    if (this.running) this.network.gossip(this, topic, message);
  }

  onGossip(topic: string, handler: (from: PeerId | undefined, message: Uint8Array) => void): () => void {
    const handlers = this.topics.get(topic) ?? new Set();
    this.topics.set(topic, handlers);
    handlers.add(handler);
    return () => handlers.delete(handler);
  }

  /** Peers of one simulated network know each other already. */
  addAddresses: Transport['addAddresses'] = () => undefined;

  hangUp(peer: PeerId): void {
    this.network.hangUp(this, peer);
  }

  /** See `Libp2pTransport`. */
  forget(peer: PeerId): void {
    this.hangUp(peer);
  }

  /** See `Libp2pTransport`. */
  enforceDenials(): void {
    for (const peer of this.peers()) if (this.admission?.denied?.(peer) !== undefined) this.hangUp(peer.id);
  }

  // What follows is called by the network.

  /** @internal That peer as this one may know it; undefined when it does not want it. */
  admit(other: SimTransport): PeerInfo | undefined {
    const { admission } = this;
    if (!admission) return other.self;
    if (admission.denied?.({ id: other.self.id }) !== undefined) return undefined;
    const result = admission.admit(other.self.id, other.admission?.hello(other.self) ?? new Uint8Array());
    return result.ok ? result.peer : undefined;
  }

  /** @internal The process died: nothing is delivered or sent any more. */
  die(): void {
    this.running = false;
    this.listeners.clear();
    this.channels.clear();
    this.topics.clear();
    this.present.clear();
  }

  /** @internal */
  connected(peer: PeerInfo, connection: SimConnection): void {
    this.present.set(peer.id, { peer, connection });
    for (const listener of this.listeners) listener.onConnected(peer);
  }

  /** @internal That connection is gone, if it was still held for open: the end of an old one may come after a new one is there. */
  disconnected(id: PeerId, connection: SimConnection): void {
    const held = this.present.get(id);
    if (!this.running || held?.connection !== connection) return;
    const { peer } = held;
    this.present.delete(id);
    for (const listener of this.listeners) listener.onDisconnected(peer);
  }

  /** @internal The same by id, before a new connection takes over. */
  dropped(id: PeerId): void {
    const held = this.present.get(id);
    if (held) this.disconnected(id, held.connection);
  }

  /** @internal */
  refused(peer: PeerInfo): void {
    if (!this.running || this.present.has(peer.id)) return;
    for (const listener of this.listeners) listener.onRefused?.(peer);
  }

  /** @internal */
  receive(from: PeerId, channel: string, message: Uint8Array): void {
    if (this.running) this.channels.get(channel)?.(from, message);
  }

  /** @internal */
  receiveGossip(from: PeerId, topic: string, message: Uint8Array): void {
    if (this.running) for (const handler of this.topics.get(topic) ?? []) handler(from, message);
  }
}

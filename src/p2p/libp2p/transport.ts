/**
 * The `Transport` on libp2p. A connection counts once both sides have sent their hello and found it good; of two
 * connections between the same peers one is kept. See `transport.ts` for the guarantees, `admission.ts` for who gets in.
 *
 * Stronger than promised: while a connection lasts there are no gaps in a channel either (a broken stream ends the
 * connection). A message must not be changed after it was given to `send` or `publish`.
 */
import '../../base/polyfill.js';
import type { Connection, Stream } from '@libp2p/interface';
import type { Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import { noMetrics, type Metrics } from '../../base/metrics.js';
import type { Random } from '../../base/random.js';
import type { PeerId, PeerInfo, Transport, TransportEvents } from '../transport.js';
import { formatHostPort, hostPortOf, tcpMultiaddr, parseHostPort, type HostPort } from './address.js';
import { noAddressBook, type AddressBook, type Admission } from './admission.js';
import { Dialer } from './dialer.js';
import { Gossip, GOSSIP_CHANNEL } from './gossip.js';
import { peerIdOf } from './identity.js';
import { CHANNEL_PROTOCOL, Link, readChannel } from './link.js';
import { createNode, type Node } from './node.js';
import { abortConnection, HELLO_PROTOCOL, Reception } from './reception.js';
import type { Refusal } from './refusals.js';
import { probeTcp } from './tcp-probe.js';

/** Two connections made within this time are one pair of simultaneous dials; later ones replace a dead one. */
const SIMULTANEOUS_MS = 2000;
const BOOK_DELAY_MS = 1000;
const PROBE_LOOKS = 6;
const PROBE_PAUSE_MS = 15;

export interface Libp2pTransportOptions {
  /** This peer's private key in libp2p's protobuf form. */
  readonly privateKey: Uint8Array;
  /** The node's name. */
  readonly name: string;
  /** Where to listen; port 0 takes a free one. */
  readonly listen: HostPort;
  /** `host:port` pairs to tell others; where it listens unless told. */
  readonly announce?: readonly string[];
  /** At least 32 random bytes that all peers share. */
  readonly clusterSecret: Uint8Array;
  readonly admission: Admission;
  readonly book?: AddressBook;
  /** Look for peers of this cluster on the local link; off unless told. */
  readonly mdns?: boolean;
  /** Bytes that may wait for one peer before `send` refuses; 64 MiB unless told. */
  readonly sendBufferBytes?: number;
  /** The longest message, in bytes; 256 MiB unless told. */
  readonly maxMessageBytes?: number;
  /** First and longest wait between dials of a peer in milliseconds; 100 and 2000 unless told. */
  readonly redialMs?: { readonly base: number; readonly max: number };
  /** 2000 unless told. */
  readonly dialTimeoutMs?: number;
  /** How long a connection may go without a hello, in milliseconds; 5000 unless told. */
  readonly helloTimeoutMs?: number;
  /** Connections at most; 300 unless told. */
  readonly maxConnections?: number;
}

export interface Libp2pTransportDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: Metrics;
}

export class Libp2pTransport implements Transport {
  readonly name = 'p2p-transport';
  private readonly id: PeerId;
  private addresses: readonly string[];
  private node: Node | undefined;
  private readonly links = new Map<PeerId, Link>();
  private readonly listeners = new Set<TransportEvents>();
  private readonly channels = new Map<string, (from: PeerId, message: Uint8Array) => void>();
  private readonly dialer: Dialer;
  private readonly gossip: Gossip;
  private readonly reception: Reception;
  private readonly peersGauge;
  private bookDirty = false;
  private cancelBook: () => void = () => undefined;

  constructor(
    private readonly deps: Libp2pTransportDeps,
    private readonly options: Libp2pTransportOptions,
  ) {
    this.id = peerIdOf(options.privateKey);
    const { admission, helloTimeoutMs = 5000 } = options;
    this.reception = new Reception(
      deps,
      { admission, helloTimeoutMs },
      () => this.self,
      (connection, peer) => this.admit(connection, peer),
    );
    this.addresses = options.announce ?? [formatHostPort(options.listen)];
    const redial = options.redialMs ?? { base: 100, max: 2000 };
    this.dialer = new Dialer(
      this.id,
      deps,
      { baseMs: redial.base, maxMs: redial.max, politenessMs: 750, maxTargets: 1024 },
      (id, addresses) => this.dial(id, addresses),
      () => this.saveBookSoon(),
    );
    this.gossip = new Gossip(
      this.id,
      deps.random,
      { maxSeen: 16_384, directUpTo: 32 },
      {
        peers: () => [...this.links.keys()],
        send: (to, envelope) => void this.send(to, GOSSIP_CHANNEL, envelope),
        failed: (error) => deps.log.debug('gossip was not published', { error: errorText(error) }),
      },
    );
    this.channels.set(GOSSIP_CHANNEL, (_from, envelope) => this.gossip.receive(envelope));
    this.peersGauge = (deps.metrics ?? noMetrics).gauge('skein_p2p_connected_peers', 'Connected and admitted peers.');
  }

  get self(): PeerInfo {
    return { id: this.id, name: this.options.name, addresses: this.addresses };
  }

  async start(): Promise<void> {
    const { options } = this;
    const node = await createNode({
      privateKey: options.privateKey,
      clusterSecret: options.clusterSecret,
      listen: options.listen,
      mdns: options.mdns ?? false,
      maxConnections: options.maxConnections ?? 300,
      dialTimeoutMs: options.dialTimeoutMs ?? 2000,
      denied: (peerId) => options.admission.denied?.({ id: peerId as PeerId }) !== undefined,
    });
    node.addEventListener('connection:open', (event) => this.reception.opened(event.detail));
    node.addEventListener('connection:close', (event) => this.closed(event.detail));
    node.addEventListener('peer:discovery', (event) => {
      const addresses = event.detail.multiaddrs.map(hostPortOf).filter((address) => address !== undefined);
      this.addAddresses({ id: event.detail.id.toString() as PeerId, addresses });
    });
    try {
      await node.handle(HELLO_PROTOCOL, (stream, connection) => this.reception.answerHello(stream, connection));
      await node.handle(CHANNEL_PROTOCOL, (stream, connection) => this.acceptChannel(stream, connection), {
        maxInboundStreams: 256,
        maxOutboundStreams: 256,
      });
      await node.start();
    } catch (error) {
      await node.stop();
      throw error;
    }
    this.node = node;
    if (!options.announce) {
      const listening = node.getMultiaddrs().map(hostPortOf);
      this.addresses = [...new Set(listening.filter((address) => address !== undefined))];
    }
    this.gossip.attach(node.services.pubsub);
    for (const entry of await (options.book ?? noAddressBook).load())
      this.dialer.add(entry.id, entry.addresses, this.addresses);
    this.dialer.start();
    this.deps.log.info('listening for peers', { peer: this.id, addresses: this.addresses });
  }

  async stop(): Promise<void> {
    const { node } = this;
    if (!node) return;
    this.node = undefined;
    this.dialer.stop();
    this.gossip.detach();
    this.cancelBook();
    if (this.bookDirty) await this.saveBook();
    this.reception.stop();
    await node.stop();
    for (const link of this.links.values()) this.drop(link);
  }

  peers(): readonly PeerInfo[] {
    return [...this.links.values()].map(({ peer }) => peer).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  subscribe(events: TransportEvents): () => void {
    this.listeners.add(events);
    for (const peer of this.peers()) events.onConnected(peer);
    return () => this.listeners.delete(events);
  }

  send(to: PeerId, channel: string, message: Uint8Array): boolean {
    return this.links.get(to)?.send(channel, message) ?? false;
  }

  onMessage(channel: string, handler: (from: PeerId, message: Uint8Array) => void): () => void {
    if (this.channels.has(channel)) throw new Error(`channel ${channel} already has a handler`);
    this.channels.set(channel, handler);
    return () => {
      if (this.channels.get(channel) === handler) this.channels.delete(channel);
    };
  }

  publish(topic: string, message: Uint8Array): void {
    this.gossip.publish(topic, message);
  }

  onGossip(topic: string, handler: (from: PeerId | undefined, message: Uint8Array) => void): () => void {
    return this.gossip.on(topic, handler);
  }

  addAddresses(peer: { readonly id?: PeerId; readonly addresses: readonly string[] }): void {
    const { id } = peer;
    if (id !== undefined && this.options.admission.denied?.({ id }) !== undefined) return;
    this.dialer.add(peer.id, peer.addresses, this.addresses);
  }

  hangUp(peer: PeerId): void {
    const link = this.links.get(peer);
    if (!link) return;
    abortConnection(link.connection, new Error('hung up'));
    this.drop(link);
  }

  /** Stops looking for a peer that left the cluster for good, and closes its connection. */
  forget(peer: PeerId): void {
    this.hangUp(peer);
    this.dialer.forget(peer);
  }

  /** Closes the connections of peers that have been denied in the meantime. */
  enforceDenials(): void {
    for (const { peer } of this.links.values()) {
      const reason = this.options.admission.denied?.(peer);
      if (reason === undefined) continue;
      this.deps.log.warn('closing the connection of a peer', { peer: peer.id, node: peer.name, reason });
      this.hangUp(peer.id);
    }
  }

  /** Peers that refuse this one, or are refused by it, lately. */
  refusals(): readonly Refusal[] {
    return this.reception.refusals();
  }

  private async dial(id: string | undefined, addresses: readonly string[]): Promise<void> {
    const targets = addresses.map(parseHostPort).filter((target) => target !== undefined);
    if (!this.node) return;
    await this.node.dial(targets.map((target) => tcpMultiaddr(target, id)));
  }

  private admit(connection: Connection, peer: PeerInfo): void {
    const present = this.links.get(peer.id);
    if (present && !this.preferred(present, connection)) {
      abortConnection(connection, new Error('a duplicate connection'));
      return;
    }
    if (present) {
      abortConnection(present.connection, new Error('replaced by a newer connection'));
      this.drop(present);
    }
    const link = new Link(peer, connection, this.deps.clock, this.linkOptions(), (error) => {
      this.deps.log.warn('closing a connection whose stream broke', { peer: peer.id, error: errorText(error) });
      abortConnection(connection, new Error('a stream broke', { cause: error }));
    });
    this.links.set(peer.id, link);
    this.peersGauge.set(this.links.size);
    const via = connection.direction === 'outbound' ? hostPortOf(connection.remoteAddr) : undefined;
    this.dialer.connected(peer.id, peer.addresses, via, this.addresses);
    this.deps.log.info('connected', { peer: peer.id, node: peer.name, direction: connection.direction });
    for (const listener of this.listeners) listener.onConnected(peer);
  }

  /** True when the new connection takes the place of the present one. Both sides come to the same answer. */
  private preferred(present: Link, connection: Connection): boolean {
    if (present.connection.status !== 'open') return true;
    if (present.connection.direction === connection.direction) return true;
    if (this.deps.clock.monotonicMs() - present.sinceMs > SIMULTANEOUS_MS) return true;
    const dialledByLower = (connection.direction === 'outbound') === this.id < connection.remotePeer.toString();
    return dialledByLower;
  }

  private linkOptions() {
    return {
      sendBufferBytes: this.options.sendBufferBytes ?? 64 * 1024 * 1024,
      maxMessageBytes: this.maxMessageBytes(),
      openTimeoutMs: 5000,
    };
  }

  private maxMessageBytes(): number {
    return this.options.maxMessageBytes ?? 256 * 1024 * 1024;
  }

  private acceptChannel(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString() as PeerId;
    if (this.links.get(peer)?.connection.id !== connection.id) {
      stream.abort(new Error('not admitted on this connection'));
      return;
    }
    readChannel(stream, this.maxMessageBytes(), (channel, message) => {
      if (this.links.get(peer)?.connection.id === connection.id) this.deliver(peer, channel, message);
    });
  }

  private deliver(from: PeerId, channel: string, message: Uint8Array): void {
    const handler = this.channels.get(channel);
    if (!handler) {
      this.deps.log.debug('no handler for a message', { channel, peer: from });
      return;
    }
    try {
      handler(from, message);
    } catch (error) {
      this.deps.log.error('a message handler failed', { channel, peer: from, error: errorText(error) });
    }
  }

  private closed(connection: Connection): void {
    this.reception.closed(connection);
    const link = this.links.get(connection.remotePeer.toString() as PeerId);
    if (link?.connection.id === connection.id) this.drop(link);
  }

  /** Forgets a connection, tells so, and starts to look for the peer again. */
  private drop(link: Link): void {
    const { peer } = link;
    if (this.links.get(peer.id) !== link) return;
    this.links.delete(peer.id);
    this.peersGauge.set(this.links.size);
    this.deps.log.info('disconnected', { peer: peer.id, node: peer.name });
    for (const listener of this.listeners) listener.onDisconnected(peer);
    if (!this.node) return;
    this.dialer.disconnected(peer.id);
    this.probe(peer).catch((error: unknown) => this.deps.log.debug('probe failed', { error: errorText(error) }));
  }

  /**
   * Looks whether the peer's process is gone: every one of its addresses refuses. A dying process' connections may close
   * before its listener does, so a few looks are taken.
   */
  private async probe(peer: PeerInfo): Promise<void> {
    const { clock } = this.deps;
    const timeoutMs = this.options.dialTimeoutMs ?? 2000;
    for (let look = 0; look < PROBE_LOOKS; look++) {
      const results = await Promise.all(peer.addresses.map((address) => probeTcp(clock, address, timeoutMs)));
      if (!this.node || this.links.has(peer.id)) return;
      if (results.length > 0 && results.every((result) => result === 'refused')) {
        for (const listener of this.listeners) listener.onRefused?.(peer);
        return;
      }
      await clock.sleep(PROBE_PAUSE_MS);
    }
  }

  private saveBookSoon(): void {
    if (this.bookDirty || !this.node) return;
    this.bookDirty = true;
    this.cancelBook = this.deps.clock.timer(BOOK_DELAY_MS, () => void this.saveBook());
  }

  private async saveBook(): Promise<void> {
    this.bookDirty = false;
    try {
      await (this.options.book ?? noAddressBook).save(this.dialer.entries());
    } catch (error) {
      this.deps.log.warn('the addresses of peers could not be saved', { error: errorText(error) });
    }
  }
}

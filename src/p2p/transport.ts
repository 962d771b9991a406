/**
 * How opaque bytes move between the peers of one cluster. Implemented on libp2p and, for the simulator, in memory; one
 * contract suite runs against both.
 *
 * Guarantees: messages of one sender on one channel arrive in order and at most once while the connection lasts; a
 * connection that ends is reported once; only admitted peers (who proved their membership) ever show up here.
 * Non-guarantees: delivery (a message may be lost with its connection), order between channels or via gossip.
 */
import type { Service } from '../base/lifecycle.js';
import type { VersionRange } from '../base/version-range.js';

/** A libp2p peer id in its text form: the peer's cryptographic identity. */
export type PeerId = string & { readonly __brand: 'PeerId' };

/** What a peer proved about itself when it connected. */
export interface PeerInfo {
  readonly id: PeerId;
  /** The node's name, unique in the cluster. */
  readonly name: string;
  /** `host:port` pairs at which it accepts connections. */
  readonly addresses: readonly string[];
  /** The formats that its build knows, as it said; absent when it said nothing. */
  readonly formats?: VersionRange;
}

export interface TransportEvents {
  onConnected(peer: PeerInfo): void;
  /** The connection is gone; suspicion, not proof of death. */
  onDisconnected(peer: PeerInfo): void;
  /**
   * A redial of a peer that had been connected was refused outright: its machine answers and nothing listens at its
   * address any more. Together with a disconnect this is proof enough that the process is gone.
   */
  onRefused?(peer: PeerInfo): void;
}

export interface Transport extends Service {
  readonly self: PeerInfo;
  /** Connected and admitted peers, without this one. */
  peers(): readonly PeerInfo[];
  /** Adds a listener; present peers are reported at once. */
  subscribe(events: TransportEvents): () => void;
  /**
   * Queues a message on the long-lived stream of that channel. False when the peer is not connected or its send buffer
   * is full (the message is then not sent).
   */
  send(to: PeerId, channel: string, message: Uint8Array): boolean;
  /** One handler per channel; replaces nothing: a second registration of a channel throws. */
  onMessage(channel: string, handler: (from: PeerId, message: Uint8Array) => void): () => void;
  /** Spreads a message to all peers by gossip. Best effort: may be lost; identical payloads are de-duplicated. */
  publish(topic: string, message: Uint8Array): void;
  onGossip(topic: string, handler: (from: PeerId | undefined, message: Uint8Array) => void): () => void;
  /** Tells where a peer may be found, e.g. learnt from others; kept and redialled for ever with back-off. */
  addAddresses(peer: { readonly id?: PeerId; readonly addresses: readonly string[] }): void;
  /** Closes the connection to a peer that is considered dead; it is redialled with back-off. */
  hangUp(peer: PeerId): void;
}

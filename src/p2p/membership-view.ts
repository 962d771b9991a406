/** What others see of membership: who is alive right now, as far as this peer can tell. */
import type { PeerId, PeerInfo } from './transport.js';

export type Liveness = 'alive' | 'suspect' | 'dead';

export interface Member extends PeerInfo {
  readonly liveness: Liveness;
  /** Milliseconds (monotonic, this peer's clock) at which `liveness` last changed. */
  readonly sinceMs: number;
  /** Opaque facts this peer spreads about itself with its heartbeats (node load, addresses); at most 4 KiB. */
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface MembershipView {
  readonly self: PeerInfo;
  /** Every member known, this one included (always alive), ordered by id. Dead ones stay until forgotten. */
  members(): readonly Member[];
  /** Ids of the members that are not dead (suspects count as alive until confirmed), this one included, sorted. */
  alive(): readonly PeerId[];
  /** The peer over which to reach a suspect that it vouches for; undefined of others, and when there is none. */
  detour(id: PeerId): PeerId | undefined;
  /** Called after every change of any member's liveness or attributes. */
  onChange(listener: () => void): () => void;
  /** Replaces what this peer spreads about itself. */
  setAttributes(attributes: Readonly<Record<string, unknown>>): void;
}

/** What the parts of a replica share. */
import type { Clock } from '../../base/clock.js';
import type { Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Random } from '../../base/random.js';
import type { VersionRange } from '../../base/version-range.js';
import type { KindPolicies } from '../kind-policy.js';
import type { WriteExecutor } from '../object-store.js';
import type { StampClock } from '../stamp.js';
import { CONFLICT_LIMITS, type ConflictLimits, type MergeReport } from './conflict-log.js';
import type { Message } from './messages.js';
import type { ReplicaState } from './replica-state.js';
import type { ReplicaStorage } from './storage.js';
import type { AckPolicy } from './view.js';

/** What a replica needs of the network; made of a transport and a membership by the agent. */
export interface PeerNetwork {
  readonly self: string;
  /** False when the message certainly did not go out. Order is kept while a connection lasts. */
  send(to: string, message: Uint8Array): boolean;
  onMessage(handler: (from: string, message: Uint8Array) => void): () => void;
  /** Peers that are not dead, this one included, sorted. */
  alive(): readonly string[];
  /** The node's name of a peer; undefined when it is not known. */
  nameOf(peer: string): string | undefined;
  /** The formats that a peer's build knows, this one's included; undefined while it is not connected. */
  formatsOf(peer: string): VersionRange | undefined;
  onChange(listener: () => void): () => void;
}

export interface ReplicaOptions {
  /** On how many peers' disks a write must be before it is acknowledged. */
  readonly ack: AckPolicy;
  /** Control-plane roles to assign besides `api`. */
  readonly roles: readonly string[];
  /** Frames under way before writes wait for company (group commit). */
  readonly framesInFlight: number;
  /** Frames sent to a peer ahead of its acknowledgements. */
  readonly window: number;
  /** How often timeouts are looked at, in milliseconds. */
  readonly tickMs: number;
  /** How often every peer tells the others whom it follows, changes apart, in milliseconds. */
  readonly stateMs: number;
  /** An unanswered append is followed by a question after so many milliseconds. */
  readonly probeMs: number;
  /** A candidate waits so long for answers, in milliseconds. */
  readonly gatherMs: number;
  /** Each further peer in the order of succession waits so much longer, in milliseconds. */
  readonly successionMs: number;
  /** After a start, how long to wait for the peers of the last view, in milliseconds. */
  readonly bootGraceMs: number;
  /** How long a peer waits for the sequencer that it promised, or that it hears of, to take it in, in milliseconds. */
  readonly inviteMs: number;
  /** How long a request waits for a sequencer and its answer, in milliseconds. */
  readonly requestMs: number;
  /** How long a forwarded request goes unanswered before it is sent again, in milliseconds. */
  readonly resendMs: number;
  /** Size of one synchronisation message, in bytes. */
  readonly syncChunkBytes: number;
  /** Records handled in one go; heartbeats and requests are served in between. */
  readonly sliceRecords: number;
  /** A synchronisation without progress for so long starts over, in milliseconds. */
  readonly syncIdleMs: number;
  /** Requests waiting for an answer at once; more are refused. */
  readonly pendingRequests: number;
  /** What merges overrode: so much of it is kept to be shown. */
  readonly conflicts: ConflictLimits;
}

export const DEFAULT_REPLICA_OPTIONS: ReplicaOptions = {
  ack: 'majority',
  roles: ['scheduler', 'controllers'],
  framesInFlight: 2,
  window: 64,
  tickMs: 50,
  stateMs: 1_000,
  probeMs: 300,
  gatherMs: 700,
  successionMs: 150,
  bootGraceMs: 1_500,
  inviteMs: 2_000,
  requestMs: 10_000,
  resendMs: 1_000,
  syncChunkBytes: 1 << 20,
  sliceRecords: 500,
  syncIdleMs: 2_000,
  pendingRequests: 10_000,
  conflicts: CONFLICT_LIMITS,
};

export interface ReplicaContext {
  readonly self: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly options: ReplicaOptions;
  readonly state: ReplicaState;
  readonly storage: ReplicaStorage;
  readonly policies: KindPolicies;
  readonly stamps: StampClock;
  readonly executor: WriteExecutor;
  send(to: string, message: Message): boolean;
  alive(): readonly string[];
  nameOf(peer: string): string | undefined;
  formatsOf(peer: string): VersionRange | undefined;
  /** What a merge overrode, once. */
  onMerge(report: MergeReport): void;
}

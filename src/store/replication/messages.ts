/**
 * What replicas say to each other: packed `[format, message]`, in the newest format that both sides know. A receiver
 * ignores fields and kinds of messages that it does not know: what it must not miss is only said in a newer format.
 */
import { commonVersion, isWithin, type VersionRange } from '../../base/version-range.js';
import { FIRST_FORMAT, FORMATS } from '../formats.js';
import { pack, unpack, type Epoch, type LoggedReply, type Position } from '../log-entry.js';
import type { Revision, WriteReply } from '../object-store.js';
import type { Stamp } from '../stamp.js';
import type { RecordState } from '../digest-tree.js';
import type { Component, PeerState, View } from './view.js';

export type Message =
  /** Who I follow; sent on contact, on change and now and then. */
  | { readonly t: 'state'; readonly state: PeerState }
  /**
   * Follow me. `component` is the group the candidate leads already, when it does; `removed` the sequencer that the receiver said to
   * follow, when it was removed from the cluster.
   */
  | {
      readonly t: 'prepare';
      readonly epoch: Epoch;
      readonly component: Component | null;
      readonly removed?: string;
    }
  | { readonly t: 'promise'; readonly epoch: Epoch; readonly head: Position }
  | {
      readonly t: 'refuse';
      readonly epoch: Epoch;
      readonly promised: Epoch;
      readonly why: 'promised' | 'leader-alive' | 'larger';
      readonly state: PeerState;
    }
  /** Your log is fuller than mine: be the candidate. */
  | { readonly t: 'stand'; readonly epoch: Epoch }
  | { readonly t: 'view'; readonly view: View; readonly commit: Revision }
  /** `frame` continues `previous`; without it the message only asks whether the receiver is there yet. */
  | {
      readonly t: 'append';
      readonly epoch: Epoch;
      readonly previous: Position;
      readonly frame: Uint8Array | null;
      readonly commit: Revision;
    }
  /** On my disk up to here. */
  | { readonly t: 'ack'; readonly epoch: Epoch; readonly position: Position }
  /** I cannot append that: my log ends elsewhere, or I do not follow that epoch. `state` tells which. */
  | { readonly t: 'nack'; readonly epoch: Epoch; readonly promised: Epoch; readonly state: PeerState }
  | { readonly t: 'commit'; readonly epoch: Epoch; readonly revision: Revision }
  /** `full`: the answer with its body, whatever the log of the asker holds. */
  | { readonly t: 'write'; readonly id: string; readonly request: unknown; readonly full: boolean }
  /** `bodyOf`: the body is what that revision wrote. Without `reply`: ask somebody else. */
  | {
      readonly t: 'reply';
      readonly id: string;
      readonly reply: WriteReply | null;
      readonly bodyOf: Revision | null;
      readonly revision: Revision;
    }
  | { readonly t: 'read'; readonly n: number }
  /** `revision` null: ask somebody else. */
  | { readonly t: 'read-at'; readonly n: number; readonly revision: Revision | null }
  | SyncMessage;

/** How a peer whose log is not on the sequencer's line is brought there (see sync.ts). */
export type SyncMessage = SyncStep & {
  /** How many messages its sender said in this session, with this one; not in the first, nor by older builds. */
  readonly n?: number;
};

type SyncStep =
  | { readonly t: 'sync-start'; readonly epoch: Epoch; readonly session: number }
  /** One digest per bucket. `narrows`: the sender answers `sync-narrow`, and takes what differs in parts. */
  | {
      readonly t: 'sync-digest';
      readonly session: number;
      readonly buckets: readonly string[];
      readonly narrows?: true;
      /** Ids of the answers that the sender has to hand over. */
      readonly answers?: readonly string[];
    }
  /** For each of these buckets the digests of its leaves: say which of them differ. */
  | {
      readonly t: 'sync-narrow';
      readonly session: number;
      readonly buckets: readonly number[];
      readonly leaves: readonly Uint8Array[];
    }
  | { readonly t: 'sync-leaves'; readonly session: number; readonly leaves: readonly number[] }
  /** All records in these buckets and leaves. Parts follow one another, each when the last was answered with an offer. */
  | {
      readonly t: 'sync-differ';
      readonly session: number;
      readonly buckets: readonly number[];
      readonly leaves?: readonly number[];
      readonly entries: readonly RecordState[];
      /** Absent: true. */
      readonly last?: boolean;
      /** With the last: which of the answers are wanted; absent: all. */
      readonly unknown?: readonly string[];
    }
  | {
      readonly t: 'sync-offer';
      readonly session: number;
      /** Records the sequencer lacks or has otherwise. */
      readonly records: readonly Uint8Array[];
      /** Keys the peer lacks or has otherwise. */
      readonly wants: readonly string[];
      readonly replies: readonly LoggedReply[];
      /** Names of the nodes in the part of the cluster that the peer comes from. */
      readonly homes: readonly string[];
      /** Until when the peer had everything in common with somebody who is in step with the sequencer. */
      readonly common?: Stamp;
      /** Keys and versions of what was deleted in the peer's part, which has forgotten that. */
      readonly buried?: readonly (readonly [key: string, version: Stamp])[];
      /** All was offered of this part of what differs: the next one is wanted. */
      readonly next?: true;
      readonly last: boolean;
    }
  | { readonly t: 'sync-more'; readonly session: number }
  | {
      readonly t: 'sync-install';
      readonly session: number;
      readonly records: readonly Uint8Array[];
      /** For each of the records what is remembered of its changes; from an older peer there is none. */
      readonly pasts?: readonly Uint8Array[];
      /** Keys that do not exist at `position`. */
      readonly absent: readonly string[];
      readonly last: boolean;
      readonly position: Position;
    };

export const encodeMessage = (message: Message, format: number = FIRST_FORMAT): Uint8Array => pack([format, message]);

/** The newest format that this build and a peer's know; the first for one whose build is not known. */
export const formatFor = (theirs: VersionRange | undefined, own: VersionRange = FORMATS): number =>
  (theirs && commonVersion(own, theirs)) ?? FIRST_FORMAT;

/** Undefined for a format that this build does not know, or garbage: such a message is dropped and told by the caller. */
export function decodeMessage(bytes: Uint8Array, known: VersionRange = FORMATS): Message | undefined {
  try {
    const decoded = unpack(bytes);
    if (!Array.isArray(decoded) || !isWithin(Number(decoded[0]), known)) return undefined;
    const message = decoded[1] as { t?: unknown } | null;
    return typeof message?.t === 'string' ? (message as Message) : undefined;
  } catch {
    return undefined;
  }
}

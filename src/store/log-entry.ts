/**
 * What is ordered and replicated: entries, grouped into frames (group commit). Pure data and its wire and disk form:
 * a version byte, a CRC-32 of the rest, then msgpack.
 */
import { crc32 } from 'node:zlib';
import { Packr, Unpackr } from 'msgpackr';
import { isWithin, type VersionRange } from '../base/version-range.js';
import { FIRST_FORMAT, FORMATS } from './formats.js';
import type { Revision } from './object-store.js';
import type { Stamp } from './stamp.js';

/** Names one reign of a sequencer. Ordered by number, then by peer id; no two peers can hold the same epoch. */
export interface Epoch {
  readonly n: number;
  readonly leader: string;
}

export const NO_EPOCH: Epoch = Object.freeze({ n: 0, leader: '' });

export function compareEpochs(a: Epoch, b: Epoch): number {
  if (a.n !== b.n) return a.n - b.n;
  return a.leader < b.leader ? -1 : a.leader > b.leader ? 1 : 0;
}

export const sameEpoch = (a: Epoch, b: Epoch): boolean => a.n === b.n && a.leader === b.leader;

/** A place in the log. Two logs that share a position share everything before it. */
export interface Position {
  readonly revision: Revision;
  readonly epoch: Epoch;
}

export const START: Position = Object.freeze({ revision: 0, epoch: NO_EPOCH });

export const samePosition = (a: Position, b: Position): boolean =>
  a.revision === b.revision && sameEpoch(a.epoch, b.epoch);

/** Which of two logs has more: the later epoch, then the higher revision (as in Raft, §5.4.1). */
export const comparePositions = (a: Position, b: Position): number =>
  compareEpochs(a.epoch, b.epoch) || a.revision - b.revision;

export type EntryChange =
  /** `value` is the object's JSON, resourceVersion included. */
  | { readonly op: 'put'; readonly key: string; readonly value: string }
  | { readonly op: 'delete'; readonly key: string }
  /** The result of a merge: the whole record replaces what was there (see record.ts). */
  | { readonly op: 'merge'; readonly key: string; readonly record: Uint8Array }
  /** Marks the start of a reign. */
  | { readonly op: 'reign' };

export type Entry = EntryChange & {
  readonly revision: Revision;
  readonly stamp: Stamp;
};

/** The answer to a logged request, so that a retry after a takeover is answered from the log. */
export interface LoggedReply {
  readonly id: string;
  readonly code: number;
  readonly warnings: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  /** See `WriteReply`. */
  readonly majority?: true;
  /** The body is the object this revision wrote (or deleted) … */
  readonly bodyOf?: Revision;
  /** … or this JSON text. */
  readonly body?: string;
  /** Committed when this revision is. */
  readonly revision: Revision;
}

export interface Frame {
  readonly epoch: Epoch;
  /** The position right before the first entry. */
  readonly previous: Position;
  readonly entries: readonly Entry[];
  readonly replies: readonly LoggedReply[];
}

/** The position after the frame. */
export function frameEnd(frame: Frame): Position {
  const last = frame.entries.at(-1);
  return last ? { revision: last.revision, epoch: frame.epoch } : frame.previous;
}

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, int64AsType: 'number' });

/** Serialises plain data with format version and checksum. `format`: of the level that the cluster has; the first unless told. */
export function seal(data: unknown, format: number = FIRST_FORMAT): Uint8Array {
  const body = packr.pack(data);
  const out = new Uint8Array(body.length + 5);
  out[0] = format;
  new DataView(out.buffer).setUint32(1, crc32(body));
  out.set(body, 5);
  return out;
}

export class UnreadableData extends Error {
  readonly code = 'ERR_UNREADABLE';
}

/** In which format sealed data is; 0 for nothing. */
export const formatOf = (bytes: Uint8Array): number => bytes[0] ?? 0;

/** The inverse of {@link seal}; throws {@link UnreadableData} for a format that is not known or a wrong checksum. */
export function unseal(bytes: Uint8Array, known: VersionRange = FORMATS): unknown {
  if (!isWithin(formatOf(bytes), known)) throw new UnreadableData(`unknown format ${formatOf(bytes)}`);
  const body = bytes.subarray(5);
  const expected = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(1);
  if (crc32(body) !== expected) throw new UnreadableData('checksum mismatch');
  return unpackr.unpack(body);
}

/** Plain msgpack, for messages whose integrity the transport guarantees. */
export const pack = (data: unknown): Uint8Array => packr.pack(data);
export const unpack = (bytes: Uint8Array): unknown => unpackr.unpack(bytes);

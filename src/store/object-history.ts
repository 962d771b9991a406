/**
 * The last changes of each object, as this peer applied them: when, by whom, which fields, with the values before and after.
 * Fed by the table and bounded by {@link HistoryLimits}. Kept on disk together with the records, so that a restarted peer knows
 * what it knew; a peer that is brought over to another line of the log gets, with each object, what is known of it there.
 *
 * The changes are also the way back to earlier states: undone one by one, from the present state.
 */
import type { WorkSlices } from '../base/work-slices.js';
import type { KubeObject } from '../api/object.js';
import type { VersionRange } from '../base/version-range.js';
import type { DiskOperation } from './disk.js';
import { seal, unseal } from './log-entry.js';
import { changeOf, undone, type ObjectChange } from './object-change.js';
import type { Revision } from './object-store.js';
import type { ObjectRecord } from './record.js';
import { stampMs } from './stamp.js';

export interface HistoryLimits {
  /** Changes kept of one object. */
  readonly changes: number;
  /** … and about their size, in bytes of JSON. */
  readonly bytes: number;
  /** Size of all changes kept; past it, those of the object that was not changed for longest go. */
  readonly totalBytes: number;
}

export const HISTORY_LIMITS: HistoryLimits = { changes: 50, bytes: 256 * 1024, totalBytes: 32 * 1024 * 1024 };

/** A moment: after that write, or at that time. */
export type Moment = { readonly revision: Revision } | { readonly atMs: number };

/** The history of an object does not reach back to that moment. */
export class HistoryGone extends Error {
  readonly code = 'ERR_HISTORY_GONE';
  constructor(readonly reaches: { readonly revision: Revision; readonly atMs: number }) {
    super(`the history reaches back to revision ${reaches.revision}`);
  }
}

/** One object's past, as a peer knows it. */
export interface ObjectPast {
  /** Oldest first. */
  readonly changes: readonly ObjectChange[];
  /** From where on all changes are known; undefined for an object that is not known at all. */
  readonly reach: { readonly revision: Revision; readonly atMs: number } | undefined;
  /** The state at a moment; undefined when there was no such object. Throws {@link HistoryGone}. */
  at(moment: Moment): KubeObject | undefined;
}

interface Kept {
  readonly changes: ObjectChange[];
  bytes: number;
}

/** Where changes are on disk: below the object's key (which holds no space), in order of revision. */
const DISK_PREFIX = 'h/';
export const HISTORY_RANGE = [DISK_PREFIX, 'h0'] as const;
const diskKey = (key: string, { revision }: ObjectChange) =>
  `${DISK_PREFIX}${key} ${revision.toString(16).padStart(14, '0')}`;

/** Bytes counted for a change, and for each of its fields, besides values. */
const CHANGE_BYTES = 200;
const FIELD_BYTES = 64;

/** About what a change takes, in bytes. */
function sizeOf(change: ObjectChange): number {
  const known = prepared.get(change);
  if (known) return known.bytes;
  const { fields, last } = change;
  let bytes = CHANGE_BYTES + weightOf(last);
  for (const field of fields) bytes += FIELD_BYTES + weightOf(field.old) + weightOf(field.new);
  return bytes;
}

/** About the length of a value's JSON; cheaper than making it. */
function weightOf(value: unknown): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 8;
  let bytes = 2;
  for (const [key, inner] of Object.entries(value)) bytes += key.length + 4 + weightOf(inner);
  return bytes;
}

/** Changes that are to be taken over all at once: their size, and their form on disk. */
const prepared = new WeakMap<ObjectChange, { readonly bytes: number; readonly encoded: Uint8Array }>();

function* diskOperations(unwritten: ReadonlyMap<string, ObjectChange | undefined>): Generator<DiskOperation> {
  for (const [key, change] of unwritten) {
    if (!change) yield { type: 'del', key };
    else yield { type: 'put', key, value: prepared.get(change)?.encoded ?? encodeChanges([change]) };
    if (change) prepared.delete(change);
  }
}

export class ObjectHistory {
  /** The object that was not changed for longest comes first. */
  private objects = new Map<string, Kept>();
  private total = 0;
  /** What differs from the disk: a change to be written, or undefined for one to be removed. */
  private unwritten = new Map<string, ObjectChange | undefined>();

  constructor(private readonly limits: HistoryLimits = HISTORY_LIMITS) {}

  /** Bytes kept. */
  get bytes(): number {
    return this.total;
  }

  add(before: ObjectRecord | undefined, after: ObjectRecord, isMerge: boolean): void {
    const change = changeOf(before, after, isMerge);
    if (!change) return;
    this.unwritten.set(diskKey(after.key, change), change);
    this.keep(after.key, [change]);
    this.trim();
  }

  /** The object's state was replaced, not changed: `changes` are what led to the new one, as far as somebody knows. */
  replace(key: string, changes: readonly ObjectChange[]): void {
    this.forget(key);
    if (changes.length === 0) return;
    for (const change of changes) this.unwritten.set(diskKey(key, change), change);
    this.keep(key, changes);
    this.trim();
  }

  /** The same, to be changed apart and then put in the place of this one by {@link adopt}. Nothing may change here meanwhile. */
  async staged(slices: WorkSlices): Promise<ObjectHistory> {
    const copy = new ObjectHistory(this.limits);
    for (const [key, { changes, bytes }] of this.objects) {
      copy.objects.set(key, { changes: [...changes], bytes });
      if (slices.isOver()) await slices.pause();
    }
    copy.total = this.total;
    copy.unwritten = new Map(this.unwritten);
    return copy;
  }

  /** Takes over what the other, which is not used any more, knows and has not written. */
  adopt(other: ObjectHistory): void {
    this.objects = other.objects;
    this.total = other.total;
    this.unwritten = other.unwritten;
  }

  /** There are no objects, so there is no past either; on the disk neither. */
  clear(): void {
    this.objects.clear();
    this.unwritten.clear();
    this.total = 0;
  }

  forget(key: string): void {
    const kept = this.objects.get(key);
    if (!kept) return;
    this.total -= kept.bytes;
    this.objects.delete(key);
    for (const change of kept.changes) this.unwritten.set(diskKey(key, change), undefined);
  }

  /** What to write, once, so that the disk has what is here. Encoded one by one as they are asked for. */
  takeUnwritten(): Iterable<DiskOperation> {
    const { unwritten } = this;
    this.unwritten = new Map();
    return diskOperations(unwritten);
  }

  /** Makes it cheap to take over and write that change later. */
  prepare(change: ObjectChange): void {
    prepared.set(change, { bytes: sizeOf(change), encoded: encodeChanges([change]) });
  }

  /**
   * Takes back what is on disk. Changes that do not lead up to the object's present state mean nothing: a build that kept none
   * has written since.
   */
  load(
    stored: Iterable<readonly [place: string, changes: readonly ObjectChange[]]>,
    record: (key: string) => ObjectRecord | undefined,
  ): void {
    const objects = new Map<string, ObjectChange[]>();
    for (const [place, changes] of stored) {
      const key = place.slice(DISK_PREFIX.length, place.lastIndexOf(' '));
      objects.set(key, [...(objects.get(key) ?? []), ...changes]);
    }
    const newest = (changes: readonly ObjectChange[]) => changes.at(-1) as ObjectChange;
    for (const [key, changes] of [...objects].toSorted(([, a], [, b]) => newest(a).revision - newest(b).revision)) {
      const { revision, kind } = newest(changes);
      const present = record(key);
      this.keep(key, changes);
      if (present ? present.revision !== revision : kind !== 'deleted') this.forget(key);
    }
    this.trim();
  }

  private keep(key: string, more: readonly ObjectChange[]): void {
    const kept = this.objects.get(key) ?? { changes: [], bytes: 0 };
    this.total -= kept.bytes;
    for (const change of more) {
      kept.changes.push(change);
      kept.bytes += sizeOf(change);
    }
    while (kept.changes.length > this.limits.changes || kept.bytes > this.limits.bytes) {
      const oldest = kept.changes.shift();
      if (!oldest) break;
      kept.bytes -= sizeOf(oldest);
      this.unwritten.set(diskKey(key, oldest), undefined);
    }
    this.total += kept.bytes;
    // Behind all others: changed last.
    this.objects.delete(key);
    this.objects.set(key, kept);
  }

  private trim(): void {
    for (const other of this.objects.keys()) {
      if (this.total <= this.limits.totalBytes) break;
      this.forget(other);
    }
  }

  /** Oldest first. */
  changesOf(key: string): readonly ObjectChange[] {
    return this.objects.get(key)?.changes ?? [];
  }

  /** The state at a moment; undefined when there was no such object. Throws {@link HistoryGone}. */
  stateAt(record: ObjectRecord | undefined, key: string, moment: Moment): KubeObject | undefined {
    const changes = this.changesOf(key);
    let value = record?.value;
    for (const change of changes.toReversed()) {
      if (!isAfter(change, moment)) return value;
      value = undone(change, value);
    }
    const [first] = changes;
    // Before its first creation there was none, as far as anybody knows; before a later one there may have been.
    if (!value && !(first && first.beforeMs > 0)) return undefined;
    const reaches = value ? this.reaches(value, record, key) : (first as ObjectChange);
    if (isAfter(reaches, moment)) throw new HistoryGone(reaches);
    return value;
  }

  /** From where on all changes are known; undefined for an object that is not known at all. */
  reachOf(record: ObjectRecord | undefined, key: string): { revision: Revision; atMs: number } | undefined {
    let value = record?.value;
    for (const change of this.changesOf(key).toReversed()) value = undone(change, value);
    const [first] = this.changesOf(key);
    if (value) return this.reaches(value, record, key);
    return first && { revision: first.revision, atMs: first.atMs };
  }

  private reaches(oldest: KubeObject, record: ObjectRecord | undefined, key: string) {
    const atMs = this.changesOf(key)[0]?.beforeMs ?? (record ? stampMs(record.version) : 0);
    return { revision: Number(oldest.metadata.resourceVersion), atMs };
  }
}

const isAfter = (change: { readonly revision: Revision; readonly atMs: number }, moment: Moment): boolean =>
  'revision' in moment ? change.revision > moment.revision : change.atMs > moment.atMs;

/** Changes on disk and between peers. As JSON: their values are what clients sent. */
export const encodeChanges = (changes: readonly ObjectChange[]): Uint8Array => seal(JSON.stringify(changes));

/** The inverse of {@link encodeChanges}; throws `UnreadableData`. */
export const decodeChanges = (bytes: Uint8Array, known?: VersionRange): ObjectChange[] =>
  JSON.parse(unseal(bytes, known) as string) as ObjectChange[];

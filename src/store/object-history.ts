/**
 * The last changes of each object, as this peer applied them: when, by whom, which fields, with the values before and after.
 * In memory, fed by the table, never replicated: peers that were up all the time know the same; one that was restarted, or
 * took over another history line in a merge, knows what came since. Bounded by {@link HistoryLimits}.
 *
 * The changes are also the way back to earlier states: undone one by one, from the present state.
 */
import type { KubeObject } from '../api/object.js';
import type { ManagedFieldsEntry } from '../api/types/meta-v1.js';
import { freezeObject } from './frozen-object.js';
import type { Revision } from './object-store.js';
import { deepEqual, type ObjectRecord } from './record.js';
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

export type FieldPath = readonly (string | number)[];

/** An absent value: there was, or is, no such field. */
export interface FieldChange {
  readonly path: FieldPath;
  readonly old?: unknown;
  readonly new?: unknown;
}

export interface ObjectChange {
  readonly revision: Revision;
  /** Wall-clock time of the write in milliseconds, the same on every peer. */
  readonly atMs: number;
  readonly kind: 'created' | 'changed' | 'deleted';
  /** The field manager that wrote; empty where no owners are kept, as of what components make by themselves. */
  readonly by: string;
  /** Of a change. */
  readonly fields: readonly FieldChange[];
  /** Of a deletion: what was deleted. */
  readonly last?: KubeObject;
}

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
  /** When the state before the first change had been written. */
  sinceMs: number;
}

/** Bytes counted for a change, and for each of its fields, besides values. */
const CHANGE_BYTES = 200;
const FIELD_BYTES = 64;

/** About what a change takes, in bytes. */
function sizeOf({ fields, last }: ObjectChange): number {
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

export class ObjectHistory {
  /** The object that was not changed for longest comes first. */
  private readonly objects = new Map<string, Kept>();
  private total = 0;

  constructor(private readonly limits: HistoryLimits = HISTORY_LIMITS) {}

  /** Bytes kept. */
  get bytes(): number {
    return this.total;
  }

  add(before: ObjectRecord | undefined, after: ObjectRecord): void {
    const change = changeOf(before, after);
    if (!change) return;
    const { key } = after;
    const kept = this.objects.get(key) ?? { changes: [], bytes: 0, sinceMs: before ? stampMs(before.version) : 0 };
    this.forget(key);
    kept.changes.push(change);
    kept.bytes += sizeOf(change);
    while (kept.changes.length > this.limits.changes || kept.bytes > this.limits.bytes) {
      const oldest = kept.changes.shift();
      if (!oldest) break;
      kept.bytes -= sizeOf(oldest);
      kept.sinceMs = oldest.atMs;
    }
    this.objects.set(key, kept);
    this.total += kept.bytes;
    for (const other of this.objects.keys()) {
      if (this.total <= this.limits.totalBytes) break;
      this.forget(other);
    }
  }

  /** The object's state was replaced, not changed: what came before means nothing any more. */
  forget(key: string): void {
    this.total -= this.objects.get(key)?.bytes ?? 0;
    this.objects.delete(key);
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
    if (!value && !(first && (this.objects.get(key)?.sinceMs ?? 0) > 0)) return undefined;
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
    const atMs = this.objects.get(key)?.sinceMs ?? (record ? stampMs(record.version) : 0);
    return { revision: Number(oldest.metadata.resourceVersion), atMs };
  }
}

const isAfter = (change: { readonly revision: Revision; readonly atMs: number }, moment: Moment): boolean =>
  'revision' in moment ? change.revision > moment.revision : change.atMs > moment.atMs;

function changeOf(before: ObjectRecord | undefined, after: ObjectRecord): ObjectChange | undefined {
  const { value, revision } = after;
  const old = before?.value;
  const common = { revision, atMs: stampMs(after.version) };
  if (!value) return old && { ...common, kind: 'deleted', by: '', fields: [], last: old };
  if (!old) return { ...common, kind: 'created', by: writerOf(undefined, value), fields: [] };
  return { ...common, kind: 'changed', by: writerOf(old, value), fields: changesOfWrite(old, value, after) };
}

/** Whether a part of the object can have changed: a write stamps the parts that it changes, a merge none. */
function mayDiffer({ parts, version }: ObjectRecord, part: string): boolean {
  if (part === 'metadata') return true;
  const isWrite = parts.metadata === version || parts.spec === version || parts.status === version;
  return !isWrite || (part === 'status' ? parts.status : parts.spec) === version;
}

/**
 * Who wrote, as the owners tell: of the entries that the write touched the one that is new or owns more than before (others lose
 * what it took over), then one with a new time; the newest when none was touched.
 */
function writerOf(before: KubeObject | undefined, after: KubeObject): string {
  if (!after.metadata.managedFields) return '';
  const known = new Map((before?.metadata.managedFields ?? []).map((entry) => [nameOf(entry), entry]));
  const entries = (after.metadata.managedFields ?? []).map((entry) => {
    const old = known.get(nameOf(entry));
    const hasMore = !old || fieldChanges(old.fieldsV1, entry.fieldsV1).some((change) => change.old === undefined);
    return {
      manager: entry.manager ?? '',
      time: entry.time ?? '',
      rank: hasMore ? 2 : old.time === entry.time ? 0 : 1,
    };
  });
  return entries.toSorted((a, b) => b.rank - a.rank || (a.time < b.time ? 1 : -1))[0]?.manager ?? '';
}

const nameOf = ({ manager, operation, subresource, apiVersion }: ManagedFieldsEntry) =>
  `${manager} ${operation} ${subresource} ${apiVersion}`;

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The smallest parts that differ. Lists are compared item by item while they are equally long. */
export function fieldChanges(before: unknown, after: unknown): FieldChange[] {
  const out: FieldChange[] = [];
  compare(before, after, [], out);
  return out;
}

/** As {@link fieldChanges} of what one write did; what it certainly left alone is not looked at. */
function changesOfWrite(before: KubeObject, after: KubeObject, record: ObjectRecord): FieldChange[] {
  const out: FieldChange[] = [];
  const [old, now] = [before, after] as unknown as [Fields, Fields];
  for (const part in old) if (mayDiffer(record, part)) compare(old[part], now[part], [part], out);
  for (const part in now) if (!Object.hasOwn(old, part)) compare(undefined, now[part], [part], out);
  return out;
}

type Fields = Readonly<Record<string, unknown>>;

function compare(old: unknown, now: unknown, path: (string | number)[], out: FieldChange[]): void {
  if (old === now) return;
  if (isMap(old) && isMap(now)) {
    for (const key in old) compareInside(key, old[key], now[key], path, out);
    for (const key in now) if (!Object.hasOwn(old, key)) compareInside(key, undefined, now[key], path, out);
  } else if (Array.isArray(old) && Array.isArray(now) && old.length === now.length) {
    for (let i = 0; i < old.length; i++) compareInside(i, old[i], now[i], path, out);
  } else if (!deepEqual(old, now)) {
    out.push({ path: [...path], ...(old === undefined ? {} : { old }), ...(now === undefined ? {} : { new: now }) });
  }
}

function compareInside(
  key: string | number,
  old: unknown,
  now: unknown,
  path: (string | number)[],
  out: FieldChange[],
) {
  if (old === now) return;
  path.push(key);
  compare(old, now, path, out);
  path.pop();
}

function undone(change: ObjectChange, value: KubeObject | undefined): KubeObject | undefined {
  if (change.kind === 'created') return undefined;
  if (change.kind === 'deleted') return change.last;
  let state: unknown = value;
  for (const { path, old } of change.fields) state = withField(state, path, old);
  return freezeObject(state as KubeObject);
}

/** A copy in which the field has that value; without it when that is undefined. */
function withField(value: unknown, [key, ...rest]: FieldPath, wanted: unknown): unknown {
  if (key === undefined) return wanted;
  if (Array.isArray(value)) {
    return value.map((item: unknown, i) => (i === key ? withField(item, rest, wanted) : item));
  }
  const map = isMap(value) ? value : {};
  const field = withField(Object.hasOwn(map, key) ? map[key] : undefined, rest, wanted);
  const entries = Object.entries(map).filter(([name]) => name !== key);
  return Object.fromEntries(field === undefined ? entries : [...entries, [String(key), field]]);
}

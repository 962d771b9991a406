/**
 * One change of an object: when, by whom, which fields, with the values before and after; how it follows from two records, and
 * how it is undone. Pure.
 */
import type { KubeObject } from '../api/object.js';
import type { ManagedFieldsEntry } from '../api/types/meta-v1.js';
import { freezeObject } from './frozen-object.js';
import type { Revision } from './object-store.js';
import { deepEqual, type ObjectRecord } from './record.js';
import { stampMs } from './stamp.js';

export type FieldPath = readonly (string | number)[];

/** A field as people write it: `spec.containers[0].image`, `metadata.labels[app.kubernetes.io/name]`. */
export const pathText = (path: FieldPath): string => path.map((part, i) => stepText(part, i === 0)).join('');

export function stepText(part: string | number, isFirst: boolean): string {
  if (typeof part === 'number' || !/^[\w-]+$/.test(part)) return `[${part}]`;
  return isFirst ? part : `.${part}`;
}

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
  /** `merged`: what another part of the cluster had written came in. */
  readonly kind: 'created' | 'changed' | 'deleted' | 'merged';
  /**
   * The field manager that wrote (of a merge: those that did there); empty where no owners are kept, as of what components make
   * by themselves.
   */
  readonly by: string;
  /** When the state before had been written; 0 when there was none. */
  readonly beforeMs: number;
  /** Of a change or merge. */
  readonly fields: readonly FieldChange[];
  /** Of a deletion: what was deleted. */
  readonly last?: KubeObject;
}

/** What made `after` of `before`; undefined when there was nothing and is nothing. `isMerge`: no single write did. */
export function changeOf(
  before: ObjectRecord | undefined,
  after: ObjectRecord,
  isMerge: boolean,
): ObjectChange | undefined {
  const { value, revision } = after;
  const old = before?.value;
  const common = { revision, atMs: stampMs(after.version), beforeMs: before ? stampMs(before.version) : 0 };
  if (!value) return old && { ...common, kind: 'deleted', by: '', fields: [], last: old };
  if (!old) return { ...common, kind: 'created', by: writersOf(undefined, value)[0] ?? '', fields: [] };
  const writers = writersOf(old, value);
  if (isMerge) return { ...common, kind: 'merged', by: writers.join(', '), fields: fieldChanges(old, value) };
  return { ...common, kind: 'changed', by: writers[0] ?? '', fields: changesOfWrite(old, value, after) };
}

/**
 * Who wrote, as the owners tell: of the entries that the write touched those that are new or own more than before (others lose
 * what was taken over), then those with a new time; the newest when none was touched. The newest first.
 */
function writersOf(before: KubeObject | undefined, after: KubeObject): string[] {
  const [only, ...more] = after.metadata.managedFields ?? [];
  // Nothing to choose from: most objects have one writer.
  if (only && more.length === 0) return [only.manager ?? ''];
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
  const [first, ...others] = entries.toSorted((a, b) => b.rank - a.rank || (a.time < b.time ? 1 : -1));
  if (!first) return [];
  const alike = first.rank === 0 ? [] : others.filter(({ rank }) => rank === first.rank);
  return [...new Set([first, ...alike].map(({ manager }) => manager))];
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
function changesOfWrite(before: KubeObject, after: KubeObject, { parts, version }: ObjectRecord): FieldChange[] {
  const out: FieldChange[] = [];
  const [old, now] = [before, after] as unknown as [Fields, Fields];
  // A write stamps the parts that it changes; owners move without a stamp.
  const mayDiffer = (part: string) =>
    part === 'metadata' || (part === 'status' ? parts.status : parts.spec) === version;
  for (const part in old) if (mayDiffer(part)) compare(old[part], now[part], [part], out);
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

export function undone(change: ObjectChange, value: KubeObject | undefined): KubeObject | undefined {
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

/**
 * `metadata.managedFields`: who owns what. Entries are kept as they are stored; a step that changes nothing returns the
 * array or entry it was given, which is how the write path sees that there is nothing to write.
 */
import type { ManagedFieldsEntry } from '../types/meta-v1.js';
import { EMPTY_SET, sameSet, union, type FieldSet } from './field-set.js';
import { FieldsV1Error, parseFieldsV1 } from './path-element.js';

/** The writer of a request, as it is named in entries. */
export interface Manager {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  /** `apps/v1`: the version its paths are of. */
  readonly apiVersion: string;
  /** Empty for the object itself. */
  readonly subresource: string;
}

export type Managers = readonly ManagedFieldsEntry[];

export const NO_MANAGERS: Managers = Object.freeze([]);

/** Upstream's limit of Update entries; what is older is merged per version. */
export const MAX_UPDATE_MANAGERS = 10;
export const MERGED_MANAGER = 'ancient-changes';
/** Owns what an object had before its first apply, when nobody's ownership was known. */
export const BEFORE_APPLY_MANAGER = 'before-first-apply';

/** The entry's paths. Entries that came through {@link parseManagers} or were made here hold canonical sets. */
export const setOf = ({ fieldsV1 }: ManagedFieldsEntry): FieldSet => (fieldsV1 ?? EMPTY_SET) as FieldSet;

/** Whether the entry is of this writer. Appliers stay the same when they apply another version. */
export function isBy(entry: ManagedFieldsEntry, by: Manager): boolean {
  return (
    entry.manager === by.manager &&
    entry.operation === by.operation &&
    (entry.subresource ?? '') === by.subresource &&
    (by.operation === 'Apply' || entry.apiVersion === by.apiVersion)
  );
}

/** The stored form: the order of fields and the omissions are Go's. */
export function entryOf(by: Manager, set: FieldSet, time: string | undefined): ManagedFieldsEntry {
  return {
    manager: by.manager === '' ? 'unknown' : by.manager,
    operation: by.operation,
    apiVersion: by.apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: set as Record<string, unknown>,
    ...(by.subresource === '' ? {} : { subresource: by.subresource }),
  };
}

export const withSet = (entry: ManagedFieldsEntry, set: FieldSet): ManagedFieldsEntry => ({
  ...entry,
  fieldsV1: set as Record<string, unknown>,
});

const compareText = (a = '', b = '') => (a < b ? -1 : a > b ? 1 : 0);

/** The order in which entries are stored: by operation, time, manager, version and subresource. */
export function sortEntries(entries: readonly ManagedFieldsEntry[]): ManagedFieldsEntry[] {
  return entries.toSorted(
    (a, b) =>
      compareText(a.operation, b.operation) ||
      compareText(a.time, b.time) ||
      compareText(a.manager, b.manager) ||
      compareText(a.apiVersion, b.apiVersion) ||
      compareText(a.subresource, b.subresource),
  );
}

/** Merges the oldest Update entries, one bucket for each version, until there are no more than the limit. */
export function capUpdates(entries: ManagedFieldsEntry[], limit = MAX_UPDATE_MANAGERS): ManagedFieldsEntry[] {
  let excess = -limit;
  for (const { operation } of entries) if (operation === 'Update') excess++;
  if (excess <= 0) return entries;
  const updates = sortEntries(entries.filter(({ operation }) => operation === 'Update'));
  const kept = new Set<ManagedFieldsEntry>(entries);
  const buckets = new Map<string, ManagedFieldsEntry>();
  for (const entry of updates) {
    if (excess <= 0) break;
    const apiVersion = entry.apiVersion ?? '';
    const bucket = buckets.get(apiVersion);
    if (bucket === undefined) {
      buckets.set(apiVersion, entry);
      continue;
    }
    const by: Manager = { manager: MERGED_MANAGER, operation: 'Update', apiVersion, subresource: '' };
    const merged = entryOf(by, union(setOf(bucket), setOf(entry)), entry.time);
    kept.delete(bucket);
    kept.delete(entry);
    kept.add(merged);
    buckets.set(apiVersion, merged);
    excess--;
  }
  return [...kept];
}

/** A user's `[{}]`: forget all ownership. */
export const isReset = (entries: unknown): boolean =>
  Array.isArray(entries) &&
  entries.length === 1 &&
  typeof entries[0] === 'object' &&
  entries[0] !== null &&
  Object.values(entries[0] as object).every((value) => value === undefined || value === '');

/** Entries that a client sent, canonical. Undefined when any is invalid: upstream then keeps those it has. */
export function parseManagers(entries: readonly ManagedFieldsEntry[]): Managers | undefined {
  const parsed: ManagedFieldsEntry[] = [];
  for (const entry of entries) {
    const { operation, apiVersion, fieldsType, manager = '', subresource = '', time } = entry;
    if ((operation !== 'Apply' && operation !== 'Update') || !apiVersion || fieldsType !== 'FieldsV1') return undefined;
    try {
      const set = parseFieldsV1(entry.fieldsV1 ?? {});
      parsed.push({ ...entryOf({ manager, operation, apiVersion, subresource }, set, time), manager });
    } catch (error) {
      if (error instanceof FieldsV1Error) return undefined;
      throw error;
    }
  }
  return sortEntries(parsed);
}

/** Whether two lists say the same but for their times. */
export function sameButTimes(a: Managers, b: Managers): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  const find = (entry: ManagedFieldsEntry) =>
    b.find(
      (other) =>
        other.manager === entry.manager &&
        other.operation === entry.operation &&
        other.apiVersion === entry.apiVersion &&
        other.subresource === entry.subresource,
    );
  return a.every((entry) => {
    const other = find(entry);
    return other !== undefined && sameSet(setOf(entry), setOf(other));
  });
}

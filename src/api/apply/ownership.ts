/**
 * Tracks ownership through updates, and applies configurations: structured-merge-diff's algorithms (KEP-555), pure. Who
 * changes a field by an update owns it, and takes it from everybody else; who applies a field owns it, shares it when the
 * value is the one that is there, and is in conflict when it is not.
 */
import type { ManagedFieldsEntry } from '../types/meta-v1.js';
import { appliedFields, presentFields } from './applied-fields.js';
import { compareObjects, NO_CHANGES, type Comparison } from './comparison.js';
import {
  difference,
  differenceBelow,
  EMPTY_SET,
  hasElement,
  intersection,
  intersectionBelow,
  isEmptySet,
  sameSet,
  union,
  type FieldSet,
} from './field-set.js';
import { capUpdates, entryOf, isBy, setOf, sortEntries, withSet, type Manager, type Managers } from './managers.js';
import { mergeValues, removePaths } from './merging.js';
import { fittedTo, withNamedFields } from './named-fields.js';
import type { OwnedType } from './owned-type.js';
import { fieldElement } from './path-element.js';

/** Which paths a (sub)resource writes at all: what it resets or ignores is owned by nobody through it. */
export type WrittenPaths = { readonly allBut: FieldSet } | { readonly only: FieldSet };

/** Never owned: identity and bookkeeping. */
const NEVER_OWNED: FieldSet = Object.freeze({
  'f:apiVersion': EMPTY_SET,
  'f:kind': EMPTY_SET,
  'f:metadata': Object.freeze({
    '.': EMPTY_SET,
    'f:clusterName': EMPTY_SET,
    'f:creationTimestamp': EMPTY_SET,
    'f:generation': EMPTY_SET,
    'f:managedFields': EMPTY_SET,
    'f:name': EMPTY_SET,
    'f:namespace': EMPTY_SET,
    'f:resourceVersion': EMPTY_SET,
    'f:selfLink': EMPTY_SET,
    'f:uid': EMPTY_SET,
  }),
});

/** How the other versions of a resource look at an object. Entries of unknown versions are dropped. */
export interface Versions {
  /** Undefined: there is no such version (any more). */
  typeOf(apiVersion: string): OwnedType | undefined;
  convert<T extends object>(object: T, from: string, to: string): T;
  written(apiVersion: string): WrittenPaths;
  /** Whether schemas can change under the entries (custom resources). */
  readonly changing: boolean;
}

function isIgnored(written: WrittenPaths): (name: string) => boolean {
  if ('only' in written) return (name) => written.only[fieldElement(name)] === undefined;
  const { allBut } = written;
  return (name) => name === 'apiVersion' || name === 'kind' || hasElement(allBut, fieldElement(name));
}

/** The set without the paths that the request does not write. */
function writtenOf(set: FieldSet, written: WrittenPaths): FieldSet {
  if (isEmptySet(set)) return set;
  return 'only' in written ? intersectionBelow(set, written.only) : differenceBelow(set, written.allBut);
}

function compare(type: OwnedType, before: object, after: object, written: WrittenPaths): Comparison {
  const { changed, removed } = compareObjects(type, before, after, isIgnored(written));
  if (isEmptySet(changed) && isEmptySet(removed)) return NO_CHANGES;
  return { changed: writtenOf(changed, written), removed: writtenOf(removed, written) };
}

/** What changed from one object to another, as each version sees it. */
class Comparisons {
  readonly #known = new Map<string, Comparison | undefined>();

  constructor(
    private readonly versions: Versions,
    private readonly own: string,
    private readonly before: object,
    private readonly after: object,
  ) {}

  /** Undefined for a version that does not exist. */
  at(apiVersion: string): Comparison | undefined {
    if (this.#known.has(apiVersion)) return this.#known.get(apiVersion);
    const { versions, own, before, after } = this;
    const type = versions.typeOf(apiVersion);
    const isOwn = apiVersion === own;
    const found =
      type &&
      compare(
        type,
        isOwn ? before : versions.convert(before, own, apiVersion),
        isOwn ? after : versions.convert(after, own, apiVersion),
        versions.written(apiVersion),
      );
    this.#known.set(apiVersion, found);
    return found;
  }
}

const fitted = (managers: Managers, versions: Versions): Managers =>
  versions.changing
    ? managers.map((entry) => {
        const set = setOf(entry);
        const now = fittedTo(versions.typeOf(entry.apiVersion ?? ''), set);
        return now === set ? entry : withSet(entry, now);
      })
    : managers;

/**
 * The entries after `by` changed `before` into `after`. Identical to `managers` when nobody's ownership changes and `by` changed
 * nothing; its time moves with every change of a value it makes.
 */
export function trackUpdate(
  managers: Managers,
  by: Manager,
  before: object,
  after: object,
  now: string,
  versions: Versions,
): Managers {
  const comparisons = new Comparisons(versions, by.apiVersion, before, after);
  const own = comparisons.at(by.apiVersion) ?? NO_CHANGES;
  const owned = difference(own.changed, NEVER_OWNED);
  let touched = !isEmptySet(owned);
  let mine = owned;
  const entries: ManagedFieldsEntry[] = [];
  for (const entry of fitted(managers, versions)) {
    const comparison = entry.apiVersion === by.apiVersion ? own : comparisons.at(entry.apiVersion ?? '');
    const set = setOf(entry);
    const isMine = isBy(entry, by);
    if (isMine && touched) {
      mine = union(difference(set, own.removed), owned);
      continue;
    }
    const kept = comparison && difference(difference(set, comparison.changed), comparison.removed);
    if (kept === set) entries.push(entry);
    else {
      touched = true;
      if (kept !== undefined && !isEmptySet(kept)) entries.push(withSet(entry, kept));
    }
  }
  if (!touched) return managers;
  if (!isEmptySet(mine)) entries.push(entryOf(by, mine, now));
  return sortEntries(capUpdates(entries));
}

/** Entries of others that own what an apply would change, with those paths. */
export interface ManagerConflict {
  readonly entry: ManagedFieldsEntry;
  readonly paths: FieldSet;
}

export type Applied<T> =
  | { readonly ok: true; readonly object: T; readonly managers: Managers }
  | { readonly ok: false; readonly conflicts: readonly ManagerConflict[] };

/**
 * Applies `config` to `live` (`{}`-like when there is none) as `by`. The object may hold nulls, for the decoder to leave out. Throws
 * `TypedValueError` when the configuration does not fit the schema.
 */
export function applyConfiguration<T extends object>(
  live: T,
  config: object,
  managers: Managers,
  by: Manager,
  options: { readonly force: boolean; readonly now: string; readonly versions: Versions },
): Applied<T> {
  const { force, now, versions } = options;
  const type = versions.typeOf(by.apiVersion);
  if (type === undefined) throw new Error(`no type for ${by.apiVersion}`);
  const set = writtenOf(appliedFields(type, config), versions.written(by.apiVersion));
  const known = fitted(managers, versions);
  const last = known.find((entry) => isBy(entry, by));
  const others = known.filter((entry) => entry !== last);
  const merged = mergeValues(type, live, config) as T;
  const object = last === undefined ? merged : prune(merged, [...others, entryOf(by, set, now)], by, last, versions);
  const comparisons = new Comparisons(versions, by.apiVersion, live, object);
  const conflicts: ManagerConflict[] = [];
  const entries: ManagedFieldsEntry[] = [];
  for (const entry of others) {
    const comparison = comparisons.at(entry.apiVersion ?? '');
    if (comparison === undefined) continue;
    const owned = setOf(entry);
    const paths = intersection(owned, comparison.changed);
    if (!isEmptySet(paths)) conflicts.push({ entry, paths });
    const kept = difference(difference(owned, paths), comparison.removed);
    if (!isEmptySet(kept)) entries.push(kept === owned ? entry : withSet(entry, kept));
  }
  if (!force && conflicts.length > 0) return { ok: false, conflicts };
  const mine = difference(set, NEVER_OWNED);
  const same = last !== undefined && last.apiVersion === by.apiVersion && sameSet(setOf(last), mine);
  const { changed, removed } = comparisons.at(by.apiVersion) ?? NO_CHANGES;
  const still = same && isEmptySet(changed) && isEmptySet(removed);
  if (!isEmptySet(mine)) entries.push(still ? last : entryOf(by, mine, now));
  return { ok: true, object, managers: sortEntries(entries) };
}

/**
 * Takes out what the applier applied last time, does not apply now and nobody else owns. What it never owned stays, unless it is inside
 * an item or struct that goes.
 */
function prune<T extends object>(
  merged: T,
  managers: Managers,
  by: Manager,
  last: ManagedFieldsEntry,
  versions: Versions,
): T {
  const lastVersion = last.apiVersion ?? '';
  const type = versions.typeOf(lastVersion);
  if (type === undefined || isEmptySet(setOf(last))) return merged;
  const at = (object: T, from: string, to: string) => (from === to ? object : versions.convert(object, from, to));
  const whole = at(merged, by.apiVersion, lastVersion);
  const lastSet = withNamedFields(type, setOf(last));
  let pruned = (removePaths(type, whole, lastSet, 'null') ?? {}) as T;
  const owned = new Map<string, FieldSet>();
  for (const entry of managers) {
    const apiVersion = entry.apiVersion ?? '';
    owned.set(apiVersion, union(owned.get(apiVersion) ?? EMPTY_SET, setOf(entry)));
  }
  // The pruned version first: what is pruned may be needed to convert.
  const order = [lastVersion, ...[...owned.keys()].filter((version) => version !== lastVersion)];
  for (const version of order) {
    const of = versions.typeOf(version);
    const set = owned.get(version);
    if (of === undefined || set === undefined) continue;
    const all = at(merged, by.apiVersion, version);
    const left = withNamedFields(of, presentFields(of, at(pruned, lastVersion, version)));
    const present = withNamedFields(of, presentFields(of, all));
    const gone = difference(present, union(left, withNamedFields(of, set)));
    pruned = at((removePaths(of, all, gone, 'null') ?? {}) as T, version, lastVersion);
  }
  const present = withNamedFields(type, presentFields(type, whole));
  const left = withNamedFields(type, presentFields(type, pruned));
  const gone = intersection(difference(present, left), lastSet);
  return at((removePaths(type, whole, gone, 'nothing') ?? {}) as T, lastVersion, by.apiVersion);
}

/** The paths of a configuration that are still as it says in `live`: what client-side apply may be taken to own. */
export function unchangedSince(type: OwnedType, config: object, live: object): FieldSet {
  const { changed, removed } = compareObjects(type, config, live);
  return difference(difference(presentFields(type, config), changed), removed);
}

/**
 * The Automerge engine behind the desired state of shared kinds. Documents live as bytes; each call loads, works, saves
 * and frees, so WASM memory stays small (it degrades past 64 MB). The engine is used through its low-level handle: the
 * public view copies whole documents into JavaScript and back.
 *
 * Every document starts from one deterministic first change that creates the parents, and every write is one change whose
 * actor id is the write's stamp. So replaying the same writes gives the same bytes on every peer, two unrelated creations
 * of one object merge field by field, and each conflicting value tells when it was written: ties are settled by the later
 * stamp, not by Automerge's operation counter.
 */
import * as Automerge from '@automerge/automerge';
import type { Stamp } from '../stamp.js';
import { NO_STAMP } from '../stamp.js';
import { ORDER, type Shaped } from './shape.js';

type Handle = ReturnType<typeof Automerge.getBackend>;
type ShapedMap = { [key: string]: Shaped };

const ROOT = '_root';

/** Created by the first change of every document, so that two sides do not create them separately. Dropped when empty. */
const PARENTS: ShapedMap = { metadata: { labels: {}, annotations: {} }, spec: {}, data: {} };

/** Holds nothing; every handle starts as a copy of it. */
let nothing: Handle | undefined;
let emptyDocument: Uint8Array | undefined;

/** Calls `use` with a handle that writes as `actor`, and frees it. */
function withHandle<R>(bytes: Uint8Array | undefined, actor: Stamp, use: (handle: Handle) => R): R {
  nothing ??= Automerge.getBackend(Automerge.init());
  const handle = nothing.clone(actor);
  try {
    if (bytes) handle.loadIncremental(bytes);
    return use(handle);
  } finally {
    handle.free();
  }
}

/** The document before anything was written. */
function blank(): Uint8Array {
  emptyDocument ??= withHandle(undefined, NO_STAMP, (handle) => {
    assign(handle, ROOT, {}, PARENTS);
    handle.commit(undefined, 0);
    return handle.save();
  });
  return emptyDocument;
}

/** One write: what the desired state became, and when. */
export interface DocumentWrite {
  readonly stamp: Stamp;
  readonly shaped: Shaped;
}

/** Appends the writes to a document (`undefined`: a new one) and returns its bytes. Deterministic. */
export function appendWrites(bytes: Uint8Array | undefined, writes: readonly DocumentWrite[]): Uint8Array {
  return withHandle(bytes ?? blank(), NO_STAMP, (base) => {
    let present = shapeOf(base);
    let handle = base;
    for (const { stamp, shaped } of writes) {
      const wanted = withParents(shaped as ShapedMap);
      const next = handle.clone(stamp);
      if (handle !== base) handle.free();
      handle = next;
      assign(handle, ROOT, present, wanted);
      handle.commit(undefined, 0);
      present = wanted;
    }
    const saved = handle.save();
    if (handle !== base) handle.free();
    return saved;
  });
}

/** A parent of the first change is emptied instead of removed: a removed one could not be shared any more. */
function withParents(wanted: ShapedMap): ShapedMap {
  const { metadata = {}, spec = {}, data = {}, ...rest } = wanted;
  return {
    ...rest,
    metadata: typeof metadata === 'string' ? metadata : { labels: {}, annotations: {}, ...metadata },
    spec,
    data,
  };
}

/** Turns `present`, which the map holds, into `wanted` with the fewest operations. */
function assign(handle: Handle, map: string, present: ShapedMap, wanted: ShapedMap): void {
  for (const key of Object.keys(present)) if (!Object.hasOwn(wanted, key)) handle.delete(map, key);
  for (const [key, value] of Object.entries(wanted)) {
    const before = Object.hasOwn(present, key) ? present[key] : undefined;
    if (typeof value === 'string') {
      if (before !== value) handle.put(map, key, value, 'str');
    } else if (typeof before === 'object') {
      if (!isSame(before, value)) assign(handle, handle.getWithType(map, key)?.[1] as string, before, value);
    } else assign(handle, handle.putObject(map, key, {}), {}, value);
  }
}

function isSame(a: Shaped, b: Shaped): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && isSame(a[key] as Shaped, b[key] as Shaped));
}

const shapeOf = (handle: Handle): ShapedMap => plain(handle.materialize(ROOT)) as ShapedMap;

/** The engine shows our strings (which are values, not texts to be edited) as objects of its own. */
function plain(value: unknown): Shaped {
  if (typeof value === 'string') return value;
  if (Automerge.isImmutableString(value)) return value.val;
  return Object.fromEntries(Object.entries(value as object).map(([key, inner]) => [key, plain(inner)]));
}

/** The desired state a document holds. Empty parents are left out. */
export function readDocument(bytes: Uint8Array): Shaped {
  const { metadata, spec, data, ...rest } = withHandle(bytes, NO_STAMP, shapeOf);
  const { labels, annotations, ...others } = metadata as ShapedMap;
  return {
    ...rest,
    metadata: { ...others, ...unlessEmpty('labels', labels), ...unlessEmpty('annotations', annotations) },
    ...unlessEmpty('spec', spec),
    ...unlessEmpty('data', data),
  };
}

const unlessEmpty = (name: string, value: Shaped | undefined): ShapedMap =>
  value === undefined || (typeof value === 'object' && Object.keys(value).length === 0) ? {} : { [name]: value };

/** A field that both sides wrote: what stays and what was overridden, as JSON texts (or `{…}` for a whole map). */
export interface FieldConflict {
  readonly path: readonly string[];
  readonly kept: string;
  readonly dropped: readonly string[];
}

export interface MergedDocument {
  readonly bytes: Uint8Array;
  readonly conflicts: readonly FieldConflict[];
  /** True when `ours` already contained all of `theirs`. */
  readonly unchanged: boolean;
}

/** Merges two documents of one object; `stamp` is used for the change that settles conflicts, if one is needed. */
export function mergeDocuments(ours: Uint8Array, theirs: Uint8Array, stamp: Stamp): MergedDocument {
  return withHandle(ours, stamp, (handle) =>
    withHandle(theirs, NO_STAMP, (other) => {
      const contained = other.getHeads().every((head) => handle.getChangeByHash(head) !== null);
      if (contained) return { bytes: ours, conflicts: [], unchanged: true };
      handle.merge(other);
      const conflicts: FieldConflict[] = [];
      const wanted = settle(handle, [ROOT], [], conflicts);
      if (conflicts.length > 0) {
        assign(handle, ROOT, shapeOf(handle), wanted);
        handle.commit(undefined, 0);
      }
      const shown = conflicts.filter(({ path, dropped }) => path.at(-1) !== ORDER && dropped.length > 0);
      return { bytes: handle.save(), conflicts: shown, unchanged: false };
    }),
  );
}

/** Our actors are stamps. */
const stampOf = (operation: string): string => operation.slice(operation.indexOf('@') + 1);

/**
 * The state in which every conflict went to the later write. Maps that both sides made under one name are one map: their
 * fields are settled one by one.
 */
function settle(
  handle: Handle,
  maps: readonly string[],
  path: readonly string[],
  conflicts: FieldConflict[],
): { [key: string]: Shaped } {
  const out: [string, Shaped][] = [];
  for (const key of new Set(maps.flatMap((map) => handle.keys(map)))) {
    const here = [...path, key];
    const values = maps
      .flatMap((map) => handle.getAll(map, key))
      .map((found) => {
        // `['map', id]` or `['str', text, operation]`; ids and operations are `counter@actor`.
        const [type, value, operation = value] = found as [string, string, string?];
        return { isMap: type === 'map', value, stamp: stampOf(operation) };
      })
      .toSorted((a, b) => (a.stamp < b.stamp ? 1 : -1));
    const [latest, ...others] = values;
    if (!latest) continue;
    if (latest.isMap) {
      const inner = values.filter(({ isMap }) => isMap).map(({ value }) => value);
      out.push([key, settle(handle, inner, here, conflicts)]);
    } else out.push([key, latest.value]);
    const dropped = others.filter(({ isMap, value }) => isMap !== latest.isMap || (!isMap && value !== latest.value));
    const texts = dropped.map(({ isMap, value }) => (isMap ? '{…}' : value));
    if (others.length > 0) conflicts.push({ path: here, kept: latest.isMap ? '{…}' : latest.value, dropped: texts });
  }
  return Object.fromEntries(out);
}

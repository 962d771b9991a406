/**
 * The desired state of a shared kind as an Automerge document. Documents live as bytes; each call loads, works, saves
 * and frees, so WASM memory stays small (it degrades past 64 MB). The engine is used through its low-level handle: the
 * public view copies whole documents into JavaScript and back.
 *
 * Every document starts from one deterministic first change that creates the parents, and every write is one change whose
 * actor id is the write's stamp. So replaying the same writes gives the same bytes on every peer, two unrelated creations
 * of one object merge field by field, and each conflicting value tells when it was written: the later stamp is shown.
 *
 * Past {@link DocumentLimits} a document is squashed: begun anew with what it shows (and what that overrode without having
 * seen it), one change for each write of which something is left. Its first change tells which writes it had seen, and
 * that is what a merge with any other document of the object needs; see field-tree.ts. A merge joins fields, which comes to
 * what the engine would make of all the history, and needs the engine to read and write bytes only.
 */
import { createHash } from 'node:crypto';
import * as Automerge from '@automerge/automerge';
import type { Stamp } from '../stamp.js';
import { NO_STAMP } from '../stamp.js';
import {
  conflictsOf,
  contextOf,
  includes,
  isBranch,
  joinTrees,
  latestFirst,
  shownBy,
  written,
  type Context,
  type Entry,
  type FieldConflict,
  type Fields,
  type FieldTree,
  type ShapedMap,
} from './field-tree.js';
import { ORDER, sameShape, type Shaped } from './shape.js';

type Handle = ReturnType<typeof Automerge.getBackend>;
type Operation = Automerge.DecodedChange['ops'][number];

export interface DocumentLimits {
  /** Changes appended to a document before it is squashed. */
  readonly changes: number;
  /** A document is squashed too when it has so many bytes more than twice the text of what it shows. */
  readonly bytes: number;
}

export const DOCUMENT_LIMITS: DocumentLimits = { changes: 32, bytes: 32 * 1024 };

const ROOT = '_root';

/** Created by the first change of every document, so that two sides do not create them separately. Dropped when empty. */
const PARENTS: Fields = new Map(
  Object.entries({ metadata: ['annotations', 'labels'], spec: [], data: [] }).map(([name, inner]) => [
    name,
    [{ stamp: NO_STAMP, fields: new Map(inner.map((key) => [key, [{ stamp: NO_STAMP, fields: new Map() }]])) }],
  ]),
);

const NOTHING: FieldTree = { fields: PARENTS, context: new Map() };

/** What the first change says of a document. */
interface Base {
  /** Which writes had been seen when it was squashed. */
  readonly context: readonly Stamp[];
  /** Changes that made it. */
  readonly changes: number;
  /** Tells documents apart that have seen the same and hold something else. */
  readonly digest: string;
}

interface ReadDocument extends FieldTree {
  /** Undefined for a document from before documents were squashed. */
  readonly base: Base | undefined;
}

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
  emptyDocument ??= squashed(NOTHING);
  return emptyDocument;
}

/** The shortest document that holds the tree. Deterministic. */
function squashed(tree: FieldTree): Uint8Array {
  const stamps = stampsIn(tree.fields);
  const base: Base = {
    context: [...tree.context.values()],
    changes: stamps.length,
    digest: createHash('sha256').update(textOf(tree.fields)).digest('base64'),
  };
  return withHandle(undefined, NO_STAMP, (handle) => {
    /** The ids of the maps made so far. */
    const maps = new Map<Fields, string>([[tree.fields, ROOT]]);
    const changes: Uint8Array[] = [];
    let deps: string[] = [];
    let startOp = 1;
    for (const actor of stamps) {
      const ops: Operation[] = [];
      // Entries under one key do not supersede each other: none names a predecessor.
      const visit = (fields: Fields) => {
        const obj = maps.get(fields) as string;
        for (const [key, entries] of fields) {
          for (const entry of entries) {
            if (entry.stamp === actor) {
              if (isBranch(entry)) {
                maps.set(entry.fields, `${startOp + ops.length}@${actor}`);
                ops.push({ action: 'makeMap', obj, key, pred: [] });
              } else ops.push({ action: 'set', obj, key, value: entry.text, pred: [] });
            }
            if (isBranch(entry) && maps.has(entry.fields)) visit(entry.fields);
          }
        }
      };
      visit(tree.fields);
      const message = startOp === 1 ? JSON.stringify(base) : null;
      const change = Automerge.encodeChange({ actor, author: null, seq: 1, startOp, time: 0, message, deps, ops });
      changes.push(change);
      deps = [hashOf(change)];
      startOp += ops.length;
    }
    handle.applyChanges(changes);
    return handle.save();
  });
}

/** What names an encoded change: the SHA-256 of its chunk, which begins after the magic bytes and the checksum. */
const hashOf = (change: Uint8Array): string => createHash('sha256').update(change.subarray(8)).digest('hex');

function stampsIn(fields: Fields): Stamp[] {
  const stamps = new Set<Stamp>();
  const visit = (inner: Fields) => {
    for (const entry of [...inner.values()].flat()) {
      stamps.add(entry.stamp);
      if (isBranch(entry)) visit(entry.fields);
    }
  };
  visit(fields);
  return [...stamps].toSorted();
}

const textOf = (fields: Fields): string =>
  JSON.stringify([...fields], (_, value: unknown) => (value instanceof Map ? [...value] : value));

function read(handle: Handle): ReadDocument {
  const metas = handle.getChangesMeta([]);
  const first = metas.find(({ deps }) => deps.length === 0);
  const base = first?.message ? (JSON.parse(first.message) as Base) : undefined;
  const context = contextOf([...(base?.context ?? []), ...metas.map(({ actor }) => actor as Stamp)]);
  return { fields: readFields(handle, ROOT, base === undefined), context, base };
}

/** `settled`: what the engine shows is all that counts. */
function readFields(handle: Handle, map: string, settled: boolean): Fields {
  const keys = handle.keys(map).toSorted((a, b) => (a < b ? -1 : 1));
  return new Map(
    keys.map((key) => {
      const all = handle.getAll(map, key);
      const entries = (settled ? all.slice(-1) : all).map((found): Entry => {
        // `['map', id]` or `['str', text, operation]`; ids and operations are `counter@actor`, and our actors are stamps.
        const [type, value, operation = value] = found as [string, string, string?];
        const stamp = operation.slice(operation.indexOf('@') + 1) as Stamp;
        return type === 'map' ? { stamp, fields: readFields(handle, value, settled) } : { stamp, text: value };
      });
      return [key, latestFirst(entries)];
    }),
  );
}

/** One write: what the desired state became, and when. */
export interface DocumentWrite {
  readonly stamp: Stamp;
  readonly shaped: Shaped;
}

/** Appends the writes to a document (`undefined`: a new one) and returns its bytes. Deterministic. */
export function appendWrites(
  bytes: Uint8Array | undefined,
  writes: readonly DocumentWrite[],
  limits = DOCUMENT_LIMITS,
): Uint8Array {
  return withHandle(bytes ?? blank(), NO_STAMP, (loaded) => {
    const before = read(loaded);
    if (!before.base) return appendWrites(squashed(before), writes, limits);
    let present = shownBy([before.fields]);
    let handle = loaded;
    for (const { stamp, shaped } of writes) {
      const wanted = withParents(shaped as ShapedMap);
      const next = handle.clone(stamp);
      if (handle !== loaded) handle.free();
      handle = next;
      assign(handle, [ROOT], present, wanted);
      handle.commit(undefined, 0);
      present = wanted;
    }
    const saved = saveWithin(handle, present, before.base, limits);
    if (handle !== loaded) handle.free();
    return saved;
  });
}

function saveWithin(handle: Handle, shown: ShapedMap, base: Base, limits: DocumentLimits): Uint8Array {
  if (handle.stats().numChanges > base.changes + limits.changes) return squashed(read(handle));
  const saved = handle.save();
  return saved.length > limits.bytes && saved.length > limits.bytes + 2 * JSON.stringify(shown).length
    ? squashed(read(handle))
    : saved;
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

/**
 * Turns `present`, which the maps show together, into `wanted` with the fewest operations. There are several where both
 * sides of a split made one: the latest gets what is new.
 */
function assign(handle: Handle, maps: readonly string[], present: ShapedMap, wanted: ShapedMap): void {
  const [latest, ...others] = maps as [string, ...string[]];
  const removeFrom = (from: readonly string[], key: string) => {
    for (const map of from) if (handle.getAll(map, key).length > 0) handle.delete(map, key);
  };
  for (const key of Object.keys(present)) if (!Object.hasOwn(wanted, key)) removeFrom(maps, key);
  for (const [key, value] of Object.entries(wanted)) {
    const before = Object.hasOwn(present, key) ? present[key] : undefined;
    if (typeof value === 'string') {
      if (before === value) continue;
      handle.put(latest, key, value, 'str');
      removeFrom(others, key);
    } else if (typeof before === 'object') {
      if (!sameShape(before, value)) assign(handle, mapsUnder(handle, maps, key), before, value);
    } else {
      removeFrom(others, key);
      assign(handle, [handle.putObject(latest, key, {})], {}, value);
    }
  }
}

/** The ids of the maps under a key, the latest first. */
function mapsUnder(handle: Handle, maps: readonly string[], key: string): string[] {
  const found = maps.flatMap((map) => handle.getAll(map, key)).filter(([type]) => type === 'map');
  const ids = found.map(([, id]) => ({ id: id as string, stamp: (id as string).split('@')[1] as Stamp }));
  return latestFirst(ids).map(({ id }) => id);
}

/** The desired state a document shows. Empty parents are left out. */
export const readDocument = (bytes: Uint8Array): Shaped => withoutParents(shownBy([treeOf(bytes).fields]));

/** The shortest document that holds and has seen the same; a function of that alone. */
export const squashDocument = (bytes: Uint8Array): Uint8Array => squashed(treeOf(bytes));

/** All that a document holds. */
export const treeOf = (bytes: Uint8Array): FieldTree => withHandle(bytes, NO_STAMP, read);

function withoutParents({ metadata, spec, data, ...rest }: ShapedMap): ShapedMap {
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

/** What a peer has of one object: the document's bytes (undefined: nothing was appended yet), and what is to be appended. */
export interface DocumentSide {
  readonly bytes: Uint8Array | undefined;
  readonly pending: readonly DocumentWrite[];
}

/** Which side has seen all that the other wrote. */
export type Whole = 'ours' | 'theirs' | 'both';

function wholeOf(ours: Context, theirs: Context): Whole | undefined {
  if (!includes(ours, theirs)) return includes(theirs, ours) ? 'theirs' : undefined;
  return includes(theirs, ours) ? 'both' : 'ours';
}

/** What of a side tells which writes it has seen, beside its bytes. */
export interface SeenSide extends Pick<DocumentSide, 'bytes'> {
  readonly pending: readonly Pick<DocumentWrite, 'stamp'>[];
}

/** Which side has seen all, as far as that can be told without the engine: of two that go on from the same bytes. */
export function knownWhole(ours: SeenSide, theirs: SeenSide): Whole | undefined {
  const goesOnFromSame =
    ours.bytes === theirs.bytes || (ours.bytes && theirs.bytes && Buffer.from(ours.bytes).equals(theirs.bytes));
  if (!goesOnFromSame) return undefined;
  const newest = ({ pending }: SeenSide) => contextOf(pending.map(({ stamp }) => stamp));
  return wholeOf(newest(ours), newest(theirs));
}

/** One side's document has seen all of the other's; or there is a new one, with the desired state it shows. */
export type MergedDocument =
  | { readonly whole: Whole }
  | {
      readonly whole?: undefined;
      readonly bytes: Uint8Array;
      readonly shaped: Shaped;
      readonly conflicts: readonly FieldConflict[];
    };

/** Merges two documents of one object. What comes out does not depend on the order in which many are merged. */
export function mergeDocuments(ours: DocumentSide, theirs: DocumentSide): MergedDocument {
  const [mine, others] = [treeWith(ours), treeWith(theirs)];
  const whole = wholeOf(mine.context, others.context);
  if (whole) return { whole };
  const joined = joinTrees(mine, others);
  // The order of a list is the list's affair.
  const conflicts = conflictsOf(joined.fields, mine, others).filter(({ path }) => path.at(-1) !== ORDER);
  return { bytes: squashed(joined), shaped: withoutParents(shownBy([joined.fields])), conflicts };
}

/** What the document will hold once all is appended. */
export function treeWith({ bytes, pending }: DocumentSide): FieldTree {
  let tree: FieldTree = bytes ? treeOf(bytes) : NOTHING;
  for (const { stamp, shaped } of pending) tree = written(tree, stamp, withParents(shaped as ShapedMap));
  return tree;
}

/** The functions that read and write documents: pure, so that what one of them made may stand for what another would. */
export interface DocumentEngine {
  readonly append: typeof appendWrites;
  readonly merge: typeof mergeDocuments;
}

export const AUTOMERGE: DocumentEngine = { append: appendWrites, merge: mergeDocuments };

export type { FieldConflict };

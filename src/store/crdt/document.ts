/**
 * The Automerge engine behind the desired state of shared kinds. Documents live as bytes; each call loads, works, saves
 * and frees, so WASM memory stays small (it degrades past 64 MB).
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

type Node = { [key: string]: unknown };

/** Created by the first change of every document, so that two sides do not create them separately. Dropped when empty. */
const PARENTS: readonly (readonly string[])[] = [
  ['metadata'],
  ['metadata', 'labels'],
  ['metadata', 'annotations'],
  ['spec'],
  ['data'],
];

let emptyDocument: Uint8Array | undefined;

/** The document before anything was written. */
function blank(): Uint8Array {
  emptyDocument ??= withDocument(Automerge.init<Node>({ actor: NO_STAMP }), (doc) =>
    Automerge.save(
      Automerge.change(doc, { time: 0 }, (root) => {
        for (const path of PARENTS) {
          let parent: Node = root;
          for (const key of path.slice(0, -1)) parent = parent[key] as Node;
          parent[path.at(-1) as string] = {};
        }
      }),
    ),
  );
  return emptyDocument;
}

function withDocument<R>(doc: Automerge.Doc<Node>, use: (doc: Automerge.Doc<Node>) => R): R {
  try {
    return use(doc);
  } finally {
    Automerge.free(doc);
  }
}

const leaf = (text: string) => new Automerge.ImmutableString(text);
const isLeaf = (value: unknown): value is Automerge.ImmutableString => Automerge.isImmutableString(value);

/** One write: what the desired state became, and when. */
export interface DocumentWrite {
  readonly stamp: Stamp;
  readonly shaped: Shaped;
}

/** Appends the writes to a document (`undefined`: a new one) and returns its bytes. Deterministic. */
export function appendWrites(bytes: Uint8Array | undefined, writes: readonly DocumentWrite[]): Uint8Array {
  let current = bytes ?? blank();
  for (const { stamp, shaped } of writes) {
    const doc = Automerge.load<Node>(current, { actor: stamp });
    current = withDocument(
      Automerge.change(doc, { time: 0 }, (root) => assign(root, shaped as { [key: string]: Shaped }, true)),
      Automerge.save,
    );
  }
  return current;
}

/** Makes `target` equal to `wanted` with the fewest operations. */
function assign(target: Node, wanted: { [key: string]: Shaped }, top = false): void {
  for (const key of Object.keys(target)) {
    if (key in wanted) continue;
    // A parent of the first change is emptied instead of removed: a removed one could not be shared any more.
    if (top && key === 'metadata') assign(target[key] as Node, { labels: {}, annotations: {} });
    else if (top && PARENTS.some((path) => path.length === 1 && path[0] === key)) assign(target[key] as Node, {});
    else delete target[key];
  }
  for (const [key, value] of Object.entries(wanted)) {
    const present = target[key];
    if (typeof value === 'string') {
      if (!isLeaf(present) || present.val !== value) target[key] = leaf(value);
      continue;
    }
    if (present === undefined || isLeaf(present)) target[key] = {};
    const keepParents = top && key === 'metadata' ? { labels: {}, annotations: {}, ...value } : value;
    assign(target[key] as Node, keepParents);
  }
}

/** The desired state a document holds. Empty parents are left out. */
export function readDocument(bytes: Uint8Array): Shaped {
  return withDocument(Automerge.load<Node>(bytes), (doc) => readNode(doc, 0));
}

function readNode(node: Node, depth: number): { [key: string]: Shaped } {
  const out: { [key: string]: Shaped } = {};
  for (const [key, value] of Object.entries(node)) {
    if (isLeaf(value)) {
      out[key] = value.val;
      continue;
    }
    const inner = readNode(value as Node, depth + 1);
    const isParent =
      (depth === 0 && key !== 'metadata') || (depth === 1 && (key === 'labels' || key === 'annotations'));
    if (isParent && Object.keys(inner).length === 0) continue;
    out[key] = inner;
  }
  return out;
}

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
  const other = Automerge.load<Node>(theirs);
  let doc = Automerge.load<Node>(ours, { actor: stamp });
  try {
    if (Automerge.hasHeads(doc, Automerge.getHeads(other))) return { bytes: ours, conflicts: [], unchanged: true };
    doc = Automerge.merge(doc, other);
    const conflicts: FieldConflict[] = [];
    const wanted = settle(Automerge.getBackend(doc) as unknown as Backend, ['_root'], [], conflicts);
    if (conflicts.length > 0) doc = Automerge.change(doc, { time: 0 }, (root) => assign(root, wanted, true));
    return {
      bytes: Automerge.save(doc),
      conflicts: conflicts.filter(({ path, dropped }) => path.at(-1) !== ORDER && dropped.length > 0),
      unchanged: false,
    };
  } finally {
    Automerge.free(doc);
    Automerge.free(other);
  }
}

/** What is needed of the engine: unlike the public view it also shows what lies inside an overridden map. */
interface Backend {
  keys(map: string): string[];
  /** All concurrent values: `['map', id]`, or `['str', text, operation]`. Ids and operations are `counter@actor`. */
  getAll(map: string, key: string): [type: string, value: string, operation?: string][];
}

/** Our actors are stamps. */
const stampOf = (operation: string): string => operation.slice(operation.indexOf('@') + 1);

/**
 * The state in which every conflict went to the later write. Maps that both sides made under one name are one map: their
 * fields are settled one by one.
 */
function settle(
  backend: Backend,
  maps: readonly string[],
  path: readonly string[],
  conflicts: FieldConflict[],
): { [key: string]: Shaped } {
  const out: { [key: string]: Shaped } = {};
  for (const key of new Set(maps.flatMap((map) => backend.keys(map)))) {
    const here = [...path, key];
    const values = maps
      .flatMap((map) => backend.getAll(map, key))
      .map(([type, value, operation = value]) => ({ isMap: type === 'map', value, stamp: stampOf(operation) }))
      .toSorted((a, b) => (a.stamp < b.stamp ? 1 : -1));
    const [latest, ...others] = values;
    if (!latest) continue;
    if (latest.isMap) {
      const inner = values.filter(({ isMap }) => isMap).map(({ value }) => value);
      out[key] = settle(backend, inner, here, conflicts);
    } else out[key] = latest.value;
    const dropped = others.filter(({ isMap, value }) => isMap !== latest.isMap || (!isMap && value !== latest.value));
    const texts = dropped.map(({ isMap, value }) => (isMap ? '{…}' : value));
    if (others.length > 0) conflicts.push({ path: here, kept: latest.isMap ? '{…}' : latest.value, dropped: texts });
  }
  return out;
}

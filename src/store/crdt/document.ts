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
import type { Shaped } from './shape.js';

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
    const isParent = (depth === 0 && key !== 'metadata') || (depth === 1 && (key === 'labels' || key === 'annotations'));
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
    const found: Settlement[] = [];
    findConflicts(doc, [], found);
    const overrides = found.filter((one) => one.override !== undefined);
    if (overrides.length > 0) {
      doc = Automerge.change(doc, { time: 0 }, (root) => {
        for (const { conflict, override } of overrides) setPath(root, conflict.path, override);
      });
    }
    return { bytes: Automerge.save(doc), conflicts: found.map((one) => one.conflict), unchanged: false };
  } finally {
    Automerge.free(doc);
    Automerge.free(other);
  }
}

interface Settlement {
  readonly conflict: FieldConflict;
  /** Set when Automerge's choice is not the later one. */
  readonly override: unknown;
}

/** An operation id is `counter@actor`, and our actors are stamps. */
const stampOfOperation = (id: string): string => id.slice(id.indexOf('@') + 1);
const textOf = (value: unknown): string => (isLeaf(value) ? value.val : '{…}');

function findConflicts(node: Node, path: readonly string[], found: Settlement[]): void {
  for (const key of Object.keys(node)) {
    const conflicts = Automerge.getConflicts(node as Automerge.Doc<Node>, key);
    const here = [...path, key];
    if (conflicts) {
      const ranked = Object.entries(conflicts).toSorted(([a], [b]) => (stampOfOperation(a) < stampOfOperation(b) ? 1 : -1));
      const [, latest] = ranked[0] as [string, unknown];
      const kept = textOf(latest);
      const dropped = ranked.slice(1).map(([, value]) => textOf(value));
      const differs = !isLeaf(latest) || textOf(node[key]) !== kept;
      found.push({ conflict: { path: here, kept, dropped }, override: differs ? plain(latest) : undefined });
      if (differs) continue;
    }
    if (!isLeaf(node[key]) && typeof node[key] === 'object' && node[key] !== null) {
      findConflicts(node[key] as Node, here, found);
    }
  }
}

/** A detached copy of a losing branch, so that it can be written again. */
function plain(value: unknown): unknown {
  if (isLeaf(value)) return leaf(value.val);
  return Object.fromEntries(Object.entries(value as Node).map(([key, inner]) => [key, plain(inner)]));
}

function setPath(root: Node, path: readonly string[], value: unknown): void {
  let parent = root;
  for (const key of path.slice(0, -1)) parent = parent[key] as Node;
  parent[path.at(-1) as string] = value;
}

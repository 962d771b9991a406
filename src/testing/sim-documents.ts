/**
 * The document engine of a simulated cluster. Every peer that applies a log appends the same writes to the same documents;
 * the engine is pure and by far the dearest part of that, so what it once made of some arguments stands for all who ask with
 * equal ones. Arguments are told apart by their whole content: a peer that strays gets a result of its own.
 */
import { createHash } from 'node:crypto';
import { AUTOMERGE, type DocumentEngine } from '../store/crdt/document.js';

/** Remembers up to `limit` results; then it starts over. */
export function sharedDocuments(limit = 1_000): DocumentEngine {
  const known = new Map<string, unknown>();
  const once = <R>(key: string, make: () => R): R => {
    if (known.has(key)) return known.get(key) as R;
    if (known.size >= limit) known.clear();
    const result = make();
    known.set(key, result);
    return result;
  };
  return {
    append: (bytes, writes, limits) =>
      once(digest('append', bytes, JSON.stringify([writes, limits])), () => AUTOMERGE.append(bytes, writes, limits)),
    merge: (ours, theirs) =>
      once(digest('merge', ours.bytes, theirs.bytes, JSON.stringify([ours.pending, theirs.pending])), () =>
        AUTOMERGE.merge(ours, theirs),
      ),
  };
}

function digest(...parts: readonly (string | Uint8Array | undefined)[]): string {
  const hash = createHash('sha256');
  // Lengths keep neighbours apart.
  for (const part of parts) hash.update(`${part?.length ?? -1} `).update(part ?? '');
  return hash.digest('base64');
}

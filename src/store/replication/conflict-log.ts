/**
 * What merges overrode, kept as records of the replicated state, one for each field: written by the sequencer in the frame that
 * holds the merge, so every peer has the same list, finds it again after a restart, and gets it when it comes late. No API kind
 * shows them.
 *
 * A record's name is made of the values that met. So it is written once, however many peers of the other side bring the same.
 */
import { createHash } from 'node:crypto';
import type { KubeObject } from '../../api/object.js';
import type { Conflict } from '../crdt/conflicts.js';
import { keyString, type ObjectKey, type WriteTransaction } from '../object-store.js';

export interface ConflictLimits {
  /** Overridden values kept; the oldest go first. */
  readonly values: number;
  /** … and their size in all, in bytes of JSON. */
  readonly bytes: number;
}

export const CONFLICT_LIMITS: ConflictLimits = { values: 2_000, bytes: 16 * 2 ** 20 };

const PLACE = { group: 'internal.skein.dev', resource: 'mergeconflicts', namespace: '' };

/** What a merge overrode on one object. */
export interface MergeReport {
  /** The object's key. */
  readonly key: string;
  /** Names of the nodes in the part that took the other in, and in that one. */
  readonly parts: { readonly ours: readonly string[]; readonly theirs: readonly string[] };
  readonly conflicts: readonly Conflict[];
  /** Of a kind that controllers make anew from what they observe, as statuses are: counted, and told to nobody. */
  readonly isDerived: boolean;
}

export interface MergeConflict extends KubeObject {
  /** The object's key. */
  readonly object: string;
  /** Wall-clock time of the merge on its sequencer, in milliseconds. */
  readonly mergedAtMs: number;
  readonly parts: MergeReport['parts'];
  readonly conflict: Conflict;
  /** What this counts for within {@link ConflictLimits.bytes}. */
  readonly bytes: number;
}

const keyOf = (name: string): ObjectKey => ({ ...PLACE, name });
/** `group/resource`, as policies know it. */
export const CONFLICT_KIND = keyString(keyOf('')).slice(0, -2);

/** Which side is whose depends on who merges whom, and is left out. */
function nameOf(key: string, { path, kept, dropped }: Conflict): string {
  const values = [kept, ...dropped].map(({ value, atMs }) => [value ?? null, atMs ?? 0]);
  return createHash('sha256')
    .update(JSON.stringify([key, path, values]))
    .digest('hex')
    .slice(0, 32);
}

/** A status tells what is, and is told anew. */
export const isTold = ({ isDerived }: MergeReport, { path }: Conflict) =>
  !isDerived && path.split('.', 1)[0] !== 'status';

interface Kept {
  readonly name: string;
  readonly atMs: number;
  readonly bytes: number;
}

const olderFirst = (a: Kept, b: Kept): number => a.atMs - b.atMs || (a.name < b.name ? -1 : 1);

const keptOf = ({ metadata, mergedAtMs, bytes }: MergeConflict): Kept => ({
  name: metadata.name ?? '',
  atMs: mergedAtMs,
  bytes,
});

/**
 * The sequencer's hand in the list, for one reign. It knows what the list holds, so that a merge of thousands of objects does
 * not go through all of it for each few of them; whatever else puts records there has to {@link add} them.
 */
export class ConflictLog {
  /** The oldest first; read from the state when it is needed first. */
  private kept: Kept[] | undefined;
  private bytes = 0;

  constructor(private readonly limits: ConflictLimits) {}

  /** Writes down what is news and to be told, makes room for it, and returns it. */
  note(transaction: WriteTransaction, reports: readonly MergeReport[]): MergeReport[] {
    this.load(transaction);
    const news = reports.map((report) => ({
      ...report,
      conflicts: report.conflicts.filter(
        (conflict) => isTold(report, conflict) && this.noteOne(transaction, report, conflict),
      ),
    }));
    this.makeRoom(transaction);
    return news.filter(({ conflicts }) => conflicts.length > 0);
  }

  /** A record of the list came in with a merge. */
  add(value: KubeObject): void {
    const one = keptOf(value as MergeConflict);
    if (this.kept?.every(({ name }) => name !== one.name)) this.insert(one);
  }

  private load(transaction: WriteTransaction): void {
    if (this.kept) return;
    this.kept = conflictsIn(transaction).map(keptOf);
    this.bytes = this.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  private noteOne(transaction: WriteTransaction, { key, parts }: MergeReport, conflict: Conflict): boolean {
    const name = nameOf(key, conflict);
    if (transaction.get(keyOf(name))) return false;
    const noted: MergeConflict = {
      apiVersion: `${PLACE.group}/v1`,
      kind: 'MergeConflict',
      metadata: { name, uid: name },
      object: key,
      mergedAtMs: transaction.nowMs,
      parts,
      conflict,
      bytes: JSON.stringify(conflict).length,
    };
    transaction.put(keyOf(name), noted);
    this.insert(keptOf(noted));
    return true;
  }

  private insert(one: Kept): void {
    const kept = this.kept ?? [];
    // Mostly the newest.
    let at = kept.length;
    while (at > 0 && olderFirst(kept[at - 1] as Kept, one) > 0) at -= 1;
    kept.splice(at, 0, one);
    this.bytes += one.bytes;
  }

  private makeRoom(transaction: WriteTransaction): void {
    const { limits, kept = [] } = this;
    while (kept.length > limits.values || this.bytes > limits.bytes) {
      const oldest = kept.shift();
      if (!oldest) return;
      this.bytes -= oldest.bytes;
      transaction.delete(keyOf(oldest.name));
    }
  }
}

/** All that is kept, the oldest first. */
export const conflictsIn = (reader: Pick<WriteTransaction, 'list'>): MergeConflict[] =>
  (reader.list(PLACE.group, PLACE.resource) as readonly MergeConflict[]).toSorted(
    (a, b) => a.mergedAtMs - b.mergedAtMs || ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1),
  );

/**
 * What a sequencer sends to a peer that it brings over: all records of some keys as of one position, in pieces that are encoded
 * when they go out. Records are immutable, so holding on to those of a position costs nothing but what changes meanwhile.
 */
import type { Clock } from '../../base/clock.js';
import { WorkSlices } from '../../base/work-slices.js';
import type { Position } from '../log-entry.js';
import { encodeChanges } from '../object-history.js';
import { encodeRecord, type ObjectRecord } from '../record.js';
import type { ReplicaState } from './replica-state.js';

export interface SyncPiece {
  readonly records: Uint8Array[];
  readonly pasts: Uint8Array[];
  readonly absent: string[];
}

export interface PieceLimits {
  /** Bytes after which a piece is full. */
  readonly syncChunkBytes: number;
  /** Records that a piece takes at most. */
  readonly sliceRecords: number;
}

export class SyncOutbox {
  private readonly entries: (readonly [key: string, record: ObjectRecord | undefined])[];
  private sent = 0;
  private isOpen = true;

  private constructor(
    private readonly state: ReplicaState,
    private readonly limits: PieceLimits,
    found: ReadonlyMap<string, ObjectRecord | undefined>,
    readonly position: Position,
    private readonly clock: Clock,
  ) {
    this.entries = [...found];
  }

  /**
   * Collects the records of `keys`, and of whatever changed since `from`, as they are when it resolves. Undefined when the log
   * does not reach back to `from` any more.
   */
  static async collect(
    state: ReplicaState,
    keys: Iterable<string>,
    from: Position,
    limits: PieceLimits,
    clock: Clock,
  ): Promise<SyncOutbox | undefined> {
    const found = new Map<string, ObjectRecord | undefined>();
    const slices = new WorkSlices(clock, limits.sliceRecords * SLICES);
    for (const key of keys) {
      found.set(key, state.table.record(key));
      if (slices.isOver()) await slices.pause();
    }
    // Ends without a pause: what is found then is of one moment.
    for (let at = from; at.revision < state.applied.revision;) {
      const [next] = state.log.has(at) ? state.log.after(at, 1) : [];
      if (!next) return undefined;
      if (next.end.revision > state.applied.revision) break;
      for (const entry of next.frame.entries) {
        if (entry.op !== 'reign') found.set(entry.key, state.table.record(entry.key));
      }
      at = next.end;
      if (slices.isOver()) await slices.pause();
    }
    return new SyncOutbox(state, limits, found, state.applied, clock);
  }

  /** The last piece went out. */
  get isEmpty(): boolean {
    return !this.isOpen;
  }

  /** The next piece, as large as one slice of work makes it; undefined when there is none. The last one may be empty. */
  next(): (SyncPiece & { readonly last: boolean }) | undefined {
    if (!this.isOpen) return undefined;
    const { state, limits, position } = this;
    const piece: SyncPiece = { records: [], pasts: [], absent: [] };
    let bytes = 0;
    const slice = new WorkSlices(this.clock, limits.sliceRecords + 1);
    while (!slice.isOver() && bytes <= limits.syncChunkBytes) {
      const entry = this.entries[this.sent];
      if (!entry) break;
      this.sent += 1;
      const [key, record] = entry;
      bytes += key.length;
      if (!record) {
        piece.absent.push(key);
        continue;
      }
      const encoded = encodeRecord(record, state.level);
      // What came since belongs to a later position.
      const changes = state.history.changesOf(key).filter(({ revision }) => revision <= position.revision);
      const past = encodeChanges(changes);
      piece.records.push(encoded);
      piece.pasts.push(past);
      bytes += encoded.length + past.length;
    }
    this.isOpen = this.sent < this.entries.length;
    return { ...piece, last: !this.isOpen };
  }
}

/** Looking a record up is cheap beside encoding it: so many slices of them at once. */
const SLICES = 16;

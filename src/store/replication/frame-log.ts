/**
 * The window of the log that this peer keeps: frames in order, in memory and (as bytes) on disk. A position is known
 * exactly when it is the base or the end of a kept frame.
 */
import { frameEnd, samePosition, START, type Frame, type Position } from '../log-entry.js';
import type { DiskOperation } from '../disk.js';
import type { Revision } from '../object-store.js';

export interface KeptFrame {
  readonly frame: Frame;
  readonly bytes: Uint8Array;
  readonly end: Position;
}

/** Disk key of a frame: ordered by the revision it ends with. */
export const frameKey = (end: Revision): string => `l/${end.toString(16).padStart(14, '0')}`;
export const FRAME_RANGE = ['l/', 'l0'] as const;

export class FrameLog {
  private frames: KeptFrame[] = [];
  private bytesKept = 0;
  private basePosition: Position = START;

  /** The position before the oldest kept frame. */
  get base(): Position {
    return this.basePosition;
  }

  /** The position after the newest frame. */
  get head(): Position {
    return this.frames.at(-1)?.end ?? this.basePosition;
  }

  get bytes(): number {
    return this.bytesKept;
  }

  get length(): number {
    return this.frames.length;
  }

  /** Starts over at a position, as after loading or a synchronisation. Returns what to do on disk. */
  reset(position: Position): DiskOperation[] {
    const operations = this.frames.map(({ end }): DiskOperation => ({ type: 'del', key: frameKey(end.revision) }));
    this.frames = [];
    this.bytesKept = 0;
    this.basePosition = position;
    return operations;
  }

  /** Appends a frame whose `previous` is the head; returns the disk write. */
  append(frame: Frame, bytes: Uint8Array): DiskOperation {
    const end = frameEnd(frame);
    this.frames.push({ frame, bytes, end });
    this.bytesKept += bytes.length;
    return { type: 'put', key: frameKey(end.revision), value: bytes };
  }

  /** Whether that position is on this log's line and still known. */
  has(position: Position): boolean {
    if (samePosition(position, this.basePosition)) return true;
    const kept = this.frames[this.indexOfEnd(position.revision)];
    return kept !== undefined && samePosition(kept.end, position);
  }

  /** The frames after a known position, in order, at most `limit`. */
  after(position: Position, limit = Number.POSITIVE_INFINITY): KeptFrame[] {
    const from = samePosition(position, this.basePosition) ? 0 : this.indexOfEnd(position.revision) + 1;
    return this.frames.slice(from, from + limit);
  }

  /** Frames whose entries are all newer than `revision`'s frame. */
  since(revision: Revision): KeptFrame[] {
    return this.frames.slice(this.firstEndingAfter(revision));
  }

  /** Drops the oldest frames that end at or before `upTo` until at most `limitBytes` and `limitFrames` are left. */
  trim(upTo: Revision, limitBytes: number, limitFrames: number): DiskOperation[] {
    let drop = 0;
    let bytes = this.bytesKept;
    while (drop < this.frames.length) {
      const oldest = this.frames[drop] as KeptFrame;
      if (oldest.end.revision > upTo) break;
      if (bytes <= limitBytes && this.frames.length - drop <= limitFrames) break;
      bytes -= oldest.bytes.length;
      drop += 1;
    }
    if (drop === 0) return [];
    const dropped = this.frames.splice(0, drop);
    this.bytesKept = bytes;
    this.basePosition = (dropped.at(-1) as KeptFrame).end;
    return dropped.map(({ end }) => ({ type: 'del', key: frameKey(end.revision) }));
  }

  private indexOfEnd(revision: Revision): number {
    const index = this.firstEndingAfter(revision - 1);
    return this.frames[index]?.end.revision === revision ? index : -1;
  }

  private firstEndingAfter(revision: Revision): number {
    let low = 0;
    let high = this.frames.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.frames[middle] as KeptFrame).end.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

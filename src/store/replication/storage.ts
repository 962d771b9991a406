/**
 * A replica's disk: promised epoch, log frames, records. Frames are written when they arrive (an acknowledgement means
 * they are there); records follow in the background, and the log keeps every frame whose records are not written yet.
 */
import { isWithin, rangeText, type VersionRange } from '../../base/version-range.js';
import type { Disk, DiskOperation } from '../disk.js';
import { DiskCorrupt, DiskUnavailable } from '../disk.js';
import { FIRST_FORMAT, FORMATS } from '../formats.js';
import {
  NO_EPOCH,
  samePosition,
  seal,
  START,
  unseal,
  UnreadableData,
  type Entry,
  type Epoch,
  type Frame,
  type Position,
} from '../log-entry.js';
import type { ObjectChange } from '../object-change.js';
import { decodeChanges, HISTORY_RANGE } from '../object-history.js';
import { decodeRecord, encodeRecord, type ObjectRecord } from '../record.js';
import type { Stamp } from '../stamp.js';
import { FRAME_RANGE, type FrameLog } from './frame-log.js';
import { levelOf, REGISTRY_KEY, registryOf, type PeerRegistry } from './peer-registry.js';

export const META = 'm/meta';
const RECORD_PREFIX = 'o/';
const RECORD_END = 'o0';
export const RECORD_RANGE = [RECORD_PREFIX, RECORD_END] as const;
const DROPPED_AT_ONCE = 1_000;
/** Of the note itself: every build can read which formats the rest has. */
const META_FORMAT = { oldest: FIRST_FORMAT, newest: FIRST_FORMAT };

export interface StoredMeta {
  /** Nothing in the store has a newer format. */
  readonly level: number;
  readonly promised: Epoch;
  /** Where the log begins. */
  readonly base: Position;
  /** All entries up to here are in the records. */
  readonly applied: Position;
  /** Members of the last view: who to wait for after a restart. */
  readonly peers: readonly string[];
  /** What was here was damaged, and nothing has come from the other peers yet: this is no cluster's state. */
  readonly rebuilding?: true;
  /** When this peer was last in step with each other one; absent in stores of earlier builds. */
  readonly contacts?: Readonly<Record<string, Stamp>>;
}

export interface LoadedState {
  readonly meta: StoredMeta;
  /** True when the disk was empty. */
  readonly fresh: boolean;
}

const NO_META: StoredMeta = Object.freeze({
  level: FIRST_FORMAT,
  promised: NO_EPOCH,
  base: START,
  applied: START,
  peers: [],
});

/** The store was written by another build, newer or older than this one can read. It is whole. */
export class WrongFormat extends Error {
  readonly code = 'ERR_STORE_FORMAT';
}

export class ReplicaStorage {
  private meta: StoredMeta = NO_META;
  /** The level rose since the note was last written. */
  private raised = false;

  /** Records are on disk while nothing is applied. */
  private isAhead = false;

  constructor(
    private readonly disk: Disk,
    private readonly sync: boolean,
    /** What the build knows. */
    readonly formats: VersionRange = FORMATS,
  ) {}

  get current(): StoredMeta {
    return this.meta;
  }

  /** Reads everything: records go to `take` one by one, frames to `log`. Throws {@link DiskCorrupt} for damage that it cannot cut off. */
  async load(log: FrameLog, take: (record: ObjectRecord) => void = () => undefined): Promise<LoadedState> {
    try {
      const raw = await this.disk.get(META);
      if (!raw) {
        for await (const [key] of this.disk.scan(FRAME_RANGE[0], RECORD_END))
          throw new Error(`there is ${key}, but no ${META}`);
        this.meta = NO_META;
        log.reset(START);
        return { meta: NO_META, fresh: true };
      }
      this.meta = readMeta(raw, this.formats);
      // The peer ended while it was given a state.
      this.isAhead = this.meta.applied.revision === 0;
      await this.dropAhead();
      for await (const entry of this.disk.scan(RECORD_PREFIX, RECORD_END)) {
        const record = storedRecord(entry, this.formats);
        if (record.key === REGISTRY_KEY) this.checkLevel(registryOf(record));
        take(record);
      }
      await this.loadFrames(log);
      return { meta: this.meta, fresh: false };
    } catch (error) {
      // Not damage: another version's, or out of reach.
      if (error instanceof WrongFormat || error instanceof DiskUnavailable) throw error;
      throw new DiskCorrupt(error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  /** What is remembered of the objects' changes, in the order of their keys. Throws {@link DiskCorrupt}. */
  async loadHistory(): Promise<(readonly [key: string, changes: readonly ObjectChange[]])[]> {
    const out: (readonly [string, readonly ObjectChange[]])[] = [];
    try {
      for await (const [key, bytes] of this.disk.scan(...HISTORY_RANGE))
        out.push([key, decodeChanges(bytes, this.formats)]);
    } catch (error) {
      throw new DiskCorrupt(error instanceof Error ? error.message : String(error), { cause: error });
    }
    return out;
  }

  /**
   * The last frame may be torn: its write never ended, so it was never acknowledged by this peer, and it is cut off. One
   * that cannot be read though others follow was whole once: damage, which throws.
   */
  private async loadFrames(log: FrameLog): Promise<void> {
    log.reset(this.meta.base);
    const stale: DiskOperation[] = [];
    let torn = false;
    for await (const [key, bytes] of this.disk.scan(...FRAME_RANGE)) {
      if (torn) throw new Error('a frame in the middle of the log cannot be read');
      const frame = readFrame(bytes, this.formats);
      torn = frame === undefined;
      for (const entry of frame?.entries ?? []) this.checkEntry(entry);
      if (frame && samePosition(frame.previous, log.head)) log.append(frame, bytes);
      else stale.push({ type: 'del', key });
    }
    // The records say more than what is left of the log: it goes on from there.
    if (log.head.revision < this.meta.applied.revision) stale.push(...log.reset(this.meta.applied));
    if (stale.length > 0) await this.disk.write(stale, { sync: false });
  }

  private checkEntry(entry: Entry): void {
    if (entry.op === 'reign' || entry.key !== REGISTRY_KEY) return;
    if (entry.op === 'put') this.checkLevel(JSON.parse(entry.value) as PeerRegistry);
    else if (entry.op === 'merge') this.checkLevel(registryOf(decodeRecord(entry.record, this.formats)));
  }

  /** The cluster may have come to a level that nothing here was written in yet: what an older build would write would pass for it. */
  private checkLevel(registry: PeerRegistry | undefined): void {
    const level = levelOf(registry);
    if (level > this.formats.newest) throw new WrongFormat(wrongFormatText(level, this.formats));
  }

  /**
   * Damaged data was set aside: until the other peers have given it everything, this store stands for nothing. A promise that
   * could be read holds.
   */
  async beginRebuilding(): Promise<void> {
    this.meta = { ...NO_META, promised: this.meta.promised, rebuilding: true };
    await this.writeMeta({}, [], true);
  }

  /** Durable when it resolves (with `fsync`). */
  async promise(epoch: Epoch): Promise<void> {
    await this.writeMeta({ promised: epoch }, [], true);
  }

  async setPeers(peers: readonly string[]): Promise<void> {
    await this.writeMeta({ peers }, [], true);
  }

  /** Written with whatever is written next: an older note only means that more is kept in a merge. */
  noteContacts(peers: readonly string[], stamp: Stamp): void {
    const contacts = { ...this.meta.contacts, ...Object.fromEntries(peers.map((peer) => [peer, stamp])) };
    this.meta = { ...this.meta, contacts };
  }

  /** From now on values may come in that format: noted with whatever is written next, so never after one of them. */
  raise(level: number): void {
    if (level <= this.meta.level) return;
    this.meta = { ...this.meta, level };
    this.raised = true;
  }

  /** Records for a store in which nothing is applied: they count once a `flush` says so. */
  writeAhead(operations: readonly DiskOperation[]): Promise<void> {
    this.isAhead = true;
    return this.disk.write(operations, { sync: false });
  }

  /** Removes what was written ahead and never counted. */
  async dropAhead(): Promise<void> {
    if (!this.isAhead) return;
    let operations: DiskOperation[] = [];
    for (const [from, to] of [[RECORD_PREFIX, RECORD_END] as const, HISTORY_RANGE]) {
      for await (const [key] of this.disk.scan(from, to)) {
        operations.push({ type: 'del', key });
        if (operations.length < DROPPED_AT_ONCE) continue;
        await this.disk.write(operations, { sync: false });
        operations = [];
      }
    }
    await this.disk.write(operations, { sync: false });
    this.isAhead = false;
  }

  /** Durable when it resolves (with `fsync`). */
  appendFrames(operations: readonly DiskOperation[]): Promise<void> {
    if (this.raised) return this.writeMeta({}, operations, true);
    return this.disk.write(operations, { sync: this.sync });
  }

  /** How a record is written in the present format; undefined is a removal. */
  recordOperation(key: string, record: ObjectRecord | undefined): DiskOperation {
    if (!record) return { type: 'del', key: RECORD_PREFIX + key };
    return recordWrite(key, encodeRecord(record, this.meta.level));
  }

  /**
   * Writes records (a tombstone without memory is a removal) and notes that the log is applied up to `applied`. Not durable
   * by itself unless `durable`: what a loss of power takes of it is still in the log, for the disk keeps the order.
   */
  flush(
    records: readonly ObjectRecord[],
    removed: readonly string[],
    applied: Position,
    base: Position,
    { more = [], durable = false }: { readonly more?: readonly DiskOperation[]; readonly durable?: boolean } = {},
  ): Promise<void> {
    const operations = [
      ...more,
      ...records.map((record) => this.recordOperation(record.key, record)),
      ...removed.map((key) => this.recordOperation(key, undefined)),
    ];
    return this.writeMeta({ applied, base }, operations, durable);
  }

  private writeMeta(
    change: Partial<StoredMeta>,
    operations: readonly DiskOperation[],
    durable: boolean,
  ): Promise<void> {
    const { rebuilding, ...next } = { ...this.meta, ...change };
    this.meta = rebuilding && next.applied.revision === 0 ? { ...next, rebuilding } : next;
    this.raised = false;
    this.isAhead &&= this.meta.applied.revision === 0;
    const { level, ...meta } = this.meta;
    const value = seal({ format: level, ...meta }, FIRST_FORMAT);
    return this.disk.write([...operations, { type: 'put', key: META, value }], { sync: durable && this.sync });
  }
}

/** Throws `UnreadableData`, or {@link WrongFormat}. */
export function readMeta(bytes: Uint8Array, known: VersionRange = FORMATS): StoredMeta {
  const { format, ...meta } = unseal(bytes, META_FORMAT) as Omit<StoredMeta, 'level'> & { format: number };
  if (!isWithin(format, known)) throw new WrongFormat(wrongFormatText(format, known));
  return { ...meta, level: format };
}

/** A record of its key. Throws for one that cannot be read, or that belongs elsewhere. */
export function storedRecord(
  [key, bytes]: readonly [key: string, value: Uint8Array],
  known?: VersionRange,
): ObjectRecord {
  const record = decodeRecord(bytes, known);
  if (RECORD_PREFIX + record.key !== key) throw new UnreadableData(`${key} holds the record of ${record.key}`);
  return record;
}

/** How an encoded record is written. */
export const recordWrite = (key: string, value: Uint8Array): DiskOperation => ({
  type: 'put',
  key: RECORD_PREFIX + key,
  value,
});

/** Undefined when it cannot be read. */
export function readFrame(bytes: Uint8Array, known?: VersionRange): Frame | undefined {
  try {
    return unseal(bytes, known) as Frame;
  } catch {
    return undefined;
  }
}

const wrongFormatText = (format: number, known: VersionRange) =>
  `the store has format ${format}, and this build of skein knows ${rangeText(known)}: start the data directory with ` +
  (format > known.newest ? 'the newer build that wrote it' : 'a build in between first, which brings it up');

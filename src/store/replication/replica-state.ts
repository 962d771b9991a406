/**
 * What one replica holds: the log, the applied table, the answers already given, and their way to the disk. Knows nothing
 * of peers. Entries become visible (table, watches, waiters) when they are committed, in order.
 */
import type { Clock } from '../../base/clock.js';
import { WorkSlices } from '../../base/work-slices.js';
import { errorText, type Logger } from '../../base/log.js';
import { formatOf, frameEnd, type Entry, type Frame, type LoggedReply, type Position } from '../log-entry.js';
import type { DigestTree } from '../digest-tree.js';
import type { DiskOperation } from '../disk.js';
import { parseKey, type Revision } from '../object-store.js';
import type { KubeObject } from '../../api/object.js';
import { ObjectHistory, type HistoryLimits } from '../object-history.js';
import { ObjectTable, withRevision } from '../object-table.js';
import { freezeObject } from '../frozen-object.js';
import { rememberText } from '../object-text.js';
import { afterDelete, afterPut, decodeRecord, type ObjectRecord } from '../record.js';
import { stampMs, type Stamp, type StampClock } from '../stamp.js';
import type { KindPolicies } from '../kind-policy.js';
import { FrameLog } from './frame-log.js';
import { Installation } from './installation.js';
import { levelOf, REGISTRY_KEY, type PeerRegistry } from './peer-registry.js';
import type { ReplicaStorage } from './storage.js';
import { TableContents } from '../table-contents.js';
import { stampAt, upToOf, WATERMARK_KEY } from './watermark.js';

/** So much of the log is kept beyond its limits for those who need it at present. */
export const HELD_LOG_BYTES = 64 * 2 ** 20;

/** Records and changes encoded in one go. */
const WRITE_SLICE = 500;

/** The mark moves by this share of the retention. */
const WATERMARK_STEP = 1 / 16;

export interface StateLimits {
  /** Events kept for watches to resume from. */
  readonly historyEvents: number;
  /** Log kept for peers that catch up, in bytes. */
  readonly logBytes: number;
  /** … and in frames. */
  readonly logFrames: number;
  /** Answers remembered for retries. */
  readonly replies: number;
  /** How long a deletion is remembered, in milliseconds. */
  readonly tombstoneRetentionMs: number;
  /** How long changed records wait before they are written, in milliseconds. */
  readonly flushDelayMs: number;
  /** Changes of objects kept to be shown; `HISTORY_LIMITS` unless told. */
  readonly objectHistory?: HistoryLimits;
}

/** Records as of the end of the log. */
export interface RecordsView {
  record(key: string): ObjectRecord | undefined;
  readonly digests: DigestTree;
  /** Those that the table does not show yet, each with what led to it. */
  readonly tail: ReadonlyMap<string, readonly RecordChange[]>;
  /** What that revision wrote, or the last state of what it deleted, while that is known. */
  objectAt(revision: Revision): KubeObject | undefined;
}

/** One entry's work. */
interface RecordChange {
  readonly before: ObjectRecord | undefined;
  readonly record: ObjectRecord;
  readonly isMerge: boolean;
}

interface Waiter {
  readonly revision: Revision;
  readonly resolve: () => void;
}

export class ReplicaState {
  readonly log = new FrameLog();
  /** What follows this revision is needed: the log outgrows its limits by up to {@link HELD_LOG_BYTES} for it. */
  neededFrom: () => Revision = () => Infinity;
  readonly table: ObjectTable;
  readonly history: ObjectHistory;
  private readonly replies = new Map<string, LoggedReply>();
  /** Objects of frames that this peer made itself, so that they need not be parsed again. */
  private readonly own = new Map<Revision, KubeObject>();
  private dirty = new Map<string, ObjectRecord | undefined>();
  private tombstones = new Map<string, Stamp>();
  private waiters: Waiter[] = [];
  private flushing: Promise<void> | undefined;
  private flushTimer: (() => void) | undefined;
  private appliedPosition: Position = this.log.base;
  private savedRevision: Revision = 0;
  /** The newest frame is on its way to the disk. */
  private saving: Promise<void> = Promise.resolve();
  private failed: ((error: unknown) => void) | undefined;

  constructor(
    private readonly deps: {
      readonly clock: Clock;
      readonly log: Logger;
      readonly storage: ReplicaStorage;
      readonly policies: KindPolicies;
      readonly stamps: StampClock;
    },
    private readonly limits: StateLimits,
  ) {
    this.history = new ObjectHistory(limits.objectHistory);
    this.table = new ObjectTable({ historyEvents: limits.historyEvents }, this.history);
  }

  /** Committed and visible up to here. */
  get applied(): Position {
    return this.appliedPosition;
  }

  get head(): Position {
    return this.log.head;
  }

  /** Called once when the disk fails: the replica must stop, since it can no longer keep its promise. */
  onFailure(listener: (error: unknown) => void): void {
    this.failed = listener;
  }

  async load(): Promise<{ readonly fresh: boolean }> {
    const { storage, stamps } = this.deps;
    const contents = new TableContents();
    const tombstones = new Map<string, Stamp>();
    const { meta, fresh } = await storage.load(this.log, (record) => {
      contents.place(record);
      stamps.observe(record.version);
      if (!record.value) tombstones.set(record.key, record.version);
    });
    const history = await storage.loadHistory();
    this.tombstones = tombstones;
    this.table.replace([], [], meta.applied.revision, contents);
    this.history.load(history, (key) => this.table.record(key));
    this.appliedPosition = meta.applied;
    this.savedRevision = this.head.revision;
    for (const { frame } of this.log.after(this.log.base)) {
      this.rememberReplies(frame.replies);
      for (const entry of frame.entries) this.deps.stamps.observe(entry.stamp);
    }
    return { fresh };
  }

  /** Appends a frame that continues the head; the promise says when it is on disk. */
  append(frame: Frame, bytes: Uint8Array, objects?: ReadonlyMap<Revision, KubeObject>): Promise<void> {
    const operation = this.log.append(frame, bytes);
    this.rememberReplies(frame.replies);
    for (const entry of frame.entries) this.deps.stamps.observe(entry.stamp);
    for (const [revision, object] of objects ?? []) this.own.set(revision, object);
    this.deps.storage.raise(formatOf(bytes));
    const { revision } = this.head;
    this.saving = this.deps.storage.appendFrames([operation]).then(
      () => {
        this.savedRevision = Math.max(this.savedRevision, revision);
      },
      (error: unknown) => {
        this.failed?.(error);
        throw error;
      },
    );
    return this.saving;
  }

  /** Whether that revision shows here and is on this peer's disk, so that it shows after a restart too. */
  holds(revision: Revision): boolean {
    return revision <= this.appliedPosition.revision && revision <= this.savedRevision;
  }

  /** Resolves once {@link holds} says so; rejects when the signal aborts before it shows, or the disk fails. */
  async untilHeld(revision: Revision, signal: AbortSignal): Promise<void> {
    await this.waitFor(revision, signal);
    // The disk keeps the order: with the newest frame all before it are there.
    if (!this.holds(revision)) await this.saving;
  }

  /** The format in which the log and records are written; see `formats.ts`. */
  get level(): number {
    return Math.max(levelOf(this.table.get(REGISTRY_KEY) as PeerRegistry | undefined), this.deps.storage.current.level);
  }

  replyTo(id: string): LoggedReply | undefined {
    return this.replies.get(id);
  }

  /** The newest logged answers, oldest first. */
  recentReplies(limit: number): LoggedReply[] {
    return [...this.replies.values()].slice(-limit);
  }

  rememberReplies(replies: readonly LoggedReply[]): void {
    for (const reply of replies) this.replies.set(reply.id, reply);
    for (const id of this.replies.keys()) {
      if (this.replies.size <= this.limits.replies) break;
      this.replies.delete(id);
    }
  }

  /** Answers to what only a majority changes: on another line what they tell of may have been undone. */
  forgetMajorityReplies(): void {
    for (const [id, { majority }] of this.replies) if (majority) this.replies.delete(id);
  }

  /** Makes every frame that ends at or before `revision` visible. */
  commitUpTo(revision: Revision): void {
    const ready = this.log.since(this.appliedPosition.revision).filter(({ end }) => end.revision <= revision);
    if (ready.length === 0) return;
    const fresh = new Map<string, ObjectRecord>();
    const changes: { record: ObjectRecord; keepTombstone: boolean; isMerge: boolean }[] = [];
    let last = this.appliedPosition.revision;
    for (const { frame } of ready) {
      for (const entry of frame.entries) {
        if (entry.revision > last + 1) this.table.leftOut(last, entry.revision);
        last = entry.revision;
        const record = this.recordAfter(entry, fresh);
        if (!record) continue;
        fresh.set(record.key, record);
        const keepTombstone = this.policyOf(record.key).tombstones;
        changes.push({ record, keepTombstone, isMerge: entry.op === 'merge' });
      }
    }
    this.appliedPosition = frameEnd((ready.at(-1) as (typeof ready)[number]).frame);
    for (const { record, keepTombstone } of changes) this.touch(record, keepTombstone);
    this.table.apply(changes, this.appliedPosition.revision);
    this.wake();
    this.scheduleFlush();
  }

  /**
   * The records with all that is in the log, committed or not, without showing it to anybody: what this peer brings to a
   * merge.
   */
  withTail(): RecordsView {
    const { table } = this;
    const fresh = new Map<string, ObjectRecord>();
    const tail = new Map<string, RecordChange[]>();
    const objects = new Map<Revision, KubeObject>();
    for (const { frame } of this.log.since(this.appliedPosition.revision)) {
      for (const entry of frame.entries) {
        if (entry.op === 'reign') continue;
        const before = fresh.get(entry.key) ?? table.record(entry.key);
        const record = this.recordAfter(entry, fresh);
        if (!record) continue;
        fresh.set(record.key, record);
        const changes = tail.get(record.key) ?? [];
        tail.set(record.key, [...changes, { before, record, isMerge: entry.op === 'merge' }]);
        const shown = record.value ?? (before?.value && withRevision(before.value, entry.revision));
        if (shown) objects.set(entry.revision, shown);
      }
    }
    const digests = fresh.size === 0 ? table.digests : table.digests.copy();
    for (const record of fresh.values()) digests.change(table.record(record.key), record);
    return {
      record: (key) => fresh.get(key) ?? table.record(key),
      digests,
      tail,
      objectAt: (revision) => objects.get(revision) ?? this.shownBy(revision),
    };
  }

  /** Begins to take over the state of a sequencer's line. Nothing shows before {@link install}. */
  beginInstallation(slice: number): Installation {
    const isEmpty = this.table.size === 0 && this.head.revision === 0;
    const { clock, storage } = this.deps;
    return new Installation({ storage, clock, history: this.history }, isEmpty, slice);
  }

  /**
   * Ends a synchronisation: what was received is all in which the sequencer's state at `position` differs from this peer's, with
   * the tail of its log. Resolves with true when it is durable, with false when `isWanted` said no before anything was done.
   */
  async install(installation: Installation, position: Position, isWanted: () => boolean): Promise<boolean> {
    await this.flush();
    const { head, appliedPosition } = this;
    await installation.prepare(this.table);
    if (!isWanted() || head !== this.head || appliedPosition !== this.appliedPosition) return false;
    // What of the tail the sequencer has too.
    const tail = [...this.withTail().tail].flatMap(([key, changes]) => (installation.replaces(key) ? [] : changes));
    const kept = [...new Map(tail.map(({ record }) => [record.key, record])).values()];
    const more = this.log.reset(position);
    this.own.clear();
    this.appliedPosition = position;
    for (const version of [...kept.map((record) => record.version), installation.newest])
      this.deps.stamps.observe(version);
    installation.show(this.table, kept, position.revision);
    for (const { before, record, isMerge } of tail) {
      if (this.policyOf(record.key).tombstones) this.history.add(before, record, isMerge);
    }
    for (const { key, value, version } of kept) if (!value) this.tombstones.set(key, version);
    for (const [key, version] of installation.tombstones) this.tombstones.set(key, version);
    this.wake();
    this.deps.storage.raise(this.level);
    const operations = [...more, ...installation.unwritten, ...this.history.takeUnwritten()];
    await this.deps.storage.flush(kept, installation.removed, position, position, { more: operations, durable: true });
    this.savedRevision = Math.max(this.savedRevision, position.revision);
    return true;
  }

  /** What an entry that is not committed yet makes of its object. */
  previewOf(entry: Entry): { readonly key: string; readonly object: KubeObject | undefined } | undefined {
    switch (entry.op) {
      case 'reign':
        return undefined;
      case 'put':
        return {
          key: entry.key,
          object: this.own.get(entry.revision) ?? objectFrom(entry.value),
        };
      case 'delete':
        return { key: entry.key, object: undefined };
      case 'merge':
        return { key: entry.key, object: atRevision(this.decode(entry.record), entry.revision).value };
    }
  }

  /** What that revision wrote, or the last state of what it deleted, while history or log reach back to it. */
  shownBy(revision: Revision): KubeObject | undefined {
    const event = this.table.eventAt(revision);
    if (event) return event.object;
    const entry = this.log.since(revision - 1)[0]?.frame.entries.find((one) => one.revision === revision);
    return entry && this.previewOf(entry)?.object;
  }

  /** Resolves once `revision` is applied. */
  waitFor(revision: Revision, signal?: AbortSignal): Promise<void> {
    if (this.appliedPosition.revision >= revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        revision,
        resolve: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const onAbort = () => {
        this.waiters = this.waiters.filter((other) => other !== waiter);
        reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
      };
      if (signal?.aborted) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      this.waiters.push(waiter);
    });
  }

  /** Writes what is still in memory only. */
  async close(): Promise<void> {
    this.flushTimer?.();
    this.flushTimer = undefined;
    await this.flush();
    this.table.endWatches();
  }

  private decode(record: Uint8Array): ObjectRecord {
    return decodeRecord(record, this.deps.storage.formats);
  }

  private policyOf(key: string) {
    const { group, resource } = parseKey(key);
    return this.deps.policies.policyOf(group, resource);
  }

  private recordAfter(entry: Entry, fresh: ReadonlyMap<string, ObjectRecord>): ObjectRecord | undefined {
    switch (entry.op) {
      case 'reign':
        return undefined;
      case 'merge': {
        const merged = this.decode(entry.record);
        return { ...merged, revision: entry.revision, ...atRevision(merged, entry.revision) };
      }
      case 'put': {
        const before = fresh.get(entry.key) ?? this.table.record(entry.key);
        const value = this.own.get(entry.revision) ?? objectFrom(entry.value);
        this.own.delete(entry.revision);
        return afterPut(before, entry.key, value, entry.revision, entry.stamp, this.policyOf(entry.key));
      }
      case 'delete': {
        const before = fresh.get(entry.key) ?? this.table.record(entry.key);
        return before && afterDelete(before, entry.revision, entry.stamp);
      }
    }
  }

  private touch(record: ObjectRecord, keepTombstone: boolean): void {
    if (record.value) {
      this.tombstones.delete(record.key);
      this.dirty.set(record.key, record);
    } else if (keepTombstone) {
      this.tombstones.set(record.key, record.version);
      this.dirty.set(record.key, record);
    } else this.dirty.set(record.key, undefined);
  }

  private wake(): void {
    const revision = this.appliedPosition.revision;
    const ready = this.waiters.filter((waiter) => waiter.revision <= revision);
    if (ready.length === 0) return;
    this.waiters = this.waiters.filter((waiter) => waiter.revision > revision);
    for (const waiter of ready) waiter.resolve();
  }

  private scheduleFlush(): void {
    this.flushTimer ??= this.deps.clock.timer(this.limits.flushDelayMs, () => {
      this.flushTimer = undefined;
      this.flush().catch((error: unknown) => {
        this.deps.log.error('records could not be written', { error: errorText(error) });
        this.failed?.(error);
      });
    });
  }

  /** One flush at a time; a second call waits for the first and then writes what came since. */
  private async flush(): Promise<void> {
    while (this.flushing) await this.flushing;
    if (this.dirty.size === 0) return;
    const dirty = this.dirty;
    this.dirty = new Map();
    this.flushing = this.write(dirty);
    try {
      await this.flushing;
    } finally {
      this.flushing = undefined;
    }
  }

  /** Encodes in slices what is here at present, and writes it in one batch. */
  private async write(dirty: Map<string, ObjectRecord | undefined>): Promise<void> {
    const { clock, storage } = this.deps;
    this.collectTombstones(dirty);
    const applied = this.appliedPosition;
    const operations = this.trimLog(applied.revision);
    const { base } = this.log;
    storage.raise(this.level);
    const unwritten = this.history.takeUnwritten();
    const slices = new WorkSlices(clock, WRITE_SLICE);
    for (const [key, record] of dirty) {
      operations.push(storage.recordOperation(key, record));
      if (slices.isOver()) await slices.pause();
    }
    for (const operation of unwritten) {
      operations.push(operation);
      if (slices.isOver()) await slices.pause();
    }
    await storage.flush([], [], applied, base, { more: operations });
  }

  private trimLog(applied: Revision): DiskOperation[] {
    const { log, limits } = this;
    const { logBytes, logFrames } = limits;
    const usual = log.trim(Math.min(applied, this.neededFrom()), logBytes, logFrames);
    return [...usual, ...log.trim(applied, logBytes + HELD_LOG_BYTES, Infinity)];
  }

  /** Up to where deletions may be forgotten now, when there are enough of them beyond the present mark. */
  get nextWatermark(): Stamp | undefined {
    const { tombstoneRetentionMs } = this.limits;
    const horizon = this.deps.clock.nowMs() - tombstoneRetentionMs;
    const [oldest] = this.tombstones.values();
    // Not for each single one: some are forgotten a little later.
    if (oldest === undefined || stampMs(oldest) > horizon - tombstoneRetentionMs * WATERMARK_STEP) return undefined;
    const next = stampAt(horizon);
    return next > this.collectedUpTo ? next : undefined;
  }

  /** Deletions with stamps up to here are forgotten. */
  get collectedUpTo(): Stamp {
    return upToOf(this.table.get(WATERMARK_KEY));
  }

  private collectTombstones(dirty: Map<string, ObjectRecord | undefined>): void {
    const horizon = this.collectedUpTo;
    for (const [key, stamp] of this.tombstones) {
      // Insertion order is nearly stamp order: stop at the first young one.
      if (stamp > horizon) break;
      this.tombstones.delete(key);
      this.table.forget(key);
      dirty.set(key, undefined);
    }
  }
}

/** The record's value under its new resourceVersion. */
function atRevision(record: ObjectRecord, revision: Revision): { readonly value: KubeObject | undefined } {
  if (!record.value) return { value: undefined };
  return {
    value: freezeObject({
      ...record.value,
      metadata: { ...record.value.metadata, resourceVersion: String(revision) },
    }),
  };
}

function objectFrom(text: string): KubeObject {
  const object = freezeObject(JSON.parse(text) as KubeObject);
  rememberText(object, text);
  return object;
}

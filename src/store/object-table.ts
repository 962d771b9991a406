/**
 * The applied state of one peer: records by key, an ordered index per resource, a bounded history of events, and the
 * watchers. Synchronous and without I/O. Reads cost O(result), a write O(log n) plus its watchers.
 */
import type { KubeObject } from '../api/object.js';
import { parseKey, RevisionGone, type Revision, type StoreEvent, type StoreWatcher } from './object-store.js';
import type { ObjectHistory } from './object-history.js';
import type { DigestTree } from './digest-tree.js';
import type { ObjectRecord } from './record.js';
import { resourceOf, TableContents } from './table-contents.js';

export interface TableLimits {
  /** Events kept for watches to resume from. */
  readonly historyEvents: number;
}

interface Watch {
  readonly namespace: string | undefined;
  readonly watcher: StoreWatcher;
}

/** Takeovers that a watch may reach back over. */
const MAX_GAPS = 1_000;

export class ObjectTable {
  private contents = new TableContents();
  private readonly watches = new Map<string, Set<Watch>>();
  private history: StoreEvent[] = [];
  /** Watches may resume from here on. */
  private oldestRevision: Revision = 0;
  private appliedRevision: Revision = 0;
  /** Numbers since the oldest revision that this line never gave out: those between `after` and `before`, oldest first. */
  private gaps: { readonly after: Revision; readonly before: Revision }[] = [];

  constructor(
    private readonly limits: TableLimits,
    /** Told of every change that is remembered: of what may be forgotten at once there is no history. */
    private readonly changes?: ObjectHistory,
  ) {}

  get revision(): Revision {
    return this.appliedRevision;
  }

  /** The oldest revision a watch may resume from. */
  get oldest(): Revision {
    return this.oldestRevision;
  }

  get size(): number {
    return this.contents.size;
  }

  record(key: string): ObjectRecord | undefined {
    return this.contents.record(key);
  }

  allRecords(): Iterable<ObjectRecord> {
    return this.contents.all();
  }

  get(key: string): KubeObject | undefined {
    return this.contents.record(key)?.value;
  }

  list(group: string, resource: string, namespace?: string): KubeObject[] {
    return this.contents.list(group, resource, namespace);
  }

  /** What another peer's state is compared with. */
  get digests(): DigestTree {
    return this.contents.digests;
  }

  /** The state is that of `revision`, and no watch can resume before it. */
  private loaded(revision: Revision): void {
    this.appliedRevision = revision;
    this.oldestRevision = revision;
    this.history = [];
    this.gaps = [];
  }

  /**
   * The numbers between these two were not given out on this line. A watch that comes with one of them has followed another,
   * which lost in a merge: it cannot know what happened here meanwhile.
   */
  leftOut(after: Revision, before: Revision): void {
    this.gaps.push({ after, before });
    if (this.gaps.length <= MAX_GAPS) return;
    this.oldestRevision = Math.max(this.oldestRevision, this.gaps.shift()?.before ?? 0);
  }

  /** Forgets a tombstone. */
  forget(key: string): void {
    if (!this.contents.record(key)?.value) this.contents.remove(key);
  }

  /**
   * Applies records in revision order and tells the watchers, one batch each. A record without value is a deletion; with
   * `keepTombstone` false nothing is remembered of it.
   */
  apply(
    changes: readonly {
      readonly record: ObjectRecord;
      readonly keepTombstone: boolean;
      readonly isMerge?: boolean;
    }[],
    revision: Revision,
  ): void {
    const events: StoreEvent[] = [];
    for (const { record, keepTombstone, isMerge = false } of changes) {
      const before = this.contents.record(record.key);
      if (record.value || keepTombstone) this.contents.place(record);
      else this.contents.remove(record.key);
      if (keepTombstone) this.changes?.add(before, record, isMerge);
      const event = eventOf(record, before?.value);
      if (event) events.push(event);
    }
    this.appliedRevision = revision;
    if (events.length === 0) return;
    this.remember(events);
    this.notify(events);
  }

  /** The present contents, to be changed apart and then put in their place by {@link replace}. */
  stage(pause: () => Promise<void>): Promise<TableContents> {
    return this.contents.copy(pause);
  }

  /**
   * Replaces the state after a lost history line, at once: all watches end, none can resume before `revision`. Without `contents`
   * the records are put among the present ones.
   */
  replace(
    records: readonly ObjectRecord[],
    absent: readonly string[],
    revision: Revision,
    contents?: TableContents,
  ): void {
    if (contents) this.contents = contents;
    else {
      for (const record of records) this.contents.place(record);
      for (const key of absent) this.contents.remove(key);
    }
    this.loaded(revision);
    this.endWatches();
  }

  watch(
    group: string,
    resource: string,
    namespace: string | undefined,
    from: Revision,
    watcher: StoreWatcher,
  ): () => void {
    if (from < this.oldestRevision || this.gaps.some(({ after, before }) => from > after && from < before)) {
      throw new RevisionGone(from, this.oldestRevision);
    }
    const past = this.eventsAfter(from).filter((event) => matches(event, group, resource, namespace));
    const name = resourceOf(group, resource);
    let set = this.watches.get(name);
    if (!set) this.watches.set(name, (set = new Set()));
    const watch = { namespace, watcher };
    set.add(watch);
    if (past.length > 0) watcher.onEvents(past);
    return () => set.delete(watch);
  }

  endWatches(): void {
    const ended = [...this.watches.values()].flatMap((set) => [...set]);
    this.watches.clear();
    for (const { watcher } of ended) watcher.onEnd();
  }

  /** The event of exactly that revision, while the history reaches back to it. */
  eventAt(revision: Revision): StoreEvent | undefined {
    const event = this.history[this.firstAfter(revision - 1)];
    return event?.revision === revision ? event : undefined;
  }

  private eventsAfter(revision: Revision): StoreEvent[] {
    return this.history.slice(this.firstAfter(revision));
  }

  private firstAfter(revision: Revision): number {
    let low = 0;
    let high = this.history.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.history[middle] as StoreEvent).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private remember(events: readonly StoreEvent[]): void {
    this.history.push(...events);
    // Trimmed in large steps, so that the cost per event stays constant.
    if (this.history.length <= this.limits.historyEvents * 1.25) return;
    const dropped = this.history.splice(0, this.history.length - this.limits.historyEvents);
    const oldest = (dropped.at(-1) as StoreEvent).revision;
    this.oldestRevision = Math.max(this.oldestRevision, oldest);
    this.gaps = this.gaps.filter(({ before }) => before > this.oldestRevision);
  }

  private notify(events: readonly StoreEvent[]): void {
    const byResource = new Map<string, StoreEvent[]>();
    for (const event of events) {
      const name = resourceOf(event.key.group, event.key.resource);
      const list = byResource.get(name);
      if (list) list.push(event);
      else byResource.set(name, [event]);
    }
    for (const [name, list] of byResource) {
      for (const { namespace, watcher } of this.watches.get(name) ?? []) {
        const seen = namespace === undefined ? list : list.filter((event) => event.key.namespace === namespace);
        if (seen.length > 0) watcher.onEvents(seen);
      }
    }
  }
}

function matches(event: StoreEvent, group: string, resource: string, namespace: string | undefined): boolean {
  const { key } = event;
  return key.group === group && key.resource === resource && (namespace === undefined || key.namespace === namespace);
}

function eventOf(record: ObjectRecord, previous: KubeObject | undefined): StoreEvent | undefined {
  const { revision } = record;
  const key = parseKey(record.key);
  if (record.value) return { type: previous ? 'MODIFIED' : 'ADDED', key, object: record.value, previous, revision };
  if (!previous) return undefined;
  return { type: 'DELETED', key, object: withRevision(previous, revision), previous, revision };
}

/** The same object under another resourceVersion, as deletions are shown. */
export function withRevision(object: KubeObject, revision: Revision): KubeObject {
  return Object.freeze({
    ...object,
    metadata: Object.freeze({ ...object.metadata, resourceVersion: String(revision) }),
  });
}

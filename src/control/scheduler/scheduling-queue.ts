/**
 * Pods that wait for a node. States of an entry:
 *
 *   ready    waits for its turn: higher priority first, then who came first
 *   taken    is being decided or bound
 *   waiting  failed and sits out its back-off, then becomes ready
 *   refused  fits nowhere: stays until an event that may help one of the filters that refused it, or until `flushMs`
 *
 * Level-triggered and synchronous. Its size is bounded by the number of pending pods.
 */
import { backoffMs } from '../../base/backoff.js';
import type { Clock } from '../../base/clock.js';
import type { ClusterEvent, Filter } from './filters/filter.js';
import { Heap } from './heap.js';
import type { PodInfo } from './pod-info.js';

export interface QueueOptions {
  /** First back-off after a failed attempt, in milliseconds; doubles with every further one. */
  readonly initialBackoffMs: number;
  /** Longest back-off, in milliseconds. */
  readonly maxBackoffMs: number;
  /** A refused pod is tried again after so long even if nothing happened, in milliseconds. */
  readonly flushMs: number;
}

export interface Entry {
  info: PodInfo;
  state: 'ready' | 'taken' | 'waiting' | 'refused';
  attempts: number;
  /** Place among equals; a heap item with another number is stale. */
  turn: number;
  /** Not before this monotonic time. */
  dueMs: number;
  refusedBy: ReadonlySet<string>;
  refusedAtMs: number;
}

interface Item {
  readonly entry: Entry;
  readonly turn: number;
  readonly priority: number;
  readonly dueMs: number;
}

export class SchedulingQueue {
  private readonly entries = new Map<string, Entry>();
  private readonly refusedEntries = new Set<Entry>();
  private readonly ready = new Heap<Item>((a, b) =>
    a.priority === b.priority ? a.turn < b.turn : a.priority > b.priority,
  );
  private readonly delayed = new Heap<Item>((a, b) => a.dueMs < b.dueMs);
  private readonly pendingEvents = new Set<ClusterEvent>();
  private readonly helps: ReadonlyMap<ClusterEvent, ReadonlySet<string>>;
  private turns = 0;

  constructor(
    private readonly clock: Clock,
    filters: readonly Filter[],
    private readonly options: QueueOptions,
  ) {
    const names = (event: ClusterEvent) =>
      new Set(filters.filter(({ helpedBy }) => helpedBy.includes(event)).map(({ name }) => name));
    const events: ClusterEvent[] = ['node-changed', 'pod-removed', 'pod-placed'];
    this.helps = new Map(events.map((event) => [event, names(event)]));
  }

  get size(): number {
    return this.entries.size;
  }

  get refusedCount(): number {
    return this.refusedEntries.size;
  }

  get(key: string): Entry | undefined {
    return this.entries.get(key);
  }

  /** A pending pod is new, or changed in a way that may matter: it becomes ready as soon as its back-off allows. */
  upsert(info: PodInfo): void {
    const present = this.entries.get(info.key);
    if (!present) {
      const entry: Entry = {
        info,
        state: 'ready',
        attempts: 0,
        turn: 0,
        dueMs: 0,
        refusedBy: new Set(),
        refusedAtMs: 0,
      };
      this.entries.set(info.key, entry);
      this.activate(entry);
      return;
    }
    const samePriority = present.info.priority === info.priority;
    present.info = info;
    if (present.state === 'refused' || (present.state === 'ready' && !samePriority)) this.activate(present);
  }

  /** The pod is bound, gone or no longer ours. */
  remove(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.refusedEntries.delete(entry);
    entry.turn = -1;
  }

  /** Something happened; refused pods that it may help are looked at in the next {@link settle}. */
  note(event: ClusterEvent): void {
    if (this.refusedEntries.size > 0) this.pendingEvents.add(event);
  }

  /** Moves what became due. Call before {@link take}. */
  settle(): void {
    const now = this.clock.monotonicMs();
    const useful = new Set<string>();
    for (const event of this.pendingEvents) for (const name of this.helps.get(event) ?? []) useful.add(name);
    const nodeless = this.pendingEvents.has('node-changed');
    this.pendingEvents.clear();
    if (useful.size > 0) {
      for (const entry of this.refusedEntries) {
        // Without any node there is no filter to name.
        const helped =
          (nodeless && entry.refusedBy.size === 0) || [...entry.refusedBy].some((name) => useful.has(name));
        if (helped) this.activate(entry);
      }
    }
    for (const entry of this.refusedEntries) {
      // In the order of refusal, so the first that is too young ends the look.
      if (now - entry.refusedAtMs < this.options.flushMs) break;
      this.activate(entry);
    }
    for (let item = this.delayed.peek(); item && item.dueMs <= now; item = this.delayed.peek()) {
      this.delayed.pop();
      if (item.entry.turn === item.turn) this.activate(item.entry);
    }
  }

  /** The next pod to decide, now `taken`. Give it back with {@link refuse}, {@link retry} or {@link remove}. */
  take(): Entry | undefined {
    for (let item = this.ready.pop(); item; item = this.ready.pop()) {
      if (item.entry.turn !== item.turn) continue;
      item.entry.state = 'taken';
      item.entry.attempts += 1;
      return item.entry;
    }
    return undefined;
  }

  /** It fits nowhere, for what these filters say. */
  refuse(entry: Entry, refusedBy: ReadonlySet<string>): void {
    if (this.entries.get(entry.info.key) !== entry) return;
    this.delay(entry);
    entry.state = 'refused';
    entry.refusedBy = refusedBy;
    entry.refusedAtMs = this.clock.monotonicMs();
    this.refusedEntries.add(entry);
  }

  /** Its binding failed: again after the back-off. */
  retry(entry: Entry): void {
    if (this.entries.get(entry.info.key) !== entry) return;
    this.delay(entry);
    this.activate(entry);
  }

  /** Milliseconds until {@link settle} has something to do by the clock alone; undefined when it has not. */
  nextDueInMs(): number | undefined {
    const now = this.clock.monotonicMs();
    const due = this.delayed.peek()?.dueMs ?? Infinity;
    const [oldest] = this.refusedEntries;
    const flush = oldest ? oldest.refusedAtMs + this.options.flushMs : Infinity;
    const next = Math.min(due, flush);
    return next === Infinity ? undefined : Math.max(next - now, 0);
  }

  private delay(entry: Entry): void {
    const { initialBackoffMs: baseMs, maxBackoffMs: maxMs } = this.options;
    entry.dueMs = this.clock.monotonicMs() + backoffMs(entry.attempts, { baseMs, maxMs });
  }

  private activate(entry: Entry): void {
    this.refusedEntries.delete(entry);
    entry.turn = ++this.turns;
    const item = { entry, turn: entry.turn, priority: entry.info.priority, dueMs: entry.dueMs };
    if (entry.dueMs > this.clock.monotonicMs()) {
      entry.state = 'waiting';
      this.delayed.push(item);
    } else {
      entry.state = 'ready';
      this.ready.push(item);
    }
  }
}

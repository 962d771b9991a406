/**
 * An `ObjectStore` in memory: one peer that is its own sequencer, with a bounded watch history. Writes run synchronously
 * and are atomic: a throwing executor leaves nothing behind.
 */
import type { Clock } from '../base/clock.js';
import { errorText } from '../base/log.js';
import { internalError } from '../api/errors.js';
import type { KubeObject } from '../api/object.js';
import {
  type ObjectKey,
  type ObjectStore,
  type Revision,
  RevisionGone,
  type StoreEvent,
  type StoreWatcher,
  type WriteExecutor,
  type WriteReply,
  type WriteTransaction,
} from '../store/object-store.js';
import { freezeObject } from '../store/frozen-object.js';

interface Subscription {
  readonly bucket: string;
  readonly namespace: string | undefined;
  readonly watcher: StoreWatcher;
}

export interface MemoryStoreOptions {
  /** Events kept for watches; 10,000 unless told. */
  readonly historyLimit?: number;
  /** Replies remembered by request id; 1,000 unless told. */
  readonly replyLimit?: number;
}

const bucketOf = (group: string, resource: string) => `${group}/${resource}`;
const sortKey = (key: ObjectKey) => `${key.namespace}\u0000${key.name}`;

/** A resource's objects with a sorted list that is made anew only after a write. */
class Bucket {
  readonly objects = new Map<string, KubeObject>();
  private sorted: readonly KubeObject[] | undefined;

  set(id: string, object: KubeObject | undefined): void {
    if (object === undefined) this.objects.delete(id);
    else this.objects.set(id, object);
    this.sorted = undefined;
  }

  list(namespace: string | undefined): readonly KubeObject[] {
    this.sorted ??= [...this.objects].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    return namespace === undefined
      ? this.sorted
      : this.sorted.filter((object) => object.metadata.namespace === namespace);
  }
}

class MemoryTransaction implements WriteTransaction {
  readonly events: StoreEvent[] = [];
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly store: MemoryStore,
    readonly nowMs: number,
    private nextRevision: Revision,
  ) {}

  get(key: ObjectKey): KubeObject | undefined {
    return this.store.get(key);
  }

  list(group: string, resource: string, namespace?: string): readonly KubeObject[] {
    return this.store.list(group, resource, namespace);
  }

  put(key: ObjectKey, object: KubeObject): KubeObject {
    const previous = this.store.get(key);
    const revision = this.nextRevision++;
    const stored = freezeObject({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } });
    this.replace(key, stored, previous);
    this.events.push({ type: previous ? 'MODIFIED' : 'ADDED', key, object: stored, previous, revision });
    return stored;
  }

  delete(key: ObjectKey): KubeObject | undefined {
    const previous = this.store.get(key);
    if (previous === undefined) return undefined;
    const revision = this.nextRevision++;
    const last = freezeObject({ ...previous, metadata: { ...previous.metadata, resourceVersion: String(revision) } });
    this.replace(key, undefined, previous);
    this.events.push({ type: 'DELETED', key, object: last, previous, revision });
    return last;
  }

  rollBack(): void {
    for (const step of this.undo.toReversed()) step();
  }

  private replace(key: ObjectKey, next: KubeObject | undefined, previous: KubeObject | undefined): void {
    this.undo.push(() => this.store.assign(key, previous));
    this.store.assign(key, next);
  }
}

export class MemoryStore implements ObjectStore {
  private readonly buckets = new Map<string, Bucket>();
  private readonly replies = new Map<string, WriteReply>();
  private readonly subscriptions = new Set<Subscription>();
  private history: StoreEvent[] = [];
  private oldest: Revision = 0;
  private newest: Revision = 1;

  constructor(
    private readonly deps: { readonly clock: Clock; readonly executor: WriteExecutor },
    private readonly options: MemoryStoreOptions = {},
  ) {}

  get revision(): Revision {
    return this.newest;
  }

  /** Forgets the history: resumes from before answer 410, open watches end. */
  compact(): void {
    this.history = [];
    this.oldest = this.newest;
    for (const { watcher } of this.subscriptions) watcher.onEnd();
    this.subscriptions.clear();
  }

  get(key: ObjectKey): KubeObject | undefined {
    return this.buckets.get(bucketOf(key.group, key.resource))?.objects.get(sortKey(key));
  }

  list(group: string, resource: string, namespace?: string): readonly KubeObject[] {
    return this.buckets.get(bucketOf(group, resource))?.list(namespace) ?? [];
  }

  watch(
    group: string,
    resource: string,
    namespace: string | undefined,
    from: Revision,
    watcher: StoreWatcher,
  ): () => void {
    if (from < this.oldest) throw new RevisionGone(from, this.oldest);
    const subscription: Subscription = { bucket: bucketOf(group, resource), namespace, watcher };
    const missed = this.history.filter((event) => event.revision > from && concerns(subscription, event));
    this.subscriptions.add(subscription);
    if (missed.length > 0) watcher.onEvents(missed);
    return () => void this.subscriptions.delete(subscription);
  }

  barrier(): Promise<Revision> {
    return Promise.resolve(this.newest);
  }

  async waitFor(revision: Revision, signal: AbortSignal): Promise<void> {
    while (this.newest < revision) await this.deps.clock.sleep(10, signal);
  }

  async write(id: string, request: unknown): Promise<WriteReply> {
    const known = this.replies.get(id);
    if (known) return known;
    const reply = this.execute(request);
    this.replies.set(id, reply);
    for (const old of this.replies.keys()) {
      if (this.replies.size <= (this.options.replyLimit ?? 1000)) break;
      this.replies.delete(old);
    }
    return Promise.resolve(reply);
  }

  /** Sets one object without an event; for transactions. */
  assign(key: ObjectKey, object: KubeObject | undefined): void {
    const name = bucketOf(key.group, key.resource);
    let bucket = this.buckets.get(name);
    if (!bucket) this.buckets.set(name, (bucket = new Bucket()));
    bucket.set(sortKey(key), object);
  }

  private execute(request: unknown): WriteReply {
    const transaction = new MemoryTransaction(this, this.deps.clock.nowMs(), this.newest + 1);
    let reply: WriteReply;
    try {
      reply = this.deps.executor(transaction, request);
    } catch (error) {
      transaction.rollBack();
      const failure = internalError(new Error(errorText(error), { cause: error }));
      return { code: failure.code, body: failure.toStatus(), warnings: [] };
    }
    if (reply.code >= 400) transaction.rollBack();
    else this.publish(transaction.events);
    return reply;
  }

  private publish(events: readonly StoreEvent[]): void {
    const last = events.at(-1);
    if (last === undefined) return;
    this.newest = last.revision;
    this.history.push(...events);
    const limit = this.options.historyLimit ?? 10_000;
    if (this.history.length > limit * 1.25) {
      const dropped = this.history.splice(0, this.history.length - limit);
      this.oldest = dropped.at(-1)?.revision ?? this.oldest;
    }
    for (const subscription of this.subscriptions) {
      const own = events.filter((event) => concerns(subscription, event));
      if (own.length > 0) subscription.watcher.onEvents(own);
    }
  }
}

const concerns = ({ bucket, namespace }: Subscription, { key }: StoreEvent) =>
  bucketOf(key.group, key.resource) === bucket && (namespace === undefined || key.namespace === namespace);

/**
 * A local, always current view of one resource: list, then watch, for ever. Level-triggered: handlers get the newest
 * object and may miss intermediate states. Objects handed out are frozen and shared: copy before changing.
 *
 * Guarantees: after `synced`, the cache holds everything the first list returned; handlers run in revision order on the
 * event loop's turn in which the change arrived; a lost watch is resumed, or replaced by a new list whose differences
 * are delivered as events. Memory is bounded by the number of objects that match.
 */
import { backoffMs } from '../base/backoff.js';
import type { Clock } from '../base/clock.js';
import { deferred } from '../base/deferred.js';
import type { Service } from '../base/lifecycle.js';
import { errorText, type Logger } from '../base/log.js';
import type { KubeObject } from '../api/object.js';
import { keyOf } from '../api/object.js';
import { isExpired } from '../api/errors.js';
import { groupResourceOf, type ResourceRef } from '../api/resource.js';
import type { Client } from './client.js';

export interface InformerHandler<T> {
  /** `previous` is absent for an object that is new to this cache. */
  onUpsert?(object: T, previous: T | undefined): void;
  onDelete?(object: T): void;
}

export interface Lister<T> {
  get(namespace: string, name: string): T | undefined;
  /** In no particular order; of one namespace when given. */
  list(namespace?: string): T[];
  /** Objects for which the index function of that name returned `value`. */
  byIndex(index: string, value: string): T[];
}

export interface InformerOptions<T> {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Named index functions: each returns the values under which an object is found. */
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
}

/** A watch that ended sooner without an event counts as a failure, in milliseconds. */
const SHORT_WATCH_MS = 1_000;
const RETRY = { baseMs: 50, maxMs: 5_000, jitter: 0.2 } as const;

export class Informer<T extends KubeObject> implements Service, Lister<T> {
  readonly name: string;
  private readonly objects = new Map<string, T>();
  private readonly indexed = new Map<string, Map<string, Map<string, T>>>();
  private readonly handlers: InformerHandler<T>[] = [];
  private readonly firstSync = deferred();
  private readonly abort = new AbortController();
  private running: Promise<void> | undefined;
  private isSynced = false;

  constructor(
    private readonly deps: { readonly client: Client; readonly clock: Clock; readonly log: Logger },
    readonly resource: ResourceRef,
    private readonly options: InformerOptions<T> = {},
  ) {
    this.name = `informer/${groupResourceOf(resource)}`;
    for (const index of Object.keys(options.indexes ?? {})) this.indexed.set(index, new Map());
  }

  /** Resolves after the first complete list. */
  get synced(): Promise<void> {
    return this.firstSync.promise;
  }

  get hasSynced(): boolean {
    return this.isSynced;
  }

  /** Adds a handler; one added after the start gets the present objects at once. */
  addHandler(handler: InformerHandler<T>): void {
    this.handlers.push(handler);
    for (const object of this.objects.values()) handler.onUpsert?.(object, undefined);
  }

  /** Begins in the background; wait for {@link synced}. */
  async start(): Promise<void> {
    this.running ??= this.run(this.abort.signal);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('informer stopped'));
    await this.running;
  }

  get(namespace: string, name: string): T | undefined {
    return this.objects.get(namespace ? `${namespace}/${name}` : name);
  }

  list(namespace?: string): T[] {
    const all = [...this.objects.values()];
    return namespace === undefined ? all : all.filter((object) => object.metadata.namespace === namespace);
  }

  byIndex(index: string, value: string): T[] {
    return [...(this.indexed.get(index)?.get(value)?.values() ?? [])];
  }

  private async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    let revision: string | undefined;
    while (!signal.aborted) {
      let watchingSinceMs: number | undefined;
      // Until an event, or time, proves otherwise: also a watch that ends well at once must not be asked in a tight loop.
      failures += 1;
      try {
        revision ??= await this.relist();
        watchingSinceMs = this.deps.clock.monotonicMs();
        for await (const event of this.deps.client.watch<T>(this.resource, {
          ...this.selection(),
          resourceVersion: revision,
          signal,
        })) {
          failures = 0;
          if (event.type === 'BOOKMARK') {
            revision = event.resourceVersion;
            continue;
          }
          revision = event.object.metadata.resourceVersion ?? revision;
          if (event.type === 'DELETED') this.remove(keyOf(event.object), event.object);
          else this.upsert(event.object);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (isExpired(error)) {
          revision = undefined;
        } else {
          this.deps.log.warn('list or watch failed, trying again', {
            resource: groupResourceOf(this.resource),
            error: errorText(error),
          });
        }
      }
      const lasted = watchingSinceMs !== undefined && this.deps.clock.monotonicMs() - watchingSinceMs >= SHORT_WATCH_MS;
      if (lasted) failures = 0;
      if (!(await this.pause(failures, signal))) return;
    }
  }

  /** Waits out the back-off; false once the informer is stopped. */
  private async pause(failures: number, signal: AbortSignal): Promise<boolean> {
    if (failures === 0) return !signal.aborted;
    try {
      await this.deps.clock.sleep(backoffMs(failures, RETRY), signal);
      return true;
    } catch {
      return false;
    }
  }

  private async relist(): Promise<string> {
    const { items, resourceVersion } = await this.deps.client.list<T>(this.resource, {
      ...this.selection(),
      resourceVersion: '0',
    });
    const present = new Set<string>();
    for (const object of items) {
      present.add(keyOf(object));
      this.upsert(object);
    }
    for (const [key, object] of this.objects) if (!present.has(key)) this.remove(key, object);
    if (!this.isSynced) {
      this.isSynced = true;
      this.firstSync.resolve();
    }
    return resourceVersion;
  }

  private selection() {
    const { namespace, labelSelector, fieldSelector } = this.options;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }

  private upsert(object: T): void {
    const key = keyOf(object);
    const previous = this.objects.get(key);
    if (previous && previous.metadata.resourceVersion === object.metadata.resourceVersion) return;
    if (previous) this.unindex(key, previous);
    this.objects.set(key, object);
    this.index(key, object);
    this.tell((handler) => handler.onUpsert?.(object, previous));
  }

  /** One handler's error is not the others' affair, nor the watch's. */
  private tell(event: (handler: InformerHandler<T>) => void): void {
    for (const handler of this.handlers) {
      try {
        event(handler);
      } catch (error) {
        this.deps.log.error('informer handler failed', {
          resource: groupResourceOf(this.resource),
          error: errorText(error),
        });
      }
    }
  }

  private remove(key: string, last: T): void {
    const previous = this.objects.get(key);
    if (!previous) return;
    this.unindex(key, previous);
    this.objects.delete(key);
    this.tell((handler) => handler.onDelete?.(last));
  }

  private index(key: string, object: T): void {
    for (const [name, fn] of Object.entries(this.options.indexes ?? {})) {
      for (const value of fn(object)) {
        const values = this.indexed.get(name) as Map<string, Map<string, T>>;
        let bucket = values.get(value);
        if (!bucket) values.set(value, (bucket = new Map()));
        bucket.set(key, object);
      }
    }
  }

  private unindex(key: string, object: T): void {
    for (const [name, fn] of Object.entries(this.options.indexes ?? {})) {
      for (const value of fn(object)) {
        const values = this.indexed.get(name);
        const bucket = values?.get(value);
        bucket?.delete(key);
        if (bucket?.size === 0) values?.delete(value);
      }
    }
  }
}

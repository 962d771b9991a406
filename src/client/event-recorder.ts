/**
 * Records Events in the background: never blocks and never fails its caller.
 *
 * As client-go's correlator: a repeated event raises the count of the one written before; more than ten events of one
 * object and reason with different messages within ten minutes become one "(combined from similar events)"; an object
 * gets at most a burst of 25 events per component and one more every five minutes. Bounds: `queueLimit` events wait
 * (further ones are dropped and counted), `memoryLimit` series are remembered.
 */
import { rfc3339, type Clock } from '../base/clock.js';
import { errorText, type Logger } from '../base/log.js';
import type { Random } from '../base/random.js';
import { ApiError, isNotFound } from '../api/errors.js';
import type { KubeObject } from '../api/object.js';
import { EVENTS } from '../api/resource.js';
import type { Event } from '../api/types/core-v1.js';
import type { Client } from './client.js';

export type EventType = 'Normal' | 'Warning';

export interface EventRecorderDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: Random;
}

export interface EventRecorderOptions {
  /** Who reports: `kubelet`. */
  readonly component: string;
  /** The node it reports from, if it is tied to one. */
  readonly host?: string;
  /** Events waiting to be written; 1 000 unless told. */
  readonly queueLimit?: number;
  /** Event series and objects remembered; 4 096 unless told. */
  readonly memoryLimit?: number;
}

export interface EventRecorder {
  /** `fieldPath` names the part concerned: `spec.containers{web}`. */
  event(object: KubeObject, type: EventType, reason: string, message: string, fieldPath?: string): void;
  /** Resolves when everything recorded so far is written or given up. */
  flush(): Promise<void>;
}

/** client-go's numbers. */
const SPAM_BURST = 25;
const SPAM_REFILL_MS = 300_000;
const SIMILAR_LIMIT = 10;
const SIMILAR_WINDOW_MS = 600_000;
const WRITE_ATTEMPTS = 3;

interface Pending {
  readonly object: KubeObject;
  readonly type: EventType;
  readonly reason: string;
  readonly message: string;
  readonly fieldPath: string | undefined;
  readonly atMs: number;
}

export function createEventRecorder(deps: EventRecorderDeps, options: EventRecorderOptions): EventRecorder {
  return new BackgroundRecorder(deps, options);
}

class BackgroundRecorder implements EventRecorder {
  private readonly queue: Pending[] = [];
  private readonly written = new Map<string, { readonly name: string; readonly namespace: string; count: number }>();
  private readonly buckets = new Map<string, { tokens: number; atMs: number }>();
  private readonly similar = new Map<string, { readonly messages: Set<string>; atMs: number }>();
  private draining: Promise<void> | undefined;
  private dropped = 0;

  constructor(
    private readonly deps: EventRecorderDeps,
    private readonly options: EventRecorderOptions,
  ) {}

  event(object: KubeObject, type: EventType, reason: string, message: string, fieldPath?: string): void {
    if (this.queue.length >= (this.options.queueLimit ?? 1_000)) {
      this.dropped += 1;
      return;
    }
    if (!this.admitted(object)) return;
    this.queue.push({ object, type, reason, message, fieldPath, atMs: this.deps.clock.nowMs() });
    this.draining ??= this.drain();
  }

  async flush(): Promise<void> {
    await this.draining;
  }

  /** The spam filter: a token bucket per object. */
  private admitted(object: KubeObject): boolean {
    const now = this.deps.clock.monotonicMs();
    const key = `${object.kind}/${object.metadata.namespace}/${object.metadata.name}/${object.metadata.uid}`;
    const bucket = this.buckets.get(key) ?? { tokens: SPAM_BURST, atMs: now };
    bucket.tokens = Math.min(SPAM_BURST, bucket.tokens + (now - bucket.atMs) / SPAM_REFILL_MS);
    bucket.atMs = now;
    remember(this.buckets, key, bucket, this.memoryLimit);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  private async drain(): Promise<void> {
    // `draining` is set before the loop can end.
    await Promise.resolve();
    for (let next = this.queue.shift(); next; next = this.queue.shift()) await this.writeOrDrop(next);
    if (this.dropped > 0) this.deps.log.warn('events were dropped, too many at once', { count: this.dropped });
    this.dropped = 0;
    this.draining = undefined;
  }

  private async writeOrDrop(event: Pending): Promise<void> {
    for (let attempt = 1; attempt <= WRITE_ATTEMPTS; attempt++) {
      try {
        await this.write(event);
        return;
      } catch (error) {
        const final = error instanceof ApiError && error.code < 500 && error.code !== 429;
        if (final || attempt === WRITE_ATTEMPTS) {
          this.deps.log.debug('event not written', { reason: event.reason, error: errorText(error) });
          return;
        }
      }
    }
  }

  private async write(event: Pending): Promise<void> {
    const { object, type, reason, fieldPath, atMs } = event;
    const series = [object.kind, object.metadata.uid, object.metadata.name, fieldPath, type, reason].join('\n');
    const combined = this.combines(series, event);
    const message = combined ? `(combined from similar events): ${event.message}` : event.message;
    const key = combined ? series : `${series}\n${message}`;
    const at = rfc3339(atMs);
    const before = this.written.get(key);
    if (before) {
      try {
        const patch = { count: before.count + 1, lastTimestamp: at, message };
        await this.deps.client.patch<Event>(EVENTS, before.namespace, before.name, 'merge', patch);
        before.count += 1;
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
        this.written.delete(key);
      }
    }
    const made = this.eventOf(event, message, at);
    const { name = '', namespace = 'default' } = made.metadata;
    await this.deps.client.create<Event>(EVENTS, made);
    remember(this.written, key, { name, namespace, count: 1 }, this.memoryLimit);
  }

  private combines(series: string, { message, atMs }: Pending): boolean {
    let similar = this.similar.get(series);
    if (!similar || atMs - similar.atMs > SIMILAR_WINDOW_MS) similar = { messages: new Set(), atMs };
    similar.atMs = atMs;
    if (similar.messages.size < SIMILAR_LIMIT) similar.messages.add(message);
    remember(this.similar, series, similar, this.memoryLimit);
    return similar.messages.size >= SIMILAR_LIMIT && !similar.messages.has(message);
  }

  private eventOf({ object, type, reason, fieldPath, atMs }: Pending, message: string, at: string): Event {
    const { component, host } = this.options;
    const { namespace, name, uid, resourceVersion } = object.metadata;
    const suffix = Buffer.from(this.deps.random.bytes(3)).toString('hex');
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { namespace: namespace ?? 'default', name: `${name}.${atMs.toString(16)}${suffix}` },
      involvedObject: {
        ...(object.apiVersion === undefined ? {} : { apiVersion: object.apiVersion }),
        ...(object.kind === undefined ? {} : { kind: object.kind }),
        ...(namespace === undefined ? {} : { namespace }),
        ...(name === undefined ? {} : { name }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(fieldPath === undefined ? {} : { fieldPath }),
      },
      type,
      reason,
      message,
      count: 1,
      firstTimestamp: at,
      lastTimestamp: at,
      source: { component, ...(host === undefined ? {} : { host }) },
      reportingComponent: component,
      reportingInstance: host ?? '',
    };
  }

  private get memoryLimit(): number {
    return this.options.memoryLimit ?? 4_096;
  }
}

/** Puts the entry last; the one untouched for longest goes when there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V, limit: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > limit && oldest !== undefined) map.delete(oldest);
}

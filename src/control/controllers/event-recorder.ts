/**
 * Writes Event objects in the background: never blocks and never fails its caller. A repeated event (same object, reason
 * and message) raises the count of the one written before instead of adding an object, as client-go's correlator does.
 * Bounds: at most `queueLimit` events wait (further ones are dropped and counted in the log) and `memoryLimit` are remembered.
 */
import { rfc3339, type Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import { errorText, type Logger } from '../../base/log.js';
import { safeSuffix, type Random } from '../../base/random.js';
import { isNotFound } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import { EVENTS } from '../../api/resource.js';
import type { Event } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';

export interface RecordedEvent {
  readonly object: KubeObject;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  /** The component that reports, e.g. `replicaset-controller`. */
  readonly component: string;
}

export interface EventRecorderOptions {
  /** Events that wait to be written; 1,000 unless told. */
  readonly queueLimit?: number;
  /** Written events remembered for counting repetitions; 4,096 unless told. */
  readonly memoryLimit?: number;
}

export class EventRecorder implements Service {
  readonly name = 'controllers/events';
  private readonly queue: (RecordedEvent & { atMs: number })[] = [];
  private readonly written = new Map<string, { namespace: string; name: string; count: number }>();
  private draining: Promise<void> | undefined;
  private started = false;
  private dropped = 0;

  constructor(
    private readonly deps: {
      readonly client: Client;
      readonly clock: Clock;
      readonly random: Random;
      readonly log: Logger;
    },
    private readonly options: EventRecorderOptions = {},
  ) {}

  record(event: RecordedEvent): void {
    if (this.queue.length >= (this.options.queueLimit ?? 1_000)) {
      this.dropped += 1;
      return;
    }
    this.queue.push({ ...event, atMs: this.deps.clock.nowMs() });
    if (this.started) this.draining ??= this.drain();
  }

  async start(): Promise<void> {
    this.started = true;
    this.draining ??= this.drain();
    return Promise.resolve();
  }

  /** What waits is dropped; what is being written is awaited. */
  async stop(): Promise<void> {
    this.started = false;
    this.queue.length = 0;
    await this.draining;
  }

  private async drain(): Promise<void> {
    // Not at once: `draining` must be set before it is cleared below.
    await Promise.resolve();
    for (let event = this.queue.shift(); event; event = this.queue.shift()) {
      try {
        await this.write(event);
      } catch (error) {
        this.deps.log.debug('event not written', { reason: event.reason, error: errorText(error) });
      }
    }
    if (this.dropped > 0) this.deps.log.warn('events were dropped, too many at once', { count: this.dropped });
    this.dropped = 0;
    this.draining = undefined;
  }

  private async write({ object, type, reason, message, component, atMs }: RecordedEvent & { atMs: number }) {
    const { metadata } = object;
    const key = [component, object.kind, metadata.uid, type, reason, message].join('\n');
    const at = rfc3339(atMs);
    const before = this.written.get(key);
    if (before) {
      try {
        await this.deps.client.patch<Event>(EVENTS, before.namespace, before.name, 'merge', {
          count: before.count + 1,
          lastTimestamp: at,
        });
        before.count += 1;
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
        this.written.delete(key);
      }
    }
    const namespace = metadata.namespace ?? 'default';
    const name = `${metadata.name}.${atMs.toString(16)}${safeSuffix(this.deps.random)}`;
    await this.deps.client.create<Event>(EVENTS, {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { namespace, name },
      involvedObject: {
        ...(object.apiVersion === undefined ? {} : { apiVersion: object.apiVersion }),
        ...(object.kind === undefined ? {} : { kind: object.kind }),
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        ...(metadata.name === undefined ? {} : { name: metadata.name }),
        ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
        ...(metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }),
      },
      type,
      reason,
      message,
      count: 1,
      firstTimestamp: at,
      lastTimestamp: at,
      source: { component },
      reportingComponent: component,
    });
    this.remember(key, namespace, name);
  }

  private remember(key: string, namespace: string, name: string): void {
    this.written.set(key, { namespace, name, count: 1 });
    if (this.written.size <= (this.options.memoryLimit ?? 4_096)) return;
    const [oldest] = this.written.keys();
    if (oldest !== undefined) this.written.delete(oldest);
  }
}

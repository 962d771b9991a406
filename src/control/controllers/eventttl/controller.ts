/**
 * Events expire an hour after they last happened (upstream's `--event-ttl`), so that they stay bounded however much goes on.
 * One sweep a minute over the cached Events; the oldest go first, at most `batch` a sweep.
 */
import { isNotFound } from '../../../api/errors.js';
import { EVENTS } from '../../../api/resource.js';
import type { Event } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

export interface EventTtlOptions {
  /** How long an Event is kept after it last happened, in milliseconds; an hour unless told. */
  readonly ttlMs?: number;
  /** Between two sweeps, in milliseconds; 60,000 unless told. */
  readonly periodMs?: number;
  /** Events deleted in one sweep at most; 1,000 unless told. */
  readonly batch?: number;
}

const KEY = 'events';

/** When it last happened, in milliseconds since the epoch; 0 when it does not say. Pure. */
export function lastSeenMs({ lastTimestamp, eventTime, series, metadata }: Event): number {
  const times = [series?.lastObservedTime, lastTimestamp, eventTime, metadata.creationTimestamp];
  return Math.max(0, ...times.map((time) => (time ? Date.parse(time) || 0 : 0)));
}

export function eventTtlController(deps: SharedDeps, options: EventTtlOptions = {}): Controller {
  const { client, clock } = deps;
  const events = deps.informers.of<Event>(EVENTS);
  const controller = new Controller(deps, { name: 'eventttl', waitFor: [events], reconcile: sweep });
  controller.queue.add(KEY);

  async function sweep(): Promise<ReconcileResult> {
    const horizon = clock.nowMs() - (options.ttlMs ?? 3_600_000);
    const expired = events
      .list()
      .map((event) => ({ event, seenMs: lastSeenMs(event) }))
      .filter(({ seenMs }) => seenMs < horizon)
      .toSorted((a, b) => a.seenMs - b.seenMs)
      .slice(0, options.batch ?? 1_000);
    for (const { event } of expired) {
      const { namespace = '', name = '' } = event.metadata;
      try {
        await client.delete(EVENTS, namespace, name);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return { requeueAfterMs: options.periodMs ?? 60_000 };
  }

  return controller;
}

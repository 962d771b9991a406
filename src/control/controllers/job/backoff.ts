/**
 * How long a Job waits before it replaces failed pods: 10 s, doubled with each failure since the last success, 10 minutes at
 * most. In memory, as upstream: another peer that takes over begins anew.
 */
import { backoffMs, type BackoffOptions } from '../../../base/backoff.js';
import { finishedMs, ignoredIndexFailures, indexFailures, type ReadonlyPod } from './pod-facts.js';

export interface BackoffRecord {
  readonly failuresSinceSuccess: number;
  readonly lastFailureMs: number;
}

export const NO_FAILURES: BackoffRecord = { failuresSinceSuccess: 0, lastFailureMs: 0 };

/** The record with pods that ended and are not in it yet. */
export function recordEnded(
  before: BackoffRecord,
  succeeded: readonly ReadonlyPod[],
  failed: readonly ReadonlyPod[],
): BackoffRecord {
  const lastSuccessMs = Math.max(...succeeded.map(finishedMs));
  const base = succeeded.length > 0 ? NO_FAILURES : before;
  const later = failed.map(finishedMs).filter((ms) => succeeded.length === 0 || ms > lastSuccessMs);
  if (later.length === 0) return base;
  return {
    failuresSinceSuccess: base.failuresSinceSuccess + later.length,
    lastFailureMs: Math.max(base.lastFailureMs, ...later),
  };
}

/** Milliseconds until a pod may be made again; 0 when at once. */
export function remainingMs(record: BackoffRecord, options: BackoffOptions, nowMs: number): number {
  const { failuresSinceSuccess, lastFailureMs } = record;
  if (failuresSinceSuccess === 0) return 0;
  return Math.max(0, lastFailureMs + backoffMs(failuresSinceSuccess, options) - nowMs);
}

/** The same for one index of a Job that counts failures per index, of which this pod failed last. */
export function remainingMsOfIndex(failed: ReadonlyPod, options: BackoffOptions, nowMs: number): number {
  const failuresSinceSuccess = 1 + indexFailures(failed) + ignoredIndexFailures(failed);
  return remainingMs({ failuresSinceSuccess, lastFailureMs: finishedMs(failed) }, options, nowMs);
}

/** What a Job needs next: pods to create, pods to delete, or its end. Pure. */
import type { BackoffOptions } from '../../../base/backoff.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { podsToDelete } from '../replicaset/ranking.js';
import { remainingMs, remainingMsOfIndex } from './backoff.js';
import { verdictOf, type Verdict } from './conditions.js';
import type { Observation } from './observation.js';
import {
  hasBackoffPerIndex,
  indexOf,
  isIndexed,
  isSuspended,
  isTerminating,
  replacesOnlyFailed,
  restartsOf,
  type ReadonlyJob,
} from './pod-facts.js';
import { failJobMessage, successMessage } from './policies.js';

export interface PlanLimits {
  /** Pods created or deleted in one reconcile at most. */
  readonly burst: number;
  readonly backoff: BackoffOptions;
}

export interface PodsPlan {
  readonly remove: readonly Pod[];
  /** One entry a pod: its completion index, or undefined for a Job without. */
  readonly create: readonly (number | undefined)[];
  /** When to look again, in milliseconds, because pods wait for their back-off. */
  readonly waitMs: number | undefined;
}

/** Whether the Job is to end, and how. Its success by numbers is found only after pods were managed, see {@link isComplete}. */
export function judge(seen: Observation, nowMs: number): Verdict | undefined {
  const { job, pods, failed, succeededIndexes, failedIndexes } = seen;
  const before = verdictOf(job);
  if (before) return before;
  const fail = (reason: string, message: string): Verdict => ({ type: 'FailureTarget', reason, message });
  const policy = failJobMessage(job, pods);
  if (policy !== undefined) return fail('PodFailurePolicy', policy);
  if (failed > (job.spec?.backoffLimit ?? 6) || restartedTooOften(job, pods)) {
    return fail('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  }
  if (deadlineInMs(job, nowMs) === 0) return fail('DeadlineExceeded', 'Job was active longer than specified deadline');
  if (!isIndexed(job)) return undefined;
  if (hasBackoffPerIndex(job)) {
    const { maxFailedIndexes, completions = 0 } = job.spec ?? {};
    if (maxFailedIndexes !== undefined && failedIndexes.size > maxFailedIndexes) {
      return fail('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes');
    }
    if (failedIndexes.size > 0 && failedIndexes.size + succeededIndexes.size >= completions) {
      return fail('FailedIndexes', 'Job has failed indexes');
    }
  }
  const message = successMessage(job, succeededIndexes);
  return message === undefined ? undefined : { type: 'SuccessCriteriaMet', reason: 'SuccessPolicy', message };
}

/** Containers that are restarted in place count by their restarts, not by their pods. */
function restartedTooOften(job: ReadonlyJob, pods: readonly Pod[]): boolean {
  if (job.spec?.template.spec?.restartPolicy !== 'OnFailure') return false;
  const restarts = restartsOf(pods);
  const limit = job.spec.backoffLimit ?? 6;
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

/** Milliseconds until the Job's active deadline; undefined when it has none or its time does not run. */
export function deadlineInMs(job: ReadonlyJob, nowMs: number): number | undefined {
  const seconds = job.spec?.activeDeadlineSeconds;
  const start = job.status?.startTime;
  if (seconds === undefined || start === undefined || isSuspended(job)) return undefined;
  return Math.max(0, Date.parse(start) + seconds * 1000 - nowMs);
}

export const COMPLETED: Verdict = {
  type: 'SuccessCriteriaMet',
  reason: 'CompletionsReached',
  message: 'Reached expected number of succeeded pods',
};

/** A Job without a number of completions is complete when one pod succeeded and none runs any more. */
export function isComplete({ job, succeeded }: Observation, active: number): boolean {
  return active === 0 && (job.spec?.completions === undefined ? succeeded > 0 : succeeded >= job.spec.completions);
}

/** The pods to delete or to create, never both: of an indexed Job one may make room for the other. */
export function planPods(seen: Observation, limits: PlanLimits, nowMs: number): PodsPlan {
  const { job, active } = seen;
  if (isSuspended(job)) return { remove: surplus(seen, active.length, limits, nowMs), create: [], waitMs: undefined };
  const wanted = wantedActive(seen);
  const remove = surplus(seen, Math.max(0, active.length - wanted), limits, nowMs);
  if (remove.length > 0) return { remove, create: [], waitMs: undefined };
  const missing = wanted - active.length - (replacesOnlyFailed(job) ? seen.terminating : 0);
  if (missing <= 0) return { remove: [], create: [], waitMs: undefined };
  if (!hasBackoffPerIndex(job)) {
    const waitMs = remainingMs(seen.backoff, limits.backoff, nowMs);
    if (waitMs > 0) return { remove: [], create: [], waitMs };
  }
  const count = Math.min(missing, limits.burst);
  if (!isIndexed(job)) return { remove: [], create: Array.from({ length: count }, () => undefined), waitMs: undefined };
  return { remove: [], ...readyIndexes(seen, count, limits, nowMs) };
}

function wantedActive({ job, succeeded, failedIndexes, active }: Observation): number {
  const { completions, parallelism = 1 } = job.spec ?? {};
  // After the first success, what runs goes on, and nothing new begins.
  if (completions === undefined) return succeeded > 0 ? active.length : parallelism;
  return Math.max(0, Math.min(parallelism, completions - succeeded - failedIndexes.size));
}

/** The indexes that need a pod now; those whose own back-off has not passed wait, and others take their turn. */
function readyIndexes(
  seen: Observation,
  count: number,
  { backoff }: PlanLimits,
  nowMs: number,
): Pick<PodsPlan, 'create' | 'waitMs'> {
  const { job, pods, active, succeededIndexes, failedIndexes, lastFailed } = seen;
  const busy = replacesOnlyFailed(job) ? [...active, ...pods.filter(isTerminating)] : active;
  const taken = succeededIndexes.with(failedIndexes).with(busy.flatMap((pod) => indexOf(pod, job) ?? []));
  const waits = new Map<number, number>();
  for (const [index, pod] of lastFailed) {
    const wait = remainingMsOfIndex(pod, backoff, nowMs);
    if (wait > 0 && !taken.has(index)) waits.set(index, wait);
  }
  const create = taken.with(waits.keys()).firstMissing(count, job.spec?.completions ?? 0);
  const waitMs = waits.size > 0 ? Math.min(...waits.values()) : undefined;
  return { create, waitMs };
}

/**
 * The active pods to give up: second pods of an index, pods of indexes that are done or are none (after a merge of two
 * sides that worked on the same Job there may be some), and then as many more as to make `atLeast`.
 */
function surplus(
  { job, active, succeededIndexes, failedIndexes }: Observation,
  atLeast: number,
  { burst }: PlanLimits,
  nowMs: number,
): Pod[] {
  const remove: Pod[] = [];
  let keep: readonly Pod[] = active;
  if (isIndexed(job)) {
    const kept = new Map<number, Pod[]>();
    for (const pod of active) {
      const index = indexOf(pod, job);
      if (index === undefined || succeededIndexes.has(index) || failedIndexes.has(index)) remove.push(pod);
      else kept.set(index, [...(kept.get(index) ?? []), pod]);
    }
    for (const [index, same] of kept) {
      const extra = new Set(podsToDelete(same, [], same.length - 1, nowMs));
      if (extra.size === 0) continue;
      remove.push(...extra);
      kept.set(
        index,
        same.filter((pod) => !extra.has(pod)),
      );
    }
    keep = [...kept.values()].flat();
  }
  if (remove.length < atLeast) remove.push(...podsToDelete(keep, [], atLeast - remove.length, nowMs));
  return remove.slice(0, burst);
}

/** What a Job's status and pods say together. Pure. */
import type { Pod } from '../../../api/types/core-v1.js';
import { isPodActive, isPodReady } from '../pod-state.js';
import { recordEnded, type BackoffRecord } from './backoff.js';
import { IndexSet } from './index-set.js';
import {
  hasBackoffPerIndex,
  ignoredIndexFailures,
  indexFailures,
  indexOf,
  isFailed,
  isIndexed,
  isSucceeded,
  isTerminating,
  isTracked,
  type ReadonlyJob,
} from './pod-facts.js';
import { judgeFailure } from './policies.js';

export interface Observation {
  readonly job: ReadonlyJob;
  readonly pods: readonly Pod[];
  /** Neither ended nor being deleted. */
  readonly active: readonly Pod[];
  readonly ready: number;
  readonly terminating: number;
  /** Pods with our finalizer, by uid; without those of which the cache does not show yet that it was taken off. */
  readonly tracked: ReadonlySet<string>;
  /** What the status counts, without uncounted pods; more than it says when a merge lost counts of pods that are there. */
  readonly counted: number;
  /** Including pods that are not in the status yet. */
  readonly succeeded: number;
  readonly failed: number;
  /** Indexes that the status has as completed; of an indexed Job. */
  readonly previousIndexes: IndexSet;
  readonly succeededIndexes: IndexSet;
  readonly failedIndexes: IndexSet;
  /** Of each index whose failures count by themselves: the failed pod that its next pod is told about. */
  readonly lastFailed: ReadonlyMap<number, Pod>;
  readonly backoff: BackoffRecord;
}

export function observe(
  job: ReadonlyJob,
  pods: readonly Pod[],
  released: ReadonlySet<string>,
  before: BackoffRecord,
): Observation {
  const { status } = job;
  const uncounted = status?.uncountedTerminatedPods;
  const known = new Set([...(uncounted?.succeeded ?? []), ...(uncounted?.failed ?? [])]);
  const uidOf = (pod: Pod) => pod.metadata.uid ?? '';
  const isOurs = (pod: Pod) => isTracked(pod) && !released.has(uidOf(pod));
  const tracked = new Set(pods.filter(isOurs).map(uidOf));
  const fresh = pods.filter((pod) => {
    return tracked.has(uidOf(pod)) && !known.has(uidOf(pod)) && (!isIndexed(job) || indexOf(pod, job) !== undefined);
  });
  const newSucceeded = fresh.filter(isSucceeded);
  const newFailed = fresh.filter((pod) => isFailed(pod, job));
  const counting = newFailed.filter((pod) => judgeFailure(job.spec, pod).counts);
  const active = pods.filter(isPodActive);
  const indexes = indexesOf(job, pods);
  const done = pods.filter((pod) => isSucceeded(pod) && !pod.metadata.deletionTimestamp && !tracked.has(uidOf(pod)));
  const counted = Math.max(status?.succeeded ?? 0, done.filter((pod) => !known.has(uidOf(pod))).length);
  return {
    job,
    pods,
    active,
    ready: active.filter(isPodReady).length,
    terminating: pods.filter(isTerminating).length,
    tracked,
    counted,
    succeeded: isIndexed(job)
      ? indexes.succeededIndexes.size
      : counted + newSucceeded.length + (uncounted?.succeeded?.length ?? 0),
    failed: (status?.failed ?? 0) + counting.length + (uncounted?.failed?.length ?? 0),
    ...indexes,
    lastFailed: hasBackoffPerIndex(job) ? lastFailedPods(job, pods, tracked, indexes) : new Map<number, Pod>(),
    backoff: recordEnded(before, newSucceeded, newFailed),
  };
}

type Indexes = Pick<Observation, 'previousIndexes' | 'succeededIndexes' | 'failedIndexes'>;

/** A pod that is there proves its index's success, whether the status counts it or not: a merge may have lost that. */
function indexesOf(job: ReadonlyJob, pods: readonly Pod[]): Indexes {
  const none = IndexSet.EMPTY;
  if (!isIndexed(job)) return { previousIndexes: none, succeededIndexes: none, failedIndexes: none };
  const completions = job.spec?.completions ?? 0;
  const previousIndexes = IndexSet.parse(job.status?.completedIndexes, completions);
  const succeeded = pods.filter(isSucceeded).flatMap((pod) => indexOf(pod, job) ?? []);
  const succeededIndexes = previousIndexes.with(succeeded);
  if (!hasBackoffPerIndex(job)) return { previousIndexes, succeededIndexes, failedIndexes: none };
  const failed = pods.filter((pod) => exhaustsIndex(pod, job)).flatMap((pod) => indexOf(pod, job) ?? []);
  const failedIndexes = IndexSet.parse(job.status?.failedIndexes, completions).with(
    failed.filter((index) => !succeededIndexes.has(index)),
  );
  return { previousIndexes, succeededIndexes, failedIndexes };
}

/** Whether its failure was the last that its index is allowed. */
function exhaustsIndex(pod: Pod, job: ReadonlyJob): boolean {
  if (!isFailed(pod, job)) return false;
  const { action, counts } = judgeFailure(job.spec, pod);
  if (action === 'FailIndex') return true;
  return counts && indexFailures(pod) >= (job.spec?.backoffLimitPerIndex ?? 0);
}

function lastFailedPods(
  job: ReadonlyJob,
  pods: readonly Pod[],
  tracked: ReadonlySet<string>,
  { succeededIndexes, failedIndexes }: Indexes,
): Map<number, Pod> {
  const failuresOf = (pod: Pod) => indexFailures(pod) + ignoredIndexFailures(pod);
  const last = new Map<number, Pod>();
  for (const pod of pods) {
    const index = indexOf(pod, job);
    if (index === undefined || !tracked.has(pod.metadata.uid ?? '') || !isFailed(pod, job)) continue;
    if (succeededIndexes.has(index) || failedIndexes.has(index)) continue;
    const other = last.get(index);
    if (!other || failuresOf(other) <= failuresOf(pod)) last.set(index, pod);
  }
  // Once it is replaced, the new pod carries the count.
  for (const pod of pods.filter(isPodActive)) last.delete(indexOf(pod, job) ?? -1);
  return last;
}

/**
 * How ended pods come into a Job's status, each exactly once, whatever crashes in between: a pod's uid is written to
 * `uncountedTerminatedPods` (or its index to `completedIndexes`) while our finalizer keeps the pod; then the finalizer is
 * taken off; then the uid becomes a number. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '../../../base/clock.js';
import type { DeepReadonly } from '../../../api/object.js';
import type { JobStatus } from '../../../api/types/batch-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { finalType, withCondition, type Verdict } from './conditions.js';
import type { Observation } from './observation.js';
import { hasBackoffPerIndex, indexOf, isFailed, isIndexed, isSucceeded } from './pod-facts.js';
import { judgeFailure } from './policies.js';

/** Uids in the status at once at most, upstream's number: the rest waits for the next reconcile. */
const MAX_UNCOUNTED = 500;

export interface Account {
  /** To be written before finalizers are taken off. */
  readonly status: JobStatus;
  /** Pods whose finalizer is to be taken off. */
  readonly release: readonly Pod[];
  /** More pods wait than fit at once. */
  readonly full: boolean;
}

/** Takes in the pods that ended; with a verdict, every pod. `status` is as the reconcile has it so far. */
export function account(
  seen: Observation,
  status: DeepReadonly<JobStatus>,
  verdict: Verdict | undefined,
  nowMs: number,
): Account {
  const { job } = seen;
  const indexed = isIndexed(job);
  const uncounted = {
    succeeded: (status.uncountedTerminatedPods?.succeeded ?? []).filter((uid) => seen.tracked.has(uid)),
    failed: (status.uncountedTerminatedPods?.failed ?? []).filter((uid) => seen.tracked.has(uid)),
  };
  const settled = settle({ ...status, succeeded: seen.counted }, seen.tracked, indexed);
  const known = { succeeded: new Set(uncounted.succeeded), failed: new Set(uncounted.failed) };
  const release: Pod[] = [];
  const newIndexes = new Set<number>();
  let full = false;
  const pods = indexed ? seen.pods.toSorted((a, b) => (indexOf(a, job) ?? -1) - (indexOf(b, job) ?? -1)) : seen.pods;
  for (const pod of pods) {
    const uid = pod.metadata.uid ?? '';
    if (!seen.tracked.has(uid) || !mayRelease(seen, pod, verdict)) continue;
    if (newIndexes.size + uncounted.succeeded.length + uncounted.failed.length >= MAX_UNCOUNTED) {
      full = true;
      break;
    }
    release.push(pod);
    const index = indexOf(pod, job);
    if (isSucceeded(pod) && !known.failed.has(uid)) {
      if (indexed && index !== undefined && !seen.previousIndexes.has(index)) newIndexes.add(index);
      else if (!indexed && !known.succeeded.has(uid)) uncounted.succeeded.push(uid);
    } else if (!known.failed.has(uid) && (!indexed || index !== undefined) && judgeFailure(job.spec, pod).counts) {
      if (isFailed(pod, job) || verdict) uncounted.failed.push(uid);
    }
  }
  const next: JobStatus = { ...settled, uncountedTerminatedPods: pruned(uncounted) };
  if (indexed) countIndexes(seen, next, newIndexes);
  if (verdict) next.conditions = withCondition(status.conditions ?? [], { ...verdict, status: 'True' }, nowMs);
  return { status: next, release, full };
}

/** The indexes whose pods are still kept by us are counted in the next round when there are too many. */
function countIndexes(
  { job, pods, tracked, previousIndexes, failedIndexes }: Observation,
  status: JobStatus,
  newIndexes: ReadonlySet<number>,
): void {
  // Those of pods that were let go already: the status that said so was lost in a merge.
  const lost = pods.filter((pod) => isSucceeded(pod) && !tracked.has(pod.metadata.uid ?? ''));
  const completed = previousIndexes.with(newIndexes).with(lost.flatMap((pod) => indexOf(pod, job) ?? []));
  setNumber(status, 'succeeded', completed.size);
  if (completed.size > 0) status.completedIndexes = completed.toString();
  else delete status.completedIndexes;
  if (hasBackoffPerIndex(job)) status.failedIndexes = failedIndexes.toString();
  else delete status.failedIndexes;
}

function mayRelease({ job, lastFailed }: Observation, pod: Pod, verdict: Verdict | undefined): boolean {
  if (job.metadata.deletionTimestamp || verdict || isSucceeded(pod)) return true;
  if (!isFailed(pod, job)) return false;
  // Its replacement has yet to be told how often the index failed.
  return lastFailed.get(indexOf(pod, job) ?? -1) !== pod;
}

/** Turns uids of pods that no longer have our finalizer into numbers. */
export function settle(status: DeepReadonly<JobStatus>, tracked: ReadonlySet<string>, indexed: boolean): JobStatus {
  const next = structuredClone(status) as JobStatus;
  const { succeeded = [], failed = [] } = next.uncountedTerminatedPods ?? {};
  const left = {
    succeeded: succeeded.filter((uid) => tracked.has(uid)),
    failed: failed.filter((uid) => tracked.has(uid)),
  };
  if (!indexed) setNumber(next, 'succeeded', (next.succeeded ?? 0) + succeeded.length - left.succeeded.length);
  setNumber(next, 'failed', (next.failed ?? 0) + failed.length - left.failed.length);
  next.uncountedTerminatedPods = pruned(left);
  return next;
}

/** Ends the Job with its verdict; undefined while pods are uncounted or still ending. */
export function finish(status: DeepReadonly<JobStatus>, verdict: Verdict, nowMs: number): JobStatus | undefined {
  const { succeeded, failed } = status.uncountedTerminatedPods ?? {};
  if (succeeded?.length || failed?.length || (status.terminating ?? 0) > 0) return undefined;
  const type = finalType(verdict);
  const { reason, message } = verdict;
  const conditions = withCondition(status.conditions ?? [], { type, status: 'True', reason, message }, nowMs);
  const next = { ...(structuredClone(status) as JobStatus), conditions };
  return type === 'Complete' ? { ...next, completionTime: rfc3339(nowMs) } : next;
}

/** Numbers that are zero are not written, as Go's `omitempty`. */
export function setNumber(status: JobStatus, field: 'active' | 'succeeded' | 'failed', value: number): void {
  if (value > 0) status[field] = value;
  else delete status[field];
}

const pruned = ({ succeeded, failed }: { succeeded: string[]; failed: string[] }) => ({
  ...(succeeded.length > 0 ? { succeeded } : {}),
  ...(failed.length > 0 ? { failed } : {}),
});

export const sameStatus = (a: DeepReadonly<JobStatus> | undefined, b: DeepReadonly<JobStatus>): boolean =>
  isDeepStrictEqual(a ?? {}, b);

/** What the Job controller asks about a pod, and the marks it puts on pods. Pure. */
import type { DeepReadonly } from '../../../api/object.js';
import type { Job } from '../../../api/types/batch-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';

/** On a pod until it is counted in the Job's status. */
export const TRACKING_FINALIZER = 'batch.kubernetes.io/job-tracking';
export const COMPLETION_INDEX = 'batch.kubernetes.io/job-completion-index';
/** How often the index failed before this pod, not counting failures that a policy ignores. */
export const INDEX_FAILURES = 'batch.kubernetes.io/job-index-failure-count';
/** How often it failed in ways that a policy ignores. */
export const INDEX_IGNORED_FAILURES = 'batch.kubernetes.io/job-index-ignored-failure-count';

export type ReadonlyPod = DeepReadonly<Pod>;
export type ReadonlyJob = DeepReadonly<Job>;

export const isIndexed = ({ spec }: ReadonlyJob) => spec?.completionMode === 'Indexed';
export const hasBackoffPerIndex = (job: ReadonlyJob) => isIndexed(job) && job.spec?.backoffLimitPerIndex !== undefined;
export const isSuspended = ({ spec }: ReadonlyJob) => spec?.suspend === true;

/** False for a Job that `managedBy` gives to a controller outside. */
export const isManagedHere = ({ spec }: ReadonlyJob) =>
  (spec?.managedBy ?? 'kubernetes.io/job-controller') === 'kubernetes.io/job-controller';

/** A pod that is being deleted is replaced only once it has ended. */
export const replacesOnlyFailed = ({ spec }: ReadonlyJob) =>
  spec?.podReplacementPolicy === 'Failed' || spec?.podFailurePolicy !== undefined;

export const isTracked = ({ metadata }: ReadonlyPod) => metadata.finalizers?.includes(TRACKING_FINALIZER) === true;

/** Being deleted, and not ended yet. */
export const isTerminating = ({ metadata, status }: ReadonlyPod) =>
  metadata.deletionTimestamp !== undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed';

export const isSucceeded = ({ status }: ReadonlyPod) => status?.phase === 'Succeeded';

/** Whether the pod counts as failed: unless the Job waits for the end of pods, one that is being deleted does, too. */
export function isFailed(pod: ReadonlyPod, job: ReadonlyJob): boolean {
  if (pod.status?.phase === 'Failed') return true;
  return !replacesOnlyFailed(job) && isTerminating(pod);
}

/** The completion index; undefined for a pod that has none below `completions`. */
export function indexOf({ metadata }: ReadonlyPod, job: ReadonlyJob): number | undefined {
  const text = metadata.annotations?.[COMPLETION_INDEX];
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const index = Number(text);
  return index < (job.spec?.completions ?? 0) ? index : undefined;
}

const countAt = ({ metadata }: ReadonlyPod, annotation: string) => {
  const count = Number(metadata.annotations?.[annotation] ?? 0);
  return Number.isInteger(count) && count > 0 ? count : 0;
};
export const indexFailures = (pod: ReadonlyPod) => countAt(pod, INDEX_FAILURES);
export const ignoredIndexFailures = (pod: ReadonlyPod) => countAt(pod, INDEX_IGNORED_FAILURES);

/** When it ended: its last container's end, else when it stopped being ready, was to be gone, or was made. */
export function finishedMs({ metadata, status }: ReadonlyPod): number {
  const ends = (status?.containerStatuses ?? []).map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? ''));
  if (ends.length > 0 && ends.every((end) => end > 0)) return Math.max(...ends);
  const ready = status?.conditions?.find(({ type, status: is }) => type === 'Ready' && is === 'False');
  const fallback = ready?.lastTransitionTime ?? metadata.deletionTimestamp ?? metadata.creationTimestamp;
  return fallback === undefined ? 0 : Date.parse(fallback);
}

/** Restarts of the containers of pods that have not ended. */
export function restartsOf(pods: readonly ReadonlyPod[]): number {
  let restarts = 0;
  for (const { status } of pods) {
    if (status?.phase !== 'Running' && status?.phase !== 'Pending') continue;
    for (const container of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]) {
      restarts += container.restartCount;
    }
  }
  return restarts;
}

/** What controllers ask about a pod: is it active, ready, available. Pure. */
import type { DeepReadonly } from '../../api/object.js';
import type { Pod } from '../../api/types/core-v1.js';

type ReadonlyPod = DeepReadonly<Pod>;

/** Neither finished nor being deleted. */
export function isPodActive({ metadata, status }: ReadonlyPod): boolean {
  return !metadata.deletionTimestamp && !isPodTerminated({ status });
}

/** Its phase is Succeeded or Failed. */
export function isPodTerminated({ status }: { readonly status?: ReadonlyPod['status'] | undefined }): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

export function isPodReady(pod: ReadonlyPod): boolean {
  return readyConditionOf(pod)?.status === 'True';
}

/** When the pod became ready, in milliseconds since the epoch; undefined when it is not ready. */
export function readySinceMs(pod: ReadonlyPod): number | undefined {
  const condition = readyConditionOf(pod);
  if (condition?.status !== 'True') return undefined;
  return condition.lastTransitionTime ? Date.parse(condition.lastTransitionTime) : 0;
}

/** Milliseconds until the pod has been ready for `minReadySeconds`: 0 when available, undefined when not ready. */
export function availableInMs(pod: ReadonlyPod, minReadySeconds: number, nowMs: number): number | undefined {
  const since = readySinceMs(pod);
  if (since === undefined) return undefined;
  return minReadySeconds === 0 ? 0 : Math.max(0, since + minReadySeconds * 1000 - nowMs);
}

/** How often the containers of the pod were restarted; of one container the most. */
export function maxRestarts({ status }: ReadonlyPod): number {
  return Math.max(0, ...(status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));
}

function readyConditionOf({ status }: ReadonlyPod) {
  return status?.conditions?.find(({ type }) => type === 'Ready');
}

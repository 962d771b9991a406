/** How long a pod may stay on a node with NoExecute taints. Pure. */
import type { DeepReadonly } from '../../../api/object.js';
import type { Pod, Taint, Toleration } from '../../../api/types/core-v1.js';

export function tolerates(toleration: DeepReadonly<Toleration>, taint: DeepReadonly<Taint>): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === 'Exists') return true;
  return Boolean(toleration.key) && (toleration.value ?? '') === (taint.value ?? '');
}

/**
 * When the pod is to be evicted, in milliseconds since the epoch: -Infinity for at once, undefined for never. Seconds
 * count from when the taint was added (or the pod made, if later), so a new controller goes on where the last one was; for
 * a taint that does not say (`kubectl taint` writes none that do), from `seenMs`, when it was first seen.
 */
export function evictionMs({ metadata, spec }: Pod, taints: readonly Taint[], seenMs: number): number | undefined {
  const created = Date.parse(metadata.creationTimestamp ?? '') || 0;
  let due: number | undefined;
  for (const taint of taints) {
    if (taint.effect !== 'NoExecute') continue;
    const matching = (spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return -Infinity;
    const since = Math.max(created, Date.parse(taint.timeAdded ?? '') || seenMs);
    for (const { tolerationSeconds } of matching) {
      if (tolerationSeconds === undefined) continue;
      const end = tolerationSeconds <= 0 ? -Infinity : since + tolerationSeconds * 1000;
      due = Math.min(due ?? end, end);
    }
  }
  return due;
}

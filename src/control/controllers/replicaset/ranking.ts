/** Which pods a ReplicaSet gives up first, in upstream's order (`ActivePodsWithRanks`). Pure. */
import type { DeepReadonly } from '../../../api/object.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { isPodReady, maxRestarts, readySinceMs } from '../pod-state.js';

export const POD_DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';

type ReadonlyPod = DeepReadonly<Pod>;

const PHASES: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * The `count` pods to delete. `related` are the active pods of all ReplicaSets with the same controlling owner: nodes on
 * which many of them are lose theirs first.
 */
export function podsToDelete<T extends ReadonlyPod>(
  pods: readonly T[],
  related: readonly ReadonlyPod[],
  count: number,
  nowMs: number,
): T[] {
  if (count >= pods.length) return [...pods];
  const perNode = new Map<string, number>();
  for (const pod of related) {
    const node = pod.spec?.nodeName;
    if (node) perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  const rank = (pod: ReadonlyPod) => perNode.get(pod.spec?.nodeName ?? '') ?? 0;
  return [...pods].sort((a, b) => compare(a, b, rank, nowMs)).slice(0, count);
}

/** Negative when `a` is to be deleted before `b`. */
function compare(a: ReadonlyPod, b: ReadonlyPod, rank: (pod: ReadonlyPod) => number, nowMs: number): number {
  const ready = isPodReady(a);
  return (
    // Unassigned before assigned, pending before running, not ready before ready, cheap before dear.
    Number(Boolean(a.spec?.nodeName)) - Number(Boolean(b.spec?.nodeName)) ||
    phaseOf(a) - phaseOf(b) ||
    Number(ready) - Number(isPodReady(b)) ||
    deletionCost(a) - deletionCost(b) ||
    rank(b) - rank(a) ||
    (ready ? ageBucket(readySinceMs(a), nowMs) - ageBucket(readySinceMs(b), nowMs) : 0) ||
    maxRestarts(b) - maxRestarts(a) ||
    ageBucket(createdMs(a), nowMs) - ageBucket(createdMs(b), nowMs) ||
    text(a.metadata.uid).localeCompare(text(b.metadata.uid))
  );
}

const text = (value: string | undefined) => value ?? '';
const phaseOf = ({ status }: ReadonlyPod) => PHASES[status?.phase ?? 'Pending'] ?? 1;
const createdMs = ({ metadata }: ReadonlyPod) =>
  metadata.creationTimestamp ? Date.parse(metadata.creationTimestamp) : undefined;

/** A cost that does not parse as a 32 bit integer counts as 0. */
function deletionCost({ metadata }: ReadonlyPod): number {
  const cost = metadata.annotations?.[POD_DELETION_COST] ?? '0';
  return /^(-?[1-9]\d{0,9}|0)$/.test(cost) && Math.abs(Number(cost)) < 2 ** 31 ? Number(cost) : 0;
}

/** Ages are compared by the power of two of their seconds, so that pods of a similar age fall at random (by uid). */
function ageBucket(sinceMs: number | undefined, nowMs: number): number {
  if (sinceMs === undefined) return -1;
  const seconds = Math.floor((nowMs - sinceMs) / 1000);
  return seconds <= 0 ? 0 : 1 + Math.floor(Math.log2(seconds));
}

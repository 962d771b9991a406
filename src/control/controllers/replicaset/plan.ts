/** What a ReplicaSet needs: pods to create or delete, and its status. Pure. */
import { rfc3339 } from '../../../base/clock.js';
import type { DeepReadonly } from '../../../api/object.js';
import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from '../../../api/types/apps-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { availableInMs, isPodReady } from '../pod-state.js';
import { podsToDelete } from './ranking.js';

export interface ReplicaSetPlan {
  readonly create: number;
  readonly remove: readonly Pod[];
}

export interface ManageInput {
  readonly replicaSet: DeepReadonly<ReplicaSet>;
  /** Its active pods. */
  readonly pods: readonly Pod[];
  /** Active pods of all ReplicaSets with the same controlling owner. */
  readonly related: () => readonly Pod[];
  /** No more pods than this are created or deleted at once. */
  readonly burst: number;
  readonly nowMs: number;
}

export function planPods({ replicaSet, pods, related, burst, nowMs }: ManageInput): ReplicaSetPlan {
  const missing = (replicaSet.spec?.replicas ?? 1) - pods.length;
  if (missing >= 0) return { create: Math.min(missing, burst), remove: [] };
  const surplus = Math.min(-missing, burst);
  return { create: 0, remove: podsToDelete(pods, related(), surplus, nowMs) };
}

export interface ManageFailure {
  readonly reason: 'FailedCreate' | 'FailedDelete';
  readonly message: string;
}

/** The status for these active pods, and when to look again because a pod becomes available by time alone. */
export function planStatus(
  replicaSet: DeepReadonly<ReplicaSet>,
  pods: readonly Pod[],
  failure: ManageFailure | undefined,
  nowMs: number,
): { status: ReplicaSetStatus; requeueAfterMs: number | undefined } {
  const template = Object.entries(replicaSet.spec?.template?.metadata?.labels ?? {});
  const minReadySeconds = replicaSet.spec?.minReadySeconds ?? 0;
  const waits = pods.flatMap((pod) => availableInMs(pod, minReadySeconds, nowMs) ?? []);
  const coming = waits.filter((wait) => wait > 0);
  const conditions = conditionsOf(replicaSet, failure, nowMs);
  const labelled = pods.filter((pod) => template.every(([key, value]) => pod.metadata.labels?.[key] === value)).length;
  const ready = pods.filter(isPodReady).length;
  const available = waits.length - coming.length;
  const observedGeneration = replicaSet.metadata.generation;
  return {
    status: {
      replicas: pods.length,
      ...(labelled > 0 ? { fullyLabeledReplicas: labelled } : {}),
      ...(ready > 0 ? { readyReplicas: ready } : {}),
      ...(available > 0 ? { availableReplicas: available } : {}),
      ...(observedGeneration === undefined ? {} : { observedGeneration }),
      ...(conditions.length > 0 ? { conditions } : {}),
    },
    requeueAfterMs: coming.length > 0 ? Math.min(...coming) : undefined,
  };
}

function conditionsOf(
  { status }: DeepReadonly<ReplicaSet>,
  failure: ManageFailure | undefined,
  nowMs: number,
): ReplicaSetCondition[] {
  const present = (status?.conditions ?? []) as readonly ReplicaSetCondition[];
  const others = present.filter(({ type }) => type !== 'ReplicaFailure');
  if (!failure) return others;
  const before = present.find(({ type }) => type === 'ReplicaFailure');
  if (before?.status === 'True' && before.reason === failure.reason) return [...present];
  return [...others, { type: 'ReplicaFailure', status: 'True', ...failure, lastTransitionTime: rfc3339(nowMs) }];
}

/**
 * What a StatefulSet does next. Pure.
 *
 * In order, each step only when those before it have nothing to wait for (OrderedReady; Parallel waits for nothing but updates):
 *
 * | step | what |
 * |---|---|
 * | members, lowest ordinal first | finished ones are deleted, missing ones created, lost identities mended; the next waits until one is running, ready and available |
 * | pods beyond the range, highest first | deleted, each when those below are healthy |
 * | rolling update, highest first down to the partition | one that is not of the update's revision is deleted when those above are healthy |
 */
import type { StatefulSet, StatefulSetStatus } from '../../../api/types/apps-v1.js';
import type { Pod, PodTemplateSpec } from '../../../api/types/core-v1.js';
import { REVISION_LABEL } from '../controllerrevision/history.js';
import { availableInMs, isPodReady } from '../pod-state.js';
import { ordinalOf, podOf, startOf, wished, withIdentity } from './identity.js';

export interface Revision {
  readonly name: string;
  readonly template: PodTemplateSpec;
}

export interface PlanInput {
  readonly set: StatefulSet;
  /** Its pods. */
  readonly pods: readonly Pod[];
  /** What pods below the partition are made of. */
  readonly current: Revision;
  readonly update: Revision;
  readonly collisionCount: number;
  readonly nowMs: number;
}

export type Action =
  | { readonly type: 'create'; readonly pod: Pod; readonly ordinal: number }
  /** The pod as it should be. Its claims are brought in line with the retention policy as well. */
  | { readonly type: 'mend'; readonly pod: Pod; readonly ordinal: number; readonly changed: boolean }
  | {
      readonly type: 'delete';
      readonly pod: Pod;
      readonly ordinal: number;
      readonly why: 'failed' | 'succeeded' | 'surplus' | 'outdated';
    };

export interface StatefulSetPlan {
  readonly actions: readonly Action[];
  readonly status: StatefulSetStatus;
  /** When a pod becomes available by time alone. */
  readonly requeueAfterMs: number | undefined;
}

interface Member {
  readonly ordinal: number;
  readonly pod: Pod | undefined;
}

const isTerminating = ({ metadata }: Pod) => metadata.deletionTimestamp !== undefined;
const isRunningAndReady = (pod: Pod) => pod.status?.phase === 'Running' && isPodReady(pod);
const isHealthy = (pod: Pod | undefined): boolean => pod !== undefined && isRunningAndReady(pod) && !isTerminating(pod);
export const revisionOf = ({ metadata }: Pod): string => metadata.labels?.[REVISION_LABEL] ?? '';

export function plan(input: PlanInput): StatefulSetPlan {
  const { set, pods, nowMs } = input;
  const minReadySeconds = set.spec?.minReadySeconds ?? 0;
  const waits = pods
    .filter(isRunningAndReady)
    .flatMap((pod) => availableInMs(pod, minReadySeconds, nowMs) ?? [])
    .filter((wait) => wait > 0);
  return {
    actions: planPods(input),
    status: statusOf(input),
    requeueAfterMs: waits.length > 0 ? Math.min(...waits) : undefined,
  };
}

function planPods(input: PlanInput): Action[] {
  const { set, pods } = input;
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(set, pod.metadata.name), pod]));
  const start = startOf(set);
  const members = Array.from({ length: wished(set) }, (_, i): Member => ({
    ordinal: start + i,
    pod: byOrdinal.get(start + i),
  }));
  const condemned = [...byOrdinal]
    .flatMap(([ordinal, pod]) => (ordinal === undefined ? [] : [{ ordinal, pod }]))
    .filter(({ ordinal }) => ordinal < start || ordinal >= start + members.length)
    .sort((a, b) => b.ordinal - a.ordinal);
  const actions: Action[] = [];
  if (
    keepMembers(input, members, actions) === 'go on' &&
    removeCondemned(input, members, condemned, actions) === 'go on'
  ) {
    rollOut(input, members, actions);
  }
  return actions;
}

type Progress = 'go on' | 'wait';

const isOrdered = ({ spec }: StatefulSet) => spec?.podManagementPolicy !== 'Parallel';

function isAvailable({ set, nowMs }: PlanInput, pod: Pod): boolean {
  return isRunningAndReady(pod) && availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs) === 0;
}

function keepMembers(input: PlanInput, members: readonly Member[], actions: Action[]): Progress {
  const { set } = input;
  const ordered = isOrdered(set);
  let progress: Progress = 'go on';
  for (const { ordinal, pod } of members) {
    if (!pod) {
      const { name, template } = revisionFor(input, ordinal);
      actions.push({ type: 'create', pod: podOf(set, template, name, ordinal), ordinal });
      if (ordered) return 'wait';
      continue;
    }
    const phase = pod.status?.phase;
    if (phase === 'Failed' || phase === 'Succeeded') {
      // A new one is made once this one is gone.
      if (!isTerminating(pod)) {
        actions.push({ type: 'delete', pod, ordinal, why: phase === 'Failed' ? 'failed' : 'succeeded' });
      }
      if (ordered) return 'wait';
      progress = 'wait';
      continue;
    }
    if (ordered && (isTerminating(pod) || !isAvailable(input, pod))) {
      // A pod that waits for its claims would wait for ever.
      if (phase === 'Pending' && !isTerminating(pod)) actions.push({ type: 'mend', pod, ordinal, changed: false });
      return 'wait';
    }
    const mended = withIdentity(set, pod, ordinal);
    actions.push({ type: 'mend', pod: mended, ordinal, changed: mended !== pod });
  }
  return progress;
}

/** Pods below the partition are of the current revision, so that one deleted halfway through an update comes back as it was. */
function revisionFor({ set, current, update }: PlanInput, ordinal: number): Revision {
  const strategy = set.spec?.updateStrategy;
  if ((strategy?.type ?? 'RollingUpdate') !== 'RollingUpdate') return update;
  const held = strategy?.rollingUpdate ? (strategy.rollingUpdate.partition ?? 0) : (set.status?.currentReplicas ?? 0);
  return ordinal < startOf(set) + held ? current : update;
}

function removeCondemned(
  input: PlanInput,
  members: readonly Member[],
  condemned: readonly { ordinal: number; pod: Pod }[],
  actions: Action[],
): Progress {
  const ordered = isOrdered(input.set);
  // An unhealthy pod is only deleted when it is the first unhealthy one of all.
  const firstUnhealthy =
    members.find(({ pod }) => !isHealthy(pod)) ?? condemned.toReversed().find(({ pod }) => !isHealthy(pod));
  for (const { ordinal, pod } of condemned) {
    if (isTerminating(pod)) {
      if (ordered) return 'wait';
      continue;
    }
    if (ordered && !isAvailable(input, pod) && firstUnhealthy?.ordinal !== ordinal) return 'wait';
    actions.push({ type: 'delete', pod, ordinal, why: 'surplus' });
    if (ordered) return 'wait';
  }
  return 'go on';
}

function rollOut({ set, update }: PlanInput, members: readonly Member[], actions: Action[]): void {
  const strategy = set.spec?.updateStrategy;
  if (strategy?.type === 'OnDelete') return;
  const partition = strategy?.rollingUpdate?.partition ?? 0;
  for (const { ordinal, pod } of members.slice(partition).toReversed()) {
    if (pod && revisionOf(pod) !== update.name && !isTerminating(pod)) {
      actions.push({ type: 'delete', pod, ordinal, why: 'outdated' });
      return;
    }
    if (!isHealthy(pod)) return;
  }
}

function statusOf(input: PlanInput): StatefulSetStatus {
  const { set, pods, current, update, collisionCount } = input;
  const created = pods.filter(({ status }) => status?.phase !== undefined);
  const living = created.filter((pod) => !isTerminating(pod));
  const ready = created.filter(isRunningAndReady).length;
  const updated = living.filter((pod) => revisionOf(pod) === update.name).length;
  const isRolling = (set.spec?.updateStrategy?.type ?? 'RollingUpdate') === 'RollingUpdate';
  // The update is complete: what it was made of is now what the set is made of.
  const isDone = isRolling && updated === wished(set) && ready === wished(set) && created.length === wished(set);
  const currentReplicas = isDone ? updated : living.filter((pod) => revisionOf(pod) === current.name).length;
  const observedGeneration = set.metadata.generation;
  const conditions = set.status?.conditions;
  return {
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
    replicas: created.length,
    ...(ready > 0 ? { readyReplicas: ready } : {}),
    ...(currentReplicas > 0 ? { currentReplicas } : {}),
    ...(updated > 0 ? { updatedReplicas: updated } : {}),
    currentRevision: isDone ? update.name : current.name,
    updateRevision: update.name,
    collisionCount,
    ...(conditions ? { conditions } : {}),
    availableReplicas: created.filter((pod) => isAvailable(input, pod)).length,
  };
}

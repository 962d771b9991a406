/** The status of a Deployment and its conditions, with upstream's reasons and texts. Pure. */
import { rfc3339 } from '../../../base/clock.js';
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '../../../api/types/apps-v1.js';
import { availableOf, limitsOf, sizeOf, wished } from './limits.js';
import type { ReplicaSetsOf } from './scaling.js';

/** Upstream's "no deadline". */
const NO_DEADLINE = 2_147_483_647;

export function deadlineSeconds({ spec }: Deployment): number | undefined {
  const deadline = spec?.progressDeadlineSeconds ?? 600;
  return deadline === NO_DEADLINE ? undefined : deadline;
}

export function conditionOf(conditions: readonly DeploymentCondition[] | undefined, type: string) {
  return conditions?.find((condition) => condition.type === type);
}

/** The conditions with this one set; unchanged when status and reason are the same (the text alone is no change). */
export function withCondition(
  conditions: readonly DeploymentCondition[],
  condition: Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>,
  nowMs: number,
): DeploymentCondition[] {
  const before = conditionOf(conditions, condition.type);
  if (before?.status === condition.status && before.reason === condition.reason) return [...conditions];
  return replaced(conditions, condition, nowMs);
}

function replaced(
  conditions: readonly DeploymentCondition[],
  condition: Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>,
  nowMs: number,
): DeploymentCondition[] {
  const before = conditionOf(conditions, condition.type);
  const now = rfc3339(nowMs);
  const lastTransitionTime = before?.status === condition.status ? (before.lastTransitionTime ?? now) : now;
  return [
    ...conditions.filter(({ type }) => type !== condition.type),
    { ...condition, lastUpdateTime: now, lastTransitionTime },
  ];
}

/** The numbers and the Available condition; `conditions` are those to start from. */
export function countStatus(
  sets: ReplicaSetsOf,
  conditions: readonly DeploymentCondition[],
  nowMs: number,
): DeploymentStatus {
  const { deployment, fresh, old } = sets;
  const all = fresh ? [...old, fresh] : old;
  const sum = (value: (replicaSet: ReplicaSet) => number) => all.reduce((total, rs) => total + value(rs), 0);
  const availableReplicas = sum(availableOf);
  const enough = availableReplicas >= wished(deployment) - limitsOf(deployment).maxUnavailable;
  const { collisionCount } = deployment.status ?? {};
  const { generation } = deployment.metadata;
  return withoutZeros({
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    replicas: sum(({ status }) => status?.replicas ?? 0),
    updatedReplicas: fresh?.status?.replicas ?? 0,
    readyReplicas: sum(({ status }) => status?.readyReplicas ?? 0),
    availableReplicas,
    unavailableReplicas: Math.max(0, sizeOf(all) - availableReplicas),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: withCondition(
      conditions,
      {
        type: 'Available',
        status: enough ? 'True' : 'False',
        reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
        message: enough ? 'Deployment has minimum availability.' : 'Deployment does not have minimum availability.',
      },
      nowMs,
    ),
  });
}

/** Counts of 0 are absent, as `omitempty` leaves them. */
function withoutZeros(status: DeploymentStatus): DeploymentStatus {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== 0));
}

export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const replicas = wished(deployment);
  return (
    (status.updatedReplicas ?? 0) === replicas &&
    (status.replicas ?? 0) === replicas &&
    (status.availableReplicas ?? 0) === replicas &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function isProgressing(before: DeploymentStatus, now: DeploymentStatus): boolean {
  const oldOnes = ({ replicas = 0, updatedReplicas = 0 }: DeploymentStatus) => replicas - updatedReplicas;
  return (
    (now.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    oldOnes(now) < oldOnes(before) ||
    (now.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function hasTimedOut(deployment: Deployment, condition: DeploymentCondition, nowMs: number): boolean {
  const deadline = deadlineSeconds(deployment);
  if (deadline === undefined || condition.reason === 'NewReplicaSetAvailable') return false;
  if (condition.reason === 'ProgressDeadlineExceeded') return true;
  return Date.parse(condition.lastUpdateTime ?? '') + deadline * 1000 < nowMs;
}

/** The whole status while rolling out: numbers, Available, Progressing and ReplicaFailure. */
export function rolloutStatus(
  sets: ReplicaSetsOf,
  conditions: readonly DeploymentCondition[],
  nowMs: number,
): DeploymentStatus {
  const { deployment, fresh, old } = sets;
  const status = countStatus(sets, conditions, nowMs);
  let next = status.conditions ?? [];
  const current = conditionOf(conditions, 'Progressing');
  if (deadlineSeconds(deployment) === undefined) next = next.filter(({ type }) => type !== 'Progressing');
  const settled =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && current?.reason === 'NewReplicaSetAvailable';
  if (deadlineSeconds(deployment) !== undefined && !settled) {
    const subject = fresh ? `ReplicaSet "${fresh.metadata.name}"` : `Deployment "${deployment.metadata.name}"`;
    const progress = { type: 'Progressing', status: 'True' };
    if (isComplete(deployment, status)) {
      const message = `${subject} has successfully progressed.`;
      next = withCondition(next, { ...progress, reason: 'NewReplicaSetAvailable', message }, nowMs);
    } else if (isProgressing(deployment.status ?? {}, status)) {
      // Always anew: its time of update is what the deadline is measured from.
      next = replaced(next, { ...progress, reason: 'ReplicaSetUpdated', message: `${subject} is progressing.` }, nowMs);
    } else if (current && hasTimedOut(deployment, current, nowMs)) {
      const message = `${subject} has timed out progressing.`;
      next = withCondition(
        next,
        { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message },
        nowMs,
      );
    }
  }
  const failure = (fresh ? [fresh, ...old] : old)
    .flatMap((rs) => rs.status?.conditions ?? [])
    .find(({ type }) => type === 'ReplicaFailure');
  next = failure
    ? withCondition(
        next,
        { type: failure.type, status: failure.status, reason: failure.reason ?? '', message: failure.message ?? '' },
        nowMs,
      )
    : next.filter(({ type }) => type !== 'ReplicaFailure');
  return { ...status, conditions: next };
}

/** When to look whether the deadline has passed, in milliseconds; undefined when no rollout is waiting. */
export function deadlineCheckMs(deployment: Deployment, status: DeploymentStatus, nowMs: number): number | undefined {
  const deadline = deadlineSeconds(deployment);
  const current = conditionOf(status.conditions, 'Progressing');
  if (deadline === undefined || !current || isComplete(deployment, status)) return undefined;
  if (current.reason === 'ProgressDeadlineExceeded' || current.reason === 'NewReplicaSetAvailable') return undefined;
  return Math.max(0, Date.parse(current.lastUpdateTime ?? '') + deadline * 1000 - nowMs) + 1000;
}

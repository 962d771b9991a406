/**
 * One step of a Deployment: from the observed ReplicaSets to those wished, and the status. Pure: works on copies.
 *
 * A step changes sizes in one direction only (the new ReplicaSet grows, or old ones shrink) and then waits to see its
 * effect, as upstream does; that is what keeps a rollout between its limits.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from '../../../api/types/apps-v1.js';
import { controllerRef } from '../claim.js';
import { DEPLOYMENTS } from '../../../api/resource.js';
import { isRolling, size } from './limits.js';
import { annotateNew, findNew, HASH_LABEL, REVISION, revisionOf, templateHash } from './replica-set-history.js';
import { isScaling, newSize, noteWish, rollingStep, scale, setSize, stopOld, type ReplicaSetsOf } from './scaling.js';
import {
  conditionOf,
  countStatus,
  deadlineCheckMs,
  deadlineSeconds,
  isComplete,
  rolloutStatus,
  withCondition,
} from './status.js';

export interface DeploymentInput {
  readonly deployment: Deployment;
  /** Those it controls. */
  readonly replicaSets: readonly ReplicaSet[];
  /** Whether a ReplicaSet other than this one still has pods that run (Recreate waits for them). */
  hasOldPods(fresh: ReplicaSet | undefined): boolean;
  readonly nowMs: number;
}

export interface DeploymentPlan {
  readonly create: ReplicaSet | undefined;
  readonly update: readonly { readonly replicaSet: ReplicaSet; readonly from: number; readonly to: number }[];
  readonly remove: readonly ReplicaSet[];
  /** The Deployment's revision annotation, when it must change. */
  readonly revision: string | undefined;
  readonly status: DeploymentStatus;
  readonly requeueAfterMs: number | undefined;
}

/** Old and new, as copies that may be changed, and what is to be noted on the Deployment. */
interface Draft extends ReplicaSetsOf {
  readonly fresh: ReplicaSet | undefined;
  readonly created: boolean;
  readonly revision: number | undefined;
  readonly conditions: readonly DeploymentCondition[];
}

export function plan(input: DeploymentInput): DeploymentPlan {
  const { deployment, nowMs } = input;
  const conditions = pauseConditions(deployment, nowMs);
  if (deployment.metadata.deletionTimestamp) return statusOnly(input, conditions);
  const probe = draft(input, conditions, false);
  if (deployment.spec?.paused === true || isScaling(probe)) {
    scale(probe);
    const remove = deployment.spec?.paused === true ? surplusHistory(probe) : [];
    return result(input, probe, remove, countStatus(probe, probe.conditions, nowMs));
  }
  return isRolling(deployment) ? rollout(input, conditions) : recreate(input, conditions);
}

function rollout(input: DeploymentInput, conditions: readonly DeploymentCondition[]): DeploymentPlan {
  const sets = draft(input, conditions, true);
  const moved = sets.created || (sets.fresh !== undefined && rollingStep({ ...sets, fresh: sets.fresh }));
  return finish(input, sets, moved);
}

function recreate(input: DeploymentInput, conditions: readonly DeploymentCondition[]): DeploymentPlan {
  const present = draft(input, conditions, false);
  if (stopOld(present) || input.hasOldPods(present.fresh)) return finish(input, present, true);
  const sets = present.fresh ? present : draft(input, conditions, true);
  const moved = sets.created || (sets.fresh !== undefined && setSize(sets.deployment, sets.fresh, newSize(sets)));
  return finish(input, sets, moved);
}

function finish(input: DeploymentInput, sets: Draft, moved: boolean): DeploymentPlan {
  const status = rolloutStatus(sets, sets.conditions, input.nowMs);
  const remove = !moved && isComplete(input.deployment, input.deployment.status ?? {}) ? surplusHistory(sets) : [];
  return result(input, sets, remove, status);
}

function statusOnly(input: DeploymentInput, conditions: readonly DeploymentCondition[]): DeploymentPlan {
  const fresh = findNew(input.deployment, input.replicaSets);
  const old = input.replicaSets.filter((replicaSet) => replicaSet !== fresh);
  const status = countStatus({ deployment: input.deployment, fresh, old }, conditions, input.nowMs);
  return { create: undefined, update: [], remove: [], revision: undefined, status, requeueAfterMs: undefined };
}

/** Pausing stops the clock of the progress deadline; resuming starts it anew. */
function pauseConditions(deployment: Deployment, nowMs: number): DeploymentCondition[] {
  const conditions = deployment.status?.conditions ?? [];
  const current = conditionOf(conditions, 'Progressing');
  if (deadlineSeconds(deployment) === undefined || current?.reason === 'ProgressDeadlineExceeded') return conditions;
  const paused = deployment.spec?.paused === true;
  if (paused === (current?.reason === 'DeploymentPaused')) return conditions;
  const [reason, message] = paused
    ? ['DeploymentPaused', 'Deployment is paused']
    : ['DeploymentResumed', 'Deployment is resumed'];
  return withCondition(conditions, { type: 'Progressing', status: 'Unknown', reason, message }, nowMs);
}

function draft(input: DeploymentInput, conditions: readonly DeploymentCondition[], create: boolean): Draft {
  const { deployment, nowMs } = input;
  const replicaSets = input.replicaSets.map((replicaSet) => structuredClone(replicaSet));
  const fresh = findNew(deployment, replicaSets);
  const old = replicaSets.filter((replicaSet) => replicaSet !== fresh);
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;
  const progress = (reason: string, message: string) =>
    deadlineSeconds(deployment) === undefined
      ? conditions
      : withCondition(conditions, { type: 'Progressing', status: 'True', reason, message }, nowMs);
  if (fresh) {
    annotateNew(deployment, fresh, revision);
    const { minReadySeconds = 0 } = deployment.spec ?? {};
    if ((fresh.spec?.minReadySeconds ?? 0) !== minReadySeconds) {
      fresh.spec = { selector: {}, ...fresh.spec, minReadySeconds };
    }
    const known = conditionOf(conditions, 'Progressing') !== undefined;
    return {
      deployment,
      fresh,
      old,
      created: false,
      revision: revisionOf(fresh),
      conditions: known ? conditions : progress('FoundNewReplicaSet', `Found new replica set "${fresh.metadata.name}"`),
    };
  }
  if (!create) return { deployment, fresh, old, created: false, revision: undefined, conditions };
  const made = newReplicaSet(deployment, revision);
  const replicas = newSize({ deployment, fresh: undefined, old });
  made.spec = { selector: {}, ...made.spec, replicas };
  return {
    deployment,
    fresh: made,
    old,
    created: true,
    revision,
    conditions: progress('NewReplicaSetCreated', `Created new replica set "${made.metadata.name}"`),
  };
}

/** The ReplicaSet of the present template, without its size. */
function newReplicaSet(deployment: Deployment, revision: number): ReplicaSet {
  const hash = templateHash(deployment);
  const template = structuredClone(deployment.spec?.template) ?? {};
  template.metadata = { ...template.metadata, labels: { ...template.metadata?.labels, [HASH_LABEL]: hash } };
  const selector = structuredClone(deployment.spec?.selector) ?? {};
  const made: ReplicaSet = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      namespace: deployment.metadata.namespace ?? '',
      name: `${deployment.metadata.name}-${hash}`,
      labels: { ...template.metadata.labels },
      ownerReferences: [controllerRef(DEPLOYMENTS, deployment)],
    },
    spec: {
      ...(deployment.spec?.minReadySeconds ? { minReadySeconds: deployment.spec.minReadySeconds } : {}),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
      template,
    },
  };
  annotateNew(deployment, made, revision);
  noteWish(deployment, made);
  return made;
}

/** Old ReplicaSets beyond the history limit that are empty and settled, oldest revision first. */
function surplusHistory({ deployment, old }: ReplicaSetsOf): ReplicaSet[] {
  const limit = deployment.spec?.revisionHistoryLimit ?? 10;
  const present = old.filter(({ metadata }) => !metadata.deletionTimestamp);
  const surplus = present.length - limit;
  if (surplus <= 0) return [];
  return present
    .sort((a, b) => revisionOf(a) - revisionOf(b))
    .slice(0, surplus)
    .filter(
      (replicaSet) =>
        size(replicaSet) === 0 &&
        (replicaSet.status?.replicas ?? 0) === 0 &&
        (replicaSet.metadata.generation ?? 0) <= (replicaSet.status?.observedGeneration ?? 0),
    );
}

function result(
  input: DeploymentInput,
  sets: Draft,
  remove: readonly ReplicaSet[],
  status: DeploymentStatus,
): DeploymentPlan {
  const { deployment, nowMs } = input;
  const kept = [...sets.old, ...(sets.fresh && !sets.created ? [sets.fresh] : [])];
  const update = kept.flatMap((replicaSet) => {
    const before = input.replicaSets.find(({ metadata }) => metadata.uid === replicaSet.metadata.uid);
    if (!before || isDeepStrictEqual(before, replicaSet)) return [];
    return [{ replicaSet, from: size(before), to: size(replicaSet) }];
  });
  const noted = sets.revision === undefined ? undefined : String(sets.revision);
  return {
    create: sets.created ? sets.fresh : undefined,
    update,
    remove,
    revision: noted !== undefined && deployment.metadata.annotations?.[REVISION] !== noted ? noted : undefined,
    status,
    requeueAfterMs: deadlineCheckMs(deployment, status, nowMs),
  };
}

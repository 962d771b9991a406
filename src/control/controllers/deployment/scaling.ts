/**
 * The sizes of a Deployment's ReplicaSets: one step of a rolling update, of Recreate, or of scaling several ReplicaSets in
 * proportion. Works on copies that it changes in place; no I/O. Every function says whether it changed a size.
 */
import type { Deployment, ReplicaSet } from '../../../api/types/apps-v1.js';
import { availableOf, isRolling, keptAvailableOf, limitsOf, size, sizeOf, wished } from './limits.js';
import { byAge, DESIRED_REPLICAS, MAX_REPLICAS } from './replica-set-history.js';

export interface ReplicaSetsOf {
  readonly deployment: Deployment;
  readonly fresh: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
}

const active = (replicaSets: readonly ReplicaSet[]) => replicaSets.filter((rs) => size(rs) > 0);
const allOf = ({ fresh, old }: ReplicaSetsOf) => (fresh ? [...old, fresh] : [...old]);

/** Sets the size and notes what the Deployment wished at that time, which later proportions are computed from. */
export function setSize(deployment: Deployment, replicaSet: ReplicaSet, replicas: number): boolean {
  const changed = size(replicaSet) !== replicas;
  replicaSet.spec = { selector: {}, ...replicaSet.spec, replicas };
  noteWish(deployment, replicaSet);
  return changed;
}

export function noteWish(deployment: Deployment, replicaSet: ReplicaSet): void {
  replicaSet.metadata.annotations = {
    ...replicaSet.metadata.annotations,
    [DESIRED_REPLICAS]: String(wished(deployment)),
    [MAX_REPLICAS]: String(wished(deployment) + limitsOf(deployment).maxSurge),
  };
}

/** The size the new ReplicaSet may have now. */
export function newSize({ deployment, fresh, old }: ReplicaSetsOf): number {
  const present = fresh ? size(fresh) : 0;
  if (!isRolling(deployment)) return wished(deployment);
  const room = wished(deployment) + limitsOf(deployment).maxSurge - sizeOf(old) - present;
  return room <= 0 ? present : present + Math.min(room, wished(deployment) - present);
}

/** One step: first the new one grows; when it may not, the old ones shrink. */
export function rollingStep(sets: ReplicaSetsOf & { readonly fresh: ReplicaSet }): boolean {
  const { deployment, fresh } = sets;
  if (size(fresh) > wished(deployment)) return setSize(deployment, fresh, wished(deployment));
  if (size(fresh) < wished(deployment) && setSize(deployment, fresh, newSize(sets))) return true;
  return shrinkOld(sets);
}

function shrinkOld({ deployment, fresh, old }: ReplicaSetsOf & { readonly fresh: ReplicaSet }): boolean {
  if (sizeOf(old) === 0) return false;
  const minAvailable = wished(deployment) - limitsOf(deployment).maxUnavailable;
  // Pods of the new one that are not available yet may all fail: they are no reason to take an old one away.
  const freshUnavailable = size(fresh) - keptAvailableOf(fresh);
  const spare = sizeOf(old) + size(fresh) - minAvailable - freshUnavailable;
  if (spare <= 0) return false;
  const oldest = active(old).sort(byAge);
  let changed = false;
  let left = spare;
  for (const replicaSet of oldest) {
    const unhealthy = Math.min(left, size(replicaSet) - keptAvailableOf(replicaSet));
    if (unhealthy <= 0) continue;
    changed = setSize(deployment, replicaSet, size(replicaSet) - unhealthy) || changed;
    left -= unhealthy;
  }
  let surplus = [...old, fresh].reduce((sum, rs) => sum + keptAvailableOf(rs), 0) - minAvailable;
  for (const replicaSet of oldest) {
    const count = Math.min(surplus, size(replicaSet));
    if (count <= 0) continue;
    changed = setSize(deployment, replicaSet, size(replicaSet) - count) || changed;
    surplus -= count;
  }
  return changed;
}

/** Recreate, first half: all old ones to nothing. */
export function stopOld({ deployment, old }: ReplicaSetsOf): boolean {
  return active(old)
    .map((replicaSet) => setSize(deployment, replicaSet, 0))
    .includes(true);
}

/** True when the number of wished replicas changed since the ReplicaSets were last sized. */
export function isScaling(sets: ReplicaSetsOf): boolean {
  return active(allOf(sets)).some(({ metadata }) => {
    const noted = metadata.annotations?.[DESIRED_REPLICAS];
    return noted !== undefined && Number(noted) !== wished(sets.deployment);
  });
}

/** Brings the sizes to a changed number of replicas without rolling anything forward. */
export function scale(sets: ReplicaSetsOf): void {
  const { deployment, fresh, old } = sets;
  const single = activeOrLatest(sets);
  if (single) {
    setSize(deployment, single, wished(deployment));
    return;
  }
  if (fresh && isSaturated(deployment, fresh)) {
    for (const replicaSet of active(old)) setSize(deployment, replicaSet, 0);
    return;
  }
  if (isRolling(deployment)) scaleInProportion(sets);
  // Recreate itself brings several active ones down to one; only the wish is noted, so that it gets its turn.
  else for (const replicaSet of active(allOf(sets))) noteWish(deployment, replicaSet);
}

/** The only active one, or when none is active the newest. */
function activeOrLatest(sets: ReplicaSetsOf): ReplicaSet | undefined {
  const present = active(allOf(sets));
  if (present.length === 0) return sets.fresh ?? [...sets.old].sort(byAge).at(-1);
  return present.length === 1 ? present[0] : undefined;
}

function isSaturated(deployment: Deployment, fresh: ReplicaSet): boolean {
  const replicas = wished(deployment);
  const noted = Number(fresh.metadata.annotations?.[DESIRED_REPLICAS]);
  return size(fresh) === replicas && noted === replicas && availableOf(fresh) === replicas;
}

/** Spreads the difference over the active ReplicaSets by their size; what rounding leaves goes to the largest. */
function scaleInProportion(sets: ReplicaSetsOf): void {
  const { deployment } = sets;
  const present = active(allOf(sets));
  const allowed = wished(deployment) > 0 ? wished(deployment) + limitsOf(deployment).maxSurge : 0;
  const toAdd = allowed - sizeOf(present);
  present.sort((a, b) => size(b) - size(a) || (toAdd > 0 ? byAge(b, a) : byAge(a, b)));
  let added = 0;
  const sizes = present.map((replicaSet) => {
    const share = proportion(deployment, replicaSet, toAdd, added);
    added += share;
    return size(replicaSet) + share;
  });
  present.forEach((replicaSet, at) => {
    const leftover = at === 0 ? toAdd - added : 0;
    setSize(deployment, replicaSet, Math.max(0, (sizes[at] ?? 0) + leftover));
  });
}

function proportion(deployment: Deployment, replicaSet: ReplicaSet, toAdd: number, added: number): number {
  if (toAdd === 0 || toAdd === added) return 0;
  const fraction = fractionOf(deployment, replicaSet);
  return toAdd > 0 ? Math.min(fraction, toAdd - added) : Math.max(fraction, toAdd - added);
}

function fractionOf(deployment: Deployment, replicaSet: ReplicaSet): number {
  if (wished(deployment) === 0) return -size(replicaSet);
  const now = wished(deployment) + limitsOf(deployment).maxSurge;
  const before = Number(replicaSet.metadata.annotations?.[MAX_REPLICAS]) || (deployment.status?.replicas ?? 0);
  return before === 0 ? 0 : Math.round((size(replicaSet) * now) / before) - size(replicaSet);
}

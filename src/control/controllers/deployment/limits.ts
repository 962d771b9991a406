/** How far a Deployment may go above and below its replicas. Pure; rounding as upstream (surge up, unavailable down). */
import type { IntOrString } from '../../../api/types/machinery.js';
import type { Deployment, ReplicaSet } from '../../../api/types/apps-v1.js';

export const wished = ({ spec }: Deployment): number => spec?.replicas ?? 1;
export const size = ({ spec }: ReplicaSet): number => spec?.replicas ?? 1;
export const isRolling = ({ spec }: Deployment): boolean => spec?.strategy?.type !== 'Recreate';
export const sizeOf = (replicaSets: readonly ReplicaSet[]): number =>
  replicaSets.reduce((sum, rs) => sum + size(rs), 0);

export const availableOf = ({ status }: ReplicaSet): number => status?.availableReplicas ?? 0;

/**
 * Available pods that count: no more than the ReplicaSet is to keep. Its status lags behind its spec; pods that are already
 * given up must not be counted a second time.
 */
export const keptAvailableOf = (replicaSet: ReplicaSet): number => Math.min(availableOf(replicaSet), size(replicaSet));

/** Both limits; never both 0, since then nothing could move. */
export function limitsOf(deployment: Deployment): { maxSurge: number; maxUnavailable: number } {
  if (!isRolling(deployment)) return { maxSurge: 0, maxUnavailable: 0 };
  const replicas = wished(deployment);
  const rolling = deployment.spec?.strategy?.rollingUpdate;
  const maxSurge = resolve(rolling?.maxSurge ?? '25%', replicas, Math.ceil);
  const maxUnavailable = resolve(rolling?.maxUnavailable ?? '25%', replicas, Math.floor);
  if (maxSurge === 0 && maxUnavailable === 0) return { maxSurge, maxUnavailable: Math.min(1, replicas) };
  return { maxSurge, maxUnavailable: Math.min(maxUnavailable, replicas) };
}

function resolve(value: IntOrString, replicas: number, round: (value: number) => number): number {
  if (typeof value === 'number') return value;
  const number = Number.parseInt(value, 10) || 0;
  return value.endsWith('%') ? round((number * replicas) / 100) : number;
}

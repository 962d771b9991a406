/** Which ReplicaSets of a Deployment are new and old, their revisions and their names. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { Deployment, ReplicaSet } from '../../../api/types/apps-v1.js';
import type { PodTemplateSpec } from '../../../api/types/core-v1.js';
import { safeHash } from '../safe-hash.js';

export const HASH_LABEL = 'pod-template-hash';
export const REVISION = 'deployment.kubernetes.io/revision';
export const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
/** Longest value of the revision history annotation, in characters; the oldest revisions are cut off. */
const HISTORY_LIMIT = 2_000;

/** Annotations of a Deployment that its ReplicaSets do not inherit. */
const NOT_INHERITED: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deprecated.deployment.rollback.to',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
]);

/** Oldest first; ties by name, so that the order is the same on every peer. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  return (
    (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
    (a.metadata.name ?? '').localeCompare(b.metadata.name ?? '')
  );
}

export const revisionOf = ({ metadata }: { metadata: ReplicaSet['metadata'] }): number =>
  Number.parseInt(metadata.annotations?.[REVISION] ?? '0', 10) || 0;

/** The oldest ReplicaSet whose template is the Deployment's, the hash label apart. */
export function findNew(deployment: Deployment, replicaSets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return [...replicaSets].sort(byAge).find(({ spec }) => sameTemplate(spec?.template, deployment.spec?.template));
}

export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return isDeepStrictEqual(comparable(a), comparable(b));
}

function comparable(template: PodTemplateSpec | undefined): unknown {
  const labels = { ...template?.metadata?.labels };
  delete labels[HASH_LABEL];
  return normal({ ...template, metadata: { ...template?.metadata, labels } });
}

/** Without nulls, empty lists and key order: what Kubernetes takes as equal. */
export function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value !== 'object' || value === null) return value;
  const out: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (child === null || child === undefined || (Array.isArray(child) && child.length === 0)) continue;
    out[key] = normal(child);
  }
  return out;
}

/** A stable hash of the template, varied by the collision count. */
export function templateHash(deployment: Deployment): string {
  return safeHash(
    JSON.stringify(comparable(deployment.spec?.template)) + String(deployment.status?.collisionCount ?? ''),
  );
}

/**
 * Brings the annotations of the new ReplicaSet (a copy, changed in place) to those of the Deployment and this revision.
 * A ReplicaSet that comes back in a rollback remembers its earlier revisions.
 */
export function annotateNew(deployment: Deployment, replicaSet: ReplicaSet, revision: number): void {
  const annotations = { ...replicaSet.metadata.annotations };
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {})) {
    if (!NOT_INHERITED.has(key)) annotations[key] = value;
  }
  const before = annotations[REVISION];
  if (revisionOf(replicaSet) < revision) {
    annotations[REVISION] = String(revision);
    if (before !== undefined) {
      const history = [...(annotations[REVISION_HISTORY]?.split(',') ?? []), before].filter((entry) => entry !== '');
      while (history.join(',').length > HISTORY_LIMIT) history.shift();
      annotations[REVISION_HISTORY] = history.join(',');
    }
  }
  replicaSet.metadata.annotations = annotations;
}

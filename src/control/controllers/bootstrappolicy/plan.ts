/** What a default role or binding lacks. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '../../../api/object.js';
import { compacted, uncovered } from '../../../api/rbac/coverage.js';
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '../../../api/types/rbac-v1.js';
import { AUTOUPDATE } from './policy.js';

export type AnyRole = ClusterRole | Role;
export type AnyBinding = ClusterRoleBinding | RoleBinding;

export type Plan =
  | { readonly action: 'none' | 'create' }
  | { readonly action: 'update'; readonly object: KubeObject }
  /** A binding is bound to its role for good. */
  | { readonly action: 'replace' };

const NONE: Plan = { action: 'none' };

const isLeftAlone = ({ metadata }: KubeObject) => metadata.annotations?.[AUTOUPDATE] === 'false';

/** Labels and annotations of the policy, where the object does not say otherwise. */
function merged<T extends KubeObject>(wanted: T, present: T): T {
  const labels = { ...wanted.metadata.labels, ...present.metadata.labels };
  const annotations = { ...wanted.metadata.annotations, ...present.metadata.annotations };
  return { ...present, metadata: { ...present.metadata, labels, annotations } };
}

const changed = (next: KubeObject, present: KubeObject): Plan =>
  isDeepStrictEqual(next, present) ? NONE : { action: 'update', object: next };

export function planRole(wanted: AnyRole, present: AnyRole): Plan {
  if (isLeftAlone(present)) return NONE;
  const next: ClusterRole = merged<ClusterRole>(wanted, present);
  const missing = uncovered(present.rules ?? [], wanted.rules ?? []);
  if (missing.length > 0) next.rules = [...(present.rules ?? []), ...compacted(missing)];
  const selectors = (present as ClusterRole).aggregationRule?.clusterRoleSelectors ?? [];
  const lacking = ((wanted as ClusterRole).aggregationRule?.clusterRoleSelectors ?? []).filter(
    (selector) => !selectors.some((own) => isDeepStrictEqual(own, selector)),
  );
  if (lacking.length > 0) next.aggregationRule = { clusterRoleSelectors: [...selectors, ...lacking] };
  return changed(next, present);
}

export function planBinding(wanted: AnyBinding, present: AnyBinding): Plan {
  if (isLeftAlone(present)) return NONE;
  if (!isDeepStrictEqual(wanted.roleRef, present.roleRef)) return { action: 'replace' };
  const next = merged(wanted, present);
  const own = present.subjects ?? [];
  const lacking = (wanted.subjects ?? []).filter(
    (subject) => !own.some((candidate) => isDeepStrictEqual(candidate, subject)),
  );
  if (lacking.length > 0) next.subjects = [...own, ...lacking];
  return changed(next, present);
}

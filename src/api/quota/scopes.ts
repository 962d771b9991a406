/** Scopes of quotas: which pods a quota speaks of (Kubernetes documentation, "Resource Quotas", quota scopes). Pure. */
import type { DeepReadonly } from '../object.js';
import { qosClassOf } from '../strategy/qos.js';
import type {
  Pod,
  PodAffinityTerm,
  PodSpec,
  ResourceQuota,
  ScopedResourceSelectorRequirement,
} from '../types/core-v1.js';

type Scope = DeepReadonly<ScopedResourceSelectorRequirement>;

/** `spec.scopes` and `spec.scopeSelector` as one list; all must hold. */
export function scopesOf({ spec }: DeepReadonly<ResourceQuota>): readonly Scope[] {
  if (spec?.scopes === undefined && spec?.scopeSelector === undefined) return [];
  const plain = (spec.scopes ?? []).map((scopeName): Scope => ({ scopeName, operator: 'Exists' }));
  return [...plain, ...(spec.scopeSelector?.matchExpressions ?? [])];
}

const isTerminating = (spec: DeepReadonly<PodSpec> | undefined) =>
  spec?.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds >= 0;

function isInPriorityClass({ operator, values = [] }: Scope, name: string): boolean {
  switch (operator) {
    case 'Exists':
      return name !== '';
    case 'DoesNotExist':
      return name === '';
    case 'In':
      return name !== '' && values.includes(name);
    case 'NotIn':
      return name === '' || !values.includes(name);
  }
}

const crosses = ({ namespaces, namespaceSelector }: DeepReadonly<PodAffinityTerm>) =>
  (namespaces ?? []).length > 0 || namespaceSelector !== undefined;

function crossesNamespaces(spec: DeepReadonly<PodSpec> | undefined): boolean {
  for (const affinity of [spec?.affinity?.podAffinity, spec?.affinity?.podAntiAffinity]) {
    if ((affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).some(crosses)) return true;
    const preferred = affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    if (preferred.some(({ podAffinityTerm }) => crosses(podAffinityTerm))) return true;
  }
  return false;
}

/** Whether the pod belongs to the scope. */
export function podIsInScope(scope: Scope, { spec }: DeepReadonly<Pod>): boolean {
  switch (scope.scopeName) {
    case 'Terminating':
      return isTerminating(spec);
    case 'NotTerminating':
      return !isTerminating(spec);
    case 'BestEffort':
      return qosClassOf(spec) === 'BestEffort';
    case 'NotBestEffort':
      return qosClassOf(spec) !== 'BestEffort';
    case 'PriorityClass':
      return isInPriorityClass(scope, spec?.priorityClassName ?? '');
    case 'CrossNamespacePodAffinity':
      return crossesNamespaces(spec);
    default:
      return false;
  }
}

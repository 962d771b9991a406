/** One inter-pod affinity term, compiled: which pods it means and in which topology. */
import type { PodAffinityTerm } from '../../api/types/core-v1.js';
import { compileLabelSelector, narrowSelector, type LabelMap } from './selectors.js';

/** What a term looks at in the other pod. */
export interface SelectablePod {
  readonly namespace: string;
  readonly labels: LabelMap;
}
/** Labels of a namespace, for `namespaceSelector`. */
export type NamespaceLabels = (namespace: string) => LabelMap;

export interface AffinityTerm {
  /** Equal terms of pods in one namespace have equal keys. */
  readonly key: string;
  readonly topologyKey: string;
  /** The only namespace that can match, when there is only one. */
  readonly namespace: string | undefined;
  matches(pod: SelectablePod, namespaceLabels: NamespaceLabels): boolean;
}

/** `owner` is the pod that carries the term: its namespace is the default, its labels feed `matchLabelKeys`. */
export function compileAffinityTerm(term: PodAffinityTerm, owner: SelectablePod): AffinityTerm {
  const own = narrowSelector(term.labelSelector, owner.labels, term.matchLabelKeys, 'In');
  const selector = narrowSelector(own, owner.labels, term.mismatchLabelKeys, 'NotIn');
  const labels = compileLabelSelector(selector);
  const explicit = term.namespaces ?? [];
  const namespaces = new Set(explicit.length === 0 && !term.namespaceSelector ? [owner.namespace] : explicit);
  const byLabels = term.namespaceSelector ? compileLabelSelector(term.namespaceSelector) : undefined;
  const single = !byLabels && namespaces.size === 1 ? [...namespaces][0] : undefined;
  return {
    key: JSON.stringify([term.topologyKey, [...namespaces].sort(), term.namespaceSelector ?? null, selector ?? null]),
    topologyKey: term.topologyKey,
    namespace: single,
    matches: (pod, namespaceLabels) =>
      (namespaces.has(pod.namespace) || byLabels?.(namespaceLabels(pod.namespace)) === true) && labels(pod.labels),
  };
}

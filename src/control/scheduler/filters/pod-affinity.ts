/**
 * Required inter-pod affinity and anti-affinity, in both directions: what the incoming pod demands of the pods that are
 * there, and what those demand of it.
 */
import type { AffinityTerm } from '../affinity-term.js';
import type { ClusterState } from '../cluster-state.js';
import type { PodInfo } from '../pod-info.js';
import { OK, refuse, type Filter } from './filter.js';

const AFFINITY = refuse("node(s) didn't match pod affinity rules", false);
const ANTI_AFFINITY = refuse("node(s) didn't match pod anti-affinity rules", true);
const EXISTING = refuse("node(s) didn't satisfy existing pods anti-affinity rules", true);

interface Domains {
  readonly topologyKey: string;
  readonly counts: ReadonlyMap<string, number>;
}

export const podAffinity: Filter = {
  name: 'InterPodAffinity',
  helpedBy: ['node-changed', 'pod-removed', 'pod-placed'],
  prepare(pod, state) {
    const existing = refusedByExisting(pod, state);
    const anti = pod.antiAffinity.map((term) => domainsOf([term], term, state));
    const wanted = pod.affinity.map((term) => domainsOf(pod.affinity, term, state));
    if (existing.length + anti.length + wanted.length === 0) return undefined;
    // The first pod of a group that wants to be together may go anywhere, provided it means itself.
    const alone =
      wanted.every(({ counts }) => counts.size === 0) &&
      pod.affinity.every((term) => term.matches(pod, state.namespaceLabels));
    const taken = (domains: readonly Domains[], labels: Readonly<Record<string, string>>) =>
      domains.some(({ topologyKey, counts }) => {
        const value = labels[topologyKey];
        return value !== undefined && counts.has(value);
      });
    return {
      check({ labels }) {
        for (const { topologyKey, counts } of wanted) {
          const value = labels[topologyKey];
          if (value === undefined || (!alone && !counts.has(value))) return AFFINITY;
        }
        if (taken(anti, labels)) return ANTI_AFFINITY;
        return taken(existing, labels) ? EXISTING : OK;
      },
    };
  },
};

/** Topology domains with pods that match all of `terms`, by the topology of `term`. */
function domainsOf(terms: readonly AffinityTerm[], term: AffinityTerm, state: ClusterState): Domains {
  const namespace = terms.every((each) => each.namespace === term.namespace) ? term.namespace : undefined;
  const key = `terms:${terms.map((each) => each.key).join('\n')}`;
  const means = (other: PodInfo) => terms.every((each) => each.matches(other, state.namespaceLabels));
  const counter = state.matching(namespace, key, means, true);
  return { topologyKey: term.topologyKey, counts: counter.inDomains(term.topologyKey, state.topologyVersion) };
}

function refusedByExisting(pod: PodInfo, state: ClusterState): Domains[] {
  const out: Domains[] = [];
  for (const { term, weight, carriers } of state.carriedTerms()) {
    if (weight !== 0 || !term.matches(pod, state.namespaceLabels)) continue;
    out.push({ topologyKey: term.topologyKey, counts: carriers.inDomains(term.topologyKey, state.topologyVersion) });
  }
  return out;
}

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

export const podAffinity: Filter = {
  name: 'InterPodAffinity',
  helpedBy: ['node-changed', 'pod-removed', 'pod-placed'],
  prepare(pod, state) {
    const existing = refusedByExisting(pod, state);
    const anti = pod.antiAffinity.map((term) => domainsOf([term], term, state));
    const wanted = pod.affinity.map((term) => domainsOf(pod.affinity, term, state));
    // Nominated pods may bring terms that no placed one has.
    if (existing.size + anti.length + wanted.length + state.nominations.size === 0) return undefined;
    const meansItself = pod.affinity.every((term) => term.matches(pod, state.namespaceLabels));
    return {
      check({ labels }) {
        // The first pod of a group that wants to be together may go anywhere, provided it means itself.
        const alone = meansItself && wanted.every((domains) => domains.isEmpty());
        for (const domains of wanted) {
          const value = labels[domains.topologyKey];
          if (value === undefined || (!alone && !domains.has(value))) return AFFINITY;
        }
        if (anti.some((domains) => domains.has(labels[domains.topologyKey]))) return ANTI_AFFINITY;
        for (const domains of existing.values()) if (domains.has(labels[domains.topologyKey])) return EXISTING;
        return OK;
      },
      shift(other, { labels }, by) {
        for (const domains of [...wanted, ...anti]) if (domains.means(other)) domains.shift(labels, by);
        for (const term of other.antiAffinity) {
          if (!term.matches(pod, state.namespaceLabels)) continue;
          let domains = existing.get(term.key);
          if (!domains) existing.set(term.key, (domains = new Domains(term.topologyKey, NO_COUNTS, () => true)));
          domains.shift(labels, by);
        }
      },
    };
  },
};

const NO_COUNTS: ReadonlyMap<string, number> = new Map();

/** How many pods of some set there are by topology domain, and what would be otherwise if some came or went. */
class Domains {
  private readonly shifts = new Map<string, number>();

  constructor(
    readonly topologyKey: string,
    private readonly counts: ReadonlyMap<string, number>,
    readonly means: (pod: PodInfo) => boolean,
  ) {}

  has(value: string | undefined): boolean {
    if (value === undefined) return false;
    const shift = this.shifts.size === 0 ? 0 : (this.shifts.get(value) ?? 0);
    return (this.counts.get(value) ?? 0) + shift > 0;
  }

  isEmpty(): boolean {
    if (this.shifts.size === 0) return this.counts.size === 0;
    for (const value of [...this.counts.keys(), ...this.shifts.keys()]) if (this.has(value)) return false;
    return true;
  }

  shift(labels: Readonly<Record<string, string>>, by: 1 | -1): void {
    const value = labels[this.topologyKey];
    if (value === undefined) return;
    const sum = (this.shifts.get(value) ?? 0) + by;
    if (sum === 0) this.shifts.delete(value);
    else this.shifts.set(value, sum);
  }
}

/** Topology domains with pods that match all of `terms`, by the topology of `term`. */
function domainsOf(terms: readonly AffinityTerm[], term: AffinityTerm, state: ClusterState): Domains {
  const namespace = terms.every((each) => each.namespace === term.namespace) ? term.namespace : undefined;
  const key = `terms:${terms.map((each) => each.key).join('\n')}`;
  const means = (other: PodInfo) => terms.every((each) => each.matches(other, state.namespaceLabels));
  const counter = state.matching(namespace, key, means, true);
  return new Domains(term.topologyKey, counter.inDomains(term.topologyKey, state.topologyVersion), means);
}

/** By key of the term that placed pods carry. */
function refusedByExisting(pod: PodInfo, state: ClusterState): Map<string, Domains> {
  const out = new Map<string, Domains>();
  for (const { term, weight, carriers } of state.carriedTerms()) {
    if (weight !== 0 || !term.matches(pod, state.namespaceLabels)) continue;
    const counts = carriers.inDomains(term.topologyKey, state.topologyVersion);
    out.set(term.key, new Domains(term.topologyKey, counts, () => true));
  }
  return out;
}

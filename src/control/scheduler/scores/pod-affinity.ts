/**
 * Preferred inter-pod affinity and anti-affinity, in both directions; a required affinity of a pod that is there counts as a
 * preference of weight 1 for those it means.
 */
import type { PodInfo } from '../pod-info.js';
import { MAX_SCORE, type Score } from './score.js';

export const preferredPods: Score = {
  name: 'InterPodAffinity',
  weight: 2,
  score(pod, nodes, { state }) {
    const parts: { topologyKey: string; weight: number; counts: ReadonlyMap<string, number> }[] = [];
    for (const { term, weight } of pod.preferredPods) {
      const means = (other: PodInfo) => term.matches(other, state.namespaceLabels);
      const counter = state.matching(term.namespace, `term:${term.key}`, means, true);
      const counts = counter.inDomains(term.topologyKey, state.topologyVersion);
      if (counts.size > 0) parts.push({ topologyKey: term.topologyKey, weight, counts });
    }
    for (const { term, weight, carriers } of state.carriedTerms()) {
      if (weight === 0 || !term.matches(pod, state.namespaceLabels)) continue;
      const counts = carriers.inDomains(term.topologyKey, state.topologyVersion);
      parts.push({ topologyKey: term.topologyKey, weight, counts });
    }
    if (parts.length === 0) return undefined;
    const sums = Float64Array.from(nodes, ({ labels }) =>
      parts.reduce((sum, part) => sum + part.weight * (part.counts.get(labels[part.topologyKey] ?? '') ?? 0), 0),
    );
    return stretched(sums);
  },
};

/** From the least to the most, onto 0 to 100: sums may be negative. */
function stretched(sums: Float64Array): Float64Array {
  let min = Infinity;
  let max = -Infinity;
  for (const sum of sums) {
    min = Math.min(min, sum);
    max = Math.max(max, sum);
  }
  return sums.map((sum) => (max === min ? 0 : Math.floor((MAX_SCORE * (sum - min)) / (max - min))));
}

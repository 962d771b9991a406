/** Topology spread constraints with `whenUnsatisfiable: DoNotSchedule`. */
import type { ClusterState } from '../cluster-state.js';
import { untoleratedTaint, type NodeInfo } from '../node-info.js';
import type { PodInfo, SpreadConstraint } from '../pod-info.js';
import { OK, refuse, type Filter } from './filter.js';

const SKEWED = refuse("node(s) didn't match pod topology spread constraints", true);
const UNLABELLED = refuse("node(s) didn't match pod topology spread constraints (missing required label)", false);

/** Whether the constraint counts this node at all (`nodeAffinityPolicy`, `nodeTaintsPolicy`). */
export function isCounted(constraint: SpreadConstraint, pod: PodInfo, node: NodeInfo): boolean {
  if (constraint.honorAffinity && pod.nodeMatches && !pod.nodeMatches(node)) return false;
  return !constraint.honorTaints || !untoleratedTaint(pod.tolerations, node.taints);
}

export const topologySpread: Filter = {
  name: 'PodTopologySpread',
  helpedBy: ['node-changed', 'pod-removed', 'pod-placed'],
  prepare(pod, state) {
    const hard = pod.spread.filter((constraint) => constraint.hard);
    if (hard.length === 0) return undefined;
    const rules = hard.map((constraint) => rule(constraint, hard, pod, state));
    return {
      check({ labels }) {
        for (const { topologyKey, allowed, counts } of rules) {
          const value = labels[topologyKey];
          if (value === undefined) return UNLABELLED;
          if ((counts.get(value) ?? 0) > allowed) return SKEWED;
        }
        return OK;
      },
    };
  },
};

function rule(constraint: SpreadConstraint, all: readonly SpreadConstraint[], pod: PodInfo, state: ClusterState) {
  const counter = state.matching(pod.namespace, constraint.selectorKey, (other) => constraint.matches(other.labels));
  const counts = new Map<string, number>();
  for (const node of state.nodes) {
    const value = node.labels[constraint.topologyKey];
    if (value === undefined || !all.every((each) => node.labels[each.topologyKey] !== undefined)) continue;
    if (!isCounted(constraint, pod, node)) continue;
    counts.set(value, (counts.get(value) ?? 0) + counter.onNode(node));
  }
  let least = Infinity;
  for (const count of counts.values()) least = Math.min(least, count);
  if (counts.size < constraint.minDomains || least === Infinity) least = 0;
  const self = constraint.matches(pod.labels) ? 1 : 0;
  return { topologyKey: constraint.topologyKey, counts, allowed: constraint.maxSkew + least - self };
}

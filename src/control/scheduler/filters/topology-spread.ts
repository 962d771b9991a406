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
    const rules = hard.map((constraint) => ruleOf(constraint, hard, pod, state));
    return {
      check({ labels }) {
        for (const { topologyKey, isSkewed } of rules) {
          const value = labels[topologyKey];
          if (value === undefined) return UNLABELLED;
          if (isSkewed(value)) return SKEWED;
        }
        return OK;
      },
      shift(other, node, by) {
        if (other.terminating || other.namespace !== pod.namespace) return;
        for (const rule of rules) rule.shift(other, node, by);
      },
    };
  },
};

function ruleOf(constraint: SpreadConstraint, all: readonly SpreadConstraint[], pod: PodInfo, state: ClusterState) {
  const { topologyKey, maxSkew, minDomains } = constraint;
  const counter = state.matching(pod.namespace, constraint.selectorKey, (other) => constraint.matches(other.labels));
  const counts = new Map<string, number>();
  const counted = (node: NodeInfo) =>
    all.every((each) => node.labels[each.topologyKey] !== undefined) && isCounted(constraint, pod, node);
  for (const node of state.nodes) {
    const value = node.labels[topologyKey];
    if (value === undefined || !counted(node)) continue;
    counts.set(value, (counts.get(value) ?? 0) + counter.onNode(node));
  }
  const self = constraint.matches(pod.labels) ? 1 : 0;
  // How many domains have each count: few numbers, however many domains.
  let tally: Map<number, number> | undefined;
  const allowedNow = () => {
    let least = Infinity;
    for (const count of tally?.keys() ?? counts.values()) least = Math.min(least, count);
    if (counts.size < minDomains || least === Infinity) least = 0;
    return maxSkew + least - self;
  };
  let allowed = allowedNow();
  return {
    topologyKey,
    isSkewed: (value: string) => (counts.get(value) ?? 0) > allowed,
    shift(other: PodInfo, node: NodeInfo, by: 1 | -1) {
      const value = node.labels[topologyKey];
      if (value === undefined || !constraint.matches(other.labels) || !counted(node)) return;
      if (!tally) for (const count of counts.values()) add((tally ??= new Map()), count, 1);
      const before = counts.get(value) ?? 0;
      counts.set(value, before + by);
      add((tally ??= new Map()), before, -1);
      add(tally, before + by, 1);
      allowed = allowedNow();
    },
  };
}

function add(tally: Map<number, number>, count: number, by: 1 | -1): void {
  const sum = (tally.get(count) ?? 0) + by;
  if (sum === 0) tally.delete(count);
  else tally.set(count, sum);
}

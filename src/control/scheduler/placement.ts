/**
 * One decision: the best node for a pod, or why there is none. Looks at nodes from a rotating start and stops when it has
 * enough that fit, as upstream does (`percentageOfNodesToScore`), so the work does not grow with the cluster.
 */
import type { Random } from '../../base/random.js';
import type { Filter } from './filters/filter.js';
import type { NodeInfo } from './node-info.js';
import type { PodInfo } from './pod-info.js';
import type { Score, ScoreContext } from './scores/score.js';
import { Search } from './search.js';

export interface PlacementOptions {
  readonly filters: readonly Filter[];
  readonly scores: readonly Score[];
  /** Share of all nodes to find fit before choosing, 1 to 100; 0: 50 % down to 5 %, falling with the cluster's size. */
  readonly percentageOfNodesToScore: number;
}

/** A node, or the search that found none and knows why. */
export type Placement =
  { readonly ok: true; readonly node: NodeInfo } | { readonly ok: false; readonly search: Search };

/** Below this many nodes all are looked at. */
const MIN_FEASIBLE = 100;

/** How many fitting nodes are enough. */
export function enoughNodes(nodes: number, percentage: number): number {
  if (nodes < MIN_FEASIBLE) return nodes;
  const percent = percentage > 0 ? percentage : Math.max(50 - Math.floor(nodes / 125), 5);
  return Math.max(Math.floor((nodes * Math.min(percent, 100)) / 100), MIN_FEASIBLE);
}

export class Placer {
  private next = 0;

  constructor(
    private readonly context: ScoreContext,
    private readonly random: Random,
    private readonly options: PlacementOptions,
  ) {}

  /**
   * Synchronous; changes nothing but where the next search starts. A pod that was nominated for a node goes there as soon as
   * it fits, without a look at the others.
   */
  place(pod: PodInfo): Placement {
    const { state } = this.context;
    const search = new Search(pod, state, this.options.filters);
    const nominated = state.nominations.nodeOf(pod.key);
    const kept = nominated === undefined ? undefined : state.node(nominated);
    if (kept && search.accepts(kept)) return { ok: true, node: kept };
    const fit = search.narrow ? search.among(search.narrow) : this.rotate(search, state.nodes);
    if (fit.length === 0) return { ok: false, search };
    return { ok: true, node: this.best(pod, fit) };
  }

  private rotate(search: Search, nodes: readonly NodeInfo[]): NodeInfo[] {
    const enough = enoughNodes(nodes.length, this.options.percentageOfNodesToScore);
    const fit: NodeInfo[] = [];
    const start = this.next < nodes.length ? this.next : 0;
    let looked = 0;
    for (; looked < nodes.length && fit.length < enough; looked++) {
      const at = start + looked;
      const node = nodes[at < nodes.length ? at : at - nodes.length] as NodeInfo;
      if (search.fits(node)) fit.push(node);
    }
    this.next = nodes.length === 0 ? 0 : (start + looked) % nodes.length;
    return fit;
  }

  /** The node with the highest weighted sum; among equals any, by chance. */
  private best(pod: PodInfo, nodes: readonly NodeInfo[]): NodeInfo {
    const [only] = nodes;
    if (nodes.length === 1 && only) return only;
    const totals = new Float64Array(nodes.length);
    for (const score of this.options.scores) {
      const values = score.score(pod, nodes, this.context);
      if (!values) continue;
      for (let i = 0; i < totals.length; i++) totals[i] = (totals[i] as number) + score.weight * (values[i] as number);
    }
    let max = -Infinity;
    let ties: number[] = [];
    for (let i = 0; i < totals.length; i++) {
      const total = totals[i] as number;
      if (total > max) {
        max = total;
        ties = [i];
      } else if (total === max) ties.push(i);
    }
    return nodes[ties[ties.length === 1 ? 0 : this.random.int(ties.length)] as number] as NodeInfo;
  }
}

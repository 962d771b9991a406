/**
 * One decision: the best node for a pod, or why there is none. Looks at nodes from a rotating start and stops when it has
 * enough that fit, as upstream does (`percentageOfNodesToScore`), so the work does not grow with the cluster.
 */
import type { Random } from '../../base/random.js';
import type { ClusterState } from './cluster-state.js';
import type { Filter, PreparedFilter, Verdict } from './filters/filter.js';
import type { NodeInfo } from './node-info.js';
import type { PodInfo } from './pod-info.js';
import type { Score, ScoreContext } from './scores/score.js';

export interface PlacementOptions {
  readonly filters: readonly Filter[];
  readonly scores: readonly Score[];
  /** Share of all nodes to find fit before choosing, 1 to 100; 0: 50 % down to 5 %, falling with the cluster's size. */
  readonly percentageOfNodesToScore: number;
}

/** Why no node fits. */
export interface Refusal {
  readonly nodes: number;
  /** Reason to how many nodes gave it. */
  readonly reasons: ReadonlyMap<string, number>;
  /** How many nodes could become fit by removing other pods. */
  readonly resolvable: number;
  /** Names of the filters that refused some node. */
  readonly filters: ReadonlySet<string>;
}

export type Placement =
  { readonly ok: true; readonly node: NodeInfo } | { readonly ok: false; readonly refusal: Refusal };

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

  /** Synchronous; changes nothing but where the next search starts. */
  place(pod: PodInfo): Placement {
    const { state } = this.context;
    const search = new Search(pod, state, this.options.filters);
    const fit = search.narrow ? search.among(search.narrow) : this.rotate(search, state.nodes);
    if (fit.length === 0) return { ok: false, refusal: search.refusal() };
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

/** One pod's filters, prepared, and the tally of what they refuse. */
class Search {
  private readonly prepared: { readonly name: string; readonly filter: PreparedFilter }[] = [];
  private readonly reasons = new Map<string, number>();
  private readonly refusing = new Set<string>();
  private resolvable = 0;
  /** The only nodes that can fit, if a filter says so. */
  readonly narrow: ReadonlySet<string> | undefined;

  constructor(
    pod: PodInfo,
    private readonly state: ClusterState,
    filters: readonly Filter[],
  ) {
    for (const each of filters) {
      const filter = each.prepare(pod, state);
      if (!filter) continue;
      this.prepared.push({ name: each.name, filter });
      this.narrow ??= filter.only;
    }
  }

  fits(node: NodeInfo): boolean {
    for (const { name, filter } of this.prepared) {
      const verdict = filter.check(node);
      if (!verdict.ok) {
        this.note(name, verdict);
        return false;
      }
    }
    return true;
  }

  among(names: ReadonlySet<string>): NodeInfo[] {
    const nodes = [...names].flatMap((name) => this.state.node(name) ?? []);
    const others = this.state.nodes.length - nodes.length;
    if (others > 0) {
      const name = this.prepared.find(({ filter }) => filter.only === names)?.name ?? '';
      this.reasons.set(`node(s) didn't satisfy plugin(s) [${name}]`, others);
      this.refusing.add(name);
    }
    return nodes.filter((node) => this.fits(node));
  }

  refusal(): Refusal {
    return {
      nodes: this.state.nodes.length,
      reasons: this.reasons,
      resolvable: this.resolvable,
      filters: this.refusing,
    };
  }

  private note(filter: string, verdict: Exclude<Verdict, { ok: true }>): void {
    this.refusing.add(filter);
    if (verdict.resolvable) this.resolvable += 1;
    for (const reason of verdict.reasons) this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
  }
}

/** Upstream's text for a pod that fits nowhere. */
export function refusalText({ nodes, reasons, resolvable }: Refusal, canPreempt: boolean): string {
  if (nodes === 0) return 'no nodes available to schedule pods';
  const head = `0/${nodes} nodes are available: ${listed(reasons)}.`;
  if (!canPreempt) return `${head} preemption: not eligible due to preemptionPolicy=Never.`;
  const outcomes = new Map<string, number>();
  if (resolvable > 0) outcomes.set('No preemption victims found for incoming pod', resolvable);
  if (nodes > resolvable) outcomes.set('Preemption is not helpful for scheduling', nodes - resolvable);
  return `${head} preemption: 0/${nodes} nodes are available: ${listed(outcomes)}.`;
}

function listed(reasons: ReadonlyMap<string, number>): string {
  return Array.from(reasons, ([reason, count]) => `${count} ${reason}`)
    .sort()
    .join(', ');
}

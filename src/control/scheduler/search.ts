/**
 * One pod's look at the nodes: its filters, prepared once, and the tally of what they refuse. Valid for as long as the state
 * does not change: within one decision.
 */
import type { ClusterState } from './cluster-state.js';
import type { Filter, PreparedFilter, Verdict } from './filters/filter.js';
import type { NodeInfo } from './node-info.js';
import type { PodInfo } from './pod-info.js';

interface Named {
  readonly name: string;
  readonly filter: PreparedFilter;
}

export class Search {
  private readonly prepared: Named[] = [];
  private readonly reasons = new Map<string, number>();
  /** The only nodes that can fit, if a filter says so. */
  readonly narrow: ReadonlySet<string> | undefined;
  /** Names of the filters that refused some node. */
  readonly refusing = new Set<string>();
  /** Nodes that could become fit by removing other pods. */
  readonly resolvable: NodeInfo[] = [];

  constructor(
    readonly pod: PodInfo,
    readonly state: ClusterState,
    filters: readonly Filter[],
  ) {
    for (const each of filters) {
      const filter = each.prepare(pod, state);
      if (!filter) continue;
      this.prepared.push({ name: each.name, filter });
      this.narrow ??= filter.only;
    }
  }

  /** Whether the pod may go there; a refusal is noted. */
  fits(node: NodeInfo): boolean {
    const refusal = this.refusalOf(node);
    if (!refusal) return true;
    this.refusing.add(refusal.filter);
    if (refusal.resolvable) this.resolvable.push(node);
    for (const reason of refusal.reasons) this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
    return false;
  }

  /** Whether the pod may go there, without a note. */
  accepts(node: NodeInfo): boolean {
    return this.refusalOf(node) === undefined;
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

  /** Begins a what-if on this node; pods that are nominated for it count as being there. End it before anything else. */
  trial(node: NodeInfo): Trial {
    return new Trial(this.pod, node, this.prepared, this.state.nominations.rivals(node.name, this.pod));
  }

  /** Upstream's text for a pod that fits nowhere; `preemption` says why no room is made for it, if so. */
  text(preemption: string): string {
    const { length } = this.state.nodes;
    if (length === 0) return 'no nodes available to schedule pods';
    return `${noNodeText(length, this.reasons)}${preemption && ` preemption: ${preemption}`}`;
  }

  private refusalOf(node: NodeInfo): Refusal | undefined {
    if (this.state.nominations.rivals(node.name, this.pod).length === 0) return firstRefusal(this.prepared, node);
    const trial = this.trial(node);
    try {
      return trial.refusal();
    } finally {
      trial.end();
    }
  }
}

export type Refusal = Exclude<Verdict, { ok: true }> & { readonly filter: string };

function firstRefusal(prepared: readonly Named[], node: NodeInfo): Refusal | undefined {
  for (const { name, filter } of prepared) {
    const verdict = filter.check(node);
    if (!verdict.ok) return { ...verdict, filter: name };
  }
  return undefined;
}

/**
 * What if pods were gone from a node, and those there that are nominated for it? So it is, for the filters of one pod alone, until {@link end} puts
 * everything back: nobody else may look in between.
 */
export class Trial {
  private readonly gone = new Set<PodInfo>();

  constructor(
    private readonly pod: PodInfo,
    private readonly node: NodeInfo,
    private readonly prepared: readonly Named[],
    private readonly rivals: readonly PodInfo[],
  ) {
    for (const rival of rivals) this.shift(rival, 1);
  }

  /** Takes a pod that is there off the node. */
  remove(pod: PodInfo): void {
    this.gone.add(pod);
    this.shift(pod, -1);
  }

  /** Brings one back that {@link remove} took. */
  restore(pod: PodInfo): void {
    this.gone.delete(pod);
    this.shift(pod, 1);
  }

  /** Why the pod does not fit now; it must with the nominated pods there, and without: they may never come. */
  refusal(): Refusal | undefined {
    const refusal = firstRefusal(this.prepared, this.node);
    // Of all rules, only affinity can be met by one pod more.
    if (refusal || this.rivals.length === 0 || this.pod.affinity.length === 0) return refusal;
    for (const rival of this.rivals) this.shift(rival, -1);
    const without = firstRefusal(this.prepared, this.node);
    for (const rival of this.rivals) this.shift(rival, 1);
    return without;
  }

  end(): void {
    for (const pod of this.gone) this.restore(pod);
    for (const rival of this.rivals) this.shift(rival, -1);
  }

  private shift(pod: PodInfo, by: 1 | -1): void {
    this.node.shift(pod, by);
    for (const { filter } of this.prepared) filter.shift?.(pod, this.node, by);
  }
}

/** Upstream's `FitError`. */
export function noNodeText(nodes: number, reasons: ReadonlyMap<string, number>): string {
  const listed = Array.from(reasons, ([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodes} nodes are available: ${listed.join(', ')}.`;
}

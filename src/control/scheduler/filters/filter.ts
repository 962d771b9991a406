/** What a filter is: the rule whether a pod may run on a node. */
import type { ClusterState } from '../cluster-state.js';
import type { NodeInfo } from '../node-info.js';
import type { PodInfo } from '../pod-info.js';

export type Verdict =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** Upstream's words: they end up in the pod's condition and Event. */
      readonly reasons: readonly string[];
      /** Whether removing other pods from the node could help. */
      readonly resolvable: boolean;
    };

export const OK: Verdict = Object.freeze({ ok: true });
export const refuse = (reason: string, resolvable: boolean): Verdict =>
  Object.freeze({ ok: false, reasons: [reason], resolvable });

/** What may have happened to the cluster that makes a refused pod worth another try. */
export type ClusterEvent = 'node-changed' | 'pod-removed' | 'pod-placed';

export interface Filter {
  readonly name: string;
  /** Events after which a node that this filter refused may be fit. */
  readonly helpedBy: readonly ClusterEvent[];
  /** Reads the pod's rule once. Undefined: the rule does not concern this pod, every node passes. */
  prepare(pod: PodInfo, state: ClusterState): PreparedFilter | undefined;
}

export interface PreparedFilter {
  /** Judges one node; pure. */
  check(node: NodeInfo): Verdict;
  /**
   * From now on, judge as if the pod had been added to the node (1) or were gone from it (-1): upstream's `AddPod` and `RemovePod`.
   * Changes this prepared filter alone, and is undone by its opposite. Absent where `check` reads what matters from its node.
   */
  shift?(pod: PodInfo, node: NodeInfo, by: 1 | -1): void;
  /** The only nodes that can pass, when the rule is that narrow. */
  readonly only?: ReadonlySet<string>;
}

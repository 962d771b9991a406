/** What a score is: how well a pod suits each of the nodes that it may run on. */
import type { ClusterState } from '../cluster-state.js';
import type { NodeInfo } from '../node-info.js';
import type { PodInfo } from '../pod-info.js';

export const MAX_SCORE = 100;

/** What scores may ask beside the state. */
export interface ScoreContext {
  readonly state: ClusterState;
  /** The selectors of the Services that select this pod, as one; undefined when none does. */
  serviceSelector(pod: PodInfo): Readonly<Record<string, string>> | undefined;
}

export interface Score {
  readonly name: string;
  readonly weight: number;
  /** One number from 0 to 100 for each node, in order; undefined when the pod gives no preference. Pure. */
  score(pod: PodInfo, nodes: readonly NodeInfo[], context: ScoreContext): Float64Array | undefined;
}

/** Stretches so that the largest becomes 100; `reverse` makes it 0 and the smallest 100. All zero stays (or becomes 100). */
export function normalise(values: Float64Array, reverse = false): Float64Array {
  let max = 0;
  for (const value of values) max = Math.max(max, value);
  for (let i = 0; i < values.length; i++) {
    const scaled = max === 0 ? 0 : Math.floor(((values[i] as number) * MAX_SCORE) / max);
    values[i] = reverse ? MAX_SCORE - scaled : scaled;
  }
  return values;
}

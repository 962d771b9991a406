/**
 * Spreads pods: by their own constraints with `whenUnsatisfiable: ScheduleAnyway`, else by the cluster's default (pods of
 * one controller or Service over hosts and zones), as upstream's `PodTopologySpread` with system defaulting.
 */
import { isCounted } from '../filters/topology-spread.js';
import type { NodeInfo } from '../node-info.js';
import type { PodCounter } from '../pod-counter.js';
import type { PodInfo } from '../pod-info.js';
import { MAX_SCORE, type Score, type ScoreContext } from './score.js';

const HOSTNAME = 'kubernetes.io/hostname';
const ZONE = 'topology.kubernetes.io/zone';

interface Wish {
  readonly topologyKey: string;
  readonly maxSkew: number;
  readonly counter: PodCounter;
  counts(node: NodeInfo): boolean;
}

export const spreading: Score = {
  name: 'PodTopologySpread',
  weight: 2,
  score(pod, nodes, context) {
    const own = ownWishes(pod, context);
    const wishes = own.length > 0 ? own : pod.spread.length > 0 ? [] : defaultWishes(pod, nodes, context);
    if (wishes.length === 0) return undefined;
    const scores = new Float64Array(nodes.length);
    // Nodes without the topology of the pod's own constraints come last.
    const unlabelled =
      own.length === 0 ? undefined : nodes.map(({ labels }) => own.some((w) => !(w.topologyKey in labels)));
    for (const wish of wishes) addWish(scores, wish, nodes, context);
    return reversed(scores, unlabelled);
  },
};

function ownWishes(pod: PodInfo, { state }: ScoreContext): Wish[] {
  return pod.spread
    .filter(({ hard }) => !hard)
    .map((constraint) => ({
      topologyKey: constraint.topologyKey,
      maxSkew: constraint.maxSkew,
      counter: state.matching(pod.namespace, constraint.selectorKey, (other) => constraint.matches(other.labels)),
      counts: (node) => isCounted(constraint, pod, node),
    }));
}

function defaultWishes(pod: PodInfo, nodes: readonly NodeInfo[], context: ScoreContext): Wish[] {
  const counter = siblings(pod, context);
  if (!counter || counter.empty) return [];
  const host = { topologyKey: HOSTNAME, maxSkew: 3, counter, counts: () => true };
  const zoned = nodes.some(({ labels }) => labels[ZONE] !== undefined);
  return zoned ? [host, { topologyKey: ZONE, maxSkew: 5, counter, counts: () => true }] : [host];
}

/** The pods of the same controller, else those that the same Services select. */
function siblings(pod: PodInfo, context: ScoreContext): PodCounter | undefined {
  if (pod.ownerUid) return context.state.ofOwner(pod.ownerUid);
  const selector = context.serviceSelector(pod);
  if (!selector) return undefined;
  const pairs = Object.entries(selector).sort(([a], [b]) => (a < b ? -1 : 1));
  return context.state.matching(pod.namespace, `service:${JSON.stringify(pairs)}`, ({ labels }) =>
    pairs.every(([key, value]) => labels[key] === value),
  );
}

function addWish(scores: Float64Array, wish: Wish, nodes: readonly NodeInfo[], { state }: ScoreContext): void {
  const perHost = wish.topologyKey === HOSTNAME;
  const counts = perHost ? undefined : wish.counter.inDomains(wish.topologyKey, state.topologyVersion);
  // Fewer, larger domains weigh less: otherwise a zone's count would drown a host's.
  const domains = perHost ? nodes.length : new Set(nodes.map(({ labels }) => labels[wish.topologyKey])).size;
  const weight = Math.log(domains + 2);
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[i] as NodeInfo;
    if (!wish.counts(node)) continue;
    const count = perHost ? wish.counter.onNode(node) : (counts?.get(node.labels[wish.topologyKey] ?? '') ?? 0);
    scores[i] = (scores[i] as number) + count * weight + (wish.maxSkew - 1);
  }
}

/** Few is good: the fullest gets the least, on upstream's scale. */
function reversed(scores: Float64Array, ignored: readonly boolean[] | undefined): Float64Array {
  let min = Infinity;
  let max = 0;
  for (let i = 0; i < scores.length; i++) {
    if (ignored?.[i]) continue;
    const score = Math.round(scores[i] as number);
    min = Math.min(min, score);
    max = Math.max(max, score);
  }
  for (let i = 0; i < scores.length; i++) {
    if (ignored?.[i]) scores[i] = 0;
    else if (max === 0) scores[i] = MAX_SCORE;
    else scores[i] = Math.floor((MAX_SCORE * (max + min - Math.round(scores[i] as number))) / max);
  }
  return scores;
}

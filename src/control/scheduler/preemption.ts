/**
 * Preemption, decided: which pods of lower priority would have to go for one that fits nowhere, as kube-scheduler's
 * `DefaultPreemption` (Kubernetes documentation, "Pod Priority and Preemption"). Pure: what the objects say in, a plan out.
 *
 * Disruption budgets are respected where there is a choice, and violated where there is none, as upstream. Candidates are looked
 * at from a node by chance until there are enough of them; a node without pods of lower
 * priority, or too small even without them, is recognized without a look at its pods.
 */
import type { Random } from '../../base/random.js';
import type { PodDisruptionBudget } from '../../api/types/policy-v1.js';
import { judgeRoom } from './filters/node-resources.js';
import type { NodeInfo } from './node-info.js';
import type { PodInfo } from './pod-info.js';
import { noNodeText, type Search } from './search.js';
import { BudgetCheck } from './budget-check.js';

/** What a plan needs to know beside the scheduler's own state. */
export interface PreemptionLookups {
  /** The disruption budgets of a namespace. */
  readonly budgets: (namespace: string) => readonly PodDisruptionBudget[];
  /** When the pod began to run, in RFC 3339 with whole seconds in UTC as the API has it; absent if it did not yet. */
  readonly started: (pod: PodInfo) => string | undefined;
  /** Whether the API lately refused to let the pod go: such a one comes last, as one whose budget protects it. */
  readonly isHeld: (pod: PodInfo) => boolean;
  /** Whether the pod is on its way out for one of higher priority. */
  readonly isPreempted: (pod: PodInfo) => boolean;
}

/** What goes on one node so that the pod fits. */
export interface Candidate {
  readonly node: NodeInfo;
  /** The more important first. */
  readonly victims: readonly PodInfo[];
  /** How many of the victims are protected: by their disruption budgets, or because the API holds them. */
  readonly violations: number;
}

export type Preemption =
  | ({ readonly found: true } & Candidate)
  | {
      readonly found: false;
      /** Upstream's words for the pod's condition and Event. */
      readonly why: string;
      /** Whether an earlier nomination of the pod is void. */
      readonly void: boolean;
    };

const NO_VICTIMS = ['No preemption victims found for incoming pod'];
const NOT_HELPFUL = 'Preemption is not helpful for scheduling';
/** Candidates that are enough: upstream's least number. In more than 1,000 nodes it takes a tenth of them, on many threads. */
const ENOUGH = 100;

/** For a pod whose search has just failed. */
export function planPreemption(search: Search, lookups: PreemptionLookups, random: Random): Preemption {
  const waits = whyNotEligible(search, lookups);
  if (waits) return { found: false, why: waits, void: false };
  const reasons = new Map<string, number>();
  const candidates = candidatesOf(search, lookups, random, reasons);
  const best = bestOf(candidates, lookups);
  if (best) return { found: true, ...best };
  const nodes = search.state.nodes.length;
  const others = nodes - search.resolvable.length;
  if (others > 0) reasons.set(NOT_HELPFUL, others);
  return { found: false, why: nodes === 0 ? '' : noNodeText(nodes, reasons), void: true };
}

function whyNotEligible({ pod, state, resolvable }: Search, { isPreempted }: PreemptionLookups): string | undefined {
  if (pod.pod.spec?.preemptionPolicy === 'Never') return 'not eligible due to preemptionPolicy=Never.';
  const nominated = state.nominations.nodeOf(pod.key);
  const node = nominated === undefined ? undefined : state.node(nominated);
  // A node that became impossible for it is worth no further waiting.
  if (!node || !resolvable.includes(node)) return undefined;
  for (const other of node.pods.values()) {
    if (other.priority < pod.priority && isPreempted(other)) {
      return 'not eligible due to a terminating pod on the nominated node.';
    }
  }
  return undefined;
}

/** Notes for every other node that was looked at why it is none. */
function candidatesOf(
  search: Search,
  lookups: PreemptionLookups,
  random: Random,
  reasons: Map<string, number>,
): Candidate[] {
  const { pod, state, resolvable } = search;
  const note = (texts: readonly string[], count: number) => {
    for (const text of texts) reasons.set(text, (reasons.get(text) ?? 0) + count);
  };
  if (resolvable.length === 0) return [];
  if (!state.hasBelow(pod.priority)) {
    note(NO_VICTIMS, resolvable.length);
    return [];
  }
  const start = random.int(resolvable.length);
  const budgets = new BudgetCheck(lookups.budgets, lookups.isHeld);
  const found: Candidate[] = [];
  let harmless = false;
  for (let i = 0; i < resolvable.length && !(harmless && found.length >= ENOUGH); i++) {
    const node = resolvable[(start + i) % resolvable.length] as NodeInfo;
    const outcome = candidateOn(node, search, lookups, budgets);
    if ('reasons' in outcome) note(outcome.reasons, 1);
    else {
      found.push(outcome);
      harmless ||= outcome.violations === 0;
    }
  }
  return found;
}

/** All pods of lower priority go; then as many as possible come back, first those whose budgets say so, the important before others. */
function candidateOn(
  node: NodeInfo,
  search: Search,
  { started }: PreemptionLookups,
  budgets: BudgetCheck,
): Candidate | { readonly reasons: readonly string[] } {
  const { priority } = search.pod;
  const room = node.roomWithoutBelow(priority);
  if (!room) return { reasons: NO_VICTIMS };
  const verdict = judgeRoom(search.pod, room);
  if (!verdict.ok) return verdict;
  const lower = [...node.pods.values()].filter((other) => other.priority < priority);
  const since = new Map(lower.map((pod) => [pod, started(pod) ?? NOT_YET]));
  const byImportance = (a: PodInfo, b: PodInfo) => b.priority - a.priority || compare(since.get(a), since.get(b));
  lower.sort(byImportance);
  const trial = search.trial(node);
  try {
    for (const pod of lower) trial.remove(pod);
    const refusal = trial.refusal();
    if (refusal) return refusal;
    const spare = (pod: PodInfo): boolean => {
      trial.restore(pod);
      if (!trial.refusal()) return true;
      trial.remove(pod);
      return false;
    };
    const { violating, others } = budgets.split(lower);
    const violated = violating.filter((pod) => !spare(pod));
    const victims = [...violated, ...others.filter((pod) => !spare(pod))].sort(byImportance);
    if (victims.length === 0) return { reasons: [`expected at least one victim pod on node "${node.name}"`] };
    return { node, victims, violations: violated.length };
  } finally {
    trial.end();
  }
}

/** So that many pods of negative priority do not weigh less than few. */
const PRIORITY_OFFSET = 2 ** 31;

/** Upstream's order: what is said first decides, the lower the better. */
function isBetter(a: Candidate, b: Candidate, { started }: PreemptionLookups): boolean {
  const difference =
    a.violations - b.violations ||
    highest(a) - highest(b) ||
    weight(a) - weight(b) ||
    a.victims.length - b.victims.length ||
    // Who ran for the shortest time loses the least.
    -compare(earliest(a, started), earliest(b, started));
  return difference < 0;
}

const highest = ({ victims }: Candidate) => victims[0]?.priority ?? 0;

const weight = ({ victims }: Candidate) => victims.reduce((sum, { priority }) => sum + priority + PRIORITY_OFFSET, 0);

/** When the first of the most important victims began. */
function earliest(candidate: Candidate, started: PreemptionLookups['started']): string {
  let first = NOT_YET;
  for (const pod of candidate.victims) {
    if (pod.priority !== highest(candidate)) break;
    const at = started(pod) ?? NOT_YET;
    if (at < first) first = at;
  }
  return first;
}

/** Times of this form sort as texts do, and after them what is yet to come. */
const NOT_YET = '9999';
const compare = (a = NOT_YET, b = NOT_YET) => (a < b ? -1 : a > b ? 1 : 0);

function bestOf(candidates: readonly Candidate[], lookups: PreemptionLookups): Candidate | undefined {
  let best: Candidate | undefined;
  for (const candidate of candidates) if (!best || isBetter(candidate, best, lookups)) best = candidate;
  return best;
}

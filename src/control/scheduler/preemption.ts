/**
 * Preemption, decided: which pods of lower priority would have to go for one that fits nowhere, as kube-scheduler's
 * `DefaultPreemption` (Kubernetes documentation, "Pod Priority and Preemption"). Pure: what the objects say in, a plan out.
 *
 * Disruption budgets are respected where there is a choice, and violated where there is none, as upstream. Candidates are looked
 * at from a node by chance until there are enough of them (a tenth of the nodes, at least 100); a node without pods of lower
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
  /** When the pod began to run, in milliseconds since the epoch; now, if it did not yet. */
  readonly startedMs: (pod: PodInfo) => number;
  /** Whether the pod is on its way out for one of higher priority. */
  readonly isPreempted: (pod: PodInfo) => boolean;
}

/** What goes on one node so that the pod fits. */
export interface Candidate {
  readonly node: NodeInfo;
  /** The more important first. */
  readonly victims: readonly PodInfo[];
  /** How many of the victims their disruption budgets would protect. */
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
/** Candidates that are enough: this share of the nodes that come into question, in percent, and at least so many. */
const ENOUGH_PERCENT = 10;
const ENOUGH_AT_LEAST = 100;

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
  const enough = Math.max(Math.floor((resolvable.length * ENOUGH_PERCENT) / 100), ENOUGH_AT_LEAST);
  const start = random.int(resolvable.length);
  const budgets = new BudgetCheck(lookups.budgets);
  const found: Candidate[] = [];
  let harmless = false;
  for (let i = 0; i < resolvable.length && !(harmless && found.length >= enough); i++) {
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
  { startedMs }: PreemptionLookups,
  budgets: BudgetCheck,
): Candidate | { readonly reasons: readonly string[] } {
  const { priority } = search.pod;
  const room = node.roomWithoutBelow(priority);
  if (!room) return { reasons: NO_VICTIMS };
  const verdict = judgeRoom(search.pod, room);
  if (!verdict.ok) return verdict;
  const lower = [...node.pods.values()].filter((other) => other.priority < priority);
  const started = new Map(lower.map((pod) => [pod, startedMs(pod)]));
  const byImportance = (a: PodInfo, b: PodInfo) =>
    b.priority - a.priority || (started.get(a) ?? 0) - (started.get(b) ?? 0);
  lower.sort(byImportance);
  const trial = search.trial(node);
  try {
    for (const pod of lower) trial.move(pod, -1);
    const refusal = trial.refusal();
    if (refusal) return refusal;
    const spare = (pod: PodInfo): boolean => {
      trial.move(pod, 1);
      if (!trial.refusal()) return true;
      trial.move(pod, -1);
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

/** Upstream's order: each number decides where those before it are equal, the lower the better. */
function rank({ victims, violations }: Candidate, { startedMs }: PreemptionLookups): number[] {
  const highest = victims[0]?.priority ?? 0;
  const leaders = victims.filter(({ priority }) => priority === highest);
  return [
    violations,
    highest,
    victims.reduce((sum, { priority }) => sum + priority + PRIORITY_OFFSET, 0),
    victims.length,
    // Who ran for the shortest time loses the least.
    -leaders.reduce((earliest, pod) => Math.min(earliest, startedMs(pod)), Infinity),
  ];
}

function bestOf(candidates: readonly Candidate[], lookups: PreemptionLookups): Candidate | undefined {
  let best: { readonly candidate: Candidate; readonly rank: readonly number[] } | undefined;
  for (const candidate of candidates) {
    const ranked = rank(candidate, lookups);
    if (!best || isLess(ranked, best.rank)) best = { candidate, rank: ranked };
  }
  return best?.candidate;
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? 0;
    if (value !== other) return value < other;
  }
  return false;
}

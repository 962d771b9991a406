/** The status of a PodDisruptionBudget. Pure; after Kubernetes' documentation of `policy/v1`. */
import { withCondition } from '../../../api/conditions.js';
import type { DeepReadonly } from '../../../api/object.js';
import type { Pod } from '../../../api/types/core-v1.js';
import type { IntOrString } from '../../../api/types/machinery.js';
import type { Condition } from '../../../api/types/meta-v1.js';
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from '../../../api/types/policy-v1.js';
import { isPodReady } from '../pod-state.js';

/** An evicted pod whose deletion has not shown after so long counts as healthy again. */
export const DISRUPTION_TIMEOUT_MS = 120_000;
export const DISRUPTION_ALLOWED = 'DisruptionAllowed';

export interface BudgetInput {
  readonly budget: DeepReadonly<PodDisruptionBudget>;
  /** All pods it selects. */
  readonly pods: readonly DeepReadonly<Pod>[];
  /** How many pods the controllers of these pods are to keep; asked only where the budget depends on it. */
  readonly scale: () => number;
  readonly nowMs: number;
}

export interface BudgetPlan {
  readonly status: PodDisruptionBudgetStatus;
  /** Pods that an eviction was granted for, and that are still there after the timeout. */
  readonly overdue: readonly DeepReadonly<Pod>[];
  /** When the next of the granted evictions times out. */
  readonly recheckInMs: number | undefined;
}

/** Whether the budget is worked out from what controllers are to keep, rather than from the pods that are there. */
export function needsScale({ spec }: DeepReadonly<PodDisruptionBudget>): boolean {
  return spec?.maxUnavailable !== undefined || typeof spec?.minAvailable === 'string';
}

export function planBudget({ budget, pods, scale, nowMs }: BudgetInput): BudgetPlan {
  const { expectedPods, desiredHealthy } = expectation(budget, pods.length, scale);
  const disrupted: Record<string, string> = {};
  const overdue: DeepReadonly<Pod>[] = [];
  let recheckInMs: number | undefined;
  for (const pod of pods) {
    const { name = '', deletionTimestamp } = pod.metadata;
    const since = deletionTimestamp ? undefined : budget.status?.disruptedPods?.[name];
    if (since === undefined) continue;
    const left = Date.parse(since) + DISRUPTION_TIMEOUT_MS - nowMs;
    if (left < 0) {
      overdue.push(pod);
      continue;
    }
    disrupted[name] = since;
    recheckInMs = Math.min(recheckInMs ?? left + 1, left + 1);
  }
  const currentHealthy = pods.filter(
    (pod) => !pod.metadata.deletionTimestamp && disrupted[pod.metadata.name ?? ''] === undefined && isPodReady(pod),
  ).length;
  const disruptionsAllowed = expectedPods > 0 ? Math.max(0, currentHealthy - desiredHealthy) : 0;
  const observedGeneration = budget.metadata.generation ?? 0;
  const condition = allowedCondition(disruptionsAllowed, observedGeneration);
  return {
    status: {
      observedGeneration,
      ...(Object.keys(disrupted).length > 0 ? { disruptedPods: disrupted } : {}),
      disruptionsAllowed,
      currentHealthy,
      desiredHealthy,
      expectedPods,
      conditions: withCondition(budget.status?.conditions, condition, nowMs),
    },
    overdue,
    recheckInMs,
  };
}

function expectation(
  { spec }: DeepReadonly<PodDisruptionBudget>,
  present: number,
  scale: () => number,
): { expectedPods: number; desiredHealthy: number } {
  if (spec?.maxUnavailable !== undefined) {
    const expectedPods = scale();
    return { expectedPods, desiredHealthy: Math.max(0, expectedPods - amount(spec.maxUnavailable, expectedPods)) };
  }
  const minAvailable = spec?.minAvailable;
  if (typeof minAvailable === 'string') {
    const expectedPods = scale();
    return { expectedPods, desiredHealthy: amount(minAvailable, expectedPods) };
  }
  return { expectedPods: present, desiredHealthy: minAvailable ?? 0 };
}

/** Percentages are rounded up, both of what must stay and of what may go. */
function amount(value: IntOrString, of: number): number {
  return typeof value === 'number' ? value : Math.ceil(((Number.parseInt(value, 10) || 0) * of) / 100);
}

type NewCondition = Omit<Condition, 'lastTransitionTime'>;

function allowedCondition(disruptionsAllowed: number, observedGeneration: number): NewCondition {
  const some = disruptionsAllowed > 0;
  return {
    type: DISRUPTION_ALLOWED,
    status: some ? 'True' : 'False',
    reason: some ? 'SufficientPods' : 'InsufficientPods',
    message: '',
    observedGeneration,
  };
}

/** While a budget cannot be worked out nothing may be evicted, and its condition says why. */
export function failSafe(
  { status }: DeepReadonly<PodDisruptionBudget>,
  message: string,
  nowMs: number,
): PodDisruptionBudgetStatus {
  const observedGeneration = status?.observedGeneration;
  const condition = {
    type: DISRUPTION_ALLOWED,
    status: 'False',
    reason: 'SyncFailed',
    message,
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  };
  return {
    currentHealthy: 0,
    desiredHealthy: 0,
    expectedPods: 0,
    ...(status as PodDisruptionBudgetStatus | undefined),
    disruptionsAllowed: 0,
    conditions: withCondition(status?.conditions, condition, nowMs),
  };
}

/** Milliseconds until a pod that was to be disrupted and was not is told so; undefined when there is no such condition. */
export function staleDisruptionInMs({ metadata, status }: DeepReadonly<Pod>, nowMs: number): number | undefined {
  if (metadata.deletionTimestamp || status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined;
  const condition = status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
  if (condition?.status !== 'True') return undefined;
  return Math.max(0, (Date.parse(condition.lastTransitionTime ?? '') || 0) + DISRUPTION_TIMEOUT_MS - nowMs);
}

/**
 * Which of some pods are protected from going all at once: by their PodDisruptionBudgets, or because the API does not let them go.
 * For one plan: budgets are read once.
 */
import type { PodDisruptionBudget } from '../../api/types/policy-v1.js';
import type { PodInfo } from './pod-info.js';
import { compileLabelSelector, type LabelPredicate } from './selectors.js';

interface Budget {
  readonly matches: LabelPredicate;
  readonly allowed: number;
  /** By pod name: those that the API has let go already are counted off. */
  readonly disrupted: Readonly<Record<string, unknown>>;
}

export class BudgetCheck {
  private readonly budgets = new Map<string, readonly Budget[]>();

  constructor(
    private readonly budgetsOf: (namespace: string) => readonly PodDisruptionBudget[],
    private readonly isHeld: (pod: PodInfo) => boolean,
  ) {}

  /** Earlier pods use up the budgets before later ones; the order is kept. */
  split(pods: readonly PodInfo[]): { readonly violating: readonly PodInfo[]; readonly others: readonly PodInfo[] } {
    const left = new Map<Budget, number>();
    const violating: PodInfo[] = [];
    const others: PodInfo[] = [];
    for (const pod of pods) {
      let violates = this.isHeld(pod);
      for (const budget of this.of(pod.namespace)) {
        if (!budget.matches(pod.labels) || budget.disrupted[pod.pod.metadata.name ?? ''] !== undefined) continue;
        const rest = (left.get(budget) ?? budget.allowed) - 1;
        left.set(budget, rest);
        violates ||= rest < 0;
      }
      (violates ? violating : others).push(pod);
    }
    return { violating, others };
  }

  private of(namespace: string): readonly Budget[] {
    let budgets = this.budgets.get(namespace);
    if (!budgets) this.budgets.set(namespace, (budgets = this.budgetsOf(namespace).flatMap(budgetOf)));
    return budgets;
  }
}

/** None for a budget whose selector is absent or empty: to preemption it means no pods. */
function budgetOf({ spec, status }: PodDisruptionBudget): Budget[] {
  const { matchLabels = {}, matchExpressions = [] } = spec?.selector ?? {};
  if (Object.keys(matchLabels).length + matchExpressions.length === 0) return [];
  const matches = compileLabelSelector(spec?.selector);
  return [{ matches, allowed: status?.disruptionsAllowed ?? 0, disrupted: status?.disruptedPods ?? {} }];
}

/**
 * Keeps the status of PodDisruptionBudgets, which evictions are decided by, and tells pods whose disruption never came.
 *
 * Guarantee: `disruptionsAllowed` is written on the version of the budget that the eviction subresource counted down, or not
 * at all (409, tried again), so no eviction is granted twice. While the status cannot be worked out it is 0.
 */
import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '../../../base/clock.js';
import { errorText } from '../../../base/log.js';
import { isConflict, isNotFound } from '../../../api/errors.js';
import { keyOf, splitKey } from '../../../api/object.js';
import { PODDISRUPTIONBUDGETS, PODS } from '../../../api/resource.js';
import { labelMatcher } from '../../../api/selectors/label.js';
import type { Pod } from '../../../api/types/core-v1.js';
import type { LabelSelector } from '../../../api/types/meta-v1.js';
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from '../../../api/types/policy-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import type { SharedDeps } from '../deps.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { isPodReady } from '../pod-state.js';
import { failSafe, needsScale, planBudget, staleDisruptionInMs } from './plan.js';
import { PodScales, type ExpectedScale } from './scale.js';

const COMPONENT = 'controllermanager';

export function disruptionController(deps: SharedDeps): Controller {
  return new BudgetReconciler(deps).controller;
}

class BudgetReconciler {
  readonly controller: Controller;
  private readonly budgets: Informer<PodDisruptionBudget>;
  private readonly pods: Informer<Pod>;
  private readonly scales: PodScales;

  constructor(private readonly deps: SharedDeps) {
    this.budgets = deps.informers.of(PODDISRUPTIONBUDGETS);
    this.pods = deps.informers.of(PODS);
    this.scales = new PodScales(deps);
    this.controller = new Controller(deps, {
      name: 'disruption',
      workers: 2,
      waitFor: [this.budgets, this.pods, ...this.scales.informers],
      reconcile: (key) => this.reconcile(key),
    });
    this.budgets.addHandler({ onUpsert: (budget) => this.controller.queue.add(keyOf(budget)) });
    this.pods.addHandler({
      onUpsert: (pod, previous) => {
        if (!previous || matters(pod, previous)) this.wake(pod, previous);
      },
      onDelete: (pod) => this.wake(pod, undefined),
    });
  }

  private wake(pod: Pod, previous: Pod | undefined): void {
    for (const budget of this.budgets.byIndex(BY_NAMESPACE, pod.metadata.namespace ?? '')) {
      const selects = labelMatcher(budget.spec?.selector);
      if (selects.matches(pod.metadata.labels) || (previous && selects.matches(previous.metadata.labels))) {
        this.controller.queue.add(keyOf(budget));
      }
    }
  }

  private async reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const budget = this.budgets.get(namespace, name);
    if (!budget) return;
    try {
      return await this.settle(budget);
    } catch (error) {
      if (isNotFound(error) && !this.budgets.get(namespace, name)) return;
      if (!isConflict(error)) await this.write(budget, failSafe(budget, errorText(error), this.deps.clock.nowMs()));
      throw error;
    }
  }

  private async settle(budget: PodDisruptionBudget): Promise<ReconcileResult | void> {
    const selects = labelMatcher(budget.spec?.selector);
    const pods = this.pods
      .byIndex(BY_NAMESPACE, budget.metadata.namespace ?? '')
      .filter((pod) => selects.matches(pod.metadata.labels));
    if (pods.length === 0) this.event(budget, 'Normal', 'NoPods', 'No matching pods found');
    const { scale, unmanaged } = await this.scaleOf(budget, pods);
    if (unmanaged.length > 0) {
      this.event(
        budget,
        'Warning',
        'UnmanagedPods',
        `Pods selected by this PodDisruptionBudget (selector: ${selectorText(budget.spec?.selector)}) were found to be ` +
          'unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined ' +
          'behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.',
      );
    }
    const nowMs = this.deps.clock.nowMs();
    const { status, overdue, recheckInMs } = planBudget({ budget, pods, scale: () => scale, nowMs });
    for (const pod of overdue) {
      const { namespace = '', name = '' } = budget.metadata;
      const message = `Pod was expected by PDB ${namespace}/${name} to be deleted but it wasn't`;
      this.deps.events(COMPONENT).event(pod as Pod, 'Warning', 'NotDeleted', message);
    }
    await this.write(budget, status);
    if (recheckInMs !== undefined) return { requeueAfterMs: recheckInMs };
  }

  private async scaleOf(budget: PodDisruptionBudget, pods: readonly Pod[]): Promise<ExpectedScale> {
    if (!needsScale(budget)) return { scale: 0, unmanaged: [] };
    try {
      return await this.scales.of(pods);
    } catch (error) {
      const message = `Failed to calculate the number of expected pods: ${errorText(error)}`;
      this.event(budget, 'Warning', 'CalculateExpectedPodCountFailed', message);
      throw error;
    }
  }

  private async write(budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus): Promise<void> {
    if (isDeepStrictEqual(status, budget.status)) return;
    await this.deps.client.updateStatus<PodDisruptionBudget>(PODDISRUPTIONBUDGETS, { ...budget, status });
  }

  private event(budget: PodDisruptionBudget, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.deps.events(COMPONENT).event(budget, type, reason, message);
  }
}

/** What of a pod a budget looks at. */
function matters(pod: Pod, previous: Pod): boolean {
  return (
    isPodReady(pod) !== isPodReady(previous) ||
    pod.metadata.deletionTimestamp !== previous.metadata.deletionTimestamp ||
    pod.status?.phase !== previous.status?.phase ||
    !isDeepStrictEqual(pod.metadata.labels, previous.metadata.labels) ||
    !isDeepStrictEqual(pod.metadata.ownerReferences, previous.metadata.ownerReferences)
  );
}

/** As `kubectl` writes selectors. */
function selectorText(selector: LabelSelector | undefined): string {
  const labels = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const expressions = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }) =>
    values.length > 0 ? `${key} ${operator.toLowerCase()} (${values.join(',')})` : `${key} ${operator}`,
  );
  return [...labels, ...expressions].join(',');
}

/**
 * Takes back the `DisruptionTarget` condition of pods that are still there two minutes after it was set: what was to end them
 * changed its mind, and whoever looks at the condition (a Job's failure policy) must not be misled.
 */
export function staleDisruptionController(deps: SharedDeps): Controller {
  const pods = deps.informers.of<Pod>(PODS);
  const controller = new Controller(deps, { name: 'stale-disruption', waitFor: [pods], reconcile });
  pods.addHandler({
    onUpsert: (pod) => {
      const waitMs = staleDisruptionInMs(pod, deps.clock.nowMs());
      if (waitMs !== undefined) controller.queue.addAfter(keyOf(pod), waitMs);
    },
  });

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const pod = pods.get(namespace, name);
    const nowMs = deps.clock.nowMs();
    const waitMs = pod && staleDisruptionInMs(pod, nowMs);
    if (!pod || waitMs === undefined) return;
    if (waitMs > 0) return { requeueAfterMs: waitMs };
    const conditions = (pod.status?.conditions ?? []).map((condition) =>
      condition.type === 'DisruptionTarget'
        ? { type: condition.type, status: 'False', lastTransitionTime: rfc3339(nowMs) }
        : condition,
    );
    try {
      await deps.client.updateStatus<Pod>(PODS, { ...pod, status: { ...pod.status, conditions } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return controller;
}

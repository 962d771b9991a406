/** What a quota's status should say, from all objects of its namespace. Pure. */
import type { KubeObject } from '../../../api/object.js';
import { Quantity } from '../../../api/quantity.js';
import { addTo, amountsOf, toQuantityMap, type Amounts } from '../../../api/quota/amounts.js';
import { evaluatorOf, podDeadlineMs, quotaCounts, type QuotaEvaluator } from '../../../api/quota/usage.js';
import { groupResourceOf, type ResourceRef } from '../../../api/resource.js';
import type { Pod, ResourceQuota, ResourceQuotaStatus } from '../../../api/types/core-v1.js';

export interface Countable {
  readonly resource: ResourceRef;
  readonly evaluator: QuotaEvaluator;
}

/** What quotas can count, each resource once however many versions it has. */
export function countables(resources: readonly ResourceRef[]): Countable[] {
  const found = new Map<string, Countable>();
  for (const resource of resources) {
    const name = groupResourceOf(resource);
    const evaluator =
      resource.namespaced && !found.has(name) ? evaluatorOf(resource.group, resource.resource) : undefined;
    if (evaluator) found.set(name, { resource, evaluator });
  }
  return [...found.values()];
}

export const limitsOf = ({ spec }: ResourceQuota): readonly string[] => Object.keys(spec?.hard ?? {});

/** Those of which at least one of the quotas limits something. */
export const concerned = (all: readonly Countable[], quotas: readonly ResourceQuota[]): Countable[] =>
  all.filter(({ evaluator }) => quotas.some((quota) => limitsOf(quota).some((name) => evaluator.counts(name))));

export interface Counted extends Countable {
  readonly objects: readonly KubeObject[];
}

function add(total: Map<string, Quantity>, usage: Amounts): void {
  const relevant = new Map([...usage].filter(([name]) => total.has(name)));
  addTo(total, relevant);
}

/** The status that follows from the objects; undefined when the quota has it. */
export function plannedStatus(
  quota: ResourceQuota,
  counted: readonly Counted[],
  nowMs: number,
): ResourceQuotaStatus | undefined {
  const names = limitsOf(quota);
  // Names that mean nothing are not counted; a kind that is counted may come later, and its first object must find a number.
  const counts = (name: string) => name.startsWith('count/') || counted.some(({ evaluator }) => evaluator.counts(name));
  const used = new Map(names.filter(counts).map((name) => [name, Quantity.ZERO]));
  for (const { evaluator, objects } of counted) {
    for (const object of objects) {
      if (quotaCounts(quota, names, evaluator, object)) add(used, evaluator.usage(object, nowMs));
    }
  }
  const hard = amountsOf(quota.spec?.hard);
  const { status } = quota;
  if (sameAmounts(hard, amountsOf(status?.hard)) && sameAmounts(used, amountsOf(status?.used))) {
    // A quota without limits is done when it says so.
    if (names.length > 0 || status?.hard !== undefined) return undefined;
  }
  return { hard: toQuantityMap(hard), used: toQuantityMap(used) };
}

function sameAmounts(a: Amounts, b: Amounts): boolean {
  if (a.size !== b.size) return false;
  for (const [name, amount] of a) if (!b.get(name)?.equals(amount)) return false;
  return true;
}

/** When the next pod that should have ended by then stops counting, in milliseconds of the wall clock. */
export function nextDeadlineMs(pods: readonly KubeObject[], nowMs: number): number | undefined {
  const deadlines = pods.flatMap((pod) => podDeadlineMs(pod as Pod) ?? []).filter((deadline) => deadline >= nowMs);
  return deadlines.length === 0 ? undefined : Math.min(...deadlines);
}

/**
 * ResourceQuota: refuses what a quota of the namespace does not allow, and charges what it does. Check and charge happen in
 * the transaction that stores the object, so a quota is exact among the peers of one component; after a split the
 * controller counts anew. What is given back by deletions and by pods that end is the controller's to notice.
 *
 * Costs O(quotas of the namespace): usage is read from `status.used`, never counted here. As upstream, a quota takes effect
 * once the controller has filled in its status.
 */
import { forbidden } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import type { Quantity } from '../../api/quantity.js';
import { addTo, amountsOf, describeAmounts, increase, sortedNames, toQuantityMap } from '../../api/quota/amounts.js';
import type { Amounts } from '../../api/quota/amounts.js';
import { chargedNames, evaluatorOf, quotaCounts, type QuotaEvaluator } from '../../api/quota/usage.js';
import type { Pod, ResourceQuota } from '../../api/types/core-v1.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin } from './admission.js';

/** Where a quota limits these, every container must say what it wants (upstream's `validationSet`). */
const MUST_BE_SPECIFIED = new Set(['cpu', 'memory'].flatMap((name) => [name, `requests.${name}`, `limits.${name}`]));

interface Charge {
  readonly quota: ResourceQuota;
  readonly used: Amounts;
}

function specifiedNames(resources: { requests?: object; limits?: object } | undefined): Set<string> {
  const names = (which: 'requests' | 'limits') =>
    Object.keys(resources?.[which] ?? {}).flatMap((name) => chargedNames(which, name));
  return new Set([...names('requests'), ...names('limits')]);
}

/** `must specify limits.cpu for: a,b; …`; undefined when every container does. */
function unspecified(pod: Pod, limited: Iterable<string>): string | undefined {
  const required = [...limited].filter((name) => MUST_BE_SPECIFIED.has(name));
  if (required.length === 0) return undefined;
  const missing = new Map<string, Set<string>>();
  for (const { name: container, resources } of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) {
    const specified = specifiedNames(resources);
    for (const name of required) {
      if (specified.has(name)) continue;
      const containers = missing.get(name);
      if (containers) containers.add(container);
      else missing.set(name, new Set([container]));
    }
  }
  if (missing.size === 0) return undefined;
  const parts = sortedNames(missing.keys()).map(
    (name) => `${name} for: ${sortedNames(missing.get(name) ?? []).join()}`,
  );
  return `must specify ${parts.join('; ')}`;
}

const select = (amounts: Amounts, names: ReadonlySet<string> | Amounts): Map<string, Quantity> =>
  new Map([...amounts].filter(([name]) => names.has(name)));

export class ResourceQuotaAdmission implements AdmissionPlugin {
  readonly name = 'ResourceQuota';
  /** What the last validated request is to be charged, until it is committed: the executor runs one write at a time. */
  private pending: { readonly attributes: AdmissionAttributes; readonly charges: readonly Charge[] } | undefined;

  handles({ operation, group, resource, subresource, namespace }: AdmissionAttributes): boolean {
    if (namespace === '' || subresource !== '') return false;
    if (operation === 'CREATE') return true;
    return operation === 'UPDATE' && group === '' && (resource === 'services' || resource === 'persistentvolumeclaims');
  }

  validate(attributes: AdmissionAttributes, lookups: AdmissionLookups): void {
    this.pending = undefined;
    const quotas = lookups.list('', 'resourcequotas', attributes.namespace) as readonly KubeObject[];
    if (quotas.length === 0 || attributes.object === undefined) return;
    const evaluator = evaluatorOf(attributes.group, attributes.resource);
    if (evaluator === undefined) return;
    const charges: Charge[] = [];
    for (const quota of quotas) {
      const charge = chargeOf(quota as ResourceQuota, evaluator, attributes, attributes.object, lookups.nowMs);
      if (charge) charges.push(charge);
    }
    if (charges.length > 0 && !attributes.dryRun) this.pending = { attributes, charges };
  }

  committed(attributes: AdmissionAttributes): void {
    const { pending } = this;
    if (pending?.attributes !== attributes) return;
    this.pending = undefined;
    for (const { quota, used } of pending.charges) {
      const charged: ResourceQuota = { ...quota, status: { ...quota.status, used: toQuantityMap(used) } };
      attributes.effects.put('', 'resourcequotas', charged);
    }
  }
}

/** What the quota is charged for the object; undefined for nothing. Throws a 403 where it does not allow it. */
function chargeOf(
  quota: ResourceQuota,
  evaluator: QuotaEvaluator,
  { group, resource, name, oldObject }: AdmissionAttributes,
  object: KubeObject,
  nowMs: number,
): Charge | undefined {
  const hard = amountsOf(quota.status?.hard);
  if (!quotaCounts(quota, hard.keys(), evaluator, object)) return undefined;
  const quotaName = quota.metadata.name ?? '';
  const refuse = (why: string) => forbidden({ group, resource }, name, why);
  const limited = [...hard.keys()].filter((limit) => evaluator.counts(limit));
  const missing = evaluator.scoped ? unspecified(object as Pod, limited) : undefined;
  if (missing !== undefined) throw refuse(`failed quota: ${quotaName}: ${missing}`);
  const used = amountsOf(quota.status?.used);
  if (!limited.every((limit) => used.has(limit))) {
    throw refuse(`status unknown for quota: ${quotaName}, resources: ${sortedNames(limited).join()}`);
  }
  const before =
    oldObject !== undefined && quotaCounts(quota, hard.keys(), evaluator, oldObject)
      ? evaluator.usage(oldObject, nowMs)
      : new Map<string, Quantity>();
  const requested = select(increase(evaluator.usage(object, nowMs), before), hard);
  if (requested.size === 0) return undefined;
  const next = new Map(used);
  addTo(next, requested);
  const exceeded = new Set<string>();
  for (const limit of requested.keys()) {
    const [amount, most] = [next.get(limit), hard.get(limit)];
    if (amount !== undefined && most !== undefined && amount.compare(most) > 0) exceeded.add(limit);
  }
  if (exceeded.size > 0) {
    throw refuse(
      `exceeded quota: ${quotaName}, requested: ${describeAmounts(select(requested, exceeded))}, ` +
        `used: ${describeAmounts(select(used, exceeded))}, limited: ${describeAmounts(select(hard, exceeded))}`,
    );
  }
  return { quota, used: next };
}

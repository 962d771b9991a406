/**
 * LimitRanger: fills in what containers leave out, and refuses pods and claims outside of the limits of the namespace's
 * LimitRanges. Limits are checked when a pod is created, and whenever a claim changes.
 */
import { forbidden } from '../../api/errors.js';
import { Quantity } from '../../api/quantity.js';
import { amountsOf, sortedNames, type Amounts, type QuantityMap } from '../../api/quota/amounts.js';
import { podLimits, podRequests } from '../../api/quota/pod-resources.js';
import { qosClassOf } from '../../api/strategy/qos.js';
import type { Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod } from '../../api/types/core-v1.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin } from './admission.js';

const ANNOTATION = 'kubernetes.io/limit-ranger';

const isPod = ({ resource }: AdmissionAttributes) => resource === 'pods';
const rangesOf = ({ namespace }: AdmissionAttributes, lookups: AdmissionLookups) =>
  lookups.list('', 'limitranges', namespace) as readonly LimitRange[];

export const limitRanger: AdmissionPlugin = {
  name: 'LimitRanger',

  handles({ operation, group, resource, subresource, oldObject }) {
    if (group !== '' || subresource !== '' || oldObject?.metadata.deletionTimestamp !== undefined) return false;
    if (resource === 'pods') return operation === 'CREATE';
    return resource === 'persistentvolumeclaims' && operation !== 'DELETE';
  },

  admit(attributes, lookups) {
    if (!isPod(attributes)) return;
    for (const range of rangesOf(attributes, lookups)) fillIn(attributes.object as Pod, range);
  },

  validate(attributes, lookups) {
    const { group, resource, name, object } = attributes;
    for (const { spec } of rangesOf(attributes, lookups)) {
      const problems = new Set<string>();
      for (const limit of spec?.limits ?? []) {
        const found = isPod(attributes)
          ? podProblems(limit, object as Pod)
          : claimProblems(limit, object as PersistentVolumeClaim);
        for (const problem of found) problems.add(problem);
      }
      if (problems.size === 0) continue;
      const why = [...problems].join(', ');
      throw forbidden({ group, resource }, name, problems.size === 1 ? why : `[${why}]`);
    }
  },
};

function fillIn(pod: Pod, { spec }: LimitRange): void {
  const limits: Record<string, string | number> = {};
  const requests: Record<string, string | number> = {};
  for (const limit of spec?.limits ?? []) {
    if (limit.type !== 'Container') continue;
    Object.assign(limits, limit.default);
    Object.assign(requests, limit.defaultRequest);
  }
  const done = [
    ...(pod.spec?.containers ?? []).flatMap((container) => fillContainer(container, 'container', requests, limits)),
    ...(pod.spec?.initContainers ?? []).flatMap((container) =>
      fillContainer(container, 'init container', requests, limits),
    ),
  ];
  if (done.length === 0) return;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [ANNOTATION]: `LimitRanger plugin set: ${done.join('; ')}`,
  };
  // The class was settled before these were filled in.
  if (pod.status?.qosClass !== undefined) pod.status = { ...pod.status, qosClass: qosClassOf(pod.spec) };
}

/** Fills in one container; tells what was set, as the annotation words it. */
function fillContainer(
  container: Container,
  what: string,
  requests: Readonly<Record<string, string | number>>,
  limits: Readonly<Record<string, string | number>>,
): string[] {
  const own = container.resources;
  const missing = (which: 'requests' | 'limits', defaults: object) =>
    sortedNames(Object.keys(defaults)).filter((name) => own?.[which]?.[name] === undefined);
  const [wantedLimits, wantedRequests] = [missing('limits', limits), missing('requests', requests)];
  if (wantedLimits.length + wantedRequests.length === 0) return [];
  const pick = (names: readonly string[], from: Readonly<Record<string, string | number>>) =>
    Object.fromEntries(names.map((name) => [name, from[name] ?? '0']));
  container.resources = {
    ...own,
    ...(wantedLimits.length > 0 ? { limits: { ...own?.limits, ...pick(wantedLimits, limits) } } : {}),
    ...(wantedRequests.length > 0 ? { requests: { ...own?.requests, ...pick(wantedRequests, requests) } } : {}),
  };
  const said = (names: readonly string[], which: string) =>
    names.length > 0 ? [`${names.join(', ')} ${which} for ${what} ${container.name}`] : [];
  return [...said(wantedRequests, 'request'), ...said(wantedLimits, 'limit')];
}

function podProblems(limit: LimitRangeItem, { spec }: Pod): string[] {
  if (limit.type === 'Container') {
    return [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].flatMap(({ resources }) =>
      problemsOf(limit, amountsOf(resources?.requests), amountsOf(resources?.limits)),
    );
  }
  if (limit.type !== 'Pod') return [];
  return problemsOf(limit, podRequests(spec, false), podLimits(spec, false));
}

function problemsOf(limit: LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  return [
    ...each(limit.min, (name, least) => tooLittle(limit.type, name, least, requests, limits)),
    ...each(limit.max, (name, most) => tooMuch(limit.type, name, most, requests, limits)),
    ...each(limit.maxLimitRequestRatio, (name, ratio) => tooWide(limit.type, name, ratio, requests, limits)),
  ];
}

function each(enforced: QuantityMap, check: (name: string, amount: Quantity) => string | undefined): string[] {
  const amounts = amountsOf(enforced);
  return sortedNames(amounts.keys()).flatMap((name) => check(name, amounts.get(name) ?? Quantity.ZERO) ?? []);
}

function tooLittle(type: string, name: string, least: Quantity, requests: Amounts, limits: Amounts) {
  const head = `minimum ${name} usage per ${type} is ${least.toString()}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (request === undefined) return `${head}.  No request is specified`;
  if (request.compare(least) < 0) return `${head}, but request is ${request.toString()}`;
  if (limit !== undefined && limit.compare(least) < 0) return `${head}, but limit is ${limit.toString()}`;
  return undefined;
}

function tooMuch(type: string, name: string, most: Quantity, requests: Amounts, limits: Amounts) {
  const head = `maximum ${name} usage per ${type} is ${most.toString()}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (limit === undefined) return `${head}.  No limit is specified`;
  if (limit.compare(most) > 0) return `${head}, but limit is ${limit.toString()}`;
  if (request !== undefined && request.compare(most) > 0) return `${head}, but request is ${request.toString()}`;
  return undefined;
}

function tooWide(type: string, name: string, most: Quantity, requests: Amounts, limits: Amounts) {
  const head = `${name} max limit to request ratio per ${type} is ${most.toString()}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (!request || request.isZero) return `${head}, but no request is specified or request is 0`;
  if (!limit || limit.isZero) return `${head}, but no limit is specified or limit is 0`;
  const ratio = Number(limit.nano) / Number(request.nano);
  if (ratio <= Number(most.nano) / 1e9) return undefined;
  return `${head}, but provided ratio is ${ratio.toFixed(6)}`;
}

/** Claims have requests only. */
function claimProblems(limit: LimitRangeItem, { spec }: PersistentVolumeClaim): string[] {
  if (limit.type !== 'PersistentVolumeClaim') return [];
  const requests = amountsOf(spec?.resources?.requests);
  const most = (name: string, amount: Quantity) => {
    const head = `maximum ${name} usage per ${limit.type} is ${amount.toString()}`;
    const request = requests.get(name);
    if (request === undefined) return `${head}.  No request is specified`;
    return request.compare(amount) > 0 ? `${head}, but request is ${request.toString()}` : undefined;
  };
  return [
    ...each(limit.min, (name, least) => tooLittle(limit.type, name, least, requests, new Map())),
    ...each(limit.max, most),
  ];
}

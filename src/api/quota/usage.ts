/**
 * What an object counts against quotas, and which quotas it belongs to (`pkg/quota/v1/evaluator/core`). One evaluator a
 * resource; what has none of its own is counted by number (`count/<resource>.<group>`). Pure.
 */
import type { DeepReadonly, KubeObject } from '../object.js';
import { Quantity } from '../quantity.js';
import { groupResourceOf } from '../resource.js';
import type { PersistentVolumeClaim, Pod, ResourceQuota, Service } from '../types/core-v1.js';
import { amountsOf, ONE, type Amounts, type QuantityMap } from './amounts.js';
import { podLimits, podRequests } from './pod-resources.js';
import { podIsInScope, scopesOf } from './scopes.js';

export interface QuotaEvaluator {
  /** Whether quotas of `name` concern these objects. */
  counts(name: string): boolean;
  /** The object's usage at `nowMs`; objects are frozen, so the same object has the same usage but for its end. */
  usage(object: KubeObject, nowMs: number): Amounts;
  /** Whether an update can change the usage; creations always do. */
  readonly onUpdate: boolean;
  /** Only pods have scopes; a quota with scopes concerns nothing else. */
  readonly scoped: boolean;
}

/** Resources that were countable before `count/` was. */
const CLASSIC_COUNTS = new Set(['configmaps', 'resourcequotas', 'replicationcontrollers', 'secrets', 'services']);
const STORAGE_CLASS_SUFFIX = '.storageclass.storage.k8s.io/';

const POD_NAMES = new Set([
  'count/pods',
  'pods',
  ...['cpu', 'memory', 'ephemeral-storage'].flatMap((name) => [name, `requests.${name}`, `limits.${name}`]),
]);
const HUGE_PAGES = 'hugepages-';
/** Prefixes of what the core itself calls a resource (`IsNativeResource`). */
const isNative = (name: string) => !name.includes('/') || name.includes('kubernetes.io/');

/** A resource that devices and the like provide: `example.com/gpu`. */
const isExtended = (name: string) => !isNative(name) && !name.startsWith('requests.');

/** The names under which an amount of one resource is charged, as a request or as a limit. */
export function chargedNames(which: 'requests' | 'limits', name: string): readonly string[] {
  const basic = name === 'cpu' || name === 'memory' || name === 'ephemeral-storage';
  if (which === 'limits') return basic ? [`limits.${name}`] : [];
  if (basic || name.startsWith(HUGE_PAGES)) return [name, `requests.${name}`];
  return isExtended(name) ? [`requests.${name}`] : [];
}

function charge(out: Map<string, Quantity>, which: 'requests' | 'limits', amounts: Amounts): void {
  for (const [name, amount] of amounts) for (const charged of chargedNames(which, name)) out.set(charged, amount);
}

/** When the pod's time to end is up, in milliseconds of the wall clock; undefined while nobody wants it to end. */
export function podDeadlineMs({ metadata }: DeepReadonly<Pod>): number | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return undefined;
  return Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000;
}

/** A pod that ended, or should have ended long ago, uses nothing any more but its place in the store. */
function isSpent(pod: DeepReadonly<Pod>, nowMs: number): boolean {
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return true;
  const deadline = podDeadlineMs(pod);
  return deadline !== undefined && nowMs > deadline;
}

const POD_EVALUATOR: QuotaEvaluator = {
  onUpdate: false,
  scoped: true,
  counts(name) {
    if (POD_NAMES.has(name) || name.startsWith(HUGE_PAGES)) return true;
    return name.startsWith('requests.') && (name.startsWith(`requests.${HUGE_PAGES}`) || !isNative(name.slice(9)));
  },
  usage(object, nowMs) {
    const pod = object as Pod;
    const out = new Map([['count/pods', ONE]]);
    if (isSpent(pod, nowMs)) return out;
    out.set('pods', ONE);
    charge(out, 'requests', podRequests(pod.spec));
    charge(out, 'limits', podLimits(pod.spec));
    return out;
  },
};

const SERVICE_NAMES = new Set(['count/services', 'services', 'services.nodeports', 'services.loadbalancers']);

const SERVICE_EVALUATOR: QuotaEvaluator = {
  onUpdate: true,
  scoped: false,
  counts: (name) => SERVICE_NAMES.has(name),
  usage(object) {
    const { type, ports = [], allocateLoadBalancerNodePorts } = (object as Service).spec ?? {};
    const asked = ports.filter(({ nodePort }) => (nodePort ?? 0) !== 0).length;
    const balanced = allocateLoadBalancerNodePorts === false ? asked : ports.length;
    const nodePorts = type === 'NodePort' ? ports.length : type === 'LoadBalancer' ? balanced : 0;
    return new Map([
      ['count/services', ONE],
      ['services', ONE],
      ['services.nodeports', Quantity.of(nodePorts)],
      ['services.loadbalancers', Quantity.of(type === 'LoadBalancer' ? 1 : 0)],
    ]);
  },
};

const CLAIM_NAMES = new Set(['count/persistentvolumeclaims', 'persistentvolumeclaims', 'requests.storage']);
const BETA_STORAGE_CLASS = 'volume.beta.kubernetes.io/storage-class';

/** The class a claim names: the annotation that came before the field wins (`GetPersistentVolumeClaimClass`). */
export const storageClassOf = ({ metadata, spec }: DeepReadonly<PersistentVolumeClaim>): string =>
  metadata.annotations?.[BETA_STORAGE_CLASS] ?? spec?.storageClassName ?? '';

/** Whether the claim names a class at all, if only the empty one. */
export const namesStorageClass = ({ metadata, spec }: DeepReadonly<PersistentVolumeClaim>): boolean =>
  metadata.annotations?.[BETA_STORAGE_CLASS] !== undefined || spec?.storageClassName !== undefined;

/** What is asked for, or what is being allocated where that is more: a shrunk request gives nothing back at once. */
function storageOf({ spec, status }: PersistentVolumeClaim): Quantity | undefined {
  const asked = amountsOf(spec?.resources?.requests as QuantityMap).get('storage');
  const allocated = amountsOf(status?.allocatedResources as QuantityMap).get('storage');
  if (asked === undefined || allocated === undefined) return asked;
  return allocated.compare(asked) > 0 ? allocated : asked;
}

const CLAIM_EVALUATOR: QuotaEvaluator = {
  onUpdate: true,
  scoped: false,
  counts: (name) =>
    CLAIM_NAMES.has(name) ||
    name.endsWith(`${STORAGE_CLASS_SUFFIX}requests.storage`) ||
    name.endsWith(`${STORAGE_CLASS_SUFFIX}persistentvolumeclaims`),
  usage(object) {
    const claim = object as PersistentVolumeClaim;
    const storageClass = storageClassOf(claim);
    const storage = storageOf(claim);
    const out = new Map([
      ['count/persistentvolumeclaims', ONE],
      ['persistentvolumeclaims', ONE],
    ]);
    if (storageClass !== '') out.set(`${storageClass}${STORAGE_CLASS_SUFFIX}persistentvolumeclaims`, ONE);
    if (storage === undefined) return out;
    out.set('requests.storage', storage);
    if (storageClass !== '') out.set(`${storageClass}${STORAGE_CLASS_SUFFIX}requests.storage`, storage);
    return out;
  },
};

function countEvaluator(group: string, resource: string): QuotaEvaluator {
  const counted = `count/${groupResourceOf({ group, resource })}`;
  const usage = new Map([[counted, ONE]]);
  const classic = group === '' && CLASSIC_COUNTS.has(resource);
  if (classic) usage.set(resource, ONE);
  return { onUpdate: false, scoped: false, counts: (name) => usage.has(name), usage: () => usage };
}

const OWN_EVALUATORS: Readonly<Record<string, QuotaEvaluator>> = {
  pods: POD_EVALUATOR,
  services: SERVICE_EVALUATOR,
  persistentvolumeclaims: CLAIM_EVALUATOR,
};

/** Never counted: what is not stored, and Events. */
const IGNORED = new Set([
  'bindings',
  'events',
  'events.events.k8s.io',
  'localsubjectaccessreviews.authorization.k8s.io',
]);

/** Undefined for what no quota counts. */
export function evaluatorOf(group: string, resource: string): QuotaEvaluator | undefined {
  if (IGNORED.has(groupResourceOf({ group, resource }))) return undefined;
  return (group === '' ? OWN_EVALUATORS[resource] : undefined) ?? countEvaluator(group, resource);
}

/** Whether the quota, which limits `names`, counts this object. */
export function quotaCounts(
  quota: DeepReadonly<ResourceQuota>,
  names: Iterable<string>,
  evaluator: QuotaEvaluator,
  object: KubeObject,
): boolean {
  let concerned = false;
  for (const name of names) concerned ||= evaluator.counts(name);
  if (!concerned) return false;
  const scopes = scopesOf(quota);
  if (scopes.length === 0) return true;
  return evaluator.scoped && scopes.every((scope) => podIsInScope(scope, object as Pod));
}

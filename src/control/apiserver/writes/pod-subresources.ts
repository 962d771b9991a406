/** POST to `pods/binding` and `pods/eviction`. */
import { rfc3339 } from '../../../base/clock.js';
import { ApiError, badRequest, conflict, forbidden, invalid, notFound } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { labelMatcher } from '../../../api/selectors/label.js';
import type { Binding, Pod } from '../../../api/types/core-v1.js';
import type { Condition } from '../../../api/types/meta-v1.js';
import type { Eviction, PodDisruptionBudget } from '../../../api/types/policy-v1.js';
import type { ObjectKey } from '../../../store/object-store.js';
import { attributesOf, checkPlace, decodeBody, keyOf, type Outcome, type WriteContext } from './context.js';
import { checkPreconditions, deleteParameters, deletePresent } from './delete.js';

const CREATED = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };

function podsInfo({ deps }: WriteContext): ResourceInfo {
  const info = deps.registry.find('', 'v1', 'pods');
  if (info === undefined) throw new Error('the registry has no pods');
  return info;
}

function decoded(context: WriteContext, group: string, version: string, kind: string): KubeObject {
  const info = context.deps.registry.kindInfo(group, version, kind);
  if (info === undefined) throw new Error(`no schema for ${kind}`);
  return decodeBody(context, info);
}

function condition(pod: Pod, type: string, at: string, fields: { status: string; reason?: string; message?: string }) {
  const others = (pod.status?.conditions ?? []).filter((present) => present.type !== type);
  return [...others, { type, lastProbeTime: null, lastTransitionTime: at, ...fields }] as NonNullable<
    NonNullable<Pod['status']>['conditions']
  >;
}

/** What is sent is admitted, not the pod that it is about. */
function admitBody(context: WriteContext, name: string, body: KubeObject): void {
  const { deps, lookups } = context;
  const attributes = attributesOf(context, 'CREATE', name, body, undefined);
  deps.admission.admit(attributes, lookups);
  deps.admission.validate(attributes, lookups);
}

/** The node that the binding names. Throws `ApiError` for one that names none, or something else. */
function targetOf({ target }: Binding, name: string): string {
  const kind = { group: '', kind: 'Binding' };
  if (target?.kind && target.kind !== 'Node') {
    const message = `Unsupported value: "${target.kind}": supported values: "Node", "<empty>"`;
    throw invalid(kind, name, [{ type: 'FieldValueNotSupported', field: 'target.kind', message }]);
  }
  if (target?.name) return target.name;
  throw invalid(kind, name, [{ type: 'FieldValueRequired', field: 'target.name', message: 'Required value' }]);
}

/** Throws a conflict for a pod that is not the one that is meant, or can be assigned to no node. */
function checkBindable(pods: ResourceInfo, name: string, { metadata }: Binding, pod: Pod): void {
  const { uid, resourceVersion } = metadata ?? {};
  if (uid && uid !== pod.metadata?.uid) {
    const text = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata?.uid}`;
    throw conflict(pods, name, text);
  }
  if (resourceVersion && resourceVersion !== pod.metadata?.resourceVersion) {
    throw conflict(pods, name, 'Precondition failed: ResourceVersion in precondition does not match');
  }
  const refuse = (why: string) => conflict({ group: '', resource: 'pods/binding' }, name, `pod ${name} ${why}`);
  if (pod.metadata?.deletionTimestamp) throw refuse('is being deleted, cannot be assigned to a host');
  if (pod.spec?.nodeName) throw refuse(`is already assigned to node "${pod.spec.nodeName}"`);
  if ((pod.spec?.schedulingGates ?? []).length > 0) throw refuse('has non-empty .spec.schedulingGates');
}

/** Assigns a pod to a node, once. */
export function bindPod(context: WriteContext): Outcome {
  const { request, transaction } = context;
  const pods = podsInfo(context);
  const binding = decoded(context, '', 'v1', 'Binding') as unknown as Binding;
  const name = request.name === '' ? (binding.metadata?.name ?? '') : request.name;
  checkPlace(context, binding as unknown as KubeObject);
  admitBody(context, name, binding as unknown as KubeObject);
  const nodeName = targetOf(binding, name);
  const key = keyOf(pods, request.namespace, name);
  const pod = transaction.get(key) as Pod | undefined;
  if (!pod?.spec) throw notFound(pods, name);
  checkBindable(pods, name, binding, pod);
  const at = rfc3339(transaction.nowMs);
  const bound = {
    ...pod,
    metadata: {
      ...pod.metadata,
      ...(binding.metadata?.annotations
        ? { annotations: { ...pod.metadata?.annotations, ...binding.metadata.annotations } }
        : {}),
    },
    spec: { ...pod.spec, nodeName },
    status: { ...pod.status, conditions: condition(pod, 'PodScheduled', at, { status: 'True' }) },
  };
  if (!request.dryRun) transaction.put(key, bound as KubeObject);
  return { code: 201, body: CREATED };
}

const isReady = (pod: Pod) =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** Granted evictions of one budget whose pods are not gone yet, at most. */
const MAX_DISRUPTED_PODS = 2_000;
const BUDGETS = { group: 'policy', resource: 'poddisruptionbudgets' } as const;
const WOULD_VIOLATE = "Cannot evict pod as it would violate the pod's disruption budget.";

/** The budgets that speak of this pod. */
function budgetsFor({ transaction }: WriteContext, pod: Pod): PodDisruptionBudget[] {
  const budgets = transaction.list(BUDGETS.group, BUDGETS.resource, pod.metadata?.namespace) as PodDisruptionBudget[];
  return budgets.filter(({ spec }) => spec?.selector && labelMatcher(spec.selector).matches(pod.metadata?.labels));
}

function tooManyDisruptions(cause: string, retryAfterSeconds?: number): ApiError {
  return new ApiError(429, 'TooManyRequests', WOULD_VIOLATE, {
    causes: [{ reason: 'DisruptionBudget', message: cause }],
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

function budgetRefusal({ metadata, status }: PodDisruptionBudget): ApiError | undefined {
  const name = metadata?.name ?? '';
  if ((status?.observedGeneration ?? 0) < (metadata?.generation ?? 0)) {
    return tooManyDisruptions(`The disruption budget ${name} is still being processed by the server.`, 10);
  }
  const allowed = status?.disruptionsAllowed ?? 0;
  const of = { group: 'policy', resource: 'poddisruptionbudget' };
  if (allowed < 0) return forbidden(of, name, 'pdb disruptions allowed is negative');
  if (Object.keys(status?.disruptedPods ?? {}).length > MAX_DISRUPTED_PODS) {
    return forbidden(of, name, 'DisruptedPods map too big - too many evictions not confirmed by PDB controller');
  }
  if (allowed > 0) return undefined;
  const failed = status?.conditions?.find(
    ({ type, reason }) => type === 'DisruptionAllowed' && reason === 'SyncFailed',
  );
  return tooManyDisruptions(
    failed
      ? `The disruption budget ${name} does not allow evicting pods currently because it failed sync: ${failed.message}`
      : `The disruption budget ${name} needs ${status?.desiredHealthy ?? 0} healthy pods and has ` +
          `${status?.currentHealthy ?? 0} currently`,
  );
}

/** Deletes a pod if its disruption budget allows. The pod is told why it goes, by a condition. */
export function evictPod(outer: WriteContext): Outcome {
  const pods = podsInfo(outer);
  const eviction = decoded(outer, 'policy', 'v1', 'Eviction') as unknown as Eviction;
  const { metadata, deleteOptions } = eviction;
  const { name, namespace } = outer.request;
  if (metadata?.name && metadata.name !== name) throw badRequest('name in URL does not match name in Eviction object');
  checkPlace(outer, eviction as unknown as KubeObject);
  admitBody(outer, name, eviction as unknown as KubeObject);
  // `kubectl drain --dry-run=server` says so in the options of the deletion, not in the query.
  const dryRun = outer.request.dryRun || deleteOptions?.dryRun?.includes('All') === true;
  const context: WriteContext = { ...outer, info: pods, request: { ...outer.request, dryRun } };
  const key = keyOf(pods, namespace, name);
  const pod = context.transaction.get(key) as Pod | undefined;
  if (!pod) throw notFound(pods, name);
  const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed' || pod.status?.phase === 'Pending';
  if (!ended && !pod.metadata?.deletionTimestamp) spendBudget(context, pod);
  const parameters = deleteOptions ? deleteParameters(deleteOptions) : {};
  // Against the pod that the caller saw, before the condition makes a new version of it.
  checkPreconditions(pods, pod as KubeObject, parameters);
  const { resourceVersion: _, ...left } = parameters;
  deletePresent(context, key, dryRun ? (pod as KubeObject) : disruptionTarget(context, key, pod), left);
  return { code: 201, body: CREATED };
}

/** The pod with the condition by which its controllers tell an eviction from a failure. */
function disruptionTarget({ transaction }: WriteContext, key: ObjectKey, pod: Pod): KubeObject {
  const present = pod.status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
  const fields = { status: 'True', reason: 'EvictionByEvictionAPI', message: 'Eviction API: evicting' };
  if (present?.status === fields.status && present.reason === fields.reason && present.message === fields.message) {
    return pod as KubeObject;
  }
  const at = present?.status === 'True' ? (present.lastTransitionTime ?? '') : rfc3339(transaction.nowMs);
  const conditions = condition(pod, 'DisruptionTarget', at || rfc3339(transaction.nowMs), fields);
  return transaction.put(key, { ...pod, status: { ...pod.status, conditions } } as KubeObject);
}

function spendBudget(context: WriteContext, pod: Pod): void {
  const [budget, ...more] = budgetsFor(context, pod);
  if (!budget) return;
  if (more.length > 0) {
    throw new ApiError(
      500,
      '',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  }
  const { status } = budget;
  const always = budget.spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow';
  const spare = (status?.currentHealthy ?? 0) >= (status?.desiredHealthy ?? 0) && (status?.desiredHealthy ?? 0) > 0;
  if (!isReady(pod) && (always || spare)) return;
  const refusal = budgetRefusal(budget);
  if (refusal) throw refusal;
  if (context.request.dryRun || !status) return;
  const at = rfc3339(context.transaction.nowMs);
  const disruptedPods = { ...status.disruptedPods, [pod.metadata?.name ?? '']: at };
  const disruptionsAllowed = status.disruptionsAllowed - 1;
  const next = { ...budget, status: { ...status, disruptionsAllowed, disruptedPods } };
  if (disruptionsAllowed === 0) next.status.conditions = insufficient(budget, at);
  context.transaction.put(
    { ...BUDGETS, namespace: budget.metadata?.namespace ?? '', name: budget.metadata?.name ?? '' },
    next as KubeObject,
  );
}

/** The last disruption is spent: the controller would say so, but only later. */
function insufficient({ status }: PodDisruptionBudget, at: string): Condition[] {
  const next: Condition = {
    type: 'DisruptionAllowed',
    status: 'False',
    reason: 'InsufficientPods',
    message: '',
    lastTransitionTime: at,
    ...(status?.observedGeneration === undefined ? {} : { observedGeneration: status.observedGeneration }),
  };
  const before = status?.conditions?.find(({ type }) => type === next.type);
  if (before?.status === next.status) next.lastTransitionTime = before.lastTransitionTime;
  const present = status?.conditions ?? [];
  return before ? present.map((each) => (each.type === next.type ? next : each)) : [...present, next];
}

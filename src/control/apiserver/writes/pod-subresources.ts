/** POST to `pods/binding` and `pods/eviction`. */
import { rfc3339 } from '../../../base/clock.js';
import { ApiError, badRequest, conflict, invalid, notFound, tooManyRequests } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { labelMatcher } from '../../../api/selectors/label.js';
import type { Binding, Pod } from '../../../api/types/core-v1.js';
import type { Eviction, PodDisruptionBudget } from '../../../api/types/policy-v1.js';
import { checkPlace, decodeBody, keyOf, type Outcome, type WriteContext } from './context.js';
import { deleteParameters, deletePresent } from './delete.js';

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

/** Assigns a pod to a node, once. */
export function bindPod(context: WriteContext): Outcome {
  const { request, transaction } = context;
  const pods = podsInfo(context);
  const binding = decoded(context, '', 'v1', 'Binding') as unknown as Binding;
  const name = request.name === '' ? (binding.metadata?.name ?? '') : request.name;
  checkPlace(context, binding as unknown as KubeObject);
  const { target } = binding;
  if (target?.kind && target.kind !== 'Node') {
    throw invalid({ group: '', kind: 'Binding' }, name, [
      {
        type: 'FieldValueNotSupported',
        field: 'target.kind',
        message: `Unsupported value: "${target.kind}": supported values: "Node", "<empty>"`,
      },
    ]);
  }
  if (!target?.name) {
    throw invalid({ group: '', kind: 'Binding' }, name, [
      { type: 'FieldValueRequired', field: 'target.name', message: 'Required value' },
    ]);
  }
  const key = keyOf(pods, request.namespace, name);
  const pod = transaction.get(key) as Pod | undefined;
  if (!pod?.spec) throw notFound(pods, name);
  const { uid, resourceVersion } = binding.metadata ?? {};
  if (uid && uid !== pod.metadata?.uid) {
    throw conflict(
      pods,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata?.uid}`,
    );
  }
  if (resourceVersion && resourceVersion !== pod.metadata?.resourceVersion) {
    throw conflict(pods, name, 'Precondition failed: ResourceVersion in precondition does not match');
  }
  if (pod.metadata?.deletionTimestamp) {
    throw conflict(
      { group: '', resource: 'pods/binding' },
      name,
      `pod ${name} is being deleted, cannot be assigned to a host`,
    );
  }
  if (pod.spec.nodeName) {
    throw conflict(
      { group: '', resource: 'pods/binding' },
      name,
      `pod ${name} is already assigned to node "${pod.spec.nodeName}"`,
    );
  }
  if ((pod.spec.schedulingGates ?? []).length > 0) {
    throw conflict({ group: '', resource: 'pods/binding' }, name, `pod ${name} has non-empty .spec.schedulingGates`);
  }
  const at = rfc3339(transaction.nowMs);
  const bound = {
    ...pod,
    metadata: {
      ...pod.metadata,
      ...(binding.metadata?.annotations
        ? { annotations: { ...pod.metadata?.annotations, ...binding.metadata.annotations } }
        : {}),
    },
    spec: { ...pod.spec, nodeName: target.name },
    status: { ...pod.status, conditions: condition(pod, 'PodScheduled', at, { status: 'True' }) },
  };
  if (!request.dryRun) transaction.put(key, bound as KubeObject);
  return { code: 201, body: CREATED };
}

const isReady = (pod: Pod) =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** The budgets that speak of this pod. */
function budgetsFor({ transaction }: WriteContext, pod: Pod): PodDisruptionBudget[] {
  const budgets = transaction.list('policy', 'poddisruptionbudgets', pod.metadata?.namespace) as PodDisruptionBudget[];
  return budgets.filter(({ spec }) => spec?.selector && labelMatcher(spec.selector).matches(pod.metadata?.labels));
}

function budgetRefusal(budget: PodDisruptionBudget): ApiError | undefined {
  const name = budget.metadata?.name ?? '';
  const status = budget.status;
  if ((status?.observedGeneration ?? 0) < (budget.metadata?.generation ?? 0)) {
    return tooManyRequests(
      `Cannot evict pod as it would violate the pod's disruption budget: The disruption budget ${name} is still being processed by the server.`,
      10,
    );
  }
  if ((status?.disruptionsAllowed ?? 0) > 0) return undefined;
  const message = "Cannot evict pod as it would violate the pod's disruption budget.";
  return new ApiError(429, 'TooManyRequests', message, {
    causes: [
      {
        reason: 'DisruptionBudget',
        message:
          `The disruption budget ${name} needs ${status?.desiredHealthy ?? 0} healthy pods and has ` +
          `${status?.currentHealthy ?? 0} currently`,
      },
    ],
  });
}

/** Deletes a pod if its disruption budget allows. */
export function evictPod(context: WriteContext): Outcome {
  const { request, transaction } = context;
  const pods = podsInfo(context);
  const eviction = decoded(context, 'policy', 'v1', 'Eviction') as unknown as Eviction;
  const { metadata } = eviction;
  if (metadata?.name && metadata.name !== request.name)
    throw badRequest('name in URL does not match name in Eviction object');
  const key = keyOf(pods, request.namespace, request.name);
  const pod = transaction.get(key) as Pod | undefined;
  if (!pod) throw notFound(pods, request.name);
  const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed' || pod.status?.phase === 'Pending';
  if (!ended && !pod.metadata?.deletionTimestamp) spendBudget(context, pod);
  const parameters = eviction.deleteOptions ? deleteParameters(eviction.deleteOptions) : {};
  const present = (transaction.get(key) ?? pod) as KubeObject;
  deletePresent({ ...context, info: pods }, key, present, parameters);
  return { code: 201, body: CREATED };
}

function spendBudget(context: WriteContext, pod: Pod): void {
  const [budget, ...more] = budgetsFor(context, pod);
  if (!budget) return;
  if (more.length > 0) {
    throw new ApiError(
      500,
      'InternalError',
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
  const disruptedPods = { ...status.disruptedPods, [pod.metadata?.name ?? '']: rfc3339(context.transaction.nowMs) };
  const next = { ...budget, status: { ...status, disruptionsAllowed: status.disruptionsAllowed - 1, disruptedPods } };
  context.transaction.put(
    {
      group: 'policy',
      resource: 'poddisruptionbudgets',
      namespace: budget.metadata?.namespace ?? '',
      name: budget.metadata?.name ?? '',
    },
    next as KubeObject,
  );
}

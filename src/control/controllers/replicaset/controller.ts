/**
 * Keeps the pods of each ReplicaSet, and of each ReplicationController, its older form, at the wished number.
 *
 * Guarantee: never more creations than missing pods, however far the cache lags (see `expectations.ts`). Pods that are being
 * deleted do not count, so a pod that cannot finish on a lost node does not block its replacement.
 */
import { isDeepStrictEqual } from 'node:util';
import { errorText } from '../../../base/log.js';
import { ApiError, isNamespaceTerminating, isNotFound } from '../../../api/errors.js';
import { controllerOf, keyOf, splitKey, type DeepReadonly, type KubeObject } from '../../../api/object.js';
import { PODS, REPLICASETS, REPLICATION_CONTROLLERS, type ResourceRef } from '../../../api/resource.js';
import { labelMatcher } from '../../../api/selectors/label.js';
import type { ReplicaSet } from '../../../api/types/apps-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import { claim, controllerRef } from '../claim.js';
import type { SharedDeps } from '../deps.js';
import { Expectations } from '../expectations.js';
import { BY_CONTROLLER, BY_NAMESPACE } from '../informer-set.js';
import { isPodActive } from '../pod-state.js';
import { planPods, planStatus, type ManageFailure, type ReplicaSetPlan } from './plan.js';

export interface ReplicaSetOptions {
  /** Pods created or deleted in one reconcile at most; 500 unless told. */
  readonly burst?: number;
  /** After so many milliseconds, what the cache does not show is taken as not having happened; 5 minutes unless told. */
  readonly expectationTimeoutMs?: number;
  /** ReplicaSets reconciled at once; 5 unless told. */
  readonly workers?: number;
}

/** What differs between the two forms. */
interface ReplicaKind {
  readonly resource: ResourceRef;
  /** The controller's name. */
  readonly name: string;
  /** Whom its Events come from. */
  readonly component: string;
  readonly selectorOf: (object: DeepReadonly<ReplicaSet>) => ReturnType<typeof labelMatcher>;
}

const REPLICA_SET: ReplicaKind = {
  resource: REPLICASETS,
  name: 'replicaset',
  component: 'replicaset-controller',
  selectorOf: ({ spec }) => labelMatcher(spec?.selector),
};

/** Its selector is a plain map of labels; the rest is as in a ReplicaSet. */
const REPLICATION_CONTROLLER: ReplicaKind = {
  resource: REPLICATION_CONTROLLERS,
  name: 'replicationcontroller',
  component: 'replication-controller',
  selectorOf: ({ spec }) => {
    const matchLabels = spec?.selector as Readonly<Record<string, string>> | undefined;
    return labelMatcher(matchLabels && { matchLabels });
  },
};

export function replicaSetController(deps: SharedDeps, options: ReplicaSetOptions = {}): Controller {
  return new ReplicaSetReconciler(deps, options, REPLICA_SET).controller;
}

export function replicationController(deps: SharedDeps, options: ReplicaSetOptions = {}): Controller {
  return new ReplicaSetReconciler(deps, options, REPLICATION_CONTROLLER).controller;
}

class ReplicaSetReconciler {
  readonly controller: Controller;
  private readonly replicaSets: Informer<ReplicaSet>;
  private readonly pods: Informer<Pod>;
  private readonly expectations: Expectations;

  constructor(
    private readonly deps: SharedDeps,
    private readonly options: ReplicaSetOptions,
    private readonly kind: ReplicaKind,
  ) {
    this.replicaSets = deps.informers.of(kind.resource);
    this.pods = deps.informers.of(PODS);
    this.expectations = new Expectations(deps.clock, options.expectationTimeoutMs ?? 300_000);
    this.controller = new Controller(deps, {
      name: kind.name,
      workers: options.workers ?? 5,
      waitFor: [this.replicaSets, this.pods],
      reconcile: (key) => this.reconcile(key),
    });
    this.replicaSets.addHandler({
      onUpsert: (replicaSet, previous) => {
        if (previous && previous.metadata.uid !== replicaSet.metadata.uid) this.expectations.forget(keyOf(previous));
        this.controller.queue.add(keyOf(replicaSet));
      },
      onDelete: (replicaSet) => {
        this.expectations.forget(keyOf(replicaSet));
        this.controller.queue.add(keyOf(replicaSet));
      },
    });
    this.pods.addHandler({
      onUpsert: (pod, previous) => this.onPod(pod, previous),
      onDelete: (pod) => this.onPodGone(pod),
    });
  }

  private onPod(pod: Pod, previous: Pod | undefined): void {
    if (pod.metadata.deletionTimestamp) {
      this.onPodGone(pod);
      return;
    }
    const before = previous && this.ownerOf(previous);
    const owner = this.ownerOf(pod);
    if (before && before !== owner) this.controller.queue.add(before);
    if (owner) {
      if (!previous) this.expectations.createdOrFailed(owner);
      this.controller.queue.add(owner);
      return;
    }
    if (controllerOf(pod)) return;
    if (previous && !before && isDeepStrictEqual(previous.metadata.labels, pod.metadata.labels)) return;
    for (const replicaSet of this.replicaSets.byIndex(BY_NAMESPACE, pod.metadata.namespace ?? '')) {
      if (this.kind.selectorOf(replicaSet).matches(pod.metadata.labels)) this.controller.queue.add(keyOf(replicaSet));
    }
  }

  private onPodGone(pod: Pod): void {
    const owner = this.ownerOf(pod);
    if (!owner) return;
    this.expectations.deletedOrFailed(owner, pod.metadata.uid ?? '');
    this.controller.queue.add(owner);
  }

  /** The key of the ReplicaSet that controls the object, if it is one we know. */
  private ownerOf(object: KubeObject): string | undefined {
    const owner = controllerOf(object);
    if (owner?.kind !== this.kind.resource.kind) return undefined;
    const replicaSet = this.replicaSets.get(object.metadata.namespace ?? '', owner.name);
    return replicaSet?.metadata.uid === owner.uid ? keyOf(replicaSet) : undefined;
  }

  private async reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const replicaSet = this.replicaSets.get(namespace, name);
    if (!replicaSet) {
      this.expectations.forget(key);
      return;
    }
    const met = this.expectations.met(key);
    const selects = this.kind.selectorOf(replicaSet);
    const pods = await claim<Pod>({
      client: this.deps.client,
      resource: PODS,
      ownerResource: this.kind.resource,
      owner: replicaSet,
      candidates: this.pods.byIndex(BY_NAMESPACE, namespace).filter(isPodActive),
      selects: (pod) => selects.matches(pod.metadata.labels),
      adoptable: isPodActive,
    });
    const nowMs = this.deps.clock.nowMs();
    let failure: ManageFailure | undefined;
    let failed: Error | undefined;
    if (met && !replicaSet.metadata.deletionTimestamp) {
      const related = () => this.relatedPods(replicaSet);
      const plan = planPods({ replicaSet, pods, related, burst: this.options.burst ?? 500, nowMs });
      failed = await this.execute(key, replicaSet, plan);
      if (failed) failure = { reason: plan.create > 0 ? 'FailedCreate' : 'FailedDelete', message: failed.message };
    } else {
      const before = replicaSet.status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
      if (before) failure = { reason: before.reason as ManageFailure['reason'], message: before.message ?? '' };
    }
    const { status, requeueAfterMs } = planStatus(replicaSet, pods, failure, nowMs);
    if (!isDeepStrictEqual(status, replicaSet.status)) {
      try {
        await this.deps.client.updateStatus<ReplicaSet>(this.kind.resource, { ...replicaSet, status });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    if (failed) throw failed;
    const waits = [requeueAfterMs ?? 0, met ? 0 : this.expectations.remainingMs(key)].filter((wait) => wait > 0);
    if (waits.length > 0) return { requeueAfterMs: Math.min(...waits) };
  }

  private relatedPods(replicaSet: ReplicaSet): Pod[] {
    const owner = controllerOf(replicaSet);
    const siblings = owner ? this.replicaSets.byIndex(BY_CONTROLLER, owner.uid) : [replicaSet];
    return siblings
      .flatMap(({ metadata }) => this.pods.byIndex(BY_CONTROLLER, metadata.uid ?? ''))
      .filter((pod) => isPodActive(pod));
  }

  /** Returns the first failure; what was not done is taken off the expectations. */
  private async execute(key: string, replicaSet: ReplicaSet, plan: ReplicaSetPlan): Promise<Error | undefined> {
    if (plan.create > 0) {
      this.expectations.expect(key, plan.create, []);
      return this.createPods(key, replicaSet, plan.create);
    }
    if (plan.remove.length === 0) return undefined;
    this.expectations.expect(
      key,
      0,
      plan.remove.map(({ metadata }) => metadata.uid ?? ''),
    );
    const errors = await Promise.all(plan.remove.map((pod) => this.deletePod(key, replicaSet, pod)));
    return errors.find((error) => error !== undefined);
  }

  /** Batches of 1, 2, 4, …: when creation fails for a reason common to all, few calls are wasted. */
  private async createPods(key: string, replicaSet: ReplicaSet, count: number): Promise<Error | undefined> {
    const pod = podOf(this.kind.resource, replicaSet);
    for (let left = count, batch = 1; left > 0; batch *= 2) {
      const size = Math.min(batch, left);
      const errors = await Promise.all(Array.from({ length: size }, () => this.createPod(key, replicaSet, pod)));
      left -= size;
      const error = errors.find((outcome) => outcome !== undefined);
      if (error) {
        this.expectations.createdOrFailed(key, left);
        return error;
      }
    }
    return undefined;
  }

  private async createPod(key: string, replicaSet: ReplicaSet, pod: Pod): Promise<Error | undefined> {
    try {
      const created = await this.deps.client.create<Pod>(PODS, pod);
      this.event(replicaSet, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`);
      return undefined;
    } catch (error) {
      this.expectations.createdOrFailed(key);
      // Everything in the namespace is about to go: trying again would only make noise.
      if (isNamespaceTerminating(error)) return undefined;
      this.event(replicaSet, 'Warning', 'FailedCreate', `Error creating: ${errorText(error)}`);
      return asError(error);
    }
  }

  private async deletePod(key: string, replicaSet: ReplicaSet, { metadata }: Pod): Promise<Error | undefined> {
    const { namespace = '', name = '', uid = '' } = metadata;
    try {
      await this.deps.client.delete(PODS, namespace, name, { preconditions: { uid } });
      this.event(replicaSet, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
      return undefined;
    } catch (error) {
      this.expectations.deletedOrFailed(key, uid);
      if (isNotFound(error)) return undefined;
      this.event(replicaSet, 'Warning', 'FailedDelete', `Error deleting: ${errorText(error)}`);
      return asError(error);
    }
  }

  private event(object: ReplicaSet, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.deps.events(this.kind.component).event(object, type, reason, message);
  }
}

const asError = (error: unknown) =>
  error instanceof Error ? error : new ApiError(500, 'InternalError', String(error));

/** A new pod from the template. */
function podOf(resource: ResourceRef, replicaSet: ReplicaSet): Pod {
  const template = structuredClone(replicaSet.spec?.template) ?? {};
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: replicaSet.metadata.namespace ?? '',
      generateName: `${replicaSet.metadata.name}-`,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerRef(resource, replicaSet)],
    },
    ...(template.spec ? { spec: template.spec } : {}),
  };
}

/**
 * Keeps one pod of each DaemonSet on every node it is for. The scheduler binds them: each may go to one node only.
 *
 * Guarantee: never two creations for one place, however far the cache lags (see `expectations.ts`). Pods that fail at once are
 * replaced with a back-off for each node.
 */
import { isDeepStrictEqual } from 'node:util';
import { backoffMs } from '../../../base/backoff.js';
import { errorText } from '../../../base/log.js';
import { isNamespaceTerminating, isNotFound } from '../../../api/errors.js';
import { controllerOf, keyOf, splitKey, type KubeObject } from '../../../api/object.js';
import { DAEMONSETS, NODES, PODS } from '../../../api/resource.js';
import { labelMatcher, type LabelMatcher } from '../../../api/selectors/label.js';
import type { DaemonSet } from '../../../api/types/apps-v1.js';
import type { Node, Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import { claim } from '../claim.js';
import { RevisionHistory, REVISION_LABEL, type SettledRevisions } from '../controllerrevision/history.js';
import type { SharedDeps } from '../deps.js';
import { Expectations } from '../expectations.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { podFor } from './placement.js';
import { planPods, planRollout, planStatus, type DaemonSetPlan, type PlanInput } from './plan.js';

export interface DaemonSetOptions {
  /** DaemonSets reconciled at once; 2 unless told. */
  readonly workers?: number;
  /** Pods created or deleted in one reconcile at most; 250 unless told. */
  readonly burst?: number;
  /** After so many milliseconds, what the cache does not show is taken as not having happened; 5 minutes unless told. */
  readonly expectationTimeoutMs?: number;
}

const COMPONENT = 'daemonset-controller';
/** Between two replacements of failed pods on one node. */
const FAILED_BACKOFF = { baseMs: 1_000, maxMs: 900_000 } as const;
const UNSEEN_RETRY_MS = 1_000;

export function daemonSetController(deps: SharedDeps, options: DaemonSetOptions = {}): Controller {
  return new DaemonSetReconciler(deps, options).controller;
}

interface Failures {
  count: number;
  /** On the monotonic clock. */
  atMs: number;
}

class DaemonSetReconciler {
  readonly controller: Controller;
  private readonly sets: Informer<DaemonSet>;
  private readonly pods: Informer<Pod>;
  private readonly nodes: Informer<Node>;
  private readonly history: RevisionHistory;
  private readonly expectations: Expectations;
  /** By set and node; gone with the set or the node. */
  private readonly failures = new Map<string, Map<string, Failures>>();

  constructor(
    private readonly deps: SharedDeps,
    private readonly options: DaemonSetOptions,
  ) {
    this.sets = deps.informers.of(DAEMONSETS);
    this.pods = deps.informers.of(PODS);
    this.nodes = deps.informers.of(NODES);
    this.history = new RevisionHistory(deps, { resource: DAEMONSETS, hashLabel: REVISION_LABEL });
    this.expectations = new Expectations(deps.clock, options.expectationTimeoutMs ?? 300_000);
    this.controller = new Controller(deps, {
      name: 'daemonset',
      workers: options.workers ?? 2,
      waitFor: [this.sets, this.pods, this.nodes, this.history.revisions],
      reconcile: (key) => this.reconcile(key),
    });
    this.sets.addHandler({
      onUpsert: (set, previous) => {
        if (previous && previous.metadata.uid !== set.metadata.uid) this.forget(keyOf(previous));
        this.controller.queue.add(keyOf(set));
      },
      onDelete: (set) => {
        this.forget(keyOf(set));
      },
    });
    this.pods.addHandler({
      onUpsert: (pod, previous) => this.onPod(pod, previous),
      onDelete: (pod) => this.onPodGone(pod),
    });
    this.nodes.addHandler({
      onUpsert: (node, previous) => {
        if (!previous || placementChanged(node, previous)) this.wakeAll();
      },
      onDelete: ({ metadata }) => {
        for (const failures of this.failures.values()) failures.delete(metadata.name ?? '');
        this.wakeAll();
      },
    });
  }

  private wakeAll(): void {
    for (const set of this.sets.list()) this.controller.queue.add(keyOf(set));
  }

  private forget(key: string): void {
    this.expectations.forget(key);
    this.history.forget(key);
    this.failures.delete(key);
  }

  private onPod(pod: Pod, previous: Pod | undefined): void {
    const owner = this.ownerOf(pod);
    const before = previous && this.ownerOf(previous);
    if (before && before !== owner) this.controller.queue.add(before);
    if (owner) {
      if (!previous) this.expectations.createdOrFailed(owner);
      if (pod.metadata.deletionTimestamp) this.expectations.deletedOrFailed(owner, pod.metadata.uid ?? '');
      this.controller.queue.add(owner);
      return;
    }
    if (controllerOf(pod) || pod.metadata.deletionTimestamp) return;
    for (const set of this.sets.byIndex(BY_NAMESPACE, pod.metadata.namespace ?? '')) {
      if (labelMatcher(set.spec?.selector).matches(pod.metadata.labels)) this.controller.queue.add(keyOf(set));
    }
  }

  private onPodGone(pod: Pod): void {
    const owner = this.ownerOf(pod);
    if (!owner) return;
    this.expectations.deletedOrFailed(owner, pod.metadata.uid ?? '');
    this.controller.queue.add(owner);
  }

  private ownerOf(object: KubeObject): string | undefined {
    const owner = controllerOf(object);
    if (owner?.kind !== DAEMONSETS.kind) return undefined;
    const set = this.sets.get(object.metadata.namespace ?? '', owner.name);
    return set?.metadata.uid === owner.uid ? keyOf(set) : undefined;
  }

  private async reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const set = this.sets.get(namespace, name);
    if (!set) return this.forget(key);
    const selects = labelMatcher(set.spec?.selector);
    if (selects.empty) {
      const message = 'This daemon set is selecting all pods. A non-empty selector is required.';
      this.deps.events(COMPONENT).event(set, 'Warning', 'SelectingAll', message);
      return;
    }
    if (set.metadata.deletionTimestamp) return;
    if (!this.history.isCurrent(set)) return { requeueAfterMs: UNSEEN_RETRY_MS };
    const met = this.expectations.met(key);
    const pods = await this.podsOf(set, selects);
    const revisions = await this.history.settle(set, selects, set.status?.collisionCount ?? 0);
    const input: PlanInput = {
      set,
      pods,
      nodes: this.nodes.list(),
      updated: new Set(revisions.same.map(hashOf)),
      nowMs: this.deps.clock.nowMs(),
      inBackOff: (node) => this.backOffMs(key, node) > 0,
    };
    const failed = met ? await this.manage(key, input, hashOf(revisions.update)) : undefined;
    if (met) await this.truncate(set, revisions, pods);
    const { status, requeueAfterMs } = planStatus(input, revisions.collisionCount);
    await this.writeStatus(set, status);
    if (failed) throw failed;
    const waits = [requeueAfterMs ?? 0, met ? 0 : this.expectations.remainingMs(key), this.nextFailureMs(key)];
    const coming = waits.filter((wait) => wait > 0);
    if (coming.length > 0) return { requeueAfterMs: Math.min(...coming) };
  }

  private podsOf(set: DaemonSet, selects: LabelMatcher): Promise<Pod[]> {
    return claim<Pod>({
      client: this.deps.client,
      resource: PODS,
      ownerResource: DAEMONSETS,
      owner: set,
      candidates: this.pods.byIndex(BY_NAMESPACE, set.metadata.namespace ?? ''),
      selects: (pod) => selects.matches(pod.metadata.labels),
      adoptable: () => true,
    });
  }

  private async writeStatus(set: DaemonSet, status: NonNullable<DaemonSet['status']>): Promise<void> {
    if (isDeepStrictEqual(status, set.status)) return;
    try {
      await this.deps.client.updateStatus<DaemonSet>(DAEMONSETS, { ...set, status });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  private async truncate(set: DaemonSet, { all, same }: SettledRevisions, pods: readonly Pod[]): Promise<void> {
    const used = new Set([...same.map(hashOf), ...pods.map(({ metadata }) => metadata.labels?.[REVISION_LABEL] ?? '')]);
    await this.history.truncate(set, all, (revision) => used.has(hashOf(revision)));
  }

  /** First one pod on each node; only when that is so, a step of the update. Returns the first failure. */
  private async manage(key: string, input: PlanInput, hash: string): Promise<Error | undefined> {
    let next = planPods(input);
    for (const { pod, node } of next.failed) {
      const { namespace, name } = pod.metadata;
      const message = `Found failed daemon pod ${namespace}/${name} on node ${node}, will try to kill it`;
      this.deps.events(COMPONENT).event(input.set, 'Warning', 'FailedDaemonPod', message);
      this.noteFailure(key, node);
    }
    for (const pod of next.remove) {
      if (pod.status?.phase !== 'Succeeded') continue;
      const { namespace, name } = pod.metadata;
      const message = `Found succeeded daemon pod ${namespace}/${name} on node ${pod.spec?.nodeName}, will try to delete it`;
      this.deps.events(COMPONENT).event(input.set, 'Normal', 'SucceededDaemonPod', message);
    }
    if (next.create.length + next.remove.length === 0) next = planRollout(input);
    return this.execute(key, input.set, next, hash);
  }

  private async execute(key: string, set: DaemonSet, next: DaemonSetPlan, hash: string): Promise<Error | undefined> {
    const burst = this.options.burst ?? 250;
    const create = next.create.slice(0, burst);
    const remove = next.remove.slice(0, burst);
    if (create.length + remove.length === 0) return undefined;
    this.expectations.expect(
      key,
      create.length,
      remove.map(({ metadata }) => metadata.uid ?? ''),
    );
    const removing = Promise.all(remove.map((pod) => this.remove(key, set, pod)));
    // Batches of 1, 2, 4, …: when creation fails for a reason common to all, few calls are wasted.
    let failed: Error | undefined;
    for (let done = 0, batch = 1; done < create.length; done += batch, batch *= 2) {
      const nodes = create.slice(done, done + batch);
      const outcomes = await Promise.all(nodes.map((node) => this.create(key, set, node, hash)));
      failed = outcomes.find((error) => error !== undefined);
      if (!failed) continue;
      this.expectations.createdOrFailed(key, Math.max(0, create.length - done - batch));
      break;
    }
    return failed ?? (await removing).find((error) => error !== undefined);
  }

  private async create(key: string, set: DaemonSet, node: string, hash: string): Promise<Error | undefined> {
    try {
      const created = await this.deps.client.create<Pod>(PODS, podFor(set, node, hash));
      this.deps
        .events(COMPONENT)
        .event(set, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name ?? ''}`);
      return undefined;
    } catch (error) {
      this.expectations.createdOrFailed(key);
      // Everything in the namespace is about to go: trying again would only make noise.
      if (isNamespaceTerminating(error)) return undefined;
      this.deps.events(COMPONENT).event(set, 'Warning', 'FailedCreate', `Error creating: ${errorText(error)}`);
      return asError(error);
    }
  }

  private async remove(key: string, set: DaemonSet, { metadata }: Pod): Promise<Error | undefined> {
    const { namespace = '', name = '', uid = '' } = metadata;
    try {
      await this.deps.client.delete(PODS, namespace, name, { preconditions: { uid } });
      this.deps.events(COMPONENT).event(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
      return undefined;
    } catch (error) {
      this.expectations.deletedOrFailed(key, uid);
      if (isNotFound(error)) return undefined;
      this.deps.events(COMPONENT).event(set, 'Warning', 'FailedDelete', `Error deleting: ${errorText(error)}`);
      return asError(error);
    }
  }

  private noteFailure(key: string, node: string): void {
    let failures = this.failures.get(key);
    if (!failures) this.failures.set(key, (failures = new Map()));
    const nowMs = this.deps.clock.monotonicMs();
    const before = failures.get(node);
    // Twice the longest wait without a failure: it starts anew.
    const count = before && nowMs - before.atMs < 2 * FAILED_BACKOFF.maxMs ? before.count : 0;
    failures.set(node, { count: count + 1, atMs: nowMs });
  }

  private backOffMs(key: string, node: string): number {
    const failures = this.failures.get(key)?.get(node);
    if (!failures) return 0;
    const left = failures.atMs + backoffMs(failures.count, FAILED_BACKOFF) - this.deps.clock.monotonicMs();
    return Math.max(0, left);
  }

  private nextFailureMs(key: string): number {
    const waits = [...(this.failures.get(key)?.keys() ?? [])].map((node) => this.backOffMs(key, node));
    const coming = waits.filter((wait) => wait > 0);
    return coming.length > 0 ? Math.min(...coming) : 0;
  }
}

const hashOf = ({ metadata }: KubeObject): string => metadata.labels?.[REVISION_LABEL] ?? '';

const asError = (error: unknown) => (error instanceof Error ? error : new Error(String(error)));

/** What of a node decides whether a pod belongs there. */
function placementChanged(node: Node, previous: Node): boolean {
  return (
    !isDeepStrictEqual(node.metadata.labels, previous.metadata.labels) ||
    !isDeepStrictEqual(node.spec?.taints, previous.spec?.taints)
  );
}

/**
 * Keeps the members of StatefulSets: runs {@link plan} for each and carries it out.
 *
 * Guarantee: never two pods with one ordinal. Names are the identity, deletions name the uid they mean, and nothing is planned
 * on a cache that lacks this controller's own writes. What a StatefulSet's members are is changed only where a majority of the
 * registered peers is: elsewhere the sequencer answers 503, nothing is done or said, and it is asked again now and then.
 */
import { isDeepStrictEqual } from 'node:util';
import { errorText } from '../../../base/log.js';
import { ApiError, isAlreadyExists, isNamespaceTerminating, isNotFound } from '../../../api/errors.js';
import { controllerOf, keyOf, splitKey, type KubeObject } from '../../../api/object.js';
import { PODS, STATEFULSETS } from '../../../api/resource.js';
import { labelMatcher, type LabelMatcher } from '../../../api/selectors/label.js';
import type { ControllerRevision, StatefulSet } from '../../../api/types/apps-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import { claim } from '../claim.js';
import { RevisionHistory, templateOf, type SettledRevisions } from '../controllerrevision/history.js';
import type { SharedDeps } from '../deps.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { SeenWrites } from '../seen-writes.js';
import { MemberClaims } from './claims.js';
import { ordinalOf } from './identity.js';
import { plan, revisionOf, type Action } from './plan.js';

export interface StatefulSetOptions {
  /** StatefulSets reconciled at once; 5 unless told. */
  readonly workers?: number;
  /** Where this part of the cluster may not change members, it asks again after so many milliseconds; 10,000 unless told. */
  readonly refusedRetryMs?: number;
}

const COMPONENT = 'statefulset-controller';
/** While the cache lacks own writes and no event comes, looks again after so many milliseconds. */
const UNSEEN_RETRY_MS = 1_000;
/** Members made or removed at a time where their order does not matter. */
const BATCH = 50;

export function statefulSetController(deps: SharedDeps, options: StatefulSetOptions = {}): Controller {
  return new StatefulSetReconciler(deps, options).controller;
}

class StatefulSetReconciler {
  readonly controller: Controller;
  private readonly sets: Informer<StatefulSet>;
  private readonly pods: Informer<Pod>;
  private readonly claims: MemberClaims;
  private readonly history: RevisionHistory;
  private readonly written: SeenWrites<Pod>;

  constructor(
    private readonly deps: SharedDeps,
    private readonly options: StatefulSetOptions,
  ) {
    this.sets = deps.informers.of(STATEFULSETS);
    this.pods = deps.informers.of(PODS);
    this.claims = new MemberClaims(deps);
    this.history = new RevisionHistory(deps, { resource: STATEFULSETS, hashLabel: 'controller.kubernetes.io/hash' });
    this.written = new SeenWrites(deps.clock, this.pods);
    this.controller = new Controller(deps, {
      name: 'statefulset',
      workers: options.workers ?? 5,
      waitFor: [this.sets, this.pods, this.claims.claims, this.history.revisions],
      reconcile: (key) => this.reconcile(key),
    });
    this.sets.addHandler({
      onUpsert: (set) => this.controller.queue.add(keyOf(set)),
      onDelete: (set) => this.controller.queue.add(keyOf(set)),
    });
    this.pods.addHandler({
      onUpsert: (pod, previous) => this.onPod(pod, previous),
      onDelete: (pod) => {
        const owner = this.ownerOf(pod);
        if (!owner) return;
        this.written.gone(owner, pod);
        this.controller.queue.add(owner);
      },
    });
    // A new pod may wait for the end of a claim.
    this.claims.claims.addHandler({ onDelete: (gone) => this.onClaimGone(gone) });
  }

  private onPod(pod: Pod, previous: Pod | undefined): void {
    const before = previous && this.ownerOf(previous);
    const owner = this.ownerOf(pod);
    if (before && before !== owner) this.controller.queue.add(before);
    if (owner) this.controller.queue.add(owner);
    if (owner || controllerOf(pod)) return;
    for (const set of this.sets.byIndex(BY_NAMESPACE, pod.metadata.namespace ?? '')) {
      if (ordinalOf(set, pod.metadata.name) === undefined) continue;
      if (labelMatcher(set.spec?.selector).matches(pod.metadata.labels)) this.controller.queue.add(keyOf(set));
    }
  }

  private onClaimGone({ metadata }: KubeObject): void {
    for (const set of this.sets.byIndex(BY_NAMESPACE, metadata.namespace ?? '')) {
      const templates = set.spec?.volumeClaimTemplates ?? [];
      const isOf = (template: string) => metadata.name?.startsWith(`${template}-${set.metadata.name ?? ''}-`) === true;
      if (templates.some((template) => isOf(template.metadata.name ?? ''))) this.controller.queue.add(keyOf(set));
    }
  }

  private ownerOf(object: KubeObject): string | undefined {
    const owner = controllerOf(object);
    if (owner?.kind !== STATEFULSETS.kind) return undefined;
    const set = this.sets.get(object.metadata.namespace ?? '', owner.name);
    return set?.metadata.uid === owner.uid ? keyOf(set) : undefined;
  }

  private async reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const set = this.sets.get(namespace, name);
    if (!set) {
      this.written.forget(key);
      this.history.forget(key);
      return;
    }
    // Its dependents are being let go or collected: nothing more is made for it, revisions least of all.
    if (set.metadata.deletionTimestamp) return;
    if (!this.written.allSeen(key) || !this.history.isCurrent(set)) return { requeueAfterMs: UNSEEN_RETRY_MS };
    const selects = labelMatcher(set.spec?.selector);
    // Upstream refuses to act on a selector that selects everything.
    if (selects.empty) return;
    try {
      return await this.settle(key, set, selects);
    } catch (error) {
      if (isRefused(error)) return { requeueAfterMs: this.options.refusedRetryMs ?? 10_000 };
      throw error;
    }
  }

  private async settle(key: string, set: StatefulSet, selects: LabelMatcher): Promise<ReconcileResult | void> {
    const pods = await this.membersOf(set, selects);
    const revisions = await this.history.settle(set, selects, set.status?.collisionCount ?? 0);
    const { update, collisionCount } = revisions;
    const current = revisions.all.find(({ metadata }) => metadata.name === set.status?.currentRevision) ?? update;
    const nowMs = this.deps.clock.nowMs();
    const input = { set, pods, current: revision(current), update: revision(update), collisionCount, nowMs };
    const { actions, status, requeueAfterMs } = plan(input);
    // The status first: what it says was observed before anything is done, and it is right also when an action fails.
    if (!isDeepStrictEqual(status, set.status)) {
      try {
        await this.deps.client.updateStatus<StatefulSet>(STATEFULSETS, { ...set, status });
      } catch (error) {
        if (isNotFound(error)) return;
        throw error;
      }
    }
    const stale = await this.execute(key, set, actions);
    await this.truncate(set, revisions, pods, status.currentRevision);
    const waits = [...(requeueAfterMs === undefined ? [] : [requeueAfterMs]), ...(stale ? [UNSEEN_RETRY_MS] : [])];
    if (waits.length > 0) return { requeueAfterMs: Math.min(...waits) };
  }

  /** Only pods with a member's name can be members, whatever their labels. */
  private membersOf(set: StatefulSet, selects: LabelMatcher): Promise<Pod[]> {
    const named = (pod: Pod) => ordinalOf(set, pod.metadata.name) !== undefined;
    return claim<Pod>({
      client: this.deps.client,
      resource: PODS,
      ownerResource: STATEFULSETS,
      owner: set,
      candidates: this.pods.byIndex(BY_NAMESPACE, set.metadata.namespace ?? '').filter(named),
      selects: (pod) => selects.matches(pod.metadata.labels),
      adoptable: () => true,
    });
  }

  private async truncate(
    set: StatefulSet,
    { all, update }: SettledRevisions,
    pods: readonly Pod[],
    currentRevision: string | undefined,
  ): Promise<void> {
    const used = new Set([update.metadata.name, currentRevision, ...pods.map(revisionOf)]);
    await this.history.truncate(set, all, ({ metadata }) => used.has(metadata.name));
  }

  /** In order where the set asks for it (then there is one), else in batches. True when a claim is to be waited for. */
  private async execute(key: string, set: StatefulSet, actions: readonly Action[]): Promise<boolean> {
    let stale = false;
    for (let i = 0; i < actions.length; i += BATCH) {
      const outcomes = await Promise.allSettled(
        actions.slice(i, i + BATCH).map(async (action) => {
          if (!(await this.act(key, set, action))) stale = true;
        }),
      );
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed) throw failed.reason;
    }
    return stale;
  }

  /** False when it has to wait. */
  private async act(key: string, set: StatefulSet, action: Action): Promise<boolean> {
    switch (action.type) {
      case 'create':
        if (this.claims.areStale(set, action.ordinal)) return false;
        await this.create(key, set, action.pod, action.ordinal);
        return true;
      case 'mend':
        await this.mend(key, set, action);
        return true;
      case 'delete':
        if (action.why === 'surplus') await this.claims.settle(set, action.ordinal, action.pod);
        await this.remove(key, set, action);
        return true;
    }
  }

  private async create(key: string, set: StatefulSet, pod: Pod, ordinal: number): Promise<void> {
    const name = pod.metadata.name ?? '';
    await this.ensureClaims(set, name, ordinal);
    try {
      this.written.wrote(key, await this.deps.client.create<Pod>(PODS, pod));
      this.event(
        set,
        'Normal',
        'SuccessfulCreate',
        `create Pod ${name} in StatefulSet ${set.metadata.name} successful`,
      );
    } catch (error) {
      // Everything in the namespace is about to go: trying again would only make noise.
      if (isNamespaceTerminating(error)) return;
      if (!isAlreadyExists(error)) this.failed(set, 'create', `Pod ${name}`, error);
      throw error;
    }
  }

  private ensureClaims(set: StatefulSet, podName: string, ordinal: number): Promise<void> {
    return this.claims.ensure(set, ordinal, ({ metadata }, error) => {
      const what = `Claim ${metadata.name} Pod ${podName}`;
      if (error !== undefined) return this.failed(set, 'create', what, error);
      const message = `create ${what} in StatefulSet ${set.metadata.name} success`;
      this.event(set, 'Normal', 'SuccessfulCreate', message);
    });
  }

  private async mend(key: string, set: StatefulSet, action: Action & { type: 'mend' }): Promise<void> {
    const { pod, ordinal, changed } = action;
    const name = pod.metadata.name ?? '';
    if (pod.status?.phase === 'Pending' || changed) await this.ensureClaims(set, name, ordinal);
    await this.claims.settle(set, ordinal, pod);
    if (!changed) return;
    try {
      this.written.wrote(key, await this.deps.client.update<Pod>(PODS, pod));
      this.event(
        set,
        'Normal',
        'SuccessfulUpdate',
        `update Pod ${name} in StatefulSet ${set.metadata.name} successful`,
      );
    } catch (error) {
      this.failed(set, 'update', `Pod ${name}`, error);
      throw error;
    }
  }

  private async remove(key: string, set: StatefulSet, { pod, why }: Action & { type: 'delete' }): Promise<void> {
    const { namespace = '', name = '', uid = '' } = pod.metadata;
    try {
      await this.deps.client.delete(PODS, namespace, name, { preconditions: { uid } });
      // Only now: where the deletion is refused, it would be said for ever.
      if (why === 'failed') {
        this.event(set, 'Warning', 'RecreatingFailedPod', `StatefulSet ${key} is recreating failed Pod ${name}`);
      } else if (why === 'succeeded') {
        this.event(set, 'Normal', 'RecreatingTerminatedPod', `StatefulSet ${key} is recreating terminated Pod ${name}`);
      }
      this.event(
        set,
        'Normal',
        'SuccessfulDelete',
        `delete Pod ${name} in StatefulSet ${set.metadata.name} successful`,
      );
    } catch (error) {
      if (isNotFound(error)) return;
      this.failed(set, 'delete', `Pod ${name}`, error);
      throw error;
    }
  }

  private failed(set: StatefulSet, verb: 'create' | 'update' | 'delete', what: string, error: unknown): void {
    if (isRefused(error)) return;
    const reason = `Failed${verb.charAt(0).toUpperCase()}${verb.slice(1)}`;
    const message = `${verb} ${what} in StatefulSet ${set.metadata.name} failed error: ${errorText(error)}`;
    this.event(set, 'Warning', reason, message);
  }

  private event(set: StatefulSet, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.deps.events(COMPONENT).event(set, type, reason, message);
  }
}

const revision = (of: ControllerRevision) => ({ name: of.metadata.name ?? '', template: templateOf(of) });

/** This part of the cluster may not do that, or cannot just now. */
const isRefused = (error: unknown): boolean => error instanceof ApiError && error.code === 503;

/**
 * Runs Jobs to their end (batch/v1 as of Kubernetes 1.32): observes, judges, manages pods, and accounts for those that ended.
 *
 * Guarantee: each pod is counted once (see `accounting.ts`), and never more pods are created than are missing, however far
 * the cache lags. After a merge of two sides that both ran a Job, second pods of an index are deleted, indexes whose pods are
 * there count as completed whatever the status says; what a pod did on both sides has happened twice.
 */
import { isDeepStrictEqual } from 'node:util';
import type { BackoffOptions } from '../../../base/backoff.js';
import { rfc3339 } from '../../../base/clock.js';
import { isNamespaceTerminating, isNotFound } from '../../../api/errors.js';
import { controllerOf, keyOf, splitKey, type KubeObject } from '../../../api/object.js';
import { JOBS, PODS } from '../../../api/resource.js';
import { labelMatcher } from '../../../api/selectors/label.js';
import type { Job, JobStatus } from '../../../api/types/batch-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import { claim } from '../claim.js';
import type { SharedDeps } from '../deps.js';
import { Expectations } from '../expectations.js';
import { BY_CONTROLLER, BY_NAMESPACE, ORPHANS } from '../informer-set.js';
import { isPodReady } from '../pod-state.js';
import { SeenWrites } from '../seen-writes.js';
import { account, finish, sameStatus, setNumber, settle } from './accounting.js';
import { NO_FAILURES, type BackoffRecord } from './backoff.js';
import { finalType, isFinished, withCondition, type Verdict } from './conditions.js';
import { observe, type Observation } from './observation.js';
import { COMPLETED, deadlineInMs, isComplete, judge, planPods } from './plan.js';
import { isIndexed, isManagedHere, isSuspended, isTracked, TRACKING_FINALIZER } from './pod-facts.js';
import { COMPONENT, PodControl, releasePod } from './pod-control.js';
import { podOf } from './pod-template.js';
import { ReleasedPods } from './released-pods.js';

export interface JobOptions {
  /** Pods created or deleted in one reconcile at most; 500 unless told. */
  readonly burst?: number;
  /** Wait before failed pods are replaced; 10 s doubled up to 10 minutes unless told. */
  readonly backoff?: BackoffOptions;
  /** After so many milliseconds, what the cache does not show is taken as not having happened; 5 minutes unless told. */
  readonly expectationTimeoutMs?: number;
  /** Jobs reconciled at once; 5 unless told. */
  readonly workers?: number;
}

/** How often a Job is looked at again while its last write does not show in the cache; the event comes sooner. */
const UNSEEN_MS = 1_000;

export function jobController(deps: SharedDeps, options: JobOptions = {}): Controller {
  return new JobReconciler(deps, options).controller;
}

/** What managing pods changed. */
interface Managed {
  readonly active: number;
  readonly ready: number;
  readonly terminating: number;
  readonly waitMs?: number | undefined;
  readonly error?: Error | undefined;
}

class JobReconciler {
  readonly controller: Controller;
  private readonly jobs: Informer<Job>;
  private readonly pods: Informer<Pod>;
  private readonly expectations: Expectations;
  private readonly writes: SeenWrites<Job>;
  private readonly released = new ReleasedPods();
  private readonly backoffs = new Map<string, BackoffRecord>();
  private readonly control: PodControl;

  constructor(
    private readonly deps: SharedDeps,
    private readonly options: JobOptions,
  ) {
    this.jobs = deps.informers.of(JOBS);
    this.pods = deps.informers.of(PODS);
    this.expectations = new Expectations(deps.clock, options.expectationTimeoutMs ?? 300_000);
    this.writes = new SeenWrites(deps.clock, this.jobs);
    this.control = new PodControl(deps);
    this.controller = new Controller(deps, {
      name: 'job',
      workers: options.workers ?? 5,
      waitFor: [this.jobs, this.pods],
      reconcile: (key) => this.reconcile(key),
    });
    this.jobs.addHandler({
      onUpsert: (job, previous) => {
        if (previous && previous.metadata.uid !== job.metadata.uid) this.forget(keyOf(previous));
        this.controller.queue.add(keyOf(job));
      },
      onDelete: (job) => this.forget(keyOf(job)),
    });
    this.pods.addHandler({
      onUpsert: (pod, previous) => this.onPod(pod, previous),
      onDelete: (pod) => this.onPodGone(pod),
    });
  }

  private forget(key: string): void {
    this.expectations.forget(key);
    this.writes.forget(key);
    this.released.forget(key);
    this.backoffs.delete(key);
  }

  private onPod(pod: Pod, previous: Pod | undefined): void {
    const before = previous && this.ownerOf(previous);
    const owner = this.ownerOf(pod);
    if (before && before !== owner) this.controller.queue.add(before);
    if (owner) {
      const uid = pod.metadata.uid ?? '';
      if (!previous) this.expectations.createdOrFailed(owner);
      if (pod.metadata.deletionTimestamp) this.expectations.deletedOrFailed(owner, uid);
      if (!isTracked(pod)) this.released.seen(owner, uid);
      this.controller.queue.add(owner);
      return;
    }
    if (controllerOf(pod) || pod.metadata.deletionTimestamp) return;
    if (previous && !before && isDeepStrictEqual(previous.metadata.labels, pod.metadata.labels)) return;
    for (const job of this.jobs.byIndex(BY_NAMESPACE, pod.metadata.namespace ?? '')) {
      if (labelMatcher(job.spec?.selector).matches(pod.metadata.labels)) this.controller.queue.add(keyOf(job));
    }
  }

  private onPodGone(pod: Pod): void {
    const owner = this.ownerOf(pod);
    if (!owner) return;
    this.expectations.deletedOrFailed(owner, pod.metadata.uid ?? '');
    this.released.seen(owner, pod.metadata.uid ?? '');
    this.controller.queue.add(owner);
  }

  /** The key of the Job that controls the object, if it is one we know. */
  private ownerOf(object: KubeObject): string | undefined {
    const owner = controllerOf(object);
    if (owner?.kind !== JOBS.kind) return undefined;
    const job = this.jobs.get(object.metadata.namespace ?? '', owner.name);
    return job?.metadata.uid === owner.uid ? keyOf(job) : undefined;
  }

  private async reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const job = this.jobs.get(namespace, name);
    if (!job || !isManagedHere(job)) return;
    if (isFinished(job)) {
      this.backoffs.delete(key);
      return;
    }
    // On an old status, pods that are counted and let go would be missed, and made again.
    if (!this.writes.allSeen(key)) return { requeueAfterMs: UNSEEN_MS };
    const met = this.expectations.met(key);
    const pods = await this.podsOf(job);
    const nowMs = this.deps.clock.nowMs();
    const begun = begin(job, nowMs);
    const seen = observe(begun, pods, this.released.of(key), this.backoffs.get(key) ?? NO_FAILURES);
    let verdict = judge(seen, nowMs);
    let managed: Managed = { active: seen.active.length, ready: seen.ready, terminating: seen.terminating };
    let { status = {} } = begun;
    if (verdict) {
      managed = await this.removeActive(begun, seen);
      // Not the end yet: there may be pods that the cache does not show, or that could not be deleted.
      if (managed.active > 0 || !met) verdict = undefined;
    } else {
      const manage = met && !job.metadata.deletionTimestamp;
      if (manage) managed = await this.managePods(key, begun, seen, nowMs);
      if (isComplete(seen, managed.active)) verdict = COMPLETED;
      else if (manage) status = this.noteSuspension(begun, status, nowMs);
    }
    await this.writeDown(key, { job: begun, before: job.status }, seen, withNumbers(status, managed), verdict, nowMs);
    if (managed.error && !isNamespaceTerminating(managed.error)) throw managed.error;
    const waits = [managed.waitMs, deadlineInMs(begun, nowMs), met ? undefined : this.expectations.remainingMs(key)];
    const coming = waits.filter((wait) => wait !== undefined && wait > 0) as number[];
    if (coming.length > 0 && !verdict) return { requeueAfterMs: Math.min(...coming) };
  }

  private podsOf(job: Job): Promise<Pod[]> {
    const { namespace = '', uid = '' } = job.metadata;
    const selects = labelMatcher(job.spec?.selector);
    return claim<Pod>({
      client: this.deps.client,
      resource: PODS,
      ownerResource: JOBS,
      owner: job,
      candidates: [...this.pods.byIndex(BY_CONTROLLER, uid), ...this.pods.byIndex(ORPHANS, namespace)],
      selects: (pod) => selects.matches(pod.metadata.labels),
      adoptable: () => true,
      finalizer: TRACKING_FINALIZER,
    });
  }

  /** The Job ends: what still runs is deleted, and counted as failed when its finalizer is taken off. */
  private async removeActive(job: Job, { active, ready, terminating }: Observation): Promise<Managed> {
    const errors = await Promise.all(active.map((pod) => this.control.delete(job, pod)));
    const deleted = active.filter((_, i) => errors[i] === undefined);
    return {
      active: active.length - deleted.length,
      ready: ready - deleted.filter(isPodReady).length,
      terminating: terminating + deleted.length,
      error: errors.find((error) => error !== undefined),
    };
  }

  private async managePods(key: string, job: Job, seen: Observation, nowMs: number): Promise<Managed> {
    const limits = {
      burst: this.options.burst ?? 500,
      backoff: this.options.backoff ?? { baseMs: 10_000, maxMs: 600_000 },
    };
    const { remove, create, waitMs } = planPods(seen, limits, nowMs);
    const { active, ready, terminating } = seen;
    if (remove.length > 0) {
      const uids = remove.map(({ metadata }) => metadata.uid ?? '');
      this.expectations.expect(key, 0, uids);
      const errors = await Promise.all(remove.map((pod) => this.removeUncounted(key, job, pod)));
      const deleted = remove.filter((_, i) => errors[i] === undefined);
      return {
        active: active.length - deleted.length,
        ready: ready - deleted.filter(isPodReady).length,
        terminating: terminating + deleted.length,
        error: errors.find((error) => error !== undefined),
      };
    }
    if (create.length === 0) return { active: active.length, ready, terminating, waitMs };
    this.expectations.expect(key, create.length, []);
    const { created, error } = await this.createPods(key, job, seen, create);
    return { active: active.length + created, ready, terminating, waitMs, error };
  }

  /** A pod that was not wanted has not failed: it is let go before it is deleted. */
  private async removeUncounted(key: string, job: Job, pod: Pod): Promise<Error | undefined> {
    const uid = pod.metadata.uid ?? '';
    const error = (isTracked(pod) ? await this.release(key, pod) : undefined) ?? (await this.control.delete(job, pod));
    if (error) this.expectations.deletedOrFailed(key, uid);
    return error;
  }

  /** Batches of 1, 2, 4, …: when creation fails for a reason common to all, few calls are wasted. */
  private async createPods(
    key: string,
    job: Job,
    seen: Observation,
    indexes: readonly (number | undefined)[],
  ): Promise<{ created: number; error?: Error | undefined }> {
    let created = 0;
    for (let done = 0, batch = 1; done < indexes.length; done += batch, batch *= 2) {
      const now = indexes.slice(done, done + batch);
      const errors = await Promise.all(now.map((index) => this.control.create(job, podOf(seen, index))));
      const failures = errors.filter((error) => error !== undefined);
      created += now.length - failures.length;
      if (failures.length > 0) {
        this.expectations.createdOrFailed(key, indexes.length - done - now.length + failures.length);
        return { created, error: failures[0] };
      }
    }
    return { created };
  }

  private async release(key: string, pod: Pod): Promise<Error | undefined> {
    const uid = pod.metadata.uid ?? '';
    this.released.add(key, uid);
    const error = await releasePod(this.deps.client, pod);
    if (error) this.released.seen(key, uid);
    return error;
  }

  private noteSuspension(job: Job, status: JobStatus, nowMs: number): JobStatus {
    const suspended = isSuspended(job);
    const [reason, message] = suspended ? ['JobSuspended', 'Job suspended'] : ['JobResumed', 'Job resumed'];
    const before = status.conditions ?? [];
    const next = { type: 'Suspended', status: suspended ? 'True' : 'False', reason, message } as const;
    const conditions = withCondition(before, next, nowMs);
    const at = before.find(({ type }) => type === 'Suspended')?.status;
    if (at === conditions.find(({ type }) => type === 'Suspended')?.status) return status;
    this.event(job, 'Normal', suspended ? 'Suspended' : 'Resumed', message);
    return { ...status, conditions, ...(suspended ? {} : { startTime: rfc3339(nowMs) }) };
  }

  /** The status, then the finalizers, then what their going makes of the status. */
  private async writeDown(
    key: string,
    { job, before }: { readonly job: Job; readonly before: JobStatus | undefined },
    seen: Observation,
    status: JobStatus,
    verdict: Verdict | undefined,
    nowMs: number,
  ): Promise<void> {
    const { status: first, release, full } = account(seen, status, verdict, nowMs);
    let current = job;
    let present: JobStatus | undefined = before;
    if ((release.length > 0 || verdict) && !sameStatus(present, first)) {
      current = await this.writeStatus(key, current, first);
      present = first;
    }
    // Pods that are left for the next round are in the record, too: it is taken when all are.
    if (!full) this.backoffs.set(key, seen.backoff);
    const errors = await Promise.all(release.map((pod) => this.release(key, pod)));
    const tracked = new Set(seen.tracked);
    release.forEach((pod, i) => {
      if (errors[i] === undefined) tracked.delete(pod.metadata.uid ?? '');
    });
    const settled = settle(first, tracked, isIndexed(job));
    const error = errors.find((one) => one !== undefined);
    const ended = verdict && !full && !error ? finish(settled, verdict, nowMs) : undefined;
    const last = ended ?? settled;
    if (!sameStatus(present, last)) await this.writeStatus(key, current, last);
    if (ended && verdict) this.noteEnd(job, ended, verdict);
    if (error) throw error;
    if (full) this.controller.queue.add(key);
  }

  private async writeStatus(key: string, job: Job, status: JobStatus): Promise<Job> {
    try {
      const written = await this.deps.client.updateStatus<Job>(JOBS, { ...job, status });
      this.writes.wrote(key, written);
      return written;
    } catch (error) {
      if (isNotFound(error)) return job;
      throw error;
    }
  }

  private noteEnd(job: Job, status: JobStatus, verdict: Verdict): void {
    if (finalType(verdict) === 'Failed') {
      this.event(job, 'Warning', verdict.reason, verdict.message);
      return;
    }
    if (job.spec?.completions !== undefined && job.spec.completions < (status.succeeded ?? 0)) {
      const message = 'Too many succeeded pods running after completion count reached';
      this.event(job, 'Warning', 'TooManySucceededPods', message);
    }
    this.event(job, 'Normal', 'Completed', 'Job completed');
  }

  private event(job: Job, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.deps.events(COMPONENT).event(job, type, reason, message);
  }
}

/** A Job starts when it is first seen and not suspended. */
function begin(job: Job, nowMs: number): Job {
  if (job.status?.startTime !== undefined || isSuspended(job)) return job;
  return { ...job, status: { ...job.status, startTime: rfc3339(nowMs) } };
}

function withNumbers(status: JobStatus, { active, ready, terminating }: Managed): JobStatus {
  const next: JobStatus = { ...status, ready: Math.max(0, ready), terminating };
  setNumber(next, 'active', active);
  return next;
}

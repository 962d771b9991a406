/**
 * Starts a Job for each run of a CronJob, keeps the list of those that are under way, and removes old ones.
 *
 * Guarantee: a run has one Job however many controllers begin it, since the Job's name is that of the run's minute. Runs that
 * were missed are not made up for: only the newest is begun, if its starting deadline allows.
 */
import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '../../../base/clock.js';
import { errorText } from '../../../base/log.js';
import { CronError, isTimeZone } from '../../../api/cron.js';
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from '../../../api/errors.js';
import { controllerOf, keyOf, splitKey } from '../../../api/object.js';
import { apiVersionOf, CRONJOBS, JOBS } from '../../../api/resource.js';
import type { CronJob, CronJobStatus, Job } from '../../../api/types/batch-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import type { SharedDeps } from '../deps.js';
import { BY_CONTROLLER } from '../informer-set.js';
import { endOf } from '../job/conditions.js';
import { SeenWrites } from '../seen-writes.js';
import { dueRun, jobName, jobOf, surplusJobs, type Due } from './plan.js';
import { scheduleOf, type Schedule } from './times.js';

export interface CronJobOptions {
  /** CronJobs reconciled at once; 5 unless told. */
  readonly workers?: number;
}

/** How often a CronJob is looked at again while its last write does not show in the cache; the event comes sooner. */
const UNSEEN_MS = 1_000;
/** No timer is longer, in milliseconds: later runs are looked at again in between. */
const MAX_WAIT_MS = 3_600_000;

export function cronJobController(deps: SharedDeps, options: CronJobOptions = {}): Controller {
  return new CronJobReconciler(deps, options).controller;
}

class CronJobReconciler {
  readonly controller: Controller;
  private readonly cronJobs: Informer<CronJob>;
  private readonly jobs: Informer<Job>;
  private readonly writes: SeenWrites<CronJob>;

  constructor(
    private readonly deps: SharedDeps,
    options: CronJobOptions,
  ) {
    this.cronJobs = deps.informers.of(CRONJOBS);
    this.jobs = deps.informers.of(JOBS);
    this.writes = new SeenWrites(deps.clock, this.cronJobs);
    this.controller = new Controller(deps, {
      name: 'cronjob',
      workers: options.workers ?? 5,
      waitFor: [this.cronJobs, this.jobs],
      reconcile: (key) => this.reconcile(key),
    });
    this.cronJobs.addHandler({
      onUpsert: (cronJob) => this.controller.queue.add(keyOf(cronJob)),
      onDelete: (cronJob) => this.writes.forget(keyOf(cronJob)),
    });
    const wakeOwner = (job: Job) => {
      const owner = controllerOf(job);
      if (owner?.kind === CRONJOBS.kind) this.controller.queue.add(`${job.metadata.namespace}/${owner.name}`);
    };
    this.jobs.addHandler({ onUpsert: wakeOwner, onDelete: wakeOwner });
  }

  private async reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const cronJob = this.cronJobs.get(namespace, name);
    if (!cronJob) return;
    // An old status would begin a run a second time, when its Job is gone already.
    if (!this.writes.allSeen(key)) return { requeueAfterMs: UNSEEN_MS };
    const run = new Run(this.deps, cronJob, this.jobs.byIndex(BY_CONTROLLER, cronJob.metadata.uid ?? ''));
    try {
      await run.removeOldJobs();
      await run.followJobs();
      const nextInMs = await run.startDue();
      if (nextInMs !== undefined) return { requeueAfterMs: Math.min(nextInMs, MAX_WAIT_MS) };
    } finally {
      const written = await run.writeStatus();
      if (written) this.writes.wrote(key, written);
    }
  }
}

/** One reconcile of one CronJob: what it does to Jobs, and the status that comes of it. */
class Run {
  private readonly status: CronJobStatus;
  private jobs: readonly Job[];

  constructor(
    private readonly deps: SharedDeps,
    private readonly cronJob: CronJob,
    jobs: readonly Job[],
  ) {
    this.status = structuredClone(cronJob.status) ?? {};
    this.jobs = jobs;
  }

  async writeStatus(): Promise<CronJob | undefined> {
    if (this.status.active?.length === 0) delete this.status.active;
    if (isDeepStrictEqual(this.status, this.cronJob.status ?? {})) return undefined;
    try {
      return await this.deps.client.updateStatus<CronJob>(CRONJOBS, { ...this.cronJob, status: this.status });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async removeOldJobs(): Promise<void> {
    const surplus = surplusJobs(this.cronJob, this.jobs);
    for (const job of surplus) await this.removeJob(job.metadata.name ?? '', job.metadata.uid);
    this.jobs = this.jobs.filter((job) => !surplus.includes(job));
  }

  /** Takes finished and vanished Jobs off the list of active ones, and notes when the last one succeeded. */
  async followJobs(): Promise<void> {
    for (const job of this.jobs) {
      const { name = '', uid } = job.metadata;
      const end = endOf(job);
      if (this.isActive(uid) && end) {
        this.forget(uid);
        this.event('Normal', 'SawCompletedJob', `Saw completed job: ${name}, condition: ${end.type}`);
      } else if (!this.isActive(uid) && !end) {
        const message = `Saw a job that the controller did not create or forgot: ${name}`;
        this.event('Warning', 'UnexpectedJob', message);
      }
      const { completionTime } = job.status ?? {};
      if (end?.type !== 'Complete' || completionTime === undefined) continue;
      const last = this.status.lastSuccessfulTime;
      if (last === undefined || Date.parse(completionTime) > Date.parse(last)) {
        this.status.lastSuccessfulTime = completionTime;
      }
    }
    for (const { name = '', uid } of this.status.active ?? []) {
      if (this.jobs.some(({ metadata }) => metadata.uid === uid) || (await this.liveJob(name))?.metadata.uid === uid) {
        continue;
      }
      this.forget(uid);
      this.event('Normal', 'MissingJob', `Active job went missing: ${name}`);
    }
  }

  /** Begins the run that is due, if one is; returns the milliseconds until the next. */
  async startDue(): Promise<number | undefined> {
    const { metadata, spec } = this.cronJob;
    if (metadata.deletionTimestamp || !spec || spec.suspend) return undefined;
    const due = this.due();
    if (!due) return undefined;
    const { scheduledMs, nextInMs } = due;
    if (due.tooManyMissed) {
      const advice = 'Set or decrease .spec.startingDeadlineSeconds or check clock skew';
      this.event('Warning', 'TooManyMissedTimes', `too many missed start times. ${advice}`);
    }
    if (scheduledMs === undefined) return nextInMs;
    const { startingDeadlineSeconds } = spec;
    if (startingDeadlineSeconds !== undefined && scheduledMs + startingDeadlineSeconds * 1000 < this.nowMs) {
      this.event('Warning', 'MissSchedule', `Missed scheduled time to start a job: ${rfc1123z(scheduledMs)}`);
      return nextInMs;
    }
    const name = jobName(this.cronJob, scheduledMs);
    const active = this.status.active ?? [];
    const last = this.status.lastScheduleTime;
    if (active.some((one) => one.name === name) || (last !== undefined && Date.parse(last) === scheduledMs)) {
      return nextInMs;
    }
    if (spec.concurrencyPolicy === 'Forbid' && active.length > 0) {
      const why = 'prior execution is running and concurrency policy is Forbid';
      this.event('Normal', 'JobAlreadyActive', `Not starting job because ${why}`);
      return nextInMs;
    }
    if (spec.concurrencyPolicy === 'Replace') {
      for (const { name: other = '', uid } of active) await this.removeJob(other, uid);
    }
    await this.startJob(scheduledMs);
    return nextInMs;
  }

  private due(): Due | undefined {
    const { schedule: text, timeZone } = this.cronJob.spec ?? { schedule: '' };
    if (timeZone !== undefined && !isTimeZone(timeZone)) {
      const quoted = JSON.stringify(timeZone);
      this.event('Warning', 'UnknownTimeZone', `invalid timeZone: ${quoted}: unknown time zone ${timeZone}`);
      return undefined;
    }
    let schedule: Schedule;
    try {
      schedule = scheduleOf(text, timeZone);
    } catch (error) {
      if (!(error instanceof CronError)) throw error;
      this.event('Warning', 'UnparseableSchedule', `unparseable schedule: ${JSON.stringify(text)} : ${error.message}`);
      return undefined;
    }
    try {
      return dueRun(this.cronJob, schedule, this.nowMs);
    } catch (error) {
      this.event('Warning', 'InvalidSchedule', `invalid schedule: ${text} : ${errorText(error)}`);
      return undefined;
    }
  }

  private async startJob(scheduledMs: number): Promise<void> {
    let job: Job | undefined;
    try {
      job = await this.deps.client.create<Job>(JOBS, jobOf(this.cronJob, scheduledMs));
      this.event('Normal', 'SuccessfulCreate', `Created job ${job.metadata.name}`);
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      if (!isAlreadyExists(error)) {
        this.event('Warning', 'FailedCreate', `Error creating job: ${errorText(error)}`);
        throw error;
      }
      job = await this.liveJob(jobName(this.cronJob, scheduledMs));
      // Not ours, or ours and known: whoever made it has noted it.
      if (!job || controllerOf(job)?.uid !== this.cronJob.metadata.uid || this.isActive(job.metadata.uid)) return;
    }
    this.status.lastScheduleTime = rfc3339(scheduledMs);
    const { namespace = '', name = '', uid = '', resourceVersion = '' } = job.metadata;
    const reference = { apiVersion: apiVersionOf(JOBS), kind: JOBS.kind, namespace, name, uid, resourceVersion };
    if (!endOf(job)) this.status.active = [...(this.status.active ?? []), reference];
  }

  private async liveJob(name: string): Promise<Job | undefined> {
    try {
      return await this.deps.client.get<Job>(JOBS, this.cronJob.metadata.namespace ?? '', name);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  private async removeJob(name: string, uid: string | undefined): Promise<void> {
    const { namespace = '' } = this.cronJob.metadata;
    try {
      await this.deps.client.delete(JOBS, namespace, name, {
        propagationPolicy: 'Background',
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      });
      this.event('Normal', 'SuccessfulDelete', `Deleted job ${name}`);
    } catch (error) {
      if (!isNotFound(error)) {
        this.event('Warning', 'FailedDelete', `Deleted job: ${errorText(error)}`);
        throw error;
      }
    }
    this.forget(uid);
  }

  private isActive(uid: string | undefined): boolean {
    return this.status.active?.some((one) => one.uid === uid) === true;
  }

  private forget(uid: string | undefined): void {
    if (this.status.active) this.status.active = this.status.active.filter((one) => one.uid !== uid);
  }

  private get nowMs(): number {
    return this.deps.clock.nowMs();
  }

  private event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.deps.events('cronjob-controller').event(this.cronJob, type, reason, message);
  }
}

/** `Mon, 02 Jan 2006 15:04:05 +0000`. */
const rfc1123z = (ms: number) => new Date(ms).toUTCString().replace('GMT', '+0000');

/** Which run of a CronJob is due, and which finished Jobs of it are too many. Pure. */
import { rfc3339 } from '../../../base/clock.js';
import type { DeepReadonly } from '../../../api/object.js';
import { CRONJOBS, JOBS, apiVersionOf } from '../../../api/resource.js';
import type { CronJob, Job } from '../../../api/types/batch-v1.js';
import { controllerRef } from '../claim.js';
import { endOf } from '../job/conditions.js';
import type { Schedule } from './times.js';

/** With the time of its run, in the CronJob's time zone. */
export const SCHEDULED_AT = 'batch.kubernetes.io/cronjob-scheduled-timestamp';
/** So many missed runs are noted with a warning. */
const MANY_MISSED = 100;
/** A run is looked at so long after its time, in milliseconds. */
const AFTER_MS = 100;

export interface Due {
  /** The newest run whose time has come and which was not begun; undefined when there is none. */
  readonly scheduledMs: number | undefined;
  readonly tooManyMissed: boolean;
  /** Until the next run; undefined when the schedule has no more. */
  readonly nextInMs: number | undefined;
}

/** Throws for a schedule that makes no sense. */
export function dueRun({ metadata, spec, status }: DeepReadonly<CronJob>, schedule: Schedule, nowMs: number): Due {
  const since = status?.lastScheduleTime ?? metadata.creationTimestamp;
  let earliest = since === undefined ? nowMs : Date.parse(since);
  if (spec?.startingDeadlineSeconds !== undefined) {
    earliest = Math.max(earliest, nowMs - spec.startingDeadlineSeconds * 1000);
  }
  const { newest, missed } = newestRun(schedule, earliest, nowMs);
  const next = schedule.next(newest ?? earliest);
  return {
    scheduledMs: newest,
    tooManyMissed: missed > MANY_MISSED,
    nextInMs: next === undefined ? undefined : Math.max(0, next - nowMs) + AFTER_MS,
  };
}

/** By the distance of two runs, so that a year of missed minutes costs no more than a few steps. */
function newestRun(
  schedule: Schedule,
  earliest: number,
  nowMs: number,
): { newest: number | undefined; missed: number } {
  const first = schedule.next(earliest);
  if (first === undefined || first > nowMs) return { newest: undefined, missed: 0 };
  const second = schedule.next(first);
  if (second === undefined || second > nowMs) return { newest: first, missed: 1 };
  const distance = Math.round((second - first) / 1000) * 1000;
  if (distance < 1000) throw new Error('time difference between two schedules is less than 1 second');
  const missed = Math.floor((nowMs - first) / distance) + 1;
  let newest = first;
  const from = first + Math.max(0, missed - 2) * distance;
  for (let at = schedule.next(from); at !== undefined && at <= nowMs; at = schedule.next(at)) newest = at;
  return { newest, missed };
}

/** By the minute, so that two controllers that begin the same run make the same Job. */
export const jobName = ({ metadata }: DeepReadonly<CronJob>, scheduledMs: number) =>
  `${metadata.name}-${Math.floor(scheduledMs / 60_000)}`;

export function jobOf(cronJob: CronJob, scheduledMs: number): Job {
  const { metadata, spec } = structuredClone(cronJob.spec?.jobTemplate) ?? {};
  const { namespace } = cronJob.metadata;
  return {
    apiVersion: apiVersionOf(JOBS),
    kind: JOBS.kind,
    metadata: {
      name: jobName(cronJob, scheduledMs),
      ...(namespace === undefined ? {} : { namespace }),
      ...(metadata?.labels ? { labels: metadata.labels } : {}),
      annotations: { ...metadata?.annotations, [SCHEDULED_AT]: inZone(scheduledMs, cronJob.spec?.timeZone) },
      ownerReferences: [controllerRef(CRONJOBS, cronJob)],
    },
    ...(spec ? { spec } : {}),
  };
}

/** RFC 3339 with the zone's offset. */
function inZone(ms: number, timeZone: string | undefined): string {
  if (timeZone === undefined) return rfc3339(ms);
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  const name = format.formatToParts(ms).find(({ type }) => type === 'timeZoneName')?.value ?? 'GMT';
  const [, sign = '+', hours = '00', minutes = '00'] = /^GMT([+-])(\d\d):(\d\d)/.exec(name) ?? [];
  const offsetMs = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  if (offsetMs === 0) return rfc3339(ms);
  return `${rfc3339(ms + offsetMs).replace(/Z$/, '')}${sign}${hours}:${minutes}`;
}

/** The oldest finished Jobs beyond the limits of history. */
export function surplusJobs({ spec }: DeepReadonly<CronJob>, jobs: readonly Job[]): Job[] {
  const ended = (type: string) => jobs.filter((job) => endOf(job)?.type === type);
  return [
    ...beyond(ended('Complete'), spec?.successfulJobsHistoryLimit),
    ...beyond(ended('Failed'), spec?.failedJobsHistoryLimit),
  ];
}

function beyond(jobs: readonly Job[], limit: number | undefined): Job[] {
  if (limit === undefined || jobs.length <= limit) return [];
  const startOf = ({ status }: Job) => Date.parse(status?.startTime ?? '') || 0;
  const nameOf = ({ metadata }: Job) => metadata.name ?? '';
  const oldestFirst = jobs.toSorted((a, b) => startOf(a) - startOf(b) || (nameOf(a) < nameOf(b) ? -1 : 1));
  return oldestFirst.slice(0, jobs.length - limit);
}

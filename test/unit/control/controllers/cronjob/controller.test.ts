import assert from 'node:assert/strict';
import { rfc3339 } from '../../../../../src/base/clock.js';
import { controllerOf } from '../../../../../src/api/object.js';
import { CRONJOBS, EVENTS, JOBS } from '../../../../../src/api/resource.js';
import type { CronJob, CronJobSpec, Job } from '../../../../../src/api/types/batch-v1.js';
import type { Event } from '../../../../../src/api/types/core-v1.js';
import { cronJobController } from '../../../../../src/control/controllers/cronjob/controller.js';
import { harness, template, type Harness } from '../harness.js';

const MINUTE_MS = 60_000;

describe('CronJob controller', () => {
  let h: Harness;
  const create = async (spec: Partial<CronJobSpec> = {}, metadata: Partial<CronJob['metadata']> = {}) => {
    await h.run(cronJobController(h));
    await h.client.create<CronJob>(CRONJOBS, {
      metadata: { namespace: 'ns', name: 'tick', ...metadata },
      spec: {
        schedule: '* * * * *',
        concurrencyPolicy: 'Allow',
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 1,
        jobTemplate: { metadata: { labels: { a: 'b' } }, spec: { template: template() } },
        ...spec,
      },
    });
    await h.clock.advance(0);
  };
  const jobs = () =>
    h.client.all<Job>(JOBS).toSorted((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
  const cronJob = () => h.client.get<CronJob>(CRONJOBS, 'ns', 'tick');
  const reasons = () => h.client.all<Event>(EVENTS).map(({ reason, message }) => `${reason}: ${message}`);
  const end = async (job: Job, type = 'Complete') => {
    const at = rfc3339(h.clock.nowMs());
    const conditions = [{ type, status: 'True', lastTransitionTime: at }];
    await h.client.updateStatus<Job>(JOBS, {
      ...job,
      status: { startTime: at, conditions, ...(type === 'Complete' ? { completionTime: at } : {}) },
    });
    await h.clock.advance(10);
  };
  beforeEach(() => {
    h = harness();
  });
  afterEach(() => h.stop());

  it('starts a Job each minute, named by the minute, and lists it as active until it ends', async () => {
    await create({ timeZone: 'Asia/Kolkata' });
    await h.clock.advance(MINUTE_MS + 1_000);
    const [job, ...others] = jobs();
    assert.ok(job);
    assert.deepEqual(others, []);
    const scheduledMs = Math.floor(h.clock.nowMs() / MINUTE_MS) * MINUTE_MS;
    assert.equal(job.metadata.name, `tick-${scheduledMs / MINUTE_MS}`);
    assert.equal(controllerOf(job)?.kind, 'CronJob');
    assert.deepEqual(job.metadata.labels, { a: 'b' });
    const at = job.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'] ?? '';
    assert.match(at, /\+05:30$/);
    assert.equal(Date.parse(at), scheduledMs);
    const { status } = await cronJob();
    assert.equal(status?.lastScheduleTime, rfc3339(scheduledMs));
    assert.deepEqual(
      status?.active?.map(({ name, kind }) => `${kind}/${name}`),
      [`Job/${job.metadata.name}`],
    );
    await end(job);
    const after = (await cronJob()).status;
    assert.equal(after?.active, undefined);
    assert.equal(after?.lastSuccessfulTime, rfc3339(h.clock.nowMs() - 10));
    assert.ok(reasons().includes(`SawCompletedJob: Saw completed job: ${job.metadata.name}, condition: Complete`));
    await h.clock.advance(MINUTE_MS);
    assert.equal(jobs().length, 2);
  });

  it('starts nothing while it is suspended, and only the newest run afterwards', async () => {
    await create({ suspend: true });
    await h.clock.advance(5 * MINUTE_MS);
    assert.deepEqual(jobs(), []);
    await h.client.patch(CRONJOBS, 'ns', 'tick', 'merge', { spec: { suspend: false } });
    await h.clock.advance(100);
    assert.equal(jobs().length, 1);
  });

  it('lets several runs be active with Allow', async () => {
    await create();
    await h.clock.advance(3 * MINUTE_MS + 1_000);
    assert.equal((await cronJob()).status?.active?.length, 3);
  });

  it('keeps the earlier run with Forbid, and says so', async () => {
    await create({ concurrencyPolicy: 'Forbid' });
    await h.clock.advance(3 * MINUTE_MS + 1_000);
    const [first, ...others] = jobs();
    assert.deepEqual(others, []);
    assert.ok(
      reasons().some((reason) => reason.startsWith('JobAlreadyActive: Not starting job because prior execution')),
    );
    await end(first as Job);
    assert.equal(jobs().length, 2);
  });

  it('puts a new run in place of the earlier one with Replace', async () => {
    await create({ concurrencyPolicy: 'Replace' });
    await h.clock.advance(MINUTE_MS + 1_000);
    const [first] = jobs();
    await h.clock.advance(MINUTE_MS);
    assert.equal(jobs().length, 1);
    assert.notEqual(jobs()[0]?.metadata.name, first?.metadata.name);
    assert.equal((await cronJob()).status?.active?.length, 1);
  });

  it('keeps as many finished Jobs as the limits say', async () => {
    await create({ successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 0 });
    await h.clock.advance(1_000);
    for (let i = 0; i < 4; i++) {
      await h.clock.advance(MINUTE_MS);
      for (const job of jobs()) if (!job.status) await end(job, i === 1 ? 'Failed' : 'Complete');
    }
    assert.equal(jobs().length, 2);
  });

  it('warns when more than a hundred runs were missed, and begins the newest', async () => {
    await create({}, { creationTimestamp: rfc3339(h.clock.nowMs() - 500 * MINUTE_MS) });
    await h.clock.advance(100);
    assert.equal(jobs().length, 1);
    assert.ok(reasons().some((reason) => reason.startsWith('TooManyMissedTimes: too many missed start times. Set or')));
  });

  it('forgets a run whose starting deadline has passed', async () => {
    const created = rfc3339(h.clock.nowMs() - 30 * MINUTE_MS);
    await create({ schedule: '45 23 31 12 *', startingDeadlineSeconds: 10 }, { creationTimestamp: created });
    await h.clock.advance(1_000);
    assert.deepEqual(jobs(), []);
  });

  it('notes a run that another controller began, and makes no second Job of it', async () => {
    await create();
    const owner = (await cronJob()).metadata;
    const name = `tick-${Math.floor(h.clock.nowMs() / MINUTE_MS) + 1}`;
    await h.client.create<Job>(JOBS, {
      metadata: {
        namespace: 'ns',
        name,
        ownerReferences: [
          { apiVersion: 'batch/v1', kind: 'CronJob', name: 'tick', uid: owner.uid ?? '', controller: true },
        ],
      },
    });
    await h.clock.advance(MINUTE_MS + 100);
    assert.deepEqual(
      jobs().map(({ metadata }) => metadata.name),
      [name],
    );
    assert.equal((await cronJob()).status?.active?.[0]?.name, name);
  });

  it('drops an active Job that was deleted', async () => {
    await create();
    await h.clock.advance(MINUTE_MS + 100);
    const name = jobs()[0]?.metadata.name ?? '';
    await h.client.delete(JOBS, 'ns', name);
    await h.clock.advance(100);
    assert.equal((await cronJob()).status?.active, undefined);
    assert.ok(reasons().includes(`MissingJob: Active job went missing: ${name}`));
    assert.deepEqual(jobs(), []);
  });
});

/** CronJobs, as far as no container has to run. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { eventually } from '../framework/expect.js';

const TWO_MINUTES_MS = 150_000;

/** A suspended one starts nothing in the time in which its twin, which is not suspended, starts a Job. */
async function suspended(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('cronjob');
  const cronJobs = t.resource('batch/v1', 'cronjobs', namespace);
  const jobs = t.resource('batch/v1', 'jobs', namespace);
  const cronJob = (name: string, suspend: boolean) => ({
    metadata: { name },
    spec: {
      schedule: '*/1 * * * *',
      concurrencyPolicy: 'Allow',
      suspend,
      jobTemplate: { spec: { template: { spec: { ...podSpec(), restartPolicy: 'OnFailure' } } } },
    },
  });
  await cronJobs.create(cronJob('suspended', true));
  await cronJobs.create(cronJob('running', false));
  const owners = async () => (await jobs.items()).map(({ metadata }) => String(metadata.ownerReferences?.[0]?.name));
  await eventually('a Job of the other one', async () => (await owners()).includes('running'), TWO_MINUTES_MS);
  assert.ok(!(await owners()).includes('suspended'));
  assert.deepEqual((await cronJobs.get('suspended')).status.active ?? [], []);
}

export const rows: Rows = { 'cronjob-suspend': suspended };

/** CronJobs. Each waits for runs that come once a minute. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { always, eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';
import { shellPod } from './jobs.js';

const RUN_MS = 150_000;
const FOR_EVER = 'sleep infinity';

async function open(t: Context): Promise<{ cronJobs: Resource; jobs: Resource }> {
  t.needsControllers();
  const namespace = await t.namespace('cronjob');
  return { cronJobs: t.resource('batch/v1', 'cronjobs', namespace), jobs: t.resource('batch/v1', 'jobs', namespace) };
}

const cronJob = (name: string, concurrencyPolicy: string, more: Json = {}): Json => ({
  metadata: { name },
  spec: {
    schedule: '*/1 * * * *',
    concurrencyPolicy,
    jobTemplate: { spec: { template: { spec: shellPod(FOR_EVER, 'OnFailure') } } },
    ...more,
  },
});

const activeOf = async (cronJobs: Resource, name: string): Promise<string[]> =>
  ((await cronJobs.get(name)).status.active ?? []).map((reference: Json) => String(reference.name));

/** A suspended one starts nothing in the time in which its twin, which is not suspended, starts a Job. */
async function suspended(t: Context): Promise<void> {
  const { cronJobs, jobs } = await open(t);
  await cronJobs.create(cronJob('suspended', 'Allow', { suspend: true }));
  await cronJobs.create(cronJob('running', 'Allow'));
  const owners = async () => (await jobs.items()).map(({ metadata }) => String(metadata.ownerReferences?.[0]?.name));
  await eventually('a Job of the other one', async () => (await owners()).includes('running'), RUN_MS);
  assert.ok(!(await owners()).includes('suspended'));
  assert.deepEqual(await activeOf(cronJobs, 'suspended'), []);
}

async function allow(t: Context): Promise<void> {
  const { cronJobs, jobs } = await open(t);
  await cronJobs.create(cronJob('concurrent', 'Allow'));
  await eventually('two active Jobs', async () => (await activeOf(cronJobs, 'concurrent')).length >= 2, 2 * RUN_MS);
  const running = (await jobs.items()).filter(({ status }) => status.completionTime === undefined);
  assert.ok(running.length >= 2);
}

async function forbid(t: Context): Promise<void> {
  const { cronJobs, jobs } = await open(t);
  await cronJobs.create(cronJob('forbid', 'Forbid'));
  const [first] = await eventually(
    'an active Job',
    async () => {
      const active = await activeOf(cronJobs, 'forbid');
      return active.length > 0 && active;
    },
    RUN_MS,
  );
  await always('it stays the only one while the next run comes', 65_000, async () => {
    const names = await jobs.names();
    return names.length === 1 && names[0] === first;
  });
  assert.deepEqual(await activeOf(cronJobs, 'forbid'), [first]);
}

async function replace(t: Context): Promise<void> {
  const { cronJobs, jobs } = await open(t);
  await cronJobs.create(cronJob('replace', 'Replace'));
  const active = () => activeOf(cronJobs, 'replace');
  const [first = ''] = await eventually('an active Job', async () => (await active()).length > 0 && active(), RUN_MS);
  const [second] = await eventually(
    'another in its place',
    async () => {
      const now = await active();
      return now.length === 1 && now[0] !== first && now;
    },
    RUN_MS,
  );
  await eventually('the first to go', async () => !(await jobs.exists(first)));
  assert.ok(await jobs.exists(String(second)));
}

export const rows: Rows = {
  'cronjob-suspend': suspended,
  'cronjob-allow': allow,
  'cronjob-forbid': forbid,
  'cronjob-replace': replace,
};

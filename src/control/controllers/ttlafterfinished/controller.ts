/** Deletes Jobs, and with them their pods, `ttlSecondsAfterFinished` after they ended. */
import { isConflict, isNotFound } from '../../../api/errors.js';
import { keyOf, splitKey, type DeepReadonly } from '../../../api/object.js';
import { JOBS } from '../../../api/resource.js';
import type { Job } from '../../../api/types/batch-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import type { SharedDeps } from '../deps.js';
import { endOf } from '../job/conditions.js';

/** No timer is longer, in milliseconds: what ends later is looked at again in between. */
const MAX_WAIT_MS = 3_600_000;

export function ttlAfterFinishedController(deps: SharedDeps): Controller {
  const jobs = deps.informers.of<Job>(JOBS);
  const controller = new Controller(deps, {
    name: 'ttl-after-finished',
    waitFor: [jobs],
    reconcile: (key) => expire(deps, jobs, key),
  });
  jobs.addHandler({
    onUpsert: (job) => {
      if (expiryMs(job) !== undefined) controller.queue.add(keyOf(job));
    },
  });
  return controller;
}

async function expire(
  { client, clock }: SharedDeps,
  jobs: Informer<Job>,
  key: string,
): Promise<ReconcileResult | void> {
  const { namespace, name } = splitKey(key);
  const cached = jobs.get(namespace, name);
  const wait = cached && waitMs(cached, clock.nowMs());
  if (wait === undefined) return;
  if (wait > 0) return { requeueAfterMs: Math.min(wait, MAX_WAIT_MS) };
  try {
    // The time to live may just have been prolonged.
    const live = await client.get<Job>(JOBS, namespace, name);
    const left = waitMs(live, clock.nowMs());
    if (left === undefined) return;
    if (left > 0) return { requeueAfterMs: Math.min(left, MAX_WAIT_MS) };
    const { uid, resourceVersion } = live.metadata;
    await client.delete(JOBS, namespace, name, {
      propagationPolicy: 'Foreground',
      preconditions: { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) },
    });
  } catch (error) {
    if (isConflict(error)) return { requeueAfterMs: 1_000 };
    if (!isNotFound(error)) throw error;
  }
}

function waitMs(job: DeepReadonly<Job>, nowMs: number): number | undefined {
  const expiry = expiryMs(job);
  return expiry === undefined ? undefined : Math.max(0, expiry - nowMs);
}

/** When the Job is to go; undefined when it has not ended, stays, or is going. */
function expiryMs(job: DeepReadonly<Job>): number | undefined {
  const seconds = job.spec?.ttlSecondsAfterFinished;
  const end = endOf(job)?.lastTransitionTime;
  if (seconds === undefined || end === undefined || job.metadata.deletionTimestamp) return undefined;
  return Date.parse(end) + seconds * 1000;
}

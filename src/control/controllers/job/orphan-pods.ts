/**
 * Lets pods go that no Job counts any more: those of a Job that is gone or has ended, and those without one. Otherwise our
 * finalizer would keep them for ever.
 */
import { isNotFound } from '../../../api/errors.js';
import { controllerOf, keyOf, splitKey } from '../../../api/object.js';
import { JOBS, PODS } from '../../../api/resource.js';
import type { Job } from '../../../api/types/batch-v1.js';
import type { Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import type { SharedDeps } from '../deps.js';
import { BY_CONTROLLER } from '../informer-set.js';
import { isFinished } from './conditions.js';
import { isManagedHere, isTracked } from './pod-facts.js';
import { releasePod } from './pod-control.js';

/** When the cache misses a Job that is there. */
const LOOK_AGAIN_MS = 5_000;

/** Its keys are pods. */
export function orphanedJobPodsController(deps: SharedDeps): Controller {
  const jobs = deps.informers.of<Job>(JOBS);
  const pods = deps.informers.of<Pod>(PODS);
  const controller = new Controller(deps, {
    name: 'job-orphaned-pods',
    workers: 2,
    waitFor: [jobs, pods],
    reconcile: (key) => release(deps, jobs, pods, key),
  });
  pods.addHandler({
    onUpsert: (pod) => {
      if (isTracked(pod) && countedBy(jobs, pod) !== 'live') controller.queue.add(keyOf(pod));
    },
  });
  const wakePodsOf = (job: Job) => {
    for (const pod of pods.byIndex(BY_CONTROLLER, job.metadata.uid ?? '')) {
      if (isTracked(pod)) controller.queue.add(keyOf(pod));
    }
  };
  jobs.addHandler({
    onUpsert: (job) => {
      if (isFinished(job)) wakePodsOf(job);
    },
    onDelete: wakePodsOf,
  });
  return controller;
}

/** What the cache says of the Job that is to count the pod. */
function countedBy(jobs: Informer<Job>, pod: Pod): 'live' | 'ended' | 'unknown' | 'none' {
  const owner = controllerOf(pod);
  if (owner?.kind !== JOBS.kind) return 'none';
  const job = jobs.get(pod.metadata.namespace ?? '', owner.name);
  if (job?.metadata.uid !== owner.uid) return 'unknown';
  return isFinished(job) && isManagedHere(job) ? 'ended' : 'live';
}

async function release(
  deps: SharedDeps,
  jobs: Informer<Job>,
  pods: Informer<Pod>,
  key: string,
): Promise<ReconcileResult | void> {
  const { namespace, name } = splitKey(key);
  const pod = pods.get(namespace, name);
  if (!pod || !isTracked(pod)) return;
  const by = countedBy(jobs, pod);
  if (by === 'live') return;
  if (by === 'unknown' && (await isThere(deps, pod))) return { requeueAfterMs: LOOK_AGAIN_MS };
  const error = await releasePod(deps.client, pod);
  if (error) throw error;
}

/** A pod may come to the cache before its Job. */
async function isThere({ client }: SharedDeps, pod: Pod): Promise<boolean> {
  const owner = controllerOf(pod);
  try {
    const job = await client.get(JOBS, pod.metadata.namespace ?? '', owner?.name ?? '');
    return job.metadata.uid === owner?.uid;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

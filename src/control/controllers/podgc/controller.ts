/**
 * Removes pods that nobody else removes: of nodes that no longer exist, being deleted without ever having had a node, and
 * finished ones beyond a number.
 */
import { rfc3339 } from '../../../base/clock.js';
import { isConflict, isNotFound } from '../../../api/errors.js';
import { NODES, PODS } from '../../../api/resource.js';
import type { Node, Pod } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { isPodTerminated } from '../pod-state.js';

export interface PodGcOptions {
  /** Finished pods kept; the oldest beyond go. 12,500 unless told; 0 keeps all. */
  readonly terminatedThreshold?: number;
  /** Between two looks, in milliseconds; 20,000 unless told. */
  readonly periodMs?: number;
  /** A node must be missing for so long, in milliseconds, before its pods go; 40,000 unless told. */
  readonly quarantineMs?: number;
}

const KEY = 'pods';

export function podGcController(deps: SharedDeps, options: PodGcOptions = {}): Controller {
  const { client, clock } = deps;
  const pods = deps.informers.of<Pod>(PODS);
  const nodes = deps.informers.of<Node>(NODES);
  const missingSince = new Map<string, number>();
  const controller = new Controller(deps, { name: 'podgc', waitFor: [pods, nodes], reconcile });
  controller.queue.add(KEY);

  async function reconcile(): Promise<ReconcileResult> {
    const all = pods.list();
    const errors: unknown[] = [];
    for (const pod of [...surplusTerminated(all), ...unscheduledTerminating(all)]) {
      await attempt(() => remove(pod), errors);
    }
    for (const pod of await orphaned(all)) await attempt(() => removeOrphan(pod), errors);
    if (errors.length > 0) deps.log.warn('some pods could not be removed', { count: errors.length });
    return { requeueAfterMs: options.periodMs ?? 20_000 };
  }

  function surplusTerminated(all: readonly Pod[]): Pod[] {
    const threshold = options.terminatedThreshold ?? 12_500;
    if (threshold <= 0) return [];
    const finished = all.filter((pod) => isPodTerminated(pod) && !pod.metadata.deletionTimestamp);
    const surplus = finished.length - threshold;
    if (surplus <= 0) return [];
    const created = ({ metadata }: Pod) => metadata.creationTimestamp ?? '';
    const evicted = ({ status }: Pod) => Number(status?.reason === 'Evicted');
    return finished.sort((a, b) => evicted(b) - evicted(a) || created(a).localeCompare(created(b))).slice(0, surplus);
  }

  async function orphaned(all: readonly Pod[]): Promise<Pod[]> {
    const now = clock.monotonicMs();
    const missing = new Set<string>();
    for (const { spec } of all) if (spec?.nodeName && !nodes.get('', spec.nodeName)) missing.add(spec.nodeName);
    for (const name of missingSince.keys()) if (!missing.has(name)) missingSince.delete(name);
    const gone = new Set<string>();
    for (const name of missing) {
      const since = missingSince.get(name) ?? now;
      missingSince.set(name, since);
      if (now - since >= (options.quarantineMs ?? 40_000) && (await isReallyGone(name))) gone.add(name);
    }
    return all.filter(({ spec }) => spec?.nodeName !== undefined && gone.has(spec.nodeName));
  }

  /** The cache may lag behind a node that just came. */
  async function isReallyGone(name: string): Promise<boolean> {
    try {
      await client.get(NODES, '', name);
      return false;
    } catch (error) {
      if (isNotFound(error)) return true;
      throw error;
    }
  }

  async function removeOrphan(pod: Pod): Promise<void> {
    if (!isPodTerminated(pod)) {
      const condition = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'DeletionByPodGC',
        message: 'PodGC: node no longer exists',
        lastTransitionTime: rfc3339(clock.nowMs()),
      };
      const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== condition.type);
      const status = { ...pod.status, phase: 'Failed' as const, conditions: [...others, condition] };
      await client.updateStatus<Pod>(PODS, { ...pod, status });
    }
    await remove(pod);
  }

  async function remove({ metadata }: Pod): Promise<void> {
    const { namespace = '', name = '', uid = '' } = metadata;
    await client.delete(PODS, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } });
  }
  return controller;
}

function unscheduledTerminating(all: readonly Pod[]): Pod[] {
  return all.filter(({ metadata, spec }) => metadata.deletionTimestamp !== undefined && !spec?.nodeName);
}

/** One pod that cannot be removed does not keep the others; what is gone or changed meanwhile is looked at next time. */
async function attempt(act: () => Promise<void>, errors: unknown[]): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) errors.push(error);
  }
}

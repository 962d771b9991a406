/**
 * Keeps the status of ResourceQuotas: counts a namespace with quotas anew when one is made or changed, when something it
 * counts goes away or stops counting, and, a little later, when something was added that admission should have charged: after a
 * merge of two halves of the cluster it was not.
 *
 * Exact against concurrent creations: each of them writes the quota together with the object, so a count made from lists that
 * are younger than the quota is refused as a conflict, and made again, whenever one came between.
 */
import { isDeepStrictEqual } from 'node:util';
import { isNotFound } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { groupResourceOf, PODS, type ResourceRef } from '../../../api/resource.js';
import type { Pod, ResourceQuota } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { concerned, countables, nextDeadlineMs, plannedStatus, type Countable, type Counted } from './plan.js';

export const RESOURCEQUOTAS: ResourceRef = Object.freeze({
  group: '',
  version: 'v1',
  resource: 'resourcequotas',
  kind: 'ResourceQuota',
  namespaced: true,
});

export interface ResourceQuotaOptions {
  /** Every resource that can be listed, watched and deleted, now. What is there at the start is watched. */
  resources(): readonly ResourceRef[];
  /** Namespaces counted at once; 5 unless told. */
  readonly workers?: number;
  /** Deletions of so long, in milliseconds, are counted together; 50 unless told. */
  readonly releaseMs?: number;
  /** Additions are checked so long after, in milliseconds; 5,000 unless told. */
  readonly auditMs?: number;
  /** Resources that came after the start are not watched; where a quota limits one, look so often; 10,000 unless told. */
  readonly lookMs?: number;
}

export function resourceQuotaController(deps: SharedDeps, options: ResourceQuotaOptions): Controller {
  const { client, clock } = deps;
  const releaseMs = options.releaseMs ?? 50;
  const auditMs = options.auditMs ?? 5_000;
  const quotas = deps.informers.of<ResourceQuota>(RESOURCEQUOTAS);
  const watched = new Set<string>();
  const controller = new Controller(deps, {
    name: 'resourcequota',
    workers: options.workers ?? 5,
    waitFor: [quotas],
    reconcile,
  });

  quotas.addHandler({
    onUpsert(quota, previous) {
      const { namespace = '' } = quota.metadata;
      if (!previous || !isDeepStrictEqual(previous.spec, quota.spec)) controller.queue.add(namespace);
      // What was charged needs no look; what somebody wrote into the status does.
      else if (!isDeepStrictEqual(previous.status, quota.status)) controller.queue.addAfter(namespace, auditMs);
    },
  });
  for (const { resource } of countables(options.resources())) watch(resource);

  function watch(resource: ResourceRef): void {
    watched.add(groupResourceOf(resource));
    deps.informers.of<KubeObject>(resource).addHandler({
      onUpsert(object, previous) {
        if (!previous) wake(object, auditMs);
        else if (changesUsage(resource, object, previous)) wake(object, releaseMs);
      },
      onDelete: (object) => wake(object, releaseMs),
    });
  }

  function wake({ metadata }: KubeObject, afterMs: number): void {
    const { namespace = '' } = metadata;
    if (quotas.byIndex(BY_NAMESPACE, namespace).length > 0) controller.queue.addAfter(namespace, afterMs);
  }

  async function reconcile(namespace: string): Promise<ReconcileResult | void> {
    if (quotas.byIndex(BY_NAMESPACE, namespace).length === 0) return;
    // The quotas first: what was charged before them is in the lists, what is charged after them makes a conflict.
    const { items } = await client.list<ResourceQuota>(RESOURCEQUOTAS, { namespace });
    const relevant = concerned(countables(options.resources()), items);
    const counted = await Promise.all(relevant.map((countable) => listed(countable, namespace)));
    const nowMs = clock.nowMs();
    for (const quota of items) {
      const status = plannedStatus(quota, counted, nowMs);
      if (!status) continue;
      try {
        await client.updateStatus<ResourceQuota>(RESOURCEQUOTAS, { ...quota, status });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return nextLook(counted, nowMs);
  }

  /** What changes without an event that would wake us. */
  function nextLook(counted: readonly Counted[], nowMs: number): ReconcileResult | void {
    const pods = counted.find(({ resource }) => groupResourceOf(resource) === groupResourceOf(PODS));
    const deadlineMs = nextDeadlineMs(pods?.objects ?? [], nowMs);
    const waits = deadlineMs === undefined ? [] : [deadlineMs - nowMs + 1];
    if (!counted.every(({ resource }) => watched.has(groupResourceOf(resource)))) waits.push(options.lookMs ?? 10_000);
    if (waits.length > 0) return { requeueAfterMs: Math.min(...waits) };
  }

  async function listed(countable: Countable, namespace: string): Promise<Counted> {
    const { items } = await client.list<KubeObject>(countable.resource, { namespace });
    return { ...countable, objects: items };
  }
  return controller;
}

const hasEnded = ({ status }: Pod) => status?.phase === 'Succeeded' || status?.phase === 'Failed';

/** Whether quotas may count the object differently now. Cheap: asked for every change of every object. */
function changesUsage({ group, resource }: ResourceRef, object: KubeObject, previous: KubeObject): boolean {
  if (group !== '') return false;
  switch (resource) {
    case 'pods':
      if (hasEnded(object as Pod) !== hasEnded(previous as Pod)) return true;
      if (object.metadata.deletionTimestamp !== previous.metadata.deletionTimestamp) return true;
      return deadlineOf(object) !== deadlineOf(previous);
    case 'services':
    case 'persistentvolumeclaims':
      return !isDeepStrictEqual(object.spec, previous.spec) || !isDeepStrictEqual(object.status, previous.status);
    default:
      return false;
  }
}

/** It decides between the scopes Terminating and NotTerminating. */
const deadlineOf = (object: KubeObject) => (object as Pod).spec?.activeDeadlineSeconds;

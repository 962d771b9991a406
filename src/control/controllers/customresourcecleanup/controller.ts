/**
 * Deletes the objects of a CustomResourceDefinition that is being deleted, and lets the definition go when none is left. What has
 * finalizers goes when its own controllers let it go; the definition is looked at again until then.
 */
import { isConflict, isNotFound } from '../../../api/errors.js';
import {
  asDefinition,
  CLEANUP_FINALIZER,
  DEFINITIONS,
  isTerminating,
  withConditions,
} from '../../../api/customresources/status.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceRef } from '../../../api/resource.js';
import type { CustomResourceDefinition } from '../../../api/types/apiextensions-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

export interface CustomResourceCleanupOptions {
  /** While instances are left, looks again after so many milliseconds; 500 unless told. */
  readonly retryMs?: number;
  /** Deletions under way at once; 32 unless told. */
  readonly batch?: number;
}

type Progress = { readonly status: 'True' | 'False'; readonly reason: string; readonly message: string };
const IN_PROGRESS: Progress = {
  status: 'True',
  reason: 'InstanceDeletionInProgress',
  message: 'CustomResource deletion is in progress',
};
const COMPLETED: Progress = {
  status: 'False',
  reason: 'InstanceDeletionCompleted',
  message: 'removed all instances',
};

/** The resource under which the instances are kept. */
function instancesOf({ spec }: CustomResourceDefinition): ResourceRef {
  const storage = spec.versions.find(({ storage: isStorage }) => isStorage)?.name ?? '';
  const { plural, kind } = spec.names;
  return { group: spec.group, version: storage, resource: plural, kind, namespaced: spec.scope === 'Namespaced' };
}

export function customResourceCleanupController(
  deps: SharedDeps,
  options: CustomResourceCleanupOptions = {},
): Controller {
  const { client, clock } = deps;
  const definitions = deps.informers.of<KubeObject>(DEFINITIONS);
  const controller = new Controller(deps, {
    name: 'customresourcecleanup',
    workers: 2,
    waitFor: [definitions],
    reconcile,
  });
  definitions.addHandler({
    onUpsert: ({ metadata }) => {
      if (metadata.deletionTimestamp) controller.queue.add(metadata.name ?? '');
    },
  });

  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const cached = definitions.get('', name);
    if (!cached || !isHeld(cached)) return;
    const resource = instancesOf(asDefinition(cached));
    const left = await removeAll(resource);
    try {
      const live = await client.get<KubeObject>(DEFINITIONS, '', name);
      if (live.metadata.uid !== cached.metadata.uid || !isHeld(live)) return;
      const reported = await report(live, left > 0 ? IN_PROGRESS : COMPLETED);
      if (left > 0) return { requeueAfterMs: options.retryMs ?? 500 };
      const finalizers = (reported.metadata.finalizers ?? []).filter((finalizer) => finalizer !== CLEANUP_FINALIZER);
      const { uid, resourceVersion } = reported.metadata;
      const metadata = { uid, resourceVersion, finalizers: finalizers.length > 0 ? finalizers : null };
      await client.patch(DEFINITIONS, '', name, 'merge', { metadata });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function report(live: KubeObject, progress: Progress): Promise<KubeObject> {
    const { status } = asDefinition(live);
    const present = status?.conditions ?? [];
    const before = present.find(({ type }) => type === 'Terminating');
    if (before?.reason === progress.reason) return live;
    const conditions = withConditions(present, [{ type: 'Terminating', ...progress }], clock.nowMs());
    return client.updateStatus<KubeObject>(DEFINITIONS, { ...live, status: { ...status, conditions } });
  }

  /** How many are left. */
  async function removeAll(resource: ResourceRef): Promise<number> {
    const { items } = await client.list(resource);
    const batch = options.batch ?? 32;
    for (let from = 0; from < items.length; from += batch) {
      await Promise.all(items.slice(from, from + batch).map((item) => remove(resource, item)));
    }
    return items.length === 0 ? 0 : (await client.list(resource)).items.length;
  }

  async function remove(resource: ResourceRef, { metadata }: KubeObject): Promise<void> {
    if (metadata.deletionTimestamp) return;
    const { namespace = '', name = '', uid = '' } = metadata;
    try {
      await client.delete(resource, namespace, name, { propagationPolicy: 'Background', preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
  return controller;
}

const isHeld = (object: KubeObject) =>
  isTerminating(asDefinition(object)) && object.metadata.finalizers?.includes(CLEANUP_FINALIZER) === true;

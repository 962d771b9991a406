/**
 * Empties a namespace that is being deleted, says in its conditions what still holds it up, and releases it when nothing is
 * left. What has finalizers goes when its own controllers let it go; the namespace is looked at again until then.
 */
import { isDeepStrictEqual } from 'node:util';
import { errorText } from '../../../base/log.js';
import { withCondition } from '../../../api/conditions.js';
import { isConflict, isNotFound } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { groupResourceOf, NAMESPACES, PODS, type ResourceRef } from '../../../api/resource.js';
import type { Namespace, NamespaceCondition } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

/** What is left in a namespace of objects that other API servers keep. */
export interface RemoteContent {
  /** Groups and versions of which nobody knows what they have, with why. */
  readonly undiscovered: readonly string[];
  readonly failures: readonly string[];
  /** How many objects are left, by resource. */
  readonly remaining: ReadonlyMap<string, number>;
}

export interface NamespaceOptions {
  /** Every namespaced resource that can be listed and deleted, asked anew each time (custom resources come and go). */
  resources(): readonly ResourceRef[];
  /** Deletes what other API servers keep in a namespace; without it there are none. */
  readonly emptyRemote?: (namespace: string) => Promise<RemoteContent>;
  /** While something is left, looks again after so many milliseconds; 1,000 unless told. */
  readonly retryMs?: number;
}

const FINALIZER = 'kubernetes';
/** Upstream writes core resources with a dot at the end. */
const leftName = ({ resource, group }: ResourceRef) => `${resource}.${group}`;

interface Emptied extends RemoteContent {
  /** How many objects each finalizer still holds. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export function namespaceController(deps: SharedDeps, options: NamespaceOptions): Controller {
  const { client, clock } = deps;
  const namespaces = deps.informers.of<Namespace>(NAMESPACES);
  const controller = new Controller(deps, { name: 'namespace', workers: 4, waitFor: [namespaces], reconcile });
  namespaces.addHandler({
    onUpsert: ({ metadata }) => {
      if (metadata.deletionTimestamp) controller.queue.add(metadata.name ?? '');
    },
  });

  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const cached = namespaces.get('', name);
    if (!cached?.metadata.deletionTimestamp || !cached.spec?.finalizers?.includes(FINALIZER)) return;
    const emptied = await empty(name);
    try {
      const live = await client.get<Namespace>(NAMESPACES, '', name);
      if (live.metadata.uid !== cached.metadata.uid) return;
      const status = { phase: 'Terminating' as const, conditions: conditionsOf(emptied, live, clock.nowMs()) };
      const current = isDeepStrictEqual(status, live.status)
        ? live
        : await client.updateStatus<Namespace>(NAMESPACES, { ...live, status });
      if (emptied.remaining.size > 0 || emptied.failures.length > 0 || emptied.undiscovered.length > 0)
        return { requeueAfterMs: options.retryMs ?? 1_000 };
      const finalizers = (current.spec?.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
      await client.update<Namespace>(NAMESPACES, { ...current, spec: { finalizers } }, { subresource: 'finalize' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function empty(namespace: string): Promise<Emptied> {
    const failures: string[] = [];
    const remaining = new Map<string, number>();
    const finalizers = new Map<string, number>();
    // Pods first, and nothing else before they are gone (KEP-5080): what protects others from them, a NetworkPolicy say, must
    // outlive them. Their owners cannot replace them any more in a namespace that goes.
    const isPods = (resource: ResourceRef) => groupResourceOf(resource) === groupResourceOf(PODS);
    const resources = options.resources().toSorted((a, b) => Number(isPods(b)) - Number(isPods(a)));
    for (const resource of resources) {
      if (remaining.has(leftName(PODS))) break;
      try {
        const { items } = await client.list(resource, { namespace });
        for (const item of items) await remove(resource, item);
        const left = items.length === 0 ? [] : (await client.list(resource, { namespace })).items;
        if (left.length > 0) remaining.set(leftName(resource), left.length);
        for (const finalizer of left.flatMap(({ metadata }) => metadata.finalizers ?? [])) {
          finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
        }
      } catch (error) {
        failures.push(`${groupResourceOf(resource)}: ${errorText(error)}`);
      }
    }
    const remote = remaining.has(leftName(PODS)) ? undefined : await options.emptyRemote?.(namespace);
    for (const [resource, count] of remote?.remaining ?? []) remaining.set(resource, count);
    failures.push(...(remote?.failures ?? []));
    return { undiscovered: remote?.undiscovered ?? [], failures, remaining, finalizers };
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

function conditionsOf(
  { undiscovered, failures, remaining, finalizers }: Emptied,
  { status }: Namespace,
  nowMs: number,
): NamespaceCondition[] {
  const failed = failures.length > 0;
  const left = [...remaining].map(([resource, count]) => `${resource} has ${count} resource instances`);
  const held = [...finalizers].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`);
  const wanted: NamespaceCondition[] = [
    {
      type: 'NamespaceDeletionDiscoveryFailure',
      status: undiscovered.length > 0 ? 'True' : 'False',
      reason: undiscovered.length > 0 ? 'DiscoveryFailed' : 'ResourcesDiscovered',
      message:
        undiscovered.length > 0
          ? `Discovery failed for some groups, ${undiscovered.length} failing: unable to retrieve the complete list of ` +
            `server APIs: ${undiscovered.join(', ')}`
          : 'All resources successfully discovered',
    },
    {
      type: 'NamespaceDeletionGroupVersionParsingFailure',
      status: 'False',
      reason: 'ParsedGroupVersions',
      message: 'All legacy kube types successfully parsed',
    },
    {
      type: 'NamespaceDeletionContentFailure',
      status: failed ? 'True' : 'False',
      reason: failed ? 'ContentDeletionFailed' : 'ContentDeleted',
      message: failed
        ? `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(', ')}`
        : 'All content successfully deleted, may be waiting on finalization',
    },
    {
      type: 'NamespaceContentRemaining',
      status: left.length > 0 ? 'True' : 'False',
      reason: left.length > 0 ? 'SomeResourcesRemain' : 'ContentRemoved',
      message:
        left.length > 0 ? `Some resources are remaining: ${left.join(', ')}` : 'All content successfully removed',
    },
    {
      type: 'NamespaceFinalizersRemaining',
      status: held.length > 0 ? 'True' : 'False',
      reason: held.length > 0 ? 'SomeFinalizersRemain' : 'ContentHasNoFinalizers',
      message:
        held.length > 0
          ? `Some content in the namespace has finalizers remaining: ${held.join(', ')}`
          : 'All content-preserving finalizers finished',
    },
  ];
  return wanted.reduce(
    (conditions, condition) => withCondition(conditions, condition, nowMs),
    status?.conditions ?? [],
  );
}

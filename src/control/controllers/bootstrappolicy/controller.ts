/**
 * Writes the default roles and bindings, and adds to them what is missing: whenever the controllers start, as upstream does
 * whenever its API server does. What was added to them by others stays; an object whose `autoupdate` annotation is "false" is
 * left alone; one that is deleted comes back with the next start.
 */
import { isAlreadyExists, isNotFound } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { NAMESPACES, type ResourceRef } from '../../../api/resource.js';
import type { Namespace } from '../../../api/types/core-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { planBinding, planRole, type AnyBinding, type AnyRole, type Plan } from './plan.js';
import {
  CLUSTERROLEBINDINGS,
  CLUSTERROLES,
  DEFAULT_POLICY,
  ROLEBINDINGS,
  ROLES,
  type DefaultPolicy,
} from './policy.js';

/** How many objects are written at once: they share the store's batches. */
const WORKERS = 16;
/** Until a namespace that is not there yet is looked for again, in milliseconds. */
const NAMESPACE_RETRY_MS = 1000;

interface Item {
  readonly resource: ResourceRef;
  readonly wanted: KubeObject;
  readonly present: () => KubeObject | undefined;
  readonly plan: (present: KubeObject) => Plan;
}

export function bootstrapPolicyController(deps: SharedDeps, policy: DefaultPolicy = DEFAULT_POLICY): Controller {
  const { client, informers } = deps;
  const namespaces = informers.of<Namespace>(NAMESPACES);
  const all = [CLUSTERROLES, ROLES, CLUSTERROLEBINDINGS, ROLEBINDINGS].map((ref) => informers.of<KubeObject>(ref));
  const items = new Map<string, Item>();
  const controller = new Controller(deps, {
    name: 'bootstrap-policy',
    workers: WORKERS,
    waitFor: [namespaces, ...all],
    reconcile,
  });
  const add = (resource: ResourceRef, objects: readonly KubeObject[], plan: (wanted: KubeObject) => Item['plan']) => {
    const informer = informers.of<KubeObject>(resource);
    for (const wanted of objects) {
      const { namespace = '', name = '' } = wanted.metadata;
      const key = `${resource.resource}/${namespace}/${name}`;
      items.set(key, { resource, wanted, present: () => informer.get(namespace, name), plan: plan(wanted) });
      controller.queue.add(key);
    }
  };
  const role = (wanted: KubeObject) => (present: KubeObject) => planRole(wanted as AnyRole, present as AnyRole);
  const binding = (wanted: KubeObject) => (present: KubeObject) =>
    planBinding(wanted as AnyBinding, present as AnyBinding);
  add(CLUSTERROLES, policy.clusterRoles, role);
  add(ROLES, policy.roles, role);
  add(CLUSTERROLEBINDINGS, policy.clusterRoleBindings, binding);
  add(ROLEBINDINGS, policy.roleBindings, binding);

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const item = items.get(key);
    if (!item) return;
    const { resource, wanted } = item;
    const namespace = wanted.metadata.namespace ?? '';
    if (namespace !== '' && !namespaces.get('', namespace)) return { requeueAfterMs: NAMESPACE_RETRY_MS };
    const present = item.present();
    const plan: Plan = present ? item.plan(present) : { action: 'create' };
    switch (plan.action) {
      case 'none':
        return;
      case 'create':
        return create(resource, wanted);
      case 'update':
        await client.update(resource, plan.object);
        return;
      case 'replace':
        await remove(resource, present ?? wanted);
        return create(resource, wanted);
    }
  }

  async function create(resource: ResourceRef, wanted: KubeObject): Promise<void> {
    try {
      await client.create(resource, structuredClone(wanted));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  async function remove(resource: ResourceRef, { metadata }: KubeObject): Promise<void> {
    const { namespace = '', name = '', uid } = metadata;
    try {
      await client.delete(resource, namespace, name, uid === undefined ? {} : { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  return controller;
}

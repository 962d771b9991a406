/** Keeps the Endpoints object of every Service that has a selector. Writes only what changed. */
import { isDeepStrictEqual } from 'node:util';
import { isAlreadyExists, isNotFound } from '../../../api/errors.js';
import { keyOf, splitKey } from '../../../api/object.js';
import { ENDPOINTS, PODS, SERVICES } from '../../../api/resource.js';
import type { Endpoints, Pod, Service } from '../../../api/types/core-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { planEndpoints } from './plan.js';
import { hasSelector, selects } from './service-pods.js';
import { onServicePods } from './wake.js';

export interface EndpointsOptions {
  /** Services reconciled at once; 5 unless told. */
  readonly workers?: number;
}

export function endpointsController(deps: SharedDeps, options: EndpointsOptions = {}): Controller {
  const services = deps.informers.of<Service>(SERVICES);
  const pods = deps.informers.of<Pod>(PODS);
  const endpoints = deps.informers.of<Endpoints>(ENDPOINTS);
  const controller = new Controller(deps, {
    name: 'endpoints',
    workers: options.workers ?? 5,
    waitFor: [services, pods, endpoints],
    reconcile,
  });
  services.addHandler({
    onUpsert: (service) => controller.queue.add(keyOf(service)),
    onDelete: (service) => controller.queue.add(keyOf(service)),
  });
  endpoints.addHandler({
    onUpsert: (object) => controller.queue.add(keyOf(object)),
    onDelete: (object) => controller.queue.add(keyOf(object)),
  });
  onServicePods(services, pods, (key) => controller.queue.add(key));

  async function reconcile(key: string): Promise<void> {
    const { namespace, name } = splitKey(key);
    const service = services.get(namespace, name);
    const present = endpoints.get(namespace, name);
    if (!service) {
      // Only what this controller made; Endpoints that people keep without a Service stay.
      if (present?.metadata.labels?.['endpoints.kubernetes.io/managed-by'] === 'endpoint-controller')
        await remove(present);
      return;
    }
    if (!hasSelector(service) || service.metadata.deletionTimestamp) return;
    const behind = pods.byIndex(BY_NAMESPACE, namespace).filter((pod) => selects(service, pod.metadata.labels));
    const wanted = planEndpoints(service, behind, present);
    if (!present) {
      try {
        await deps.client.create<Endpoints>(ENDPOINTS, wanted);
      } catch (error) {
        // Made by the step before; the cache is about to show it, which wakes us.
        if (!isAlreadyExists(error)) throw error;
      }
    } else if (!isDeepStrictEqual(present, wanted)) await deps.client.update<Endpoints>(ENDPOINTS, wanted);
  }

  async function remove({ metadata }: Endpoints): Promise<void> {
    const { namespace = '', name = '', uid = '' } = metadata;
    try {
      await deps.client.delete(ENDPOINTS, namespace, name, { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return controller;
}

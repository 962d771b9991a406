/** Keeps the EndpointSlices of every Service that has a selector. */
import { keyOf, splitKey } from '../../../api/object.js';
import { ENDPOINTSLICES, PODS, SERVICES } from '../../../api/resource.js';
import type { Pod, Service } from '../../../api/types/core-v1.js';
import type { EndpointSlice } from '../../../api/types/discovery-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { hasSelector, selects } from '../endpoints/service-pods.js';
import { onServicePods } from '../endpoints/wake.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { SeenWrites } from '../seen-writes.js';
import { executeSlices } from './execute.js';
import { MANAGED_BY, planSlices, SERVICE_NAME } from './plan.js';
import { CONTROLLER, familiesOf, groupsOf, sliceMetadata } from './service-groups.js';

export interface EndpointSliceOptions {
  /** Endpoints in one slice at most; 100 unless told. */
  readonly maxEndpoints?: number;
  /** Services reconciled at once; 5 unless told. */
  readonly workers?: number;
}

/** The key of the Service whose slice this controller made. */
function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[SERVICE_NAME];
  return name && metadata.labels?.[MANAGED_BY] === CONTROLLER ? `${metadata.namespace}/${name}` : undefined;
}

export function endpointSliceController(deps: SharedDeps, options: EndpointSliceOptions = {}): Controller {
  const services = deps.informers.of<Service>(SERVICES);
  const pods = deps.informers.of<Pod>(PODS);
  const slices = deps.informers.of<EndpointSlice>(ENDPOINTSLICES);
  const seen = new SeenWrites<EndpointSlice>(deps.clock, slices);
  const controller = new Controller(deps, {
    name: 'endpointslice',
    workers: options.workers ?? 5,
    waitFor: [services, pods, slices],
    reconcile,
  });
  services.addHandler({
    onUpsert: (service) => controller.queue.add(keyOf(service)),
    onDelete: (service) => controller.queue.add(keyOf(service)),
  });
  slices.addHandler({
    onUpsert: (slice, previous) => {
      for (const key of new Set([serviceOf(slice), previous && serviceOf(previous)]))
        if (key) controller.queue.add(key);
    },
    onDelete: (slice) => {
      const key = serviceOf(slice);
      if (!key) return;
      seen.gone(key, slice);
      controller.queue.add(key);
    },
  });
  onServicePods(services, pods, (key) => controller.queue.add(key));

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const service = services.get(namespace, name);
    const existing = slices.byIndex(BY_NAMESPACE, namespace).filter((slice) => serviceOf(slice) === key);
    if (!service || service.metadata.deletionTimestamp || !hasSelector(service)) {
      // Without its selector a Service's slices are in the hands of people, except those made here.
      seen.forget(key);
      const orphaned = !service || service.spec?.type === 'ExternalName' || !hasSelector(service);
      if (orphaned) await executeSlices(deps.client, key, { create: [], update: [], remove: existing }, seen);
      return;
    }
    if (!seen.allSeen(key)) return { requeueAfterMs: 1_000 };
    const behind = pods.byIndex(BY_NAMESPACE, namespace).filter((pod) => selects(service, pod.metadata.labels));
    const plan = planSlices({
      groups: groupsOf(service, behind),
      existing,
      metadata: sliceMetadata(service),
      maxEndpoints: options.maxEndpoints ?? 100,
      placeholders: familiesOf(service),
    });
    await executeSlices(deps.client, key, plan, seen);
  }
  return controller;
}

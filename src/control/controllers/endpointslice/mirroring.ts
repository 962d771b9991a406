/**
 * Mirrors Endpoints that people keep (for Services without a selector) into EndpointSlices, which are what proxies and DNS
 * read.
 */
import { controllerRef } from '../claim.js';
import { keyOf, splitKey, type ObjectMeta } from '../../../api/object.js';
import { ENDPOINTS, ENDPOINTSLICES, SERVICES } from '../../../api/resource.js';
import type { EndpointAddress, Endpoints, Service } from '../../../api/types/core-v1.js';
import type { Endpoint, EndpointSlice } from '../../../api/types/discovery-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { familyOf, hasSelector } from '../endpoints/service-pods.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { SeenWrites } from '../seen-writes.js';
import { executeSlices } from './execute.js';
import { MANAGED_BY, planSlices, SERVICE_NAME, type EndpointGroup } from './plan.js';

const CONTROLLER = 'endpointslicemirroring-controller.k8s.io';
export const SKIP_MIRROR = 'endpointslice.kubernetes.io/skip-mirror';
/** Upstream's `control-plane.alpha.kubernetes.io/leader`: Endpoints used as a lock. */
const LEADER_ANNOTATION = 'control-plane.alpha.kubernetes.io/leader';
/** Addresses mirrored of one subset; the rest is left out, as upstream does. */
const MAX_PER_SUBSET = 1_000;

function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[SERVICE_NAME];
  return name && metadata.labels?.[MANAGED_BY] === CONTROLLER ? `${metadata.namespace}/${name}` : undefined;
}

export function endpointsMirroringController(deps: SharedDeps): Controller {
  const services = deps.informers.of<Service>(SERVICES);
  const endpoints = deps.informers.of<Endpoints>(ENDPOINTS);
  const slices = deps.informers.of<EndpointSlice>(ENDPOINTSLICES);
  const seen = new SeenWrites<EndpointSlice>(deps.clock, slices);
  const controller = new Controller(deps, {
    name: 'endpointslicemirroring',
    waitFor: [services, endpoints, slices],
    reconcile,
  });
  const wake = (object: Service | Endpoints) => controller.queue.add(keyOf(object));
  services.addHandler({ onUpsert: wake, onDelete: wake });
  endpoints.addHandler({ onUpsert: wake, onDelete: wake });
  slices.addHandler({
    onUpsert: (slice) => {
      const key = serviceOf(slice);
      if (key) controller.queue.add(key);
    },
    onDelete: (slice) => {
      const key = serviceOf(slice);
      if (!key) return;
      seen.gone(key, slice);
      controller.queue.add(key);
    },
  });

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const { namespace, name } = splitKey(key);
    const service = services.get(namespace, name);
    const source = endpoints.get(namespace, name);
    if (!seen.allSeen(key)) return { requeueAfterMs: 1_000 };
    const existing = slices.byIndex(BY_NAMESPACE, namespace).filter((slice) => serviceOf(slice) === key);
    const mirrored = service && source && isMirrored(service, source);
    if (!mirrored) {
      await executeSlices(deps.client, key, { create: [], update: [], remove: existing }, seen);
      return;
    }
    const plan = planSlices({
      groups: groupsOf(source),
      existing,
      metadata: sliceMetadata(source),
      maxEndpoints: MAX_PER_SUBSET,
      placeholders: [],
    });
    await executeSlices(deps.client, key, plan, seen);
  }
  return controller;
}

function isMirrored(service: Service, { metadata }: Endpoints): boolean {
  if (hasSelector(service) || service.spec?.type === 'ExternalName') return false;
  return metadata.labels?.[SKIP_MIRROR] !== 'true' && metadata.annotations?.[LEADER_ANNOTATION] === undefined;
}

function groupsOf({ subsets }: Endpoints): EndpointGroup[] {
  return (subsets ?? []).flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }) =>
    (['IPv4', 'IPv6'] as const).map((addressType) => ({
      addressType,
      ports: ports.map((port) => ({ name: '', protocol: 'TCP' as const, ...port })),
      endpoints: [
        ...addresses.map((address) => endpointOf(address, true)),
        ...notReadyAddresses.map((address) => endpointOf(address, false)),
      ]
        .filter((endpoint) => familyOf(endpoint.addresses[0] ?? '') === addressType)
        .slice(0, MAX_PER_SUBSET),
    })),
  );
}

function endpointOf({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    ...(targetRef ? { targetRef } : {}),
  };
}

function sliceMetadata(source: Endpoints): ObjectMeta {
  const { namespace = '', name = '' } = source.metadata;
  return {
    namespace,
    generateName: `${name}-`,
    labels: { ...source.metadata.labels, [SERVICE_NAME]: name, [MANAGED_BY]: CONTROLLER },
    ownerReferences: [controllerRef(ENDPOINTS, source)],
  };
}

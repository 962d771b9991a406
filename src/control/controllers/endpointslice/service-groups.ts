/** The endpoints of a Service with a selector, grouped by address family and ports. Pure. */
import { controllerRef } from '../claim.js';
import type { ObjectMeta } from '../../../api/object.js';
import { SERVICES } from '../../../api/resource.js';
import type { Pod, Service } from '../../../api/types/core-v1.js';
import type { Endpoint, EndpointPort } from '../../../api/types/discovery-v1.js';
import {
  addressesOf,
  familyOf,
  HEADLESS_LABEL,
  hostnameOf,
  isBehind,
  isHeadless,
  podRef,
  targetPort,
} from '../endpoints/service-pods.js';
import { isPodReady } from '../pod-state.js';
import { MANAGED_BY, SERVICE_NAME, type EndpointGroup } from './plan.js';

export const CONTROLLER = 'endpointslice-controller.k8s.io';

export function familiesOf({ spec }: Service): ('IPv4' | 'IPv6')[] {
  const families = (spec?.ipFamilies ?? []).filter((family) => family !== '');
  if (families.length > 0) return families;
  return [spec?.clusterIP && spec.clusterIP !== 'None' ? familyOf(spec.clusterIP) : 'IPv4'];
}

export function groupsOf(service: Service, pods: readonly Pod[]): EndpointGroup[] {
  const groups = new Map<string, { addressType: 'IPv4' | 'IPv6'; ports: EndpointPort[]; endpoints: Endpoint[] }>();
  for (const family of familiesOf(service)) {
    for (const pod of pods) {
      const addresses = addressesOf(pod).filter((address) => familyOf(address) === family);
      if (!isBehind(pod, true) || addresses.length === 0) continue;
      const ports = portsOf(service, pod);
      const key = `${family} ${JSON.stringify(ports)}`;
      let group = groups.get(key);
      if (!group) groups.set(key, (group = { addressType: family, ports, endpoints: [] }));
      group.endpoints.push(endpointOf(service, pod, addresses.slice(0, 1)));
    }
  }
  return [...groups.values()];
}

function portsOf(service: Service, pod: Pod): EndpointPort[] {
  return (service.spec?.ports ?? []).flatMap((port) => {
    const number = targetPort(port, pod);
    if (number === undefined) return [];
    const { name = '', protocol = 'TCP', appProtocol } = port;
    return [{ name, port: number, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
}

function endpointOf(service: Service, pod: Pod, addresses: string[]): Endpoint {
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const hostname = hostnameOf(pod, service);
  return {
    addresses,
    // A pod that terminates is never ready, unless the Service publishes everything.
    conditions: {
      ready: service.spec?.publishNotReadyAddresses === true || (serving && !terminating),
      serving,
      terminating,
    },
    ...(hostname === undefined ? {} : { hostname }),
    ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    targetRef: podRef(pod),
  };
}

export function sliceMetadata(service: Service): ObjectMeta {
  const { namespace = '', name = '' } = service.metadata;
  const labels = { ...service.metadata.labels };
  delete labels[HEADLESS_LABEL];
  return {
    namespace,
    generateName: `${name}-`,
    labels: {
      ...labels,
      ...(isHeadless(service) ? { [HEADLESS_LABEL]: '' } : {}),
      [SERVICE_NAME]: name,
      [MANAGED_BY]: CONTROLLER,
    },
    ownerReferences: [controllerRef(SERVICES, service)],
  };
}

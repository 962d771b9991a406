/** The Endpoints object of a Service, in upstream's canonical form: one subset per set of ports, everything sorted. Pure. */
import type {
  EndpointAddress,
  EndpointPort,
  Endpoints,
  EndpointSubset,
  Pod,
  Service,
} from '../../../api/types/core-v1.js';
import { isPodReady } from '../pod-state.js';
import {
  addressesOf,
  familyOf,
  HEADLESS_LABEL,
  hostnameOf,
  isBehind,
  isHeadless,
  podRef,
  targetPort,
} from './service-pods.js';

/** Upstream's limit of addresses in one Endpoints object; EndpointSlices have no such limit. */
const MAX_ADDRESSES = 1_000;
export const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';

export function planSubsets(service: Service, pods: readonly Pod[]): { subsets: EndpointSubset[]; truncated: boolean } {
  const publish = service.spec?.publishNotReadyAddresses === true;
  const family = service.spec?.ipFamilies?.[0] || 'IPv4';
  const groups = new Map<string, { ports: EndpointPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }>();
  let ready = 0;
  let truncated = false;
  const behind = pods
    .filter((pod) => isBehind(pod, publish))
    .sort((a, b) => Number(isPodReady(b)) - Number(isPodReady(a)));
  for (const pod of behind) {
    const ip = addressesOf(pod).find((address) => familyOf(address) === family);
    const ports = portsOf(service, pod);
    if (ip === undefined || !ports) continue;
    if (ready >= MAX_ADDRESSES) {
      truncated = true;
      break;
    }
    ready += 1;
    const key = JSON.stringify(ports);
    let group = groups.get(key);
    if (!group) groups.set(key, (group = { ports, ready: [], notReady: [] }));
    (publish || isPodReady(pod) ? group.ready : group.notReady).push(addressOf(service, pod, ip));
  }
  const subsets = [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => ({
      ...(group.ready.length > 0 ? { addresses: group.ready.sort(byAddress) } : {}),
      ...(group.notReady.length > 0 ? { notReadyAddresses: group.notReady.sort(byAddress) } : {}),
      ...(group.ports.length > 0 ? { ports: group.ports } : {}),
    }));
  return { subsets, truncated };
}

/** The Endpoints to write: `present` brought up to date, or a new one. */
export function planEndpoints(service: Service, pods: readonly Pod[], present: Endpoints | undefined): Endpoints {
  const { subsets, truncated } = planSubsets(service, pods);
  const annotations = { ...present?.metadata.annotations };
  delete annotations[OVER_CAPACITY];
  if (truncated) annotations[OVER_CAPACITY] = 'truncated';
  const labels = {
    ...service.metadata.labels,
    'endpoints.kubernetes.io/managed-by': 'endpoint-controller',
    ...(isHeadless(service) ? { [HEADLESS_LABEL]: '' } : {}),
  };
  const { annotations: _annotations, ...metadata } = present?.metadata ?? {
    namespace: service.metadata.namespace ?? '',
    name: service.metadata.name ?? '',
  };
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { ...metadata, labels, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) },
    ...(subsets.length > 0 ? { subsets } : {}),
  };
}

/** Undefined when the pod has none of the Service's ports. */
function portsOf(service: Service, pod: Pod): EndpointPort[] | undefined {
  const wanted = service.spec?.ports ?? [];
  if (wanted.length === 0) return isHeadless(service) ? [] : undefined;
  const ports = wanted.flatMap((port) => {
    const number = targetPort(port, pod);
    if (number === undefined) return [];
    return [
      {
        ...(port.name ? { name: port.name } : {}),
        port: number,
        protocol: port.protocol ?? 'TCP',
        ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
      },
    ];
  });
  return ports.length > 0
    ? ports.sort((a, b) => (a.name ?? '').localeCompare(b.name ?? '') || a.port - b.port)
    : undefined;
}

function addressOf(service: Service, pod: Pod, ip: string): EndpointAddress {
  const hostname = hostnameOf(pod, service);
  return {
    ip,
    ...(hostname === undefined ? {} : { hostname }),
    ...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    targetRef: podRef(pod),
  };
}

function byAddress(a: EndpointAddress, b: EndpointAddress): number {
  return a.ip.localeCompare(b.ip) || (a.targetRef?.uid ?? '').localeCompare(b.targetRef?.uid ?? '');
}

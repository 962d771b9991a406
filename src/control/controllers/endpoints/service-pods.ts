/** Which pods stand behind a Service and on which ports. Pure; shared by Endpoints and EndpointSlices. */
import { isDeepStrictEqual } from 'node:util';
import type { ObjectReference, Pod, Service, ServicePort } from '../../../api/types/core-v1.js';
import { isPodReady, isPodTerminated } from '../pod-state.js';

export const HEADLESS_LABEL = 'service.kubernetes.io/headless';

/** Has a selector of its own; an ExternalName has no endpoints at all. */
export function hasSelector({ spec }: Service): boolean {
  return spec?.selector !== undefined && Object.keys(spec.selector).length > 0 && spec.type !== 'ExternalName';
}

export function selects({ spec }: Service, labels: Readonly<Record<string, string>> | undefined): boolean {
  return Object.entries(spec?.selector ?? {}).every(([key, value]) => labels?.[key] === value);
}

export const isHeadless = ({ spec }: Service): boolean =>
  spec?.clusterIP === undefined || spec.clusterIP === 'None' || spec.clusterIP === '';

/** It has an address and is not finished; pods being deleted only when asked for. */
export function isBehind(pod: Pod, includeTerminating: boolean): boolean {
  if (isPodTerminated(pod) || addressesOf(pod).length === 0) return false;
  return includeTerminating || !pod.metadata.deletionTimestamp;
}

export function addressesOf({ status }: Pod): string[] {
  const ips = (status?.podIPs ?? []).map(({ ip }) => ip).filter((ip) => ip !== '');
  return ips.length > 0 || !status?.podIP ? ips : [status.podIP];
}

export const familyOf = (address: string): 'IPv4' | 'IPv6' => (address.includes(':') ? 'IPv6' : 'IPv4');

/** The number of a Service's port in this pod: named ports are looked up in its containers; undefined when it has none. */
export function targetPort(port: ServicePort, pod: Pod): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target === 0 ? port.port : target;
  if (target === '') return port.port;
  const protocol = port.protocol ?? 'TCP';
  const restartable = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const container of [...(pod.spec?.containers ?? []), ...restartable]) {
    const found = container.ports?.find((p) => p.name === target && (p.protocol ?? 'TCP') === protocol);
    if (found) return found.containerPort;
  }
  return undefined;
}

export function podRef({ metadata }: Pod): ObjectReference {
  return {
    kind: 'Pod',
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
  };
}

/** The host name DNS gives the pod under this Service. */
export function hostnameOf({ metadata, spec }: Pod, service: Service): string | undefined {
  const matches = spec?.subdomain === service.metadata.name && metadata.namespace === service.metadata.namespace;
  return spec?.hostname && matches ? spec.hostname : undefined;
}

/** Whether a change of the pod can matter to any endpoint. */
export function changesEndpoints(pod: Pod, previous: Pod | undefined): boolean {
  return previous === undefined || !isDeepStrictEqual(digest(pod), digest(previous));
}

function digest(pod: Pod): unknown {
  const { metadata, spec, status } = pod;
  return [
    metadata.uid,
    metadata.labels,
    Boolean(metadata.deletionTimestamp),
    addressesOf(pod),
    isPodReady(pod),
    isPodTerminated({ status }),
    spec?.nodeName,
    spec?.hostname,
    spec?.subdomain,
  ];
}

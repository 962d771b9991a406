/** What cluster DNS knows: Services and the ready endpoints of headless ones, kept incrementally from informer events. */
import type { Service } from '../../api/types/core-v1.js';
import type { EndpointSlice } from '../../api/types/discovery-v1.js';
import { keyOf } from '../../api/object.js';

export interface NamedPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

export interface ServiceRecord {
  readonly namespace: string;
  readonly name: string;
  readonly headless: boolean;
  readonly clusterIPs: readonly string[];
  readonly externalName: string | undefined;
  readonly ports: readonly NamedPort[];
}

export interface EndpointRecord {
  readonly ip: string;
  /** The endpoint's own name below its Service: its hostname, else its address with dashes. */
  readonly label: string;
  readonly ports: readonly NamedPort[];
}

const SERVICE_LABEL = 'kubernetes.io/service-name';

/** `10.1.2.3` as `10-1-2-3`; `2001:db8::1` as `2001-db8--1`. */
export const dashed = (ip: string) => ip.replaceAll(/[.:]/g, '-');

function serviceRecord({ metadata, spec }: Service): ServiceRecord {
  const ips = (spec?.clusterIPs?.length ? spec.clusterIPs : [spec?.clusterIP ?? '']).filter((ip) => ip !== '');
  const external = spec?.type === 'ExternalName';
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    headless: !external && ips.includes('None'),
    clusterIPs: external ? [] : ips.filter((ip) => ip !== 'None'),
    externalName: external ? spec.externalName?.replace(/\.$/, '') : undefined,
    ports: (spec?.ports ?? []).map(({ name = '', protocol = 'TCP', port }) => ({ name, protocol, port })),
  };
}

function endpointRecords(slice: EndpointSlice): EndpointRecord[] {
  const ports = (slice.ports ?? []).flatMap(({ name, protocol, port }) =>
    port === undefined ? [] : [{ name: name ?? '', protocol: protocol ?? 'TCP', port }],
  );
  if (slice.addressType === 'FQDN') return [];
  return slice.endpoints
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses, hostname }) =>
      addresses.slice(0, 1).map((ip) => ({ ip, label: (hostname || dashed(ip)).toLowerCase(), ports })),
    );
}

export class ZoneIndex {
  private readonly services = new Map<string, ServiceRecord>();
  private readonly namespaces = new Map<string, number>();
  /** Service key to slice key to its endpoints. */
  private readonly endpoints = new Map<string, Map<string, readonly EndpointRecord[]>>();
  private readonly serviceOfSlice = new Map<string, string>();
  private readonly byClusterIp = new Map<string, Set<string>>();
  private readonly byEndpointIp = new Map<string, Set<string>>();

  service(namespace: string, name: string): ServiceRecord | undefined {
    return this.services.get(`${namespace}/${name}`);
  }

  hasNamespace(namespace: string): boolean {
    return this.namespaces.has(namespace);
  }

  /** The ready endpoints, each address once, in the order of slices. */
  endpointsOf(namespace: string, name: string): EndpointRecord[] {
    const byIp = new Map<string, EndpointRecord>();
    for (const records of this.endpoints.get(`${namespace}/${name}`)?.values() ?? []) {
      for (const record of records) {
        const present = byIp.get(record.ip);
        // An address may be in several slices, each with other ports.
        byIp.set(record.ip, present ? { ...present, ports: [...present.ports, ...record.ports] } : record);
      }
    }
    return [...byIp.values()];
  }

  /** The Services with this cluster IP. */
  servicesAt(ip: string): ServiceRecord[] {
    return [...(this.byClusterIp.get(ip) ?? [])].flatMap((key) => this.services.get(key) ?? []);
  }

  /** The headless Services with this address among their endpoints, and its label there. */
  endpointsAt(ip: string): { readonly service: ServiceRecord; readonly label: string }[] {
    return [...(this.byEndpointIp.get(ip) ?? [])].flatMap((key) => {
      const service = this.services.get(key);
      if (!service?.headless) return [];
      const endpoint = this.endpointsOf(service.namespace, service.name).find((each) => each.ip === ip);
      return endpoint ? [{ service, label: endpoint.label }] : [];
    });
  }

  setService(service: Service): void {
    this.removeService(service);
    const record = serviceRecord(service);
    const key = keyOf(service);
    this.services.set(key, record);
    this.namespaces.set(record.namespace, (this.namespaces.get(record.namespace) ?? 0) + 1);
    for (const ip of record.clusterIPs) addTo(this.byClusterIp, ip, key);
  }

  removeService(service: Service): void {
    const key = keyOf(service);
    const record = this.services.get(key);
    if (!record) return;
    this.services.delete(key);
    const left = (this.namespaces.get(record.namespace) ?? 1) - 1;
    if (left > 0) this.namespaces.set(record.namespace, left);
    else this.namespaces.delete(record.namespace);
    for (const ip of record.clusterIPs) removeFrom(this.byClusterIp, ip, key);
  }

  setSlice(slice: EndpointSlice): void {
    this.removeSlice(slice);
    const service = slice.metadata.labels?.[SERVICE_LABEL];
    if (!service) return;
    const serviceKey = `${slice.metadata.namespace ?? ''}/${service}`;
    const sliceKey = keyOf(slice);
    const records = endpointRecords(slice);
    const slices = this.endpoints.get(serviceKey) ?? new Map<string, readonly EndpointRecord[]>();
    this.endpoints.set(serviceKey, slices.set(sliceKey, records));
    this.serviceOfSlice.set(sliceKey, serviceKey);
    for (const { ip } of records) addTo(this.byEndpointIp, ip, serviceKey);
  }

  removeSlice(slice: EndpointSlice): void {
    const sliceKey = keyOf(slice);
    const serviceKey = this.serviceOfSlice.get(sliceKey);
    if (serviceKey === undefined) return;
    this.serviceOfSlice.delete(sliceKey);
    const slices = this.endpoints.get(serviceKey);
    const records = slices?.get(sliceKey) ?? [];
    slices?.delete(sliceKey);
    if (slices?.size === 0) this.endpoints.delete(serviceKey);
    const remaining = new Set([...(slices?.values() ?? [])].flatMap((list) => list.map(({ ip }) => ip)));
    for (const { ip } of records) if (!remaining.has(ip)) removeFrom(this.byEndpointIp, ip, serviceKey);
  }
}

function addTo(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  if (set) set.add(value);
  else map.set(key, new Set([value]));
}

function removeFrom(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  set?.delete(value);
  if (set?.size === 0) map.delete(key);
}

/**
 * From Services and EndpointSlices to what a proxier needs: one {@link ServicePortState} per Service port with its
 * endpoints already chosen by the traffic policies. Pure. The rules are kube-proxy's (`CategorizeEndpoints`): ready
 * endpoints first; when there are none, those that are serving while terminating.
 */
import type { EndpointSlice } from '../../api/types/discovery-v1.js';
import type { Pod, Service, ServicePort } from '../../api/types/core-v1.js';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

export interface EndpointState {
  readonly ip: string;
  readonly port: number;
  /** On this node. */
  readonly local: boolean;
}

export interface ServicePortState {
  /** `namespace/name:port`, or `namespace/name` for a port without a name. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly clusterIp: string;
  readonly port: number;
  /** 0 without. */
  readonly nodePort: number;
  readonly externalIps: readonly string[];
  readonly loadBalancerIps: readonly string[];
  readonly sourceRanges: readonly string[];
  /** Stickiness in seconds; 0 for none. */
  readonly affinitySeconds: number;
  readonly externalLocal: boolean;
  readonly internalLocal: boolean;
  /** Endpoints of the Cluster policy. */
  readonly cluster: readonly EndpointState[];
  /** Endpoints of the Local policy: those on this node. Empty unless a policy is Local. */
  readonly local: readonly EndpointState[];
  /** The Service has usable endpoints somewhere, whatever the policy. */
  readonly anyEndpoint: boolean;
}

export interface HostPortState {
  readonly pod: string;
  readonly podIp: string;
  readonly protocol: Protocol;
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
}

export interface ProxyState {
  readonly services: readonly ServicePortState[];
  readonly hostPorts: readonly HostPortState[];
}

const isIpv4 = (ip: string): boolean => /^\d+\.\d+\.\d+\.\d+$/.test(ip);
const SERVICE_PROXY_NAME = 'service.kubernetes.io/service-proxy-name';

/** False for headless and ExternalName Services, those without an IPv4 address, and those another proxy serves. */
export function isProxied(service: Service): boolean {
  const ip = service.spec?.clusterIP;
  if (!ip || ip === 'None' || service.spec?.type === 'ExternalName') return false;
  return service.metadata.labels?.[SERVICE_PROXY_NAME] === undefined && clusterIpOf(service) !== undefined;
}

function clusterIpOf(service: Service): string | undefined {
  return [...(service.spec?.clusterIPs ?? []), service.spec?.clusterIP ?? ''].find(isIpv4);
}

interface Candidate extends EndpointState {
  readonly ready: boolean;
  readonly servingTerminating: boolean;
}

/** All ports of one Service, in the order of its spec; empty when it is not proxied. */
export function servicePorts(
  service: Service,
  slices: readonly EndpointSlice[],
  nodeName: string,
): readonly ServicePortState[] {
  const clusterIp = clusterIpOf(service);
  if (!isProxied(service) || clusterIp === undefined) return [];
  const spec = service.spec ?? {};
  const external = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  const name = `${service.metadata.namespace}/${service.metadata.name}`;
  const internalLocal = spec.internalTrafficPolicy === 'Local';
  const externalLocal = (external || (spec.externalIPs ?? []).length > 0) && spec.externalTrafficPolicy === 'Local';
  const ingress = spec.type === 'LoadBalancer' ? (service.status?.loadBalancer?.ingress ?? []) : [];
  return (spec.ports ?? []).map((port) => {
    const candidates = candidatesOf(port, slices, nodeName);
    const cluster = choose(candidates);
    const local = internalLocal || externalLocal ? choose(candidates.filter((endpoint) => endpoint.local)) : [];
    return {
      name: port.name ? `${name}:${port.name}` : name,
      protocol: port.protocol ?? 'TCP',
      clusterIp,
      port: port.port,
      nodePort: external ? (port.nodePort ?? 0) : 0,
      externalIps: (spec.externalIPs ?? []).filter(isIpv4),
      // ipMode Proxy: the load balancer must see the traffic, so nodes do not short-cut it.
      loadBalancerIps: ingress.flatMap(({ ip, ipMode }) => (ip && isIpv4(ip) && ipMode !== 'Proxy' ? [ip] : [])),
      sourceRanges: (spec.loadBalancerSourceRanges ?? []).filter((range) => isIpv4(range.split('/')[0] ?? '')),
      affinitySeconds:
        spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : 0,
      externalLocal,
      internalLocal,
      cluster,
      local,
      anyEndpoint: cluster.length > 0 || local.length > 0,
    };
  });
}

function candidatesOf(port: ServicePort, slices: readonly EndpointSlice[], nodeName: string): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
    const target = slice.ports?.find(
      (one) => (one.name ?? '') === (port.name ?? '') && (one.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    );
    if (!target?.port) continue;
    for (const endpoint of slice.endpoints) {
      const ip = endpoint.addresses[0];
      if (!ip) continue;
      const { ready = true, serving = ready, terminating = false } = endpoint.conditions ?? {};
      const candidate = {
        ip,
        port: target.port,
        local: endpoint.nodeName === nodeName,
        ready,
        servingTerminating: serving && terminating,
      };
      // While an endpoint moves between slices it is in both: the usable one counts.
      const key = `${ip}:${target.port}`;
      if (!found.get(key)?.ready) found.set(key, candidate);
    }
  }
  return [...found.values()].sort((a, b) => (a.ip === b.ip ? a.port - b.port : a.ip < b.ip ? -1 : 1));
}

function choose(candidates: readonly Candidate[]): EndpointState[] {
  const ready = candidates.filter((candidate) => candidate.ready);
  const chosen = ready.length > 0 ? ready : candidates.filter((candidate) => candidate.servingTerminating);
  return chosen.map(({ ip, port, local }) => ({ ip, port, local }));
}

/** Host ports of a pod on this node; none for host-network pods and pods that ended or have no address yet. */
export function hostPorts(pod: Pod): readonly HostPortState[] {
  const podIp = pod.status?.podIP;
  const phase = pod.status?.phase;
  if (!podIp || !isIpv4(podIp) || pod.spec?.hostNetwork || phase === 'Succeeded' || phase === 'Failed') return [];
  const containers = [
    ...(pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always'),
    ...(pod.spec?.containers ?? []),
  ];
  return containers.flatMap((container) =>
    (container.ports ?? []).flatMap(({ hostPort, containerPort, protocol, hostIP }) =>
      hostPort
        ? [
            {
              pod: `${pod.metadata.namespace}/${pod.metadata.name}`,
              podIp,
              protocol: protocol ?? 'TCP',
              hostIp: hostIP && isIpv4(hostIP) && hostIP !== '0.0.0.0' ? hostIP : '',
              hostPort,
              containerPort,
            },
          ]
        : [],
    ),
  );
}

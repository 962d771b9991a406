/** Small makers of what proxiers are given. */
import type { EndpointState, ProxyState, ServicePortState } from '../../../../src/node/proxy/model.js';

export function servicePort(more: Partial<ServicePortState> = {}): ServicePortState {
  const cluster = more.cluster ?? [];
  return {
    name: 'default/web:http',
    protocol: 'TCP',
    clusterIp: '10.96.0.10',
    port: 80,
    nodePort: 0,
    externalIps: [],
    loadBalancerIps: [],
    sourceRanges: [],
    affinitySeconds: 0,
    externalLocal: false,
    internalLocal: false,
    cluster,
    local: cluster.filter(({ local }) => local),
    anyEndpoint: cluster.length > 0,
    ...more,
  };
}

export const endpoint = (ip: string, port: number, local = false): EndpointState => ({ ip, port, local });
export const stateOf = (...services: ServicePortState[]): ProxyState => ({ services, hostPorts: [] });

/**
 * What never changes once it is allocated, seen as if it were not allocated yet: for repairs of what two parts of the cluster
 * gave to two objects each. Only components of the cluster may ask for it.
 */
import type { KubeObject } from '../object.js';
import type { Node, Service } from '../types/core-v1.js';

/**
 * The present object without those allocations that the next state does not have any more: of a Service cluster IPs and node
 * ports, of a Node pod CIDRs. Other kinds as they are.
 */
export function withoutReallocated(present: KubeObject, next: KubeObject): KubeObject {
  if (present.kind === 'Service') return serviceWithout(present as Service, next as Service);
  if (present.kind === 'Node') return nodeWithout(present as Node, next as Node);
  return present;
}

function serviceWithout(present: Service, next: Service): Service {
  const { clusterIP, clusterIPs, healthCheckNodePort, ports, ...spec } = present.spec ?? {};
  const kept = new Set((next.spec?.ports ?? []).map(({ nodePort }) => nodePort));
  return {
    ...present,
    spec: {
      ...spec,
      ...(next.spec?.clusterIP && clusterIP ? { clusterIP } : {}),
      ...(next.spec?.clusterIP && clusterIPs ? { clusterIPs } : {}),
      ...(next.spec?.healthCheckNodePort && healthCheckNodePort ? { healthCheckNodePort } : {}),
      ...(ports
        ? {
            ports: ports.map(({ nodePort, ...port }) =>
              nodePort && kept.has(nodePort) ? { ...port, nodePort } : port,
            ),
          }
        : {}),
    },
  };
}

function nodeWithout(present: Node, next: Node): Node {
  const { podCIDR, podCIDRs: _, ...spec } = present.spec ?? {};
  return podCIDR === next.spec?.podCIDR ? present : { ...present, spec };
}

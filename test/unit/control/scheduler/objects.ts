/** Small makers of the objects that scheduler tests need. */
import type { Node, Pod, PodSpec, Taint } from '../../../../src/api/types/core-v1.js';

export function node(
  name: string,
  allocatable: Record<string, string> = {},
  extra: { labels?: Record<string, string>; taints?: Taint[]; unschedulable?: boolean } = {},
): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...extra.labels } },
    spec: {
      ...(extra.taints ? { taints: extra.taints } : {}),
      ...(extra.unschedulable ? { unschedulable: true } : {}),
    },
    status: { allocatable: { cpu: '4', memory: '8Gi', pods: '110', ...allocatable } },
  } as Node;
}

export function pod(
  name: string,
  requests: Record<string, string> = {},
  spec: Partial<PodSpec> = {},
  labels: Record<string, string> = {},
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels, uid: `uid-${name}` },
    spec: { containers: [{ name: 'main', image: 'app', resources: { requests } }], ...spec },
    status: { phase: 'Pending' },
  } as Pod;
}

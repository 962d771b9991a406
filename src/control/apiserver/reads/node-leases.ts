/**
 * Leases of nodes, shown with the time at which the node was last heard. Heartbeats travel between peers and are never written: a
 * cluster of many nodes would write little else. So the time moves without a new `resourceVersion`, and a watch does not tell of it.
 */
import { rfc3339Micro } from '../../../base/clock.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceRef } from '../../../api/resource.js';
import type { Lease } from '../../../api/types/coordination-v1.js';

/** What the mesh knows of nodes. */
export interface NodeHeartbeats {
  /** When the node was last known to live, in milliseconds of wall-clock time; undefined for one that nobody has heard of. */
  heardMs(node: string): number | undefined;
}

const NAMESPACE = 'kube-node-lease';

export const isLease = ({ group, resource }: Pick<ResourceRef, 'group' | 'resource'>): boolean =>
  resource === 'leases' && group === 'coordination.k8s.io';

/** Never changes its argument; what is no node's Lease stays as it is. */
export function renewed(object: KubeObject, heartbeats: NodeHeartbeats): KubeObject {
  const { metadata, spec } = object as Lease;
  if (metadata.namespace !== NAMESPACE) return object;
  const heardMs = heartbeats.heardMs(metadata.name ?? '');
  if (heardMs === undefined) return object;
  return { ...object, spec: { ...spec, renewTime: rfc3339Micro(heardMs) } } as KubeObject;
}

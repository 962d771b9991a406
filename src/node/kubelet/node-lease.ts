/**
 * The Lease by which Kubernetes' clients see that a node lives: made once for each Node, and again should somebody delete it. It is
 * not renewed here: whoever serves it shows in `renewTime` when the node was last heard.
 */
import { rfc3339Micro, type Clock } from '../../base/clock.js';
import { isAlreadyExists, isNotFound } from '../../api/errors.js';
import { LEASES } from '../../api/resource.js';
import type { Lease } from '../../api/types/coordination-v1.js';
import type { Node } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';

const NAMESPACE = 'kube-node-lease';
/** As the kubelet of Kubernetes asks for. */
const LEASE_SECONDS = 40;

/** Whether it is there; false while its namespace is still to be made. Rejects when the API does. */
export async function ensureNodeLease(client: Client, clock: Clock, node: Node): Promise<boolean> {
  const { name = '', uid = '' } = node.metadata;
  try {
    await client.get<Lease>(LEASES, NAMESPACE, name);
    return true;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name, uid }];
  const renewTime = rfc3339Micro(clock.nowMs());
  try {
    await client.create<Lease>(LEASES, {
      metadata: { name, namespace: NAMESPACE, ownerReferences },
      spec: { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime },
    });
    return true;
  } catch (error) {
    if (isAlreadyExists(error)) return true;
    if (isNotFound(error)) return false;
    throw error;
  }
}

/**
 * Writes by which skein's own parts keep the cluster going. No webhook is asked about them: one that must be asked and whose
 * server is a pod of this cluster would otherwise keep away what it needs to be reached again, when everything was down or its pod
 * has moved: the pod's status, its endpoints, the state of its node, who holds which role. Nothing that a user writes is among them.
 */
import { SYSTEM_USER } from '../writes/executor.js';
import type { WriteRequest } from '../writes/write-request.js';

const LIFELINES: ReadonlySet<string> = new Set([
  '/pods/status',
  '/nodes/',
  '/nodes/status',
  '/endpoints/',
  'discovery.k8s.io/endpointslices/',
  'coordination.k8s.io/leases/',
]);

export const isLifeline = ({
  user,
  group,
  resource,
  subresource,
}: Pick<WriteRequest, 'user' | 'group' | 'resource' | 'subresource'>): boolean =>
  user.name === SYSTEM_USER.name && LIFELINES.has(`${group}/${resource}/${subresource}`);

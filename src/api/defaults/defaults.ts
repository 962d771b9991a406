/** Defaulting: what Kubernetes fills in after decoding and before admission. */
import type { KubeObject } from '../object.js';
import type { KindInfo } from '../schema/registry.js';
import { defaultPod } from './pod.js';
import { defaultEndpoints, defaultEndpointSlice, defaultService } from './service.js';
import * as workloads from './workloads.js';

/** Fills in one kind's defaults in place. The object has been decoded, so its types are right. */
type Defaulter = (object: KubeObject) => void;

/** Narrowing is safe: the table's key is the kind that was decoded. */
const of = <T>(fill: (object: T) => void): Defaulter => fill as unknown as Defaulter;

const DEFAULTERS: Readonly<Record<string, Defaulter>> = {
  '/Pod': of(defaultPod),
  '/PodTemplate': of(workloads.defaultPodTemplateObject),
  '/ReplicationController': of(workloads.defaultReplicationController),
  '/Service': of(defaultService),
  '/Endpoints': of(defaultEndpoints),
  'apps/Deployment': of(workloads.defaultDeployment),
  'apps/ReplicaSet': of(workloads.defaultReplicaSet),
  'apps/StatefulSet': of(workloads.defaultStatefulSet),
  'apps/DaemonSet': of(workloads.defaultDaemonSet),
  'batch/Job': of(workloads.defaultJob),
  'batch/CronJob': of(workloads.defaultCronJob),
  'discovery.k8s.io/EndpointSlice': of(defaultEndpointSlice),
};

/**
 * Fills in the defaults of a built-in kind **in place** (the caller owns the object, e.g. fresh from `decodeObject`) and
 * returns it. Idempotent. Does nothing for kinds without defaults.
 */
export function applyDefaults<T extends KubeObject>(info: Pick<KindInfo, 'group' | 'kind'>, object: T): T {
  DEFAULTERS[`${info.group}/${info.kind}`]?.(object);
  return object;
}

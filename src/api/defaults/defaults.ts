/** Defaulting: what Kubernetes fills in after decoding and before admission. */
import type { KubeObject } from '../object.js';
import type { KindInfo, ResourceInfo } from '../schema/registry.js';
import * as cluster from './cluster.js';
import { defaultFlowSchema, defaultPriorityLevel } from './flowcontrol.js';
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
  '/LimitRange': of(cluster.defaultLimitRange),
  '/Namespace': of(cluster.defaultNamespace),
  '/Node': of(cluster.defaultNode),
  '/PersistentVolume': of(cluster.defaultPersistentVolume),
  '/PersistentVolumeClaim': of(cluster.defaultPersistentVolumeClaim),
  '/Secret': of(cluster.defaultSecret),
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': of(cluster.defaultWebhooks),
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': of(cluster.defaultWebhooks),
  'admissionregistration.k8s.io/ValidatingAdmissionPolicy': of(cluster.defaultAdmissionPolicy),
  'admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding': of(cluster.defaultAdmissionPolicyBinding),
  'apiextensions.k8s.io/CustomResourceDefinition': of(cluster.defaultCustomResourceDefinition),
  'apiregistration.k8s.io/APIService': of(cluster.defaultApiService),
  'flowcontrol.apiserver.k8s.io/FlowSchema': of(defaultFlowSchema),
  'flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration': of(defaultPriorityLevel),
  'networking.k8s.io/Ingress': of(cluster.defaultIngress),
  'networking.k8s.io/NetworkPolicy': of(cluster.defaultNetworkPolicy),
  'rbac.authorization.k8s.io/ClusterRoleBinding': of(cluster.defaultRoleBinding),
  'rbac.authorization.k8s.io/RoleBinding': of(cluster.defaultRoleBinding),
  'scheduling.k8s.io/PriorityClass': of(cluster.defaultPriorityClass),
  'storage.k8s.io/CSIDriver': of(cluster.defaultCsiDriver),
  'storage.k8s.io/StorageClass': of(cluster.defaultStorageClass),
};

/**
 * Fills in the defaults of a kind **in place** (the caller owns the object, e.g. fresh from `decodeObject`) and
 * returns it. Idempotent. Does nothing for kinds without defaults.
 */
export function applyDefaults<T extends KubeObject>(
  info: Pick<KindInfo, 'group' | 'version' | 'kind'> & Partial<Pick<ResourceInfo, 'rules'>>,
  object: T,
): T {
  if (info.rules !== undefined) {
    info.rules.applyDefaults(object);
    return object;
  }
  if (info.kind === 'HorizontalPodAutoscaler' && info.group === 'autoscaling') {
    (info.version === 'v1' ? of(cluster.defaultHpaV1) : of(cluster.defaultHpa))(object);
    return object;
  }
  DEFAULTERS[`${info.group}/${info.kind}`]?.(object);
  return object;
}

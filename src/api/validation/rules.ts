/** Which rules hold for which kind, by `group/kind`. Kinds that are not here get the metadata's rules and the schema's. */
import { autoscalerFromV1 } from '../conversion/autoscaling.js';
import { eventToCore } from '../conversion/events.js';
import * as definitions from '../customresources/definition-validation.js';
import type { KubeObject } from '../object.js';
import type { Event } from '../types/core-v1.js';
import * as policies from './admission-policies.js';
import { validateApiService } from './apiregistration.js';
import { validateAutoscaler } from './autoscaling.js';
import * as batch from './batch.js';
import * as certificates from './certificates.js';
import * as claims from './claims.js';
import * as cluster from './cluster.js';
import * as events from './events.js';
import type { FieldErrors } from './field-errors.js';
import * as flowcontrol from './flowcontrol.js';
import * as networking from './networking.js';
import * as volumes from './persistent-volumes.js';
import { validatePodTemplateObject } from './pod-template.js';
import { validateEphemeralUpdate, validatePodUpdate } from './pod-update.js';
import * as pod from './pod.js';
import * as policy from './policy.js';
import * as quotas from './quotas.js';
import * as rbac from './rbac.js';
import * as service from './service.js';
import * as storage from './storage.js';
import { validateWebhooks } from './webhooks.js';
import * as workloads from './workloads.js';

type Rule = (errors: FieldErrors, object: KubeObject) => void;
type UpdateRule = (errors: FieldErrors, object: KubeObject, old: KubeObject) => void;

export interface KindRules {
  /** Checked on create and on update of the object itself. */
  readonly rule?: Rule;
  /** Checked on create alone. */
  readonly create?: Rule;
  readonly update?: UpdateRule;
  /** Checked when the status is written. */
  readonly status?: Rule;
  /** Checked when a subresource of this name is written. */
  readonly subresources?: Readonly<Record<string, UpdateRule>>;
}

/** Narrowing is safe: the table's key is the kind that was decoded. */
const rule = <T>(check: (errors: FieldErrors, object: T) => void): Rule => check as unknown as Rule;
const update = <T>(check: (errors: FieldErrors, object: T, old: T) => void): UpdateRule =>
  check as unknown as UpdateRule;
const rules = <T>(
  check: (errors: FieldErrors, object: T) => void,
  change?: (errors: FieldErrors, object: T, old: T) => void,
): KindRules => ({ rule: rule(check), ...(change === undefined ? {} : { update: update(change) }) });

/** Checks an Event of `events.k8s.io` in the core form, whose names the errors use. */
const core = (object: KubeObject) => eventToCore(object) as unknown as Event;

/** Autoscalers of v1 are checked as what they stand for. */
const asV2: Rule = (errors, object) =>
  rule(validateAutoscaler)(errors, object.apiVersion === 'autoscaling/v1' ? autoscalerFromV1(object) : object);

export const RULES: Readonly<Record<string, KindRules>> = {
  'apiextensions.k8s.io/CustomResourceDefinition': {
    create: rule(definitions.validateDefinition),
    update: update(definitions.validateDefinitionUpdate),
    status: rule(definitions.validateDefinitionStatus),
  },
  '/ConfigMap': rules(cluster.validateConfigMap, cluster.validateConfigMapUpdate),
  '/Endpoints': rules(service.validateEndpoints),
  '/Event': rules(events.validateEvent),
  '/LimitRange': rules(quotas.validateLimitRange),
  '/Namespace': rules(cluster.validateNamespace),
  '/Node': { ...rules(cluster.validateNode, cluster.validateNodeUpdate), status: rule(cluster.validateNode) },
  '/PersistentVolume': rules(volumes.validateVolume, volumes.validateVolumeUpdate),
  '/PersistentVolumeClaim': rules(claims.validateClaim, claims.validateClaimUpdate),
  '/Pod': {
    ...rules(pod.validatePod, validatePodUpdate),
    create: rule(pod.validatePodCreate),
    status: rule(pod.validatePodStatus),
    subresources: { ephemeralcontainers: update(validateEphemeralUpdate) },
  },
  '/PodTemplate': rules(validatePodTemplateObject),
  '/ReplicationController': rules(workloads.validateReplicationController),
  '/ResourceQuota': {
    ...rules(quotas.validateResourceQuota, quotas.validateResourceQuotaUpdate),
    status: rule(quotas.validateResourceQuotaStatus),
  },
  '/Secret': rules(cluster.validateSecret, cluster.validateSecretUpdate),
  '/Service': {
    ...rules(service.validateService, service.validateServiceUpdate),
    status: rule(service.validateServiceStatus),
  },
  '/ServiceAccount': {},
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': rules(validateWebhooks),
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': rules(validateWebhooks),
  'admissionregistration.k8s.io/ValidatingAdmissionPolicy': rules(policies.validateAdmissionPolicy),
  'admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding': rules(policies.validateAdmissionPolicyBinding),
  'apiregistration.k8s.io/APIService': rules(validateApiService),
  'apps/ControllerRevision': rules(workloads.validateRevision, workloads.validateRevisionUpdate),
  'apps/DaemonSet': rules(workloads.validateDaemonSet, workloads.validateSelectorUpdate),
  'apps/Deployment': rules(workloads.validateDeployment, workloads.validateSelectorUpdate),
  'apps/ReplicaSet': rules(workloads.validateReplicaSet, workloads.validateSelectorUpdate),
  'apps/StatefulSet': rules(workloads.validateStatefulSet, workloads.validateStatefulSetUpdate),
  'autoscaling/HorizontalPodAutoscaler': { rule: asV2 },
  'batch/CronJob': rules(batch.validateCronJob),
  'batch/Job': rules(batch.validateJob, batch.validateJobUpdate),
  'certificates.k8s.io/CertificateSigningRequest': {
    create: rule(certificates.validateCertificateRequest),
    subresources: {
      status: update(certificates.validateCertificateStatus),
      approval: update(certificates.validateCertificateApproval),
    },
  },
  'coordination.k8s.io/Lease': rules(cluster.validateLease),
  'discovery.k8s.io/EndpointSlice': rules(service.validateEndpointSlice, service.validateEndpointSliceUpdate),
  'events.k8s.io/Event': {
    create: (errors, object) => events.validateStrictEvent(errors, core(object)),
    update: (errors, object, old) => events.validateStrictEventUpdate(errors, core(object), core(old)),
  },
  'flowcontrol.apiserver.k8s.io/FlowSchema': rules(flowcontrol.validateFlowSchema),
  'flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration': rules(flowcontrol.validatePriorityLevel),
  'networking.k8s.io/Ingress': {
    ...rules(networking.validateIngress),
    create: rule(networking.validateIngressCreate),
    status: rule(networking.validateIngressStatus),
  },
  'networking.k8s.io/IngressClass': rules(networking.validateIngressClass, networking.validateIngressClassUpdate),
  'networking.k8s.io/NetworkPolicy': rules(networking.validateNetworkPolicy),
  'node.k8s.io/RuntimeClass': rules(policy.validateRuntimeClass, policy.validateRuntimeClassUpdate),
  'policy/PodDisruptionBudget': rules(policy.validateDisruptionBudget),
  'rbac.authorization.k8s.io/ClusterRole': rules(rbac.validateClusterRole),
  'rbac.authorization.k8s.io/ClusterRoleBinding': rules(rbac.validateRoleBinding, rbac.validateRoleBindingUpdate),
  'rbac.authorization.k8s.io/Role': rules(rbac.validateRole),
  'rbac.authorization.k8s.io/RoleBinding': rules(rbac.validateRoleBinding, rbac.validateRoleBindingUpdate),
  'scheduling.k8s.io/PriorityClass': rules(policy.validatePriorityClass, policy.validatePriorityClassUpdate),
  'storage.k8s.io/CSIDriver': rules(storage.validateCsiDriver, storage.validateCsiDriverUpdate),
  'storage.k8s.io/CSINode': rules(storage.validateCsiNode, storage.validateCsiNodeUpdate),
  'storage.k8s.io/CSIStorageCapacity': rules(storage.validateStorageCapacity, storage.validateStorageCapacityUpdate),
  'storage.k8s.io/StorageClass': rules(storage.validateStorageClass, storage.validateStorageClassUpdate),
  'storage.k8s.io/VolumeAttachment': rules(storage.validateVolumeAttachment, storage.validateVolumeAttachmentUpdate),
};

/**
 * Validation: every field error of an object, worded as upstream. Kinds have rules of their own in the table below; all
 * others get the metadata rules and what the schema says.
 */
import type { FieldError } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { ResourceInfo } from '../schema/registry.js';
import type { Scale } from '../types/autoscaling-v1.js';
import * as cluster from './cluster.js';
import { FieldErrors } from './field-errors.js';
import { validateMetadata, validateMetadataUpdate } from './metadata.js';
import * as pod from './pod.js';
import { validateBySchema } from './schema-rules.js';
import * as service from './service.js';
import * as workloads from './workloads.js';
import type { Pod } from '../types/core-v1.js';

type Rule = (errors: FieldErrors, object: KubeObject) => void;
type UpdateRule = (errors: FieldErrors, object: KubeObject, old: KubeObject) => void;

interface KindRules {
  /** Checked on create and on update of the object itself. */
  readonly rule?: Rule;
  readonly update?: UpdateRule;
}

/** Narrowing is safe: the table's key is the kind that was decoded. */
const rule = <T>(check: (errors: FieldErrors, object: T) => void): Rule => check as unknown as Rule;
const update = <T>(check: (errors: FieldErrors, object: T, old: T) => void): UpdateRule =>
  check as unknown as UpdateRule;

const validatePod = (errors: FieldErrors, { spec }: Pod) => pod.validatePodSpec(errors, 'spec', spec);

const RULES: Readonly<Record<string, KindRules>> = {
  '/Pod': { rule: rule(validatePod), update: update(pod.validatePodUpdate) },
  '/ReplicationController': { rule: rule(workloads.validateReplicationController) },
  '/Service': { rule: rule(service.validateService), update: update(service.validateServiceUpdate) },
  '/Endpoints': { rule: rule(service.validateEndpoints) },
  '/ConfigMap': { rule: rule(cluster.validateConfigMap), update: update(cluster.validateConfigMapUpdate) },
  '/Secret': { rule: rule(cluster.validateSecret), update: update(cluster.validateSecretUpdate) },
  '/Namespace': { rule: rule(cluster.validateNamespace) },
  '/Node': { rule: rule(cluster.validateNode), update: update(cluster.validateNodeUpdate) },
  '/Event': { rule: rule(cluster.validateEvent) },
  '/PersistentVolumeClaim': { rule: rule(cluster.validateClaim) },
  '/ServiceAccount': {},
  'apps/Deployment': { rule: rule(workloads.validateDeployment), update: update(workloads.validateSelectorUpdate) },
  'apps/ReplicaSet': { rule: rule(workloads.validateReplicaSet), update: update(workloads.validateSelectorUpdate) },
  'apps/DaemonSet': { rule: rule(workloads.validateDaemonSet), update: update(workloads.validateSelectorUpdate) },
  'apps/StatefulSet': {
    rule: rule(workloads.validateStatefulSet),
    update: update(workloads.validateStatefulSetUpdate),
  },
  'batch/Job': { rule: rule(workloads.validateJob), update: update(workloads.validateJobUpdate) },
  'batch/CronJob': { rule: rule(workloads.validateCronJob) },
  'coordination.k8s.io/Lease': { rule: rule(cluster.validateLease) },
  'discovery.k8s.io/EndpointSlice': {
    rule: rule(service.validateEndpointSlice),
    update: update(service.validateEndpointSliceUpdate),
  },
  'rbac.authorization.k8s.io/ClusterRoleBinding': {
    rule: rule(cluster.validateRoleBinding),
    update: update(cluster.validateRoleBindingUpdate),
  },
  'rbac.authorization.k8s.io/RoleBinding': {
    rule: rule(cluster.validateRoleBinding),
    update: update(cluster.validateRoleBindingUpdate),
  },
};

/** The rules of the kind, then the schema's for fields that have no complaint yet. */
function validateSpec(errors: FieldErrors, info: ResourceInfo, object: KubeObject): void {
  const rules = RULES[`${info.group}/${info.kind}`];
  rules?.rule?.(errors, object);
  const bySchema = new FieldErrors();
  validateBySchema(bySchema, info.schema, object, { required: rules === undefined, status: false });
  if (bySchema.list.length === 0) return;
  const known = new Set(errors.list.map(({ field }) => field));
  errors.list.push(...bySchema.list.filter(({ field }) => !known.has(field)));
}

/** All errors of an object that is about to be created: decoded, defaulted and prepared. Empty means valid. */
export function validateCreate(info: ResourceInfo, object: KubeObject): FieldError[] {
  const errors = new FieldErrors();
  validateMetadata(errors, info, object.metadata);
  if (info.rules !== undefined) return [...errors.list, ...info.rules.validateCreate(object)];
  validateSpec(errors, info, object);
  return errors.list;
}

/**
 * All errors of an object that is about to replace `old`, prepared by `prepareForUpdate`. For `status` the status is
 * checked and the rest was taken from `old`; immutable fields are compared for the object itself.
 */
export function validateUpdate(
  info: ResourceInfo,
  object: KubeObject,
  old: KubeObject,
  subresource: string,
): FieldError[] {
  const errors = new FieldErrors();
  validateMetadataUpdate(errors, object, old);
  validateMetadata(errors, info, object.metadata);
  if (info.rules !== undefined) return [...errors.list, ...info.rules.validateUpdate(object, old, subresource)];
  if (subresource === 'status') {
    validateBySchema(errors, info.schema, object, { required: false, status: true });
    return errors.list;
  }
  validateSpec(errors, info, object);
  if (subresource === '') RULES[`${info.group}/${info.kind}`]?.update?.(errors, object, old);
  if (subresource === 'ephemeralcontainers') pod.validateEphemeralUpdate(errors, object as Pod, old as Pod);
  return errors.list;
}

/** The errors of a Scale. */
export function validateScale(scale: Scale): FieldError[] {
  const errors = new FieldErrors();
  errors.nonNegative('spec.replicas', scale.spec?.replicas);
  return errors.list;
}

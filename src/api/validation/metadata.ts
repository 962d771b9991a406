/** The rules of ObjectMeta (apimachinery `api/validation`), for every kind. */
import {
  dns1035Label,
  dns1123Label,
  dns1123Subdomain,
  maskTrailingDash,
  type NameCheck,
  pathSegmentName,
  qualifiedName,
  labelValue,
} from '../names.js';
import type { DeepReadonly, KubeObject, ObjectMeta } from '../object.js';
import type { ResourceInfo } from '../schema/registry.js';
import type { FieldErrors } from './field-errors.js';

const MAX_ANNOTATIONS_BYTES = 256 * 1024;
const STANDARD_FINALIZERS = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);
const RBAC = 'rbac.authorization.k8s.io';

/** Names of a CronJob leave room for the suffix of its Jobs. */
const cronJobName: NameCheck = (name) => [
  ...dns1123Subdomain(name),
  ...(name.length > 52 ? ['must be no more than 52 characters'] : []),
];

/** Kinds whose names are not DNS subdomains. */
const NAME_RULES: Readonly<Record<string, NameCheck>> = {
  '/Namespace': dns1123Label,
  '/Service': dns1035Label,
  'apiregistration.k8s.io/APIService': pathSegmentName,
  'batch/CronJob': cronJobName,
  'certificates.k8s.io/CertificateSigningRequest': pathSegmentName,
  [`${RBAC}/ClusterRole`]: pathSegmentName,
  [`${RBAC}/ClusterRoleBinding`]: pathSegmentName,
  [`${RBAC}/Role`]: pathSegmentName,
  [`${RBAC}/RoleBinding`]: pathSegmentName,
};

/** The rule for the names of a kind. */
export const nameRuleOf = ({ group, kind }: Pick<ResourceInfo, 'group' | 'kind'>): NameCheck =>
  NAME_RULES[`${group}/${kind}`] ?? dns1123Subdomain;

export function validateLabels(
  errors: FieldErrors,
  field: string,
  labels: DeepReadonly<Record<string, string>> | undefined,
): void {
  for (const key in labels) {
    errors.check(field, key, qualifiedName);
    errors.check(field, labels[key] ?? '', labelValue);
  }
}

export function validateAnnotations(
  errors: FieldErrors,
  field: string,
  annotations: DeepReadonly<Record<string, string>> | undefined,
): void {
  let bytes = 0;
  for (const key in annotations) {
    for (const detail of qualifiedName(key.toLowerCase())) errors.invalid(field, key, detail);
    bytes += Buffer.byteLength(key) + Buffer.byteLength(annotations[key] ?? '');
  }
  if (bytes > MAX_ANNOTATIONS_BYTES) errors.tooLong(field, MAX_ANNOTATIONS_BYTES);
}

function validateOwners(errors: FieldErrors, field: string, metadata: DeepReadonly<ObjectMeta>): void {
  const controllers: string[] = [];
  for (const owner of metadata.ownerReferences ?? []) {
    if (!owner.apiVersion) errors.invalid(`${field}.apiVersion`, owner.apiVersion ?? '', 'version must not be empty');
    if (!owner.kind) errors.invalid(`${field}.kind`, owner.kind ?? '', 'must not be empty');
    if (!owner.name) errors.invalid(`${field}.name`, owner.name ?? '', 'must not be empty');
    if (!owner.uid) errors.invalid(`${field}.uid`, owner.uid ?? '', 'must not be empty');
    if (owner.controller === true) controllers.push(`${owner.kind}/${owner.name}`);
  }
  if (controllers.length > 1) {
    errors.invalid(
      field,
      metadata.ownerReferences,
      `Only one reference can have Controller set to true. Found "true" in references for ${controllers[0]} and ${controllers[1]}`,
    );
  }
}

/** `core`: of Kubernetes' own kinds, whose short names of finalizers are a fixed set. */
function validateFinalizers(
  errors: FieldErrors,
  field: string,
  finalizers: readonly string[] | undefined,
  core: boolean,
): void {
  for (const name of finalizers ?? []) {
    errors.check(field, name, qualifiedName);
    if (core && !name.includes('/') && !STANDARD_FINALIZERS.has(name)) {
      errors.invalid(field, name, 'name is neither a standard finalizer name nor is it fully qualified');
    }
  }
  if (finalizers?.includes('orphan') === true && finalizers.includes('foregroundDeletion')) {
    errors.invalid(field, finalizers, 'finalizer foregroundDeletion and orphan cannot be both set');
  }
}

export function validateMetadata(errors: FieldErrors, info: ResourceInfo, metadata: DeepReadonly<ObjectMeta>): void {
  const rule = nameRuleOf(info);
  const { name, generateName, namespace } = metadata;
  if (generateName) errors.check('metadata.generateName', maskTrailingDash(generateName), rule);
  if (!name) errors.required('metadata.name', 'name or generateName is required');
  else errors.check('metadata.name', name, rule);
  if (info.namespaced) {
    if (!namespace) errors.required('metadata.namespace');
    else errors.check('metadata.namespace', namespace, dns1123Label);
  } else if (namespace) {
    errors.forbidden('metadata.namespace', 'not allowed on this type');
  }
  errors.nonNegative('metadata.generation', metadata.generation);
  validateLabels(errors, 'metadata.labels', metadata.labels);
  validateAnnotations(errors, 'metadata.annotations', metadata.annotations);
  validateOwners(errors, 'metadata.ownerReferences', metadata);
  const isCore = !info.custom && info.group !== 'apiextensions.k8s.io' && info.group !== 'apiregistration.k8s.io';
  validateFinalizers(errors, 'metadata.finalizers', metadata.finalizers, isCore);
}

const IMMUTABLE = [
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
] as const;

export function validateMetadataUpdate(
  errors: FieldErrors,
  object: DeepReadonly<KubeObject>,
  old: DeepReadonly<KubeObject>,
): void {
  for (const field of IMMUTABLE) {
    const value = object.metadata[field];
    if ((value ?? '') !== (old.metadata[field] ?? '')) errors.immutable(`metadata.${field}`, value);
  }
  if (old.metadata.deletionTimestamp === undefined) return;
  const before = new Set(old.metadata.finalizers);
  const added = (object.metadata.finalizers ?? []).filter((name) => !before.has(name));
  if (added.length > 0) {
    const list = added.map((name) => JSON.stringify(name)).join(', ');
    errors.forbidden(
      'metadata.finalizers',
      `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
    );
  }
}

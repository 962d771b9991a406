/** Rules of configuration and cluster kinds: ConfigMap, Secret, Namespace, Node, Lease, Event, RBAC bindings, … */
import ipaddr from 'ipaddr.js';
import { configMapKey, dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../names.js';
import type { DeepReadonly } from '../object.js';
import { semanticEqual } from '../strategy/equality.js';
import type { Lease } from '../types/coordination-v1.js';
import type { ConfigMap, Event, Namespace, Node, PersistentVolumeClaim, Secret } from '../types/core-v1.js';
import type { ClusterRoleBinding, RoleBinding } from '../types/rbac-v1.js';
import type { FieldErrors } from './field-errors.js';

/** Upstream's limit of the data of a ConfigMap or Secret. */
const MAX_DATA_BYTES = 1024 * 1024;
const RBAC = 'rbac.authorization.k8s.io';
const IMMUTABLE_DATA = 'field is immutable when `immutable` is set';

/** The bytes a base64 text stands for. */
const decodedBytes = (text: string) =>
  Math.floor((text.length * 3) / 4) - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0);

export function validateConfigMap(errors: FieldErrors, map: DeepReadonly<ConfigMap>): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(map.data ?? {})) {
    errors.check(`data[${key}]`, key, configMapKey);
    if (map.binaryData !== undefined && Object.hasOwn(map.binaryData, key)) {
      errors.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData');
    }
    bytes += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(map.binaryData ?? {})) {
    errors.check(`binaryData[${key}]`, key, configMapKey);
    bytes += decodedBytes(value);
  }
  if (bytes > MAX_DATA_BYTES) errors.tooLong('', MAX_DATA_BYTES);
}

function validateImmutable(
  errors: FieldErrors,
  object: DeepReadonly<ConfigMap | Secret>,
  old: DeepReadonly<ConfigMap | Secret>,
): void {
  if (old.immutable !== true) return;
  if (object.immutable !== true) errors.forbidden('immutable', IMMUTABLE_DATA);
  if (!semanticEqual(object.data, old.data)) errors.forbidden('data', IMMUTABLE_DATA);
  const binary = (value: DeepReadonly<ConfigMap | Secret>) => ('binaryData' in value ? value.binaryData : undefined);
  if (!semanticEqual(binary(object), binary(old))) errors.forbidden('binaryData', IMMUTABLE_DATA);
}

export const validateConfigMapUpdate = validateImmutable;

/** Keys that a Secret of a type must have; each inner list is an alternative. */
const SECRET_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

function isJson(base64: string): boolean {
  try {
    JSON.parse(Buffer.from(base64, 'base64').toString('utf8'));
    return true;
  } catch {
    return false;
  }
}

export function validateSecret(errors: FieldErrors, secret: DeepReadonly<Secret>): void {
  const data = secret.data ?? {};
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    errors.check(`data[${key}]`, key, configMapKey);
    bytes += decodedBytes(value);
  }
  if (bytes > MAX_DATA_BYTES) errors.tooLong('data', MAX_DATA_BYTES);
  const type = secret.type ?? '';
  if (type === 'kubernetes.io/service-account-token') {
    const name = secret.metadata.annotations?.['kubernetes.io/service-account.name'] ?? '';
    if (name === '') errors.required('metadata.annotations[kubernetes.io/service-account.name]');
  }
  if (type === 'kubernetes.io/basic-auth' && data['username'] === undefined && data['password'] === undefined) {
    errors.required('data[username]');
    errors.required('data[password]');
  }
  for (const key of SECRET_KEYS[type] ?? []) {
    const value = data[key];
    if (value === undefined) errors.required(`data[${key}]`);
    else if (key.startsWith('.docker') && !isJson(value)) {
      errors.invalid(`data[${key}]`, '<secret contents redacted>', 'invalid character in the JSON of the secret');
    }
  }
}

export function validateSecretUpdate(
  errors: FieldErrors,
  secret: DeepReadonly<Secret>,
  old: DeepReadonly<Secret>,
): void {
  if (secret.type !== old.type) errors.immutable('type', secret.type);
  validateImmutable(errors, secret, old);
}

export function validateNamespace(errors: FieldErrors, { spec }: DeepReadonly<Namespace>): void {
  for (const name of spec?.finalizers ?? []) {
    errors.check('spec.finalizers', name, qualifiedName);
    if (!name.includes('/') && name !== 'kubernetes') {
      errors.invalid('spec.finalizers', name, 'name is neither a standard finalizer name nor is it fully qualified');
    }
  }
}

function validateTaints(errors: FieldErrors, node: DeepReadonly<Node>): void {
  const seen = new Set<string>();
  (node.spec?.taints ?? []).forEach(({ key, value, effect }, index) => {
    const at = `spec.taints[${index}]`;
    errors.check(`${at}.key`, key ?? '', qualifiedName);
    if (value) errors.check(`${at}.value`, value, labelValue);
    if (!effect) errors.required(`${at}.effect`);
    else errors.oneOf(`${at}.effect`, effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute']);
    const id = `${key}:${effect}`;
    if (seen.has(id)) {
      errors.duplicate(at, { key, value, effect });
    }
    seen.add(id);
  });
}

export function validateNode(errors: FieldErrors, node: DeepReadonly<Node>): void {
  validateTaints(errors, node);
  const addresses = new Set<string>();
  (node.status?.addresses ?? []).forEach(({ type, address }, index) => {
    const id = `${type}/${address}`;
    if (addresses.has(id)) errors.duplicate(`status.addresses[${index}]`, { type, address });
    addresses.add(id);
  });
  (node.spec?.podCIDRs ?? []).forEach((cidr, index) => {
    if (!ipaddr.isValidCIDR(cidr)) {
      errors.invalid(
        `spec.podCIDRs[${index}]`,
        cidr,
        'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      );
    }
  });
}

export function validateNodeUpdate(errors: FieldErrors, node: DeepReadonly<Node>, old: DeepReadonly<Node>): void {
  const before = old.spec?.podCIDRs ?? [];
  if (before.length > 0 && !semanticEqual(node.spec?.podCIDRs, before)) {
    errors.forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid');
  }
  const providerId = old.spec?.providerID;
  if (providerId && node.spec?.providerID !== providerId) {
    errors.forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid');
  }
}

export function validateLease(errors: FieldErrors, { spec }: DeepReadonly<Lease>): void {
  const duration = spec?.leaseDurationSeconds;
  if (duration !== undefined && duration <= 0) {
    errors.invalid('spec.leaseDurationSeconds', duration, 'must be greater than 0');
  }
  const transitions = spec?.leaseTransitions;
  if (transitions !== undefined && transitions < 0) {
    errors.invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0');
  }
}

export function validateEvent(errors: FieldErrors, event: DeepReadonly<Event>): void {
  const namespace = event.involvedObject?.namespace ?? '';
  const expected = namespace === '' ? ['default', 'kube-system', ''] : [namespace];
  if (!expected.includes(event.metadata.namespace ?? '')) {
    errors.invalid('involvedObject.namespace', namespace, 'does not match event.namespace');
  }
}

export function validateClaim(errors: FieldErrors, { spec }: DeepReadonly<PersistentVolumeClaim>): void {
  if ((spec?.accessModes ?? []).length === 0) errors.required('spec.accessModes', 'at least 1 access mode is required');
  if (spec?.resources?.requests?.['storage'] === undefined) errors.required('spec.resources[storage]');
  if (spec?.storageClassName) errors.check('spec.storageClassName', spec.storageClassName, dns1123Subdomain);
}

type Binding = DeepReadonly<RoleBinding | ClusterRoleBinding>;

export function validateRoleBinding(errors: FieldErrors, binding: Binding): void {
  const { roleRef, subjects = [] } = binding;
  if (roleRef?.apiGroup !== RBAC) errors.notSupported('roleRef.apiGroup', roleRef?.apiGroup ?? '', [RBAC]);
  const kinds = binding.kind === 'ClusterRoleBinding' ? ['ClusterRole'] : ['ClusterRole', 'Role'];
  if (!kinds.includes(roleRef?.kind ?? '')) errors.notSupported('roleRef.kind', roleRef?.kind ?? '', kinds);
  if (!roleRef?.name) errors.required('roleRef.name');
  subjects.forEach((subject, index) => {
    const at = `subjects[${index}]`;
    if (!subject.name) errors.required(`${at}.name`);
    switch (subject.kind) {
      case 'ServiceAccount':
        if (subject.name) errors.check(`${at}.name`, subject.name, dns1123Subdomain);
        if (subject.apiGroup) errors.notSupported(`${at}.apiGroup`, subject.apiGroup, ['']);
        if (!subject.namespace && binding.kind === 'ClusterRoleBinding') errors.required(`${at}.namespace`);
        if (subject.namespace) errors.check(`${at}.namespace`, subject.namespace, dns1123Label);
        break;
      case 'User':
      case 'Group':
        if (subject.apiGroup !== RBAC) errors.notSupported(`${at}.apiGroup`, subject.apiGroup ?? '', [RBAC]);
        break;
      default:
        errors.notSupported(`${at}.kind`, subject.kind ?? '', ['ServiceAccount', 'User', 'Group']);
    }
  });
}

export function validateRoleBindingUpdate(errors: FieldErrors, binding: Binding, old: Binding): void {
  if (!semanticEqual(binding.roleRef, old.roleRef)) errors.invalid('roleRef', binding.roleRef, 'cannot change roleRef');
}

/** Rules of ConfigMaps, Secrets, Namespaces, Nodes and Leases. */
import ipaddr from 'ipaddr.js';
import { configMapKey, labelValue, qualifiedName } from '../names.js';
import type { DeepReadonly } from '../object.js';
import { semanticEqual } from '../strategy/equality.js';
import type { Lease } from '../types/coordination-v1.js';
import type { ConfigMap, Namespace, Node, Secret } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';

/** Upstream's limit of the data of a ConfigMap or Secret. */
const MAX_DATA_BYTES = 1024 * 1024;
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
  if (bytes > MAX_DATA_BYTES) errors.tooLong('[]', MAX_DATA_BYTES);
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
  if (spec?.preferredHolder && !spec.strategy) {
    errors.forbidden('spec.preferredHolder', 'may only be specified when `strategy` is defined');
  }
  const transitions = spec?.leaseTransitions;
  if (transitions !== undefined && transitions < 0) {
    errors.invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0');
  }
}

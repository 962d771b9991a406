/** Rules of `fieldRef` and `resourceFieldRef`: the downward API. */
import { qualifiedName } from '../names.js';
import type { ObjectFieldSelector, ResourceFieldSelector } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

/** What an environment variable may show; also single labels and annotations. */
export const ENV_FIELDS: readonly string[] = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];

/** What a file of a volume may show; also single labels and annotations. */
export const VOLUME_FIELDS: readonly string[] = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];

const KNOWN = new Set([...ENV_FIELDS, ...VOLUME_FIELDS]);
const SUBSCRIPT = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/;

export function validateFieldRef(
  errors: FieldErrors,
  field: string,
  ref: Sent<ObjectFieldSelector>,
  supported: readonly string[],
): void {
  const path = ref.fieldPath ?? '';
  const at = `${field}.fieldPath`;
  if (path === '') {
    errors.required(at);
    return;
  }
  const [, , key] = SUBSCRIPT.exec(path) ?? [];
  if (key !== undefined) {
    const checked = path.startsWith('metadata.annotations') ? key.toLowerCase() : key;
    for (const detail of qualifiedName(checked)) errors.invalid(field, key, detail);
  } else if (!KNOWN.has(path)) {
    errors.invalid(at, path, `error converting fieldPath: field label not supported: ${path}`);
  } else if (!supported.includes(path)) errors.notSupported(at, path, supported);
}

const RESOURCES = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];
const DIVISORS: Readonly<Record<string, readonly string[]>> = {
  cpu: ['1m', '1'],
  memory: ['1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei'],
};

export function validateResourceFieldRef(
  errors: FieldErrors,
  field: string,
  ref: Sent<ResourceFieldSelector>,
  volume: boolean,
): void {
  const { resource = '', divisor } = ref;
  if (volume && !ref.containerName) errors.required(`${field}.containerName`);
  else if (resource === '') errors.required(`${field}.resource`);
  else if (!RESOURCES.includes(resource) && !/^(?:limits|requests)\.hugepages-/.test(resource)) {
    errors.notSupported(`${field}.resource`, resource, RESOURCES);
  }
  if (divisor === undefined || String(divisor) === '0') return;
  const allowed = DIVISORS[resource.endsWith('.cpu') ? 'cpu' : 'memory'] ?? [];
  if (!allowed.includes(String(divisor))) {
    const what = resource.split('.').at(-1);
    errors.invalid(
      `${field}.divisor`,
      ref.resource,
      `only divisor's values ${allowed.join(', ')} are supported with the ${what} resource`,
    );
  }
}

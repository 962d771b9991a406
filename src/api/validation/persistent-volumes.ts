/** Rules of PersistentVolumes. */
import { dns1123Subdomain, qualifiedName } from '../names.js';
import { semanticEqual } from '../strategy/equality.js';
import type { PersistentVolume, PersistentVolumeSpec } from '../types/core-v1.js';
import { validateAccessModes, validatePositive, VOLUME_MODES } from './claims.js';
import { lineDifference } from './difference.js';
import { type FieldErrors } from './field-errors.js';
import { validateNodeSelector } from './node-selector.js';
import type { Sent } from './sent.js';
import { validateDriverName } from './storage.js';
import { validateVolumeSource } from './volumes.js';

/** The fields of a volume's spec that are not a source. */
const NOT_SOURCES = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);

function validateVolumeSpec(errors: FieldErrors, spec: Sent<PersistentVolumeSpec>): void {
  const { accessModes = [], capacity = {} } = spec;
  if (accessModes.length === 0) errors.required('spec.accessModes');
  validateAccessModes(errors, 'spec.accessModes', accessModes);
  const resources = Object.keys(capacity);
  if (resources.length === 0) errors.required('spec.capacity');
  if (capacity['storage'] === undefined || resources.length > 1) {
    errors.notSupported('spec.capacity', capacity, ['storage']);
  }
  for (const [name, amount] of Object.entries(capacity)) {
    errors.check(`spec.capacity[${name}]`, name, qualifiedName);
    if (amount !== undefined) validatePositive(errors, `spec.capacity[${name}]`, amount);
  }
  const policy = spec.persistentVolumeReclaimPolicy;
  if (policy) errors.oneOf('spec.persistentVolumeReclaimPolicy', policy, ['Delete', 'Recycle', 'Retain']);
  if (spec.nodeAffinity !== undefined) {
    if (spec.nodeAffinity.required === undefined) {
      errors.required('spec.nodeAffinity.required', 'must specify required node constraints');
    } else validateNodeSelector(errors, 'spec.nodeAffinity.required', spec.nodeAffinity.required);
  }
  const sources = Object.keys(spec).filter((key) => !NOT_SOURCES.has(key));
  for (const extra of sources.slice(1)) errors.forbidden(`spec.${extra}`, 'may not specify more than 1 volume type');
  if (sources.length === 0) errors.required('spec', 'must specify a volume type');
  validateVolumeSource(errors, 'spec', spec);
  if (spec.csi !== undefined) {
    validateDriverName(errors, 'spec.csi.driver', spec.csi.driver ?? '');
    errors.present('spec.csi.volumeHandle', spec.csi.volumeHandle);
  }
  if (spec.local !== undefined) {
    if (errors.present('spec.local.path', spec.local.path) && spec.local.path.split('/').includes('..')) {
      errors.invalid('spec.local.path', spec.local.path, "must not contain '..'");
    }
    if (spec.nodeAffinity === undefined) {
      errors.required('metadata.annotations', 'Local volume requires node affinity');
    }
  }
  if (spec.hostPath?.path === '/' && policy === 'Recycle') {
    const text = "may not be 'recycle' for a hostPath mount of '/'";
    errors.forbidden('spec.persistentVolumeReclaimPolicy', text);
  }
  errors.optionalName('spec.storageClassName', spec.storageClassName, dns1123Subdomain);
  errors.oneOf('spec.volumeMode', spec.volumeMode, VOLUME_MODES);
}

export function validateVolume(errors: FieldErrors, { spec }: Sent<PersistentVolume>): void {
  validateVolumeSpec(errors, spec ?? {});
}

const sourceOf = (spec: Sent<PersistentVolumeSpec> | undefined) =>
  Object.fromEntries(Object.entries(spec ?? {}).filter(([key]) => !NOT_SOURCES.has(key)));

export function validateVolumeUpdate(
  errors: FieldErrors,
  { spec }: Sent<PersistentVolume>,
  old: Sent<PersistentVolume>,
): void {
  const [now, before] = [sourceOf(spec), sourceOf(old.spec)];
  if (!semanticEqual(now, before)) {
    const text = `spec.persistentvolumesource is immutable after creation\n${lineDifference(now, before)}`;
    errors.forbidden('spec.persistentvolumesource', text);
  }
  if (spec?.volumeMode !== old.spec?.volumeMode) errors.immutable('spec.volumeMode', spec?.volumeMode);
  if (old.spec?.nodeAffinity !== undefined && !semanticEqual(spec?.nodeAffinity, old.spec.nodeAffinity)) {
    errors.immutable('spec.nodeAffinity', spec?.nodeAffinity);
  }
}

/** Rules of volume sources: of pods and, for what both have, of PersistentVolumes. */
import { configMapKey, dns1123Label } from '../names.js';
import { parseQuantity } from '../quantity.js';
import type {
  DownwardAPIVolumeFile,
  PersistentVolumeSource,
  PodSpec,
  VolumeProjection,
  VolumeSource,
} from '../types/core-v1.js';
import { validateClaimSpec } from './claims.js';
import type { FieldErrors } from './field-errors.js';
import { VOLUME_FIELDS, validateFieldRef, validateResourceFieldRef } from './field-references.js';

import type { Sent } from './sent.js';
import { validateDriverName } from './storage.js';

/** Fields of a source that must not be empty. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  awsElasticBlockStore: ['volumeID'],
  azureDisk: ['diskName', 'diskURI'],
  azureFile: ['secretName', 'shareName'],
  cephfs: ['monitors'],
  cinder: ['volumeID'],
  flexVolume: ['driver'],
  gcePersistentDisk: ['pdName'],
  gitRepo: ['repository'],
  glusterfs: ['endpoints', 'path'],
  hostPath: ['path'],
  iscsi: ['targetPortal', 'iqn'],
  nfs: ['server', 'path'],
  persistentVolumeClaim: ['claimName'],
  photonPersistentDisk: ['pdID'],
  portworxVolume: ['volumeID'],
  quobyte: ['registry', 'volume'],
  rbd: ['monitors', 'image'],
  scaleIO: ['gateway', 'system', 'volumeName'],
  secret: ['secretName'],
  configMap: ['name'],
  vsphereVolume: ['volumePath'],
};

const isEmpty = (value: unknown) => value === undefined || value === '' || (Array.isArray(value) && value.length === 0);

/** A path inside a volume: relative and without a way up. */
export function validateLocalPath(errors: FieldErrors, field: string, path: string): void {
  if (path.startsWith('/')) errors.invalid(field, path, 'must be a relative path');
  if (path.split('/').includes('..')) errors.invalid(field, path, "must not contain '..'");
}

/** A local path that does not begin like the kubelet's own files. */
function validateFilePath(errors: FieldErrors, field: string, path: string | undefined): void {
  if (!errors.present(field, path)) return;
  validateLocalPath(errors, field, path);
  if (path.startsWith('..') && !path.startsWith('../')) errors.invalid(field, path, "must not start with '..'");
}

type Items = readonly Sent<{ key: string; path: string; mode?: number }>[] | undefined;

function validateMode(errors: FieldErrors, field: string, mode: number | undefined): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) {
    errors.invalid(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive');
  }
}

function validateItems(errors: FieldErrors, field: string, items: Items): void {
  items?.forEach(({ key, path, mode }, index) => {
    errors.requiredName(`${field}[${index}].key`, key, configMapKey);
    validateFilePath(errors, `${field}[${index}].path`, path);
    validateMode(errors, `${field}[${index}].mode`, mode);
  });
}

function validateDownward(
  errors: FieldErrors,
  field: string,
  items: readonly Sent<DownwardAPIVolumeFile>[] | undefined,
): void {
  items?.forEach(({ path, fieldRef, resourceFieldRef, mode }, index) => {
    const at = `${field}[${index}]`;
    validateFilePath(errors, `${at}.path`, path);
    if (fieldRef !== undefined) {
      validateFieldRef(errors, `${at}.fieldRef`, fieldRef, VOLUME_FIELDS);
      if (resourceFieldRef !== undefined) {
        errors.invalid(at, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously');
      }
    } else if (resourceFieldRef !== undefined) {
      validateResourceFieldRef(errors, `${at}.resourceFieldRef`, resourceFieldRef, true);
    } else errors.required(at, 'one of fieldRef and resourceFieldRef is required');
    validateMode(errors, `${at}.mode`, mode);
  });
}

/** Seconds. */
const MIN_TOKEN = 600;
const MAX_TOKEN = 2 ** 32;

function validateProjection(errors: FieldErrors, at: string, source: Sent<VolumeProjection>): void {
  const kinds = Object.keys(source);
  for (const extra of kinds.slice(1)) errors.forbidden(`${at}.${extra}`, 'may not specify more than 1 volume type');
  if (kinds.length === 0) errors.required(at, 'must specify a projection source');
  const { secret, configMap, downwardAPI, serviceAccountToken: token } = source;
  if (secret !== undefined) {
    errors.present(`${at}.secret.name`, secret.name);
    validateItems(errors, `${at}.secret.items`, secret.items);
  }
  if (configMap !== undefined) {
    errors.present(`${at}.configMap.name`, configMap.name);
    validateItems(errors, `${at}.configMap.items`, configMap.items);
  }
  if (downwardAPI !== undefined) validateDownward(errors, `${at}.downwardAPI.items`, downwardAPI.items);
  if (token === undefined) return;
  const seconds = token.expirationSeconds ?? MIN_TOKEN;
  const field = `${at}.serviceAccountToken.expirationSeconds`;
  if (seconds < MIN_TOKEN) errors.invalid(field, seconds, 'may not specify a duration less than 10 minutes');
  else if (seconds > MAX_TOKEN) errors.invalid(field, seconds, 'may not specify a duration larger than 2^32 seconds');
  validateFilePath(errors, `${at}.serviceAccountToken.path`, token.path);
}

/** Checks what is inside of whatever sources a volume names. */
export function validateVolumeSource(
  errors: FieldErrors,
  at: string,
  volume: Sent<VolumeSource> | Sent<PersistentVolumeSource>,
): void {
  const parts = volume as Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;
  for (const name in parts) {
    const source = parts[name];
    const fields = REQUIRED[name];
    if (fields === undefined || source === undefined) continue;
    for (const field of fields) if (isEmpty(source[field])) errors.required(`${at}.${name}.${field}`);
  }
  const { hostPath, nfs } = volume;
  if (hostPath?.path?.split('/').includes('..') === true) {
    errors.invalid(`${at}.hostPath.path`, hostPath.path, "must not contain '..'");
  }
  if (nfs?.path && !nfs.path.startsWith('/')) errors.invalid(`${at}.nfs.path`, nfs.path, 'must be an absolute path');
  for (const disk of ['gcePersistentDisk', 'awsElasticBlockStore'] as const) {
    errors.between(`${at}.${disk}.partition`, volume[disk]?.partition, 0, 255);
  }
}

function validatePodSource(errors: FieldErrors, at: string, volume: Sent<VolumeSource>): void {
  validateVolumeSource(errors, at, volume);
  const { secret, configMap, projected, downwardAPI, emptyDir, csi, ephemeral } = volume;
  if (secret !== undefined) {
    validateMode(errors, `${at}.secret.defaultMode`, secret.defaultMode);
    validateItems(errors, `${at}.secret.items`, secret.items);
  }
  if (configMap !== undefined) {
    validateMode(errors, `${at}.configMap.defaultMode`, configMap.defaultMode);
    validateItems(errors, `${at}.configMap.items`, configMap.items);
  }
  if (projected !== undefined) {
    validateMode(errors, `${at}.projected.defaultMode`, projected.defaultMode);
    projected.sources?.forEach((source, index) =>
      validateProjection(errors, `${at}.projected.sources[${index}]`, source),
    );
  }
  if (downwardAPI !== undefined) {
    validateMode(errors, `${at}.downwardAPI.defaultMode`, downwardAPI.defaultMode);
    validateDownward(errors, `${at}.downwardAPI.items`, downwardAPI.items);
  }
  if (emptyDir?.sizeLimit !== undefined && parseQuantity(emptyDir.sizeLimit).isNegative) {
    errors.forbidden(`${at}.emptyDir.sizeLimit`, 'SizeLimit field must be a valid resource quantity');
  }
  if (csi !== undefined) {
    validateDriverName(errors, `${at}.csi.driver`, csi.driver ?? '');
    if (csi.nodePublishSecretRef !== undefined) {
      errors.present(`${at}.csi.nodePublishSecretRef.name`, csi.nodePublishSecretRef.name);
    }
  }
  if (ephemeral === undefined) return;
  const template = ephemeral.volumeClaimTemplate;
  if (template === undefined) errors.required(`${at}.ephemeral.volumeClaimTemplate`);
  else validateClaimSpec(errors, `${at}.ephemeral.volumeClaimTemplate.spec`, template.spec ?? {});
}

/** The volumes of a pod by name; undefined as value for a source that has no claim. */
export type VolumeNames = ReadonlyMap<string, 'claim' | 'other'>;

/** Checks a pod's volumes and returns what containers may mount. */
export function validateVolumes(errors: FieldErrors, field: string, volumes: Sent<PodSpec>['volumes']): VolumeNames {
  const names = new Map<string, 'claim' | 'other'>();
  volumes?.forEach((volume, index) => {
    const at = `${field}[${index}]`;
    let sources = 0;
    for (const key in volume) {
      if (key !== 'name' && ++sources > 1) errors.forbidden(`${at}.${key}`, 'may not specify more than 1 volume type');
    }
    if (sources === 0) errors.required(at, 'must specify a volume type');
    validatePodSource(errors, at, volume);
    const { name } = volume;
    if (!errors.present(`${at}.name`, name)) return;
    errors.check(`${at}.name`, name, dns1123Label);
    if (names.has(name)) errors.duplicate(`${at}.name`, name);
    const claims = volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined;
    names.set(name, claims ? 'claim' : 'other');
  });
  return names;
}

/** Rules of `storage.k8s.io`. */
import { dns1123Subdomain, qualifiedName } from '../names.js';
import { parseQuantity } from '../quantity.js';
import { semanticEqual } from '../strategy/equality.js';
import type { CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment } from '../types/storage-v1.js';
import type { FieldErrors } from './field-errors.js';
import { validateTopologies } from './node-selector.js';
import { validateLabelSelector } from './selectors.js';
import type { Sent } from './sent.js';

/** Upstream's limits: parameters of a class, CSI driver names, node ids. */
const MAX_PARAMETERS = 512;
const MAX_PARAMETERS_BYTES = 256 * 1024;
const MAX_DRIVER_NAME = 63;
const MAX_NODE_ID = 192;

const RECLAIM_POLICIES = ['Delete', 'Retain'];
const FS_GROUP_POLICIES = ['File', 'None', 'ReadWriteOnceWithFSType'];
const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;

export function validateStorageClass(errors: FieldErrors, storage: Sent<StorageClass>): void {
  const { provisioner = '', parameters = {}, reclaimPolicy, volumeBindingMode } = storage;
  if (provisioner === '') errors.required('provisioner');
  else
    for (const detail of qualifiedName(provisioner.toLowerCase())) errors.invalid('provisioner', provisioner, detail);
  const keys = Object.keys(parameters);
  if (keys.length > MAX_PARAMETERS) errors.tooLong('parameters', MAX_PARAMETERS);
  let bytes = 0;
  for (const key of keys) {
    if (key === '') errors.invalid('parameters', key, 'field can not be empty.');
    bytes += Buffer.byteLength(key) + Buffer.byteLength(parameters[key] ?? '');
  }
  if (bytes > MAX_PARAMETERS_BYTES) errors.tooLong('parameters', MAX_PARAMETERS_BYTES);
  if (reclaimPolicy) errors.oneOf('reclaimPolicy', reclaimPolicy, RECLAIM_POLICIES);
  if (volumeBindingMode === undefined) errors.required('volumeBindingMode');
  else errors.oneOf('volumeBindingMode', volumeBindingMode, ['Immediate', 'WaitForFirstConsumer']);
  validateTopologies(errors, 'allowedTopologies', storage.allowedTopologies);
}

export function validateStorageClassUpdate(
  errors: FieldErrors,
  storage: Sent<StorageClass>,
  old: Sent<StorageClass>,
): void {
  for (const field of ['parameters', 'provisioner', 'reclaimPolicy'] as const) {
    if (!semanticEqual(storage[field], old[field])) errors.forbidden(field, `updates to ${field} are forbidden.`);
  }
  if (storage.volumeBindingMode !== old.volumeBindingMode) {
    errors.immutable('volumeBindingMode', storage.volumeBindingMode);
  }
}

/** The name of a CSI driver, which is also that of the CSIDriver object. */
export function validateDriverName(errors: FieldErrors, field: string, name: string): void {
  if (name === '') errors.required(field);
  if (name.length > MAX_DRIVER_NAME) errors.tooLong(field, MAX_DRIVER_NAME);
  for (const detail of dns1123Subdomain(name.toLowerCase())) errors.invalid(field, name, detail);
}

export function validateVolumeAttachment(errors: FieldErrors, { spec }: Sent<VolumeAttachment>): void {
  validateDriverName(errors, 'spec.attacher', spec?.attacher ?? '');
  const { inlineVolumeSpec, persistentVolumeName } = spec?.source ?? {};
  const both = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
  if (inlineVolumeSpec === undefined && persistentVolumeName === undefined) errors.required('spec.source', both);
  else if (inlineVolumeSpec !== undefined && persistentVolumeName !== undefined) errors.forbidden('spec.source', both);
  else if (persistentVolumeName === '') {
    errors.required('spec.source.persistentVolumeName', 'must specify non empty persistentVolumeName');
  }
  errors.check('spec.nodeName', spec?.nodeName ?? '', dns1123Subdomain);
}

export function validateVolumeAttachmentUpdate(
  errors: FieldErrors,
  { spec }: Sent<VolumeAttachment>,
  old: Sent<VolumeAttachment>,
): void {
  if (!semanticEqual(spec, old.spec)) errors.immutable('spec', spec);
}

export function validateCsiDriver(errors: FieldErrors, { metadata, spec }: Sent<CSIDriver>): void {
  validateDriverName(errors, 'metadata.name', metadata?.name ?? '');
  for (const field of ['attachRequired', 'podInfoOnMount', 'storageCapacity', 'seLinuxMount'] as const) {
    if (spec?.[field] === undefined) errors.required(`spec.${field}`);
  }
  if (spec?.fsGroupPolicy === undefined) errors.required('spec.fsGroupPolicy');
  else errors.oneOf('spec.fsGroupPolicy', spec.fsGroupPolicy, FS_GROUP_POLICIES);
  const audiences = new Set<string>();
  (spec?.tokenRequests ?? []).forEach(({ audience = '', expirationSeconds }, index) => {
    const at = `spec.tokenRequests[${index}]`;
    if (audiences.has(audience)) errors.duplicate(`${at}.audience`, audience);
    audiences.add(audience);
    if (expirationSeconds === undefined) return;
    if (expirationSeconds < MIN_TOKEN_SECONDS) {
      const text = 'may not specify a duration less than 10 minutes';
      errors.invalid(`${at}.expirationSeconds`, expirationSeconds, text);
    } else if (expirationSeconds > MAX_TOKEN_SECONDS) {
      const text = 'may not specify a duration larger than 2^32 seconds';
      errors.invalid(`${at}.expirationSeconds`, expirationSeconds, text);
    }
  });
  for (const mode of spec?.volumeLifecycleModes ?? []) {
    errors.oneOf('spec.volumeLifecycleModes', mode, ['Ephemeral', 'Persistent']);
  }
}

export function validateCsiDriverUpdate(errors: FieldErrors, { spec }: Sent<CSIDriver>, old: Sent<CSIDriver>): void {
  for (const field of ['attachRequired', 'volumeLifecycleModes'] as const) {
    if (!semanticEqual(spec?.[field], old.spec?.[field])) errors.immutable(`spec.${field}`, spec?.[field]);
  }
}

export function validateCsiNode(errors: FieldErrors, { spec }: Sent<CSINode>): void {
  const names = new Set<string>();
  (spec?.drivers ?? []).forEach(({ name = '', nodeID, allocatable, topologyKeys = [] }, index) => {
    const at = `spec.drivers[${index}]`;
    validateDriverName(errors, `${at}.name`, name);
    if (errors.present(`${at}.nodeID`, nodeID) && nodeID.length > MAX_NODE_ID) {
      errors.invalid(`${at}.nodeID`, nodeID, `must be ${MAX_NODE_ID} characters or less`);
    }
    errors.nonNegative(`${at}.allocatable.count`, allocatable?.count);
    if (names.has(name)) errors.duplicate(`${at}.name`, name);
    names.add(name);
    const keys = new Set<string>();
    for (const key of topologyKeys) {
      if (key === '') errors.required(`${at}.topologyKeys`);
      if (keys.has(key)) errors.duplicate(`${at}.topologyKeys`, key);
      keys.add(key);
      errors.check(`${at}.topologyKeys`, key, qualifiedName);
    }
  });
}

export function validateCsiNodeUpdate(errors: FieldErrors, { spec }: Sent<CSINode>, old: Sent<CSINode>): void {
  const before = new Map((old.spec?.drivers ?? []).map((driver) => [driver.name, driver]));
  for (const driver of spec?.drivers ?? []) {
    const present = before.get(driver.name);
    // Not a path of the object, but what upstream says.
    if (present !== undefined && !semanticEqual(driver, present)) errors.immutable('CSINodeDriver', driver);
  }
}

export function validateStorageCapacity(errors: FieldErrors, capacity: Sent<CSIStorageCapacity>): void {
  if (capacity.nodeTopology !== undefined) validateLabelSelector(errors, 'nodeTopology', capacity.nodeTopology);
  errors.check('storageClassName', capacity.storageClassName ?? '', dns1123Subdomain);
  for (const field of ['capacity', 'maximumVolumeSize'] as const) {
    const amount = capacity[field];
    if (amount !== undefined && parseQuantity(amount).isNegative) {
      errors.invalid(field, String(amount), 'must be greater than or equal to 0');
    }
  }
}

export function validateStorageCapacityUpdate(
  errors: FieldErrors,
  capacity: Sent<CSIStorageCapacity>,
  old: Sent<CSIStorageCapacity>,
): void {
  for (const field of ['nodeTopology', 'storageClassName'] as const) {
    if (!semanticEqual(capacity[field], old[field])) errors.immutable(field, capacity[field]);
  }
}

/** DefaultStorageClass, StorageObjectInUseProtection and PersistentVolumeClaimResize. */
import { forbidden } from '../../api/errors.js';
import { amountsOf } from '../../api/quota/amounts.js';
import { namesStorageClass, storageClassOf } from '../../api/quota/usage.js';
import type { PersistentVolumeClaim } from '../../api/types/core-v1.js';
import type { StorageClass } from '../../api/types/storage-v1.js';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.js';
import { newestDefault } from './default-object.js';

const CLAIMS = { group: '', resource: 'persistentvolumeclaims' };
const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';
const BETA_DEFAULT_CLASS = 'storageclass.beta.kubernetes.io/is-default-class';

const isCreation = ({ operation, group, subresource }: AdmissionAttributes) =>
  operation === 'CREATE' && group === '' && subresource === '';

/** A claim that names no class gets the newest default class, if there is one. */
export const defaultStorageClass: AdmissionPlugin = {
  name: 'DefaultStorageClass',
  handles: (attributes) => attributes.resource === CLAIMS.resource && isCreation(attributes),
  admit({ object }, lookups) {
    const claim = object as PersistentVolumeClaim;
    if (claim.spec === undefined || namesStorageClass(claim)) return;
    const classes = lookups.list('storage.k8s.io', 'storageclasses') as readonly StorageClass[];
    const found = newestDefault(classes, [DEFAULT_CLASS, BETA_DEFAULT_CLASS]);
    if (found?.metadata.name !== undefined) claim.spec.storageClassName = found.metadata.name;
  },
};

const PROTECTION: Readonly<Record<string, string>> = {
  persistentvolumeclaims: 'kubernetes.io/pvc-protection',
  persistentvolumes: 'kubernetes.io/pv-protection',
};

/** Volumes and claims stay while they are used; their controllers take the finalizers away. */
export const storageObjectInUseProtection: AdmissionPlugin = {
  name: 'StorageObjectInUseProtection',
  handles: (attributes) => isCreation(attributes) && PROTECTION[attributes.resource] !== undefined,
  admit({ object, resource }) {
    const finalizer = PROTECTION[resource];
    if (object === undefined || finalizer === undefined) return;
    const present = object.metadata.finalizers ?? [];
    if (!present.includes(finalizer)) object.metadata.finalizers = [...present, finalizer];
  },
};

/** A claim grows only where its class lets it. */
export const persistentVolumeClaimResize: AdmissionPlugin = {
  name: 'PersistentVolumeClaimResize',
  handles: ({ operation, group, resource, subresource }) =>
    operation === 'UPDATE' && resource === CLAIMS.resource && group === '' && subresource === '',
  validate({ object, oldObject, name }, lookups) {
    const [claim, old] = [object as PersistentVolumeClaim, oldObject as PersistentVolumeClaim];
    const sizeOf = ({ spec }: PersistentVolumeClaim) => amountsOf(spec?.resources?.requests).get('storage');
    const [size, before] = [sizeOf(claim), sizeOf(old)];
    if (size === undefined || before === undefined || size.compare(before) <= 0) return;
    if (old.status?.phase !== 'Bound') {
      throw forbidden(CLAIMS, name, 'Only bound persistent volume claims can be expanded');
    }
    const className = storageClassOf(claim);
    const found =
      className === ''
        ? undefined
        : (lookups.get('storage.k8s.io', 'storageclasses', '', className) as StorageClass | undefined);
    if (found?.allowVolumeExpansion === true) return;
    throw forbidden(
      CLAIMS,
      name,
      'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
    );
  },
};

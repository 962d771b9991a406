/** The few rules of storage in which kinds differ upstream (`rest.RESTUpdateStrategy`, `ReturnDeletedObject`). */
import { groupResourceOf } from '../../../api/resource.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';

const CREATABLE_ON_UPDATE = new Set([
  'endpoints',
  'events',
  'events.events.k8s.io',
  'limitranges',
  'leases.coordination.k8s.io',
  'clusterroles.rbac.authorization.k8s.io',
  'clusterrolebindings.rbac.authorization.k8s.io',
  'roles.rbac.authorization.k8s.io',
  'rolebindings.rbac.authorization.k8s.io',
]);

const REVISION_REQUIRED = new Set([
  'leases.coordination.k8s.io',
  'customresourcedefinitions.apiextensions.k8s.io',
  'apiservices.apiregistration.k8s.io',
  'poddisruptionbudgets.policy',
]);

const RETURNS_DELETED = new Set([
  'pods',
  'services',
  'serviceaccounts',
  'persistentvolumes',
  'persistentvolumeclaims',
  'podtemplates',
  'resourcequotas',
  'storageclasses.storage.k8s.io',
  'csidrivers.storage.k8s.io',
  'csinodes.storage.k8s.io',
  'volumeattachments.storage.k8s.io',
]);

/** Whether a PUT to an absent name creates the object. */
export const creatableOnUpdate = (info: ResourceInfo) => CREATABLE_ON_UPDATE.has(groupResourceOf(info));

/** Whether an update must carry the version it is based on. */
export const requiresRevision = (info: ResourceInfo) => info.custom || REVISION_REQUIRED.has(groupResourceOf(info));

/** Whether a DELETE that removed the object at once answers with it rather than with a `Status`. */
export const returnsDeleted = (info: ResourceInfo) => RETURNS_DELETED.has(groupResourceOf(info));

/** Kinds whose dependents stay when a DELETE does not say otherwise, for the sake of old clients. */
const ORPHANS_BY_DEFAULT = new Set(['replicationcontrollers', 'jobs.batch']);

export const orphansByDefault = (info: ResourceInfo) => ORPHANS_BY_DEFAULT.has(groupResourceOf(info));

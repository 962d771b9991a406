/**
 * NamespaceLifecycle: no object without its namespace, none added to one that is being deleted, and the namespaces that
 * the cluster itself needs stay.
 */
import { ApiError, forbidden, notFound } from '../../api/errors.js';
import type { Namespace } from '../../api/types/core-v1.js';
import type { AdmissionPlugin } from './admission.js';

const IMMORTAL = new Set(['default', 'kube-system', 'kube-public']);
const NAMESPACES = { group: '', resource: 'namespaces' };

export const namespaceLifecycle: AdmissionPlugin = {
  name: 'NamespaceLifecycle',
  handles: ({ operation, namespace, resource, group }) =>
    (operation === 'CREATE' && namespace !== '') ||
    (operation === 'DELETE' && resource === 'namespaces' && group === ''),

  admit({ operation, group, resource, namespace, name, subresource }, lookups) {
    if (operation === 'DELETE') {
      if (IMMORTAL.has(name)) throw forbidden(NAMESPACES, name, 'this namespace may not be deleted');
      return;
    }
    // Reviews ask about a namespace without creating anything in it; subresources concern an object that exists.
    if (subresource !== '' || resource === 'localsubjectaccessreviews') return;
    const owner = lookups.get('', 'namespaces', '', namespace) as Namespace | undefined;
    if (owner === undefined) throw notFound(NAMESPACES, namespace);
    if (owner.metadata.deletionTimestamp === undefined && owner.status?.phase !== 'Terminating') return;
    const refusal = forbidden(
      { group, resource },
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
    );
    throw new ApiError(refusal.code, refusal.reason, refusal.message, {
      ...refusal.details,
      causes: [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    });
  },
};

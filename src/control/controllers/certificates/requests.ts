/** What the controllers of certificate signing requests share. */
import type { KubeObject } from '../../../api/object.js';
import type { ResourceRef } from '../../../api/resource.js';
import type {
  CertificateSigningRequest,
  CertificateSigningRequestCondition,
} from '../../../api/types/certificates-v1.js';

export type Request = CertificateSigningRequest & KubeObject;

export const CERTIFICATE_REQUESTS: ResourceRef = Object.freeze({
  group: 'certificates.k8s.io',
  version: 'v1',
  resource: 'certificatesigningrequests',
  kind: 'CertificateSigningRequest',
  namespaced: false,
});

export const conditionOf = (
  { status }: CertificateSigningRequest,
  type: 'Approved' | 'Denied' | 'Failed',
): CertificateSigningRequestCondition | undefined => status?.conditions?.find((condition) => condition.type === type);

export const isIssued = ({ status }: CertificateSigningRequest) => (status?.certificate ?? '') !== '';

/** The request with one condition more. */
export function withCondition(request: Request, type: string, reason: string, message: string): Request {
  const condition: CertificateSigningRequestCondition = { type, status: 'True', reason, message };
  return {
    ...request,
    status: { ...request.status, conditions: [...(request.status?.conditions ?? []), condition] },
  };
}

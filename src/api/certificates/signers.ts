/** Which requests Kubernetes' own signers sign ("Certificates and Certificate Signing Requests": Kubernetes signers). */
import type { CertificateSigningRequest } from '../types/certificates-v1.js';
import type { ParsedRequest } from './pkcs10.js';

export const CLIENT_SIGNER = 'kubernetes.io/kube-apiserver-client';
export const KUBELET_CLIENT_SIGNER = 'kubernetes.io/kube-apiserver-client-kubelet';
export const KUBELET_SERVING_SIGNER = 'kubernetes.io/kubelet-serving';
export const LEGACY_SIGNER = 'kubernetes.io/legacy-unknown';

export type Usage = NonNullable<CertificateSigningRequest['spec']['usages']>[number];

const NODE_PREFIX = 'system:node:';
const NODES_GROUP = 'system:nodes';

type Judge = (request: ParsedRequest, usages: readonly Usage[]) => string | undefined;

const sameSet = (usages: readonly Usage[], wanted: readonly Usage[]) =>
  new Set(usages).size === wanted.length && wanted.every((usage) => usages.includes(usage));

/** The key usage that RSA keys need besides is allowed. */
const usagesProblem = (usages: readonly Usage[], purpose: Usage) => {
  const least: Usage[] = ['digital signature', purpose];
  return sameSet(usages, least) || sameSet(usages, ['key encipherment', ...least])
    ? undefined
    : `usages did not match [${['key encipherment', ...least].toSorted().join(' ')}]`;
};

const organizationProblem = ({ organizations }: ParsedRequest) =>
  organizations.length === 1 && organizations[0] === NODES_GROUP
    ? undefined
    : 'subject organization is not system:nodes';

const nameProblem = ({ commonName }: ParsedRequest) =>
  commonName.startsWith(NODE_PREFIX) ? undefined : `subject common name does not begin with ${NODE_PREFIX}`;

const kubeletClient: Judge = (request, usages) => {
  const trouble = organizationProblem(request);
  if (trouble !== undefined) return trouble;
  if (request.dnsNames.length > 0) return 'DNS subjectAltNames are not allowed';
  if (request.emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (request.ips.length > 0) return 'IP subjectAltNames are not allowed';
  if (request.uris.length > 0) return 'URI subjectAltNames are not allowed';
  return nameProblem(request) ?? usagesProblem(usages, 'client auth');
};

const kubeletServing: Judge = (request, usages) => {
  const trouble = organizationProblem(request);
  if (trouble !== undefined) return trouble;
  if (request.dnsNames.length + request.ips.length === 0) return 'DNS or IP subjectAltName is required';
  if (request.emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (request.uris.length > 0) return 'URI subjectAltNames are not allowed';
  return usagesProblem(usages, 'server auth') ?? nameProblem(request);
};

const client: Judge = (_request, usages) => {
  const odd = usages.find((usage) => !['digital signature', 'key encipherment', 'client auth'].includes(usage));
  if (odd !== undefined) return `invalid usage for client certificate: ${odd}`;
  return usages.includes('client auth') ? undefined : 'missing required usage for client certificate: client auth';
};

const JUDGES: ReadonlyMap<string, Judge> = new Map([
  [CLIENT_SIGNER, client],
  [KUBELET_CLIENT_SIGNER, kubeletClient],
  [KUBELET_SERVING_SIGNER, kubeletServing],
  [LEGACY_SIGNER, () => undefined],
]);

/** Whether the cluster signs for this signer itself. */
export const isOwnSigner = (signerName: string) => JUDGES.has(signerName);

/** Why one of the cluster's own signers does not sign, in upstream's words; undefined when it does. */
export function signerProblem(
  signerName: string,
  request: ParsedRequest,
  usages: readonly Usage[],
): string | undefined {
  return JUDGES.get(signerName)?.(request, usages);
}

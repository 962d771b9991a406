/** CertificateSigningRequests. Conditions tell who decided what, so they are only ever added to. */
import { CertificateRequestError, certificateProblem, parseRequest } from '../certificates/pkcs10.js';
import { LEGACY_SIGNER } from '../certificates/signers.js';
import type { CertificateSigningRequest, CertificateSigningRequestCondition } from '../types/certificates-v1.js';
import { dns1123Subdomain } from '../names.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

const MIN_EXPIRATION_SECONDS = 600;
/** `domain/path`: a domain of at least two labels, and a path of one segment or more. */
const MAX_SIGNER_NAME = 571;
const PATH_SEGMENT = /^[a-z0-9A-Z]([-a-z0-9A-Z]*[a-z0-9A-Z])?(\.[a-z0-9A-Z]([-a-z0-9A-Z]*[a-z0-9A-Z])?)*$/;

type Conditions = readonly CertificateSigningRequestCondition[];

export function validateCertificateRequest(errors: FieldErrors, request: CertificateSigningRequest): void {
  const { status } = request;
  const spec = (request as Sent<CertificateSigningRequest>).spec ?? {};
  validateRequestText(errors, spec.request);
  const usages = spec.usages ?? [];
  if (usages.length === 0) errors.required('spec.usages');
  for (const [index, usage] of usages.entries()) {
    if (usages.indexOf(usage) !== index) errors.duplicate(`spec.usages[${index}]`, usage);
  }
  if (spec.signerName === LEGACY_SIGNER) {
    errors.invalid('spec.signerName', spec.signerName, 'the legacy signerName is not allowed via this API version');
  } else validateSignerName(errors, spec.signerName);
  const { expirationSeconds } = spec;
  if (expirationSeconds !== undefined && expirationSeconds < MIN_EXPIRATION_SECONDS) {
    errors.invalid(
      'spec.expirationSeconds',
      expirationSeconds,
      'may not specify a duration less than 600 seconds (10 minutes)',
    );
  }
  validateConditions(errors, status?.conditions ?? []);
}

function validateRequestText(errors: FieldErrors, request: string | undefined): void {
  try {
    parseRequest(request ?? '');
  } catch (error) {
    if (!(error instanceof CertificateRequestError)) throw error;
    const bytes = [...Buffer.from(request ?? '', 'base64')].map((byte) => `0x${byte.toString(16)}`);
    errors.invalidText('spec.request', `[]byte{${bytes.join(', ')}}`, error.message);
  }
}

function validateSignerName(errors: FieldErrors, name: string | undefined): void {
  const field = 'spec.signerName';
  if (!name) {
    errors.required(field);
    return;
  }
  const slash = name.indexOf('/');
  const [domain, path] = [name.slice(0, slash), name.slice(slash + 1)];
  if (slash < 0 || path === '') {
    errors.invalid(field, name, 'must be a fully qualified domain and path of the form "example.com/signer-name"');
    return;
  }
  if (!domain.includes('.'))
    errors.invalid(field, domain, 'should be a domain with at least two segments separated by dots');
  else for (const detail of dns1123Subdomain(domain)) errors.invalid(field, domain, detail);
  for (const segment of path.split('/')) {
    if (PATH_SEGMENT.test(segment)) continue;
    errors.invalid(
      field,
      segment,
      "must consist of alphanumeric characters or '-', and must start and end with an alphanumeric character",
    );
  }
  if (name.length > MAX_SIGNER_NAME) errors.tooLong(field, MAX_SIGNER_NAME);
}

function validateConditions(errors: FieldErrors, conditions: Conditions): void {
  const seen = new Set<string>();
  for (const [index, { type, status }] of conditions.entries()) {
    const field = `status.conditions[${index}]`;
    if (!type) errors.required(`${field}.type`);
    if (!status) errors.required(`${field}.status`);
    else if (isDecision(type) || type === 'Failed') errors.oneOf(`${field}.status`, status, ['True']);
    else errors.oneOf(`${field}.status`, status, ['False', 'True', 'Unknown']);
    if (seen.has(type)) errors.duplicate(`${field}.type`, type);
    const other = type === 'Approved' ? 'Denied' : type === 'Denied' ? 'Approved' : '';
    if (seen.has(other)) {
      errors.invalid(`${field}.type`, type, 'Approved and Denied conditions are mutually exclusive');
    }
    seen.add(type);
  }
}

const isDecision = (type: string) => type === 'Approved' || type === 'Denied';

/** A write through `status`: the signer's part. */
export function validateCertificateStatus(
  errors: FieldErrors,
  next: CertificateSigningRequest,
  old: CertificateSigningRequest,
): void {
  validateConditions(errors, next.status?.conditions ?? []);
  const [certificate = '', before = ''] = [next.status?.certificate, old.status?.certificate];
  if (before !== '' && certificate !== before)
    errors.forbidden('status.certificate', 'updates may not set certificate content once set');
  else if (certificate !== '' && certificate !== before) {
    const problem = certificateProblem(certificate);
    if (problem !== undefined) errors.invalid('status.certificate', '<certificate data>', problem);
  }
  const [conditions, present] = [next.status?.conditions ?? [], old.status?.conditions ?? []];
  for (const type of ['Approved', 'Denied']) {
    const change = changeOf(conditions, present, type);
    if (change === 'added' || change === 'removed') {
      errors.forbidden(
        'status.conditions',
        `updates may not ${change === 'added' ? 'add' : 'remove'} a condition of type "${type}"`,
      );
    } else if (change === 'modified') {
      errors.forbidden('status.conditions', `updates may not modify a condition of type "${type}"`);
    }
  }
  keepFailure(errors, conditions, present);
}

/** A write through `approval`: decisions are final. */
export function validateCertificateApproval(
  errors: FieldErrors,
  next: CertificateSigningRequest,
  old: CertificateSigningRequest,
): void {
  validateConditions(errors, next.status?.conditions ?? []);
  const [conditions, present] = [next.status?.conditions ?? [], old.status?.conditions ?? []];
  for (const type of ['Approved', 'Denied']) {
    if (changeOf(conditions, present, type) === 'removed') {
      errors.forbidden('status.conditions', `updates may not remove a condition of type "${type}"`);
    }
  }
  keepFailure(errors, conditions, present);
}

function keepFailure(errors: FieldErrors, next: Conditions, old: Conditions): void {
  if (changeOf(next, old, 'Failed') !== 'removed') return;
  errors.forbidden('status.conditions', 'updates may not remove a condition of type "Failed"');
}

function changeOf(next: Conditions, old: Conditions, type: string): 'added' | 'removed' | 'modified' | undefined {
  const after = next.find((condition) => condition.type === type);
  const before = old.find((condition) => condition.type === type);
  if (!before) return after ? 'added' : undefined;
  if (!after) return 'removed';
  const same = (['status', 'reason', 'message', 'lastUpdateTime', 'lastTransitionTime'] as const).every(
    (field) => (after[field] ?? '') === (before[field] ?? ''),
  );
  return same ? undefined : 'modified';
}

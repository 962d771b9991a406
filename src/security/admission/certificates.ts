/**
 * Certificate signing requests: who asked is what authentication found (CertificateSigningRequest's strategy upstream),
 * only those who may `approve` or `sign` for a signer do (CertificateApproval, CertificateSigning), and nobody gets an
 * administrator's certificate this way (CertificateSubjectRestriction).
 */
import { rfc3339 } from '../../base/clock.js';
import { CertificateRequestError, parseRequest } from '../../api/certificates/pkcs10.js';
import { CLIENT_SIGNER } from '../../api/certificates/signers.js';
import { forbidden } from '../../api/errors.js';
import type { CertificateSigningRequest } from '../../api/types/certificates-v1.js';
import { MASTERS_GROUP, type Subject } from '../authz/authorizer.js';
import { RbacAuthorizer } from '../authz/rbac/rbac-authorizer.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin } from './admission.js';
import { sourceOf } from './rbac-escalation.js';

const GROUP = 'certificates.k8s.io';

type Verb = 'approve' | 'sign';

const isRequest = ({ group, resource }: AdmissionAttributes) =>
  resource === 'certificatesigningrequests' && group === GROUP;

/** The decoder has checked their types. */
const requestOf = ({ object }: AdmissionAttributes) => object as unknown as CertificateSigningRequest;
const presentOf = ({ oldObject }: AdmissionAttributes) => oldObject as unknown as CertificateSigningRequest | undefined;

export const certificateRequestAdmission: AdmissionPlugin = {
  name: 'CertificateSigningRequest',
  handles: (attributes) => isRequest(attributes) && attributes.operation !== 'DELETE',
  admit(attributes, lookups) {
    const { operation, subresource, object } = attributes;
    if (!object) return;
    if (operation === 'CREATE' && subresource === '') setRequester(requestOf(attributes), attributes.user);
    else if (subresource === 'approval' || subresource === 'status') setTimes(attributes, lookups.nowMs);
  },
  validate(attributes, lookups) {
    const { operation, subresource } = attributes;
    if (operation === 'CREATE' && subresource === '') refuseMasters(attributes);
    else if (subresource === 'approval') requireRight(attributes, lookups, 'approve');
    else if (subresource === 'status' && isSigning(attributes)) requireRight(attributes, lookups, 'sign');
  },
};

/** Decoded objects are ours to change; what the client says about itself does not count. */
function setRequester({ spec }: CertificateSigningRequest, { name, uid, groups, extra }: Subject): void {
  spec.username = name;
  if (uid) spec.uid = uid;
  else delete spec.uid;
  spec.groups = [...groups];
  if (extra && Object.keys(extra).length > 0) {
    spec.extra = Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]]));
  } else delete spec.extra;
}

function setTimes(attributes: AdmissionAttributes, nowMs: number): void {
  const { status } = requestOf(attributes);
  if (!status?.conditions) return;
  const before = presentOf(attributes)?.status?.conditions ?? [];
  const now = rfc3339(nowMs);
  status.conditions = status.conditions.map((condition) => {
    const same = before.find(({ type, status: was }) => type === condition.type && was === condition.status);
    return {
      ...condition,
      lastUpdateTime: condition.lastUpdateTime ?? now,
      lastTransitionTime: condition.lastTransitionTime ?? same?.lastTransitionTime ?? now,
    };
  });
}

function refuseMasters(attributes: AdmissionAttributes): void {
  const { spec } = requestOf(attributes);
  if (spec.signerName !== CLIENT_SIGNER) return;
  let organizations: readonly string[];
  try {
    ({ organizations } = parseRequest(spec.request));
  } catch (error) {
    if (error instanceof CertificateRequestError) return;
    throw error;
  }
  if (!organizations.includes(MASTERS_GROUP)) return;
  const why = `use of ${CLIENT_SIGNER} signer with ${MASTERS_GROUP} group is not allowed`;
  throw forbidden(attributes, attributes.name, why);
}

/** Whether a write of the status does what a signer does. */
function isSigning(attributes: AdmissionAttributes): boolean {
  const [next, before] = [requestOf(attributes).status, presentOf(attributes)?.status];
  if ((next?.certificate ?? '') !== (before?.certificate ?? '')) return true;
  return JSON.stringify(next?.conditions ?? []) !== JSON.stringify(before?.conditions ?? []);
}

/** The verb on `signers` by this name, or on all names of its domain. */
function requireRight(attributes: AdmissionAttributes, lookups: AdmissionLookups, verb: Verb): void {
  const { user } = attributes;
  if (user.groups.includes(MASTERS_GROUP)) return;
  const { signerName } = (presentOf(attributes) ?? requestOf(attributes)).spec;
  const roles = new RbacAuthorizer(sourceOf(lookups));
  const names = [signerName, `${signerName.split('/', 1)[0] ?? ''}/*`];
  const allowed = names.some(
    (name) =>
      roles.authorize({
        user,
        verb,
        group: GROUP,
        version: '*',
        resource: 'signers',
        subresource: '',
        namespace: '',
        name,
      }).decision === 'allow',
  );
  if (allowed) return;
  throw forbidden(
    attributes,
    attributes.name,
    `user not permitted to ${verb} requests with signerName ${JSON.stringify(signerName)}`,
  );
}

/** AdmissionReview: the request sent to a webhook, and what its answer says. */
import { ApiError, badRequest, internalError, type Status, type StatusReason } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { MatchedRequest, ResourceVersion } from '../../../security/admission/policy/matching.js';
import type { UserInfo } from '../../../security/authn/user.js';
import type { WriteReply } from '../../../store/object-store.js';
import type { CompiledWebhook } from './configurations.js';

/** A request as webhooks and match conditions see it. */
export interface AdmissionSubject extends MatchedRequest {
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
}

/** Where a request goes. */
export type SubjectPlace = Pick<
  AdmissionSubject,
  'group' | 'version' | 'resource' | 'subresource' | 'namespace' | 'name'
>;

/** A request that is about an object and sends another: bindings and evictions, requests for tokens, connections. */
export function bodySubject(
  place: SubjectPlace,
  sent: Pick<AdmissionSubject, 'operation' | 'user' | 'dryRun' | 'kind' | 'options' | 'object'>,
): AdmissionSubject {
  const { group, version, resource, subresource, namespace, name } = place;
  const kind = { group: sent.kind.group, version: sent.kind.version, kind: sent.kind.kind };
  return { ...sent, group, version, resource, subresource, namespace, name, kind, oldObject: undefined };
}

/** A request as a webhook's rule names it. */
export interface NamedSubject {
  readonly as: ResourceVersion;
  readonly kind: AdmissionSubject['kind'];
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
}

/** The subject as the webhook's rule names it. */
export function requestOf(subject: AdmissionSubject, named: NamedSubject, uid: string): Record<string, unknown> {
  const { kind, group, version, resource, subresource, name, namespace, operation, user, dryRun, options } = subject;
  const { as } = named;
  const sub = subresource === '' ? {} : { subResource: subresource };
  const requestSub = subresource === '' ? {} : { requestSubResource: subresource };
  return {
    uid,
    kind: named.kind,
    resource: { group: as.group, version: as.version, resource: as.resource },
    ...sub,
    requestKind: kind,
    requestResource: { group, version, resource },
    ...requestSub,
    ...(name === '' ? {} : { name }),
    ...(namespace === '' ? {} : { namespace }),
    operation,
    userInfo: {
      username: user.name,
      ...(user.uid === undefined ? {} : { uid: user.uid }),
      groups: user.groups,
      ...(user.extra === undefined ? {} : { extra: user.extra }),
    },
    object: named.object ?? null,
    oldObject: named.oldObject ?? null,
    dryRun,
    options,
  };
}

export const reviewOf = (version: string, request: Record<string, unknown>) => ({
  kind: 'AdmissionReview',
  apiVersion: `admission.k8s.io/${version}`,
  request,
});

export interface Verdict {
  readonly allowed: boolean;
  readonly status: Partial<Status> | undefined;
  /** JSON patch operations. */
  readonly patch: unknown;
  readonly warnings: readonly string[];
  readonly auditAnnotations: Readonly<Record<string, string>>;
}

/** The answer is not one to this request. `message` is upstream's. */
export class InvalidAnswer extends Error {
  readonly code = 'ERR_INVALID_WEBHOOK_ANSWER';
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

function textsOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  const entries = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return Object.fromEntries(entries);
}

interface AnswerFields {
  readonly uid?: unknown;
  readonly allowed?: unknown;
  readonly status?: Partial<Status>;
  readonly patch?: unknown;
  readonly patchType?: unknown;
  readonly warnings?: unknown;
  readonly auditAnnotations?: unknown;
}

/** Throws {@link InvalidAnswer}. */
export function verdictOf(answer: unknown, version: string, uid: string, mutating: boolean): Verdict {
  const review = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>;
  const { response } = review;
  if (typeof response !== 'object' || response === null) throw new InvalidAnswer('webhook response was absent');
  const expected = `admission.k8s.io/${version}, Kind=AdmissionReview`;
  const actual = `${textOf(review['apiVersion'])}, Kind=${textOf(review['kind'])}`;
  const fields = response as AnswerFields;
  if (version === 'v1') {
    if (actual !== expected) throw new InvalidAnswer(`expected webhook response of ${expected}, got ${actual}`);
    if (fields.uid !== uid) {
      throw new InvalidAnswer(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(fields.uid ?? '')}`);
    }
  }
  const { allowed, status, warnings } = fields;
  const patch = patchOf(fields, version, mutating);
  return {
    allowed: allowed === true,
    status: typeof status === 'object' ? status : undefined,
    patch,
    warnings: Array.isArray(warnings) ? warnings.filter((text): text is string => typeof text === 'string') : [],
    auditAnnotations: textsOf(fields.auditAnnotations),
  };
}

function patchOf({ patch, patchType }: AnswerFields, version: string, mutating: boolean): unknown {
  if (!mutating) {
    if (version === 'v1' && patch) throw new InvalidAnswer('validating webhook may not return response.patch');
    return undefined;
  }
  if (typeof patch !== 'string' || patch === '') {
    if (patchType && version === 'v1')
      throw new InvalidAnswer('webhook returned response.patchType but not response.patch');
    return undefined;
  }
  if (version === 'v1' && patchType === undefined) {
    throw new InvalidAnswer('webhook returned response.patch but not response.patchType');
  }
  if (patchType !== undefined && patchType !== 'JSONPatch') {
    throw new InvalidAnswer(`webhook returned invalid response.patchType of ${JSON.stringify(patchType)}`);
  }
  try {
    return JSON.parse(Buffer.from(patch, 'base64').toString()) as unknown;
  } catch (error) {
    throw new InvalidAnswer('webhook returned a patch that is not JSON', { cause: error });
  }
}

/** What the client is told when a webhook says no. */
export function denial(webhook: string, status: Partial<Status> | undefined): ApiError {
  const by = `admission webhook "${webhook}" denied the request`;
  const { message, reason, code = 0, details } = status ?? {};
  const text = message ? `${by}: ${message}` : reason ? `${by}: ${reason}` : `${by} without explanation`;
  return new ApiError(code < 400 ? 400 : code, (reason ?? '') as StatusReason, text, details);
}

/** A webhook that could not be asked, and whose failure counts. */
export const callFailure = (webhook: string, why: string): ApiError =>
  internalError(`failed calling webhook "${webhook}": ${why}`);

export const dryRunRefusal = ({ name }: CompiledWebhook): ApiError =>
  badRequest(`admission webhook "${name}" does not support dry run`);

/** What webhooks add to the answer besides their verdict. */
export class Remarks {
  warnings: string[] = [];
  annotations: Record<string, string> = {};

  add({ name }: CompiledWebhook, { warnings, auditAnnotations }: Verdict): void {
    this.warnings.push(...passedOn(warnings));
    for (const [key, value] of Object.entries(auditAnnotations)) this.annotations[`${name}/${key}`] = value;
  }

  warn(text: string): void {
    this.warnings.push(...passedOn([text]));
  }

  annotate(key: string, value: string): void {
    this.annotations[key] = value;
  }

  clear(): void {
    this.warnings = [];
    this.annotations = {};
  }

  addedTo(reply: WriteReply): WriteReply {
    if (this.warnings.length === 0 && Object.keys(this.annotations).length === 0) return reply;
    return {
      ...reply,
      warnings: [...this.warnings, ...reply.warnings],
      annotations: { ...this.annotations, ...reply.annotations },
    };
  }
}

/** Characters of one warning, and of all warnings of one answer, that are passed on. */
const MAX_WARNING = 256;
const MAX_WARNINGS = 4096;

/** Control characters would break the header. */
export function passedOn(warnings: readonly string[]): string[] {
  const kept: string[] = [];
  let size = 0;
  for (const text of warnings) {
    // oxlint-disable-next-line no-control-regex
    const clean = text.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, MAX_WARNING);
    size += clean.length;
    if (size > MAX_WARNINGS) break;
    kept.push(clean);
  }
  return kept;
}

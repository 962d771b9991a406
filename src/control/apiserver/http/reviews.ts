/**
 * Reviews: questions about users and permissions that are answered at once and never stored. Asking is itself a `create` that
 * must be allowed: `system:basic-user` lets everybody who is authenticated ask about themselves.
 */
import { parseBody } from '../../../api/body.js';
import { badRequest, methodNotAllowed } from '../../../api/errors.js';
import { decodeObject } from '../../../api/schema/decode.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { apiVersionOf } from '../../../api/resource.js';
import type {
  ResourceAttributes,
  SelfSubjectAccessReviewSpec,
  SubjectAccessReviewSpec,
} from '../../../api/types/authorization-v1.js';
import type { ObjectMeta } from '../../../api/types/meta-v1.js';
import type { Authenticator } from '../../../security/authn/authenticator.js';
import type { UserInfo } from '../../../security/authn/user.js';
import type { AuthorizationAttributes, Authorizer, SelectorRequirement } from '../../../security/authz/authorizer.js';
import { requirementsOf } from './access.js';
import { negotiate } from './negotiation.js';
import { readBody } from './request-body.js';
import type { ResourceRequest } from './resource-handler.js';
import { sendObject } from './response.js';
import { validateReview } from './review-validation.js';

const GROUPS = new Set(['authentication.k8s.io', 'authorization.k8s.io']);
const MAX_REVIEW_BYTES = 64 * 1024;

export const isReview = ({ group }: ResourceInfo) => GROUPS.has(group);

/** What the specs of all reviews may hold. */
type ReviewSpec = Partial<SubjectAccessReviewSpec> & {
  readonly token?: string;
  readonly audiences?: readonly string[];
  readonly namespace?: string;
};

function selectorOf({ fieldSelector }: ResourceAttributes): readonly SelectorRequirement[] | undefined {
  if (!fieldSelector) return undefined;
  const { requirements = [], rawSelector } = fieldSelector;
  if (requirements.length === 0) return rawSelector ? requirementsOf(rawSelector) : undefined;
  return requirements.map(({ key, operator, values = [] }) => ({
    key,
    operator: operator as SelectorRequirement['operator'],
    values,
  }));
}

function attributesOf(user: UserInfo, spec: SelfSubjectAccessReviewSpec): AuthorizationAttributes {
  const { resourceAttributes: asked = {}, nonResourceAttributes: path } = spec;
  const { verb = '', group = '', version = '', resource = '', subresource = '', namespace = '', name = '' } = asked;
  const fieldSelector = selectorOf(asked);
  return {
    user,
    verb: path ? (path.verb ?? '') : verb,
    group,
    version,
    resource,
    subresource,
    namespace,
    name,
    ...(path ? { path: path.path ?? '' } : {}),
    ...(fieldSelector ? { fieldSelector } : {}),
  };
}

function accessStatus(authorizer: Authorizer, attributes: AuthorizationAttributes) {
  const { decision, reason } = authorizer.authorize(attributes);
  return {
    allowed: decision === 'allow',
    ...(decision === 'deny' ? { denied: true } : {}),
    ...(reason === '' ? {} : { reason }),
  };
}

const filled = <T>(name: string, list: readonly T[] | undefined) => (list && list.length > 0 ? { [name]: list } : {});

function rulesStatus(authorizer: Authorizer, user: UserInfo, namespace: string) {
  if (namespace === '') throw badRequest('no namespace on request');
  const { rules = [], errors = [], incomplete = true } = authorizer.rulesFor?.(user, namespace) ?? {};
  return {
    resourceRules: rules
      .filter(({ resources = [] }) => resources.length > 0)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        ...filled('apiGroups', apiGroups),
        ...filled('resources', resources),
        ...filled('resourceNames', resourceNames),
      })),
    nonResourceRules: rules
      .filter(({ nonResourceURLs = [] }) => nonResourceURLs.length > 0)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete,
    ...(errors.length === 0 ? {} : { evaluationError: errors.join(', ') }),
  };
}

const userDocument = ({ name, uid, groups, extra }: UserInfo) => ({
  username: name,
  ...(uid === undefined ? {} : { uid }),
  groups,
  ...(extra === undefined ? {} : { extra }),
});

async function tokenStatus(authenticator: Authenticator, { token = '', audiences = [] }: ReviewSpec) {
  if (token === '') throw badRequest('token is required for TokenReview in authentication');
  const verdict = await authenticator.review(token, audiences.length === 0 ? undefined : audiences);
  if (!verdict.authenticated) return { user: {}, error: verdict.error };
  return { authenticated: true, user: userDocument(verdict.user), audiences: verdict.audiences };
}

/** Who a SubjectAccessReview asks about: exactly what it says, no group is added. */
const subjectOf = ({ user = '', groups = [], uid, extra }: ReviewSpec): UserInfo => ({
  name: user,
  groups,
  ...(uid ? { uid } : {}),
  ...(extra ? { extra } : {}),
});

interface Review {
  readonly metadata: ObjectMeta;
  readonly spec: ReviewSpec;
}

async function readReview({ request, info, query, path }: ResourceRequest): Promise<Review> {
  const body = await readBody(request, MAX_REVIEW_BYTES);
  const { value, duplicates } = parseBody(body, request.headers['content-type']);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badRequest('an object is required');
  const sent = value as { kind?: unknown; apiVersion?: unknown };
  const expected = apiVersionOf(info);
  if ((sent.kind ?? info.kind) !== info.kind || (sent.apiVersion ?? expected) !== expected) {
    throw badRequest(`the body is a ${String(sent.apiVersion)} ${String(sent.kind)}, not a ${expected} ${info.kind}`);
  }
  const strict = query.get('fieldValidation') === 'Strict' ? 'Strict' : 'Ignore';
  const { object } = decodeObject(info, value, strict, duplicates);
  const metadata = object.metadata ?? {};
  if (info.namespaced) {
    if (metadata.namespace && metadata.namespace !== path.namespace) {
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    }
    metadata.namespace = path.namespace;
  }
  return { metadata, spec: (object.spec ?? {}) as ReviewSpec };
}

/** Throws `ApiError`: 400 and 422 for questions that make no sense. */
export async function handleReview(
  call: ResourceRequest,
  authorizer: Authorizer,
  authenticator: Authenticator,
): Promise<void> {
  const { request, response, info, user, path } = call;
  // Served as objects that can only be created.
  if (path.subresource !== '' || path.name !== '') throw methodNotAllowed();
  const { format } = negotiate(request.headers.accept, { tables: false });
  const { metadata, spec } = await readReview(call);
  validateReview(info, path.namespace, metadata, spec);
  let status: object;
  switch (info.kind) {
    case 'SelfSubjectReview':
      status = { userInfo: userDocument(user) };
      break;
    case 'SelfSubjectAccessReview':
      status = accessStatus(authorizer, attributesOf(user, spec));
      break;
    case 'SubjectAccessReview':
    case 'LocalSubjectAccessReview':
      status = accessStatus(authorizer, attributesOf(subjectOf(spec), spec));
      break;
    case 'TokenReview':
      status = await tokenStatus(authenticator, spec);
      break;
    case 'SelfSubjectRulesReview':
      status = rulesStatus(authorizer, user, spec.namespace ?? '');
      break;
    default:
      throw methodNotAllowed();
  }
  const shown = { ...metadata, creationTimestamp: null };
  const asked = info.kind === 'SelfSubjectReview' ? {} : { spec };
  const document = { kind: info.kind, apiVersion: apiVersionOf(info), metadata: shown, ...asked, status };
  await sendObject(request, response, 201, document, format);
}

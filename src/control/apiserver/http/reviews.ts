/** Reviews: questions about users and permissions that are answered at once and never stored. */
import { parseBody } from '../../../api/body.js';
import { badRequest, methodNotAllowed } from '../../../api/errors.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { Authenticator } from '../../../security/authn/authenticator.js';
import type { UserInfo } from '../../../security/authn/user.js';
import type { AuthorizationAttributes, Authorizer } from '../../../security/authz/authorizer.js';
import { readBody, type ResourceRequest } from './resource-handler.js';
import { sendJson } from './response.js';

const GROUPS = new Set(['authentication.k8s.io', 'authorization.k8s.io']);
const MAX_REVIEW_BYTES = 64 * 1024;

export const isReview = ({ group }: ResourceInfo) => GROUPS.has(group);

interface ReviewSpec {
  readonly user?: string;
  readonly groups?: readonly string[];
  readonly uid?: string;
  readonly token?: string;
  readonly audiences?: readonly string[];
  readonly namespace?: string;
  readonly resourceAttributes?: Readonly<Record<string, string>>;
  readonly nonResourceAttributes?: { readonly path?: string; readonly verb?: string };
}

function attributesOf(user: UserInfo, spec: ReviewSpec): AuthorizationAttributes {
  const { resourceAttributes: asked, nonResourceAttributes: path } = spec;
  if ((asked === undefined) === (path === undefined)) {
    throw badRequest('exactly one of nonResourceAttributes or resourceAttributes must be specified');
  }
  const field = (name: string) => asked?.[name] ?? '';
  return {
    user,
    verb: asked ? field('verb') : (path?.verb ?? ''),
    group: field('group'),
    version: field('version'),
    resource: field('resource'),
    subresource: field('subresource'),
    namespace: field('namespace'),
    name: field('name'),
    ...(path ? { path: path.path ?? '' } : {}),
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

export async function handleReview(
  { request, response, info, user }: ResourceRequest,
  authorizer: Authorizer,
  authenticator: Authenticator,
): Promise<void> {
  const body = await readBody(request, MAX_REVIEW_BYTES);
  const parsed = (parseBody(body, request.headers['content-type']).value ?? {}) as { spec?: ReviewSpec };
  const spec = parsed.spec ?? {};
  let status: object;
  switch (info.kind) {
    case 'SelfSubjectReview':
      status = { userInfo: userDocument(user) };
      break;
    case 'SelfSubjectAccessReview':
      status = accessStatus(authorizer, attributesOf(user, spec));
      break;
    case 'SubjectAccessReview':
    case 'LocalSubjectAccessReview': {
      const subject = { name: spec.user ?? '', groups: spec.groups ?? [], ...(spec.uid ? { uid: spec.uid } : {}) };
      status = accessStatus(authorizer, attributesOf(subject, spec));
      break;
    }
    case 'TokenReview':
      status = await tokenStatus(authenticator, spec);
      break;
    case 'SelfSubjectRulesReview': {
      const everything = accessStatus(authorizer, {
        ...attributesOf(user, { resourceAttributes: { verb: '*', group: '*', resource: '*' } }),
        namespace: spec.namespace ?? '',
      }).allowed;
      status = {
        resourceRules: everything ? [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }] : [],
        nonResourceRules: everything ? [{ verbs: ['*'], nonResourceURLs: ['*'] }] : [],
        incomplete: false,
      };
      break;
    }
    default:
      throw methodNotAllowed();
  }
  const metadata = { creationTimestamp: null };
  const document = { kind: info.kind, apiVersion: apiVersionOf(info), metadata, spec, status };
  await sendJson(request, response, 201, document);
}

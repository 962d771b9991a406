/** What a request is judged by, and the refusal of those that are not allowed. */
import { ApiError, forbidden } from '../../../api/errors.js';
import type { UserInfo } from '../../../security/authn/user.js';
import {
  refusalText,
  type AuthorizationAttributes,
  type AuthorizationDecision,
  type Authorizer,
  type SelectorRequirement,
} from '../../../security/authz/authorizer.js';
import { authorizationVerb, type ApiVerb, type ResourcePath } from './request-info.js';

export interface Target {
  readonly path: ResourcePath;
  readonly verb: ApiVerb;
}

const SELECTING: readonly string[] = ['list', 'watch', 'deletecollection'];

/** The parts of a field selector; undefined when it is none. Its values are judged where the objects are read. */
export function requirementsOf(selector: string): SelectorRequirement[] | undefined {
  const parts = selector.split(',').filter((part) => part !== '');
  const requirements: SelectorRequirement[] = [];
  for (const part of parts) {
    const [, key, operator, value] = /^([^=!]+)(==|=|!=)([^=]*)$/.exec(part) ?? [];
    if (key === undefined || value === undefined) return undefined;
    requirements.push({ key, operator: operator === '!=' ? 'NotIn' : 'In', values: [value] });
  }
  return requirements;
}

/** The name that a list or watch is limited to by its field selector: who may see one object may watch it. */
function selectedName(requirements: readonly SelectorRequirement[]): string {
  const named = requirements.find(({ key, operator }) => key === 'metadata.name' && operator === 'In');
  const name = named?.values[0] ?? '';
  return /^\.{1,2}$|[/%]/.test(name) ? '' : name;
}

export function attributesOf(
  user: UserInfo,
  target: Target | undefined,
  url: URL,
  method: string,
): AuthorizationAttributes {
  if (!target) {
    const nowhere = { group: '', version: '', resource: '', subresource: '', namespace: '', name: '' };
    return { user, verb: method.toLowerCase(), ...nowhere, path: url.pathname };
  }
  const { path, verb } = target;
  const selector = SELECTING.includes(verb) ? url.searchParams.get('fieldSelector') : null;
  const requirements = selector ? requirementsOf(selector) : undefined;
  return {
    user,
    verb: authorizationVerb(verb, method),
    group: path.group,
    version: path.version,
    resource: path.resource,
    subresource: path.subresource,
    namespace: path.namespace || (path.resource === 'namespaces' && path.group === '' ? path.name : ''),
    name: path.name || (requirements ? selectedName(requirements) : ''),
    ...(requirements ? { fieldSelector: requirements } : {}),
  };
}

/** The 403 of a request that is not allowed. */
export function refusal(attributes: AuthorizationAttributes, reason: string): ApiError {
  const text = refusalText(attributes, reason);
  if (attributes.path !== undefined) return new ApiError(403, 'Forbidden', `forbidden: ${text}`, {});
  return forbidden(attributes, attributes.name, text);
}

/** How the audit log tells of a decision, by upstream's names. */
export const decisionAnnotations = ({ decision, reason }: AuthorizationDecision): Record<string, string> => ({
  'authorization.k8s.io/decision': decision === 'allow' ? 'allow' : 'forbid',
  'authorization.k8s.io/reason': reason,
});

/** Throws a 403 unless the request is allowed. */
export function requireAllowed(authorizer: Authorizer, attributes: AuthorizationAttributes): void {
  const { decision, reason } = authorizer.authorize(attributes);
  if (decision !== 'allow') throw refusal(attributes, reason);
}

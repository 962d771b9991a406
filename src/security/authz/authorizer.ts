/**
 * Authorization: whether a user may do something. An authorizer allows, denies, or has no opinion; the first opinion of
 * a chain counts, and no opinion at all is a refusal.
 */
const AUTHENTICATED_GROUP = 'system:authenticated';
const MASTERS_GROUP = 'system:masters';
const NODES_GROUP = 'system:nodes';

/** Who asks, as authentication found out. */
export interface Subject {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** `authorizer.Attributes`: either a resource request or, with `path`, a request of another path. */
export interface AuthorizationAttributes {
  readonly user: Subject;
  /** The API verb (`get`, `list`, `create`, …); for other paths the HTTP method in lower case. */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** Set for requests that are not about resources. */
  readonly path?: string;
}

export interface AuthorizationDecision {
  readonly decision: 'allow' | 'deny' | 'no-opinion';
  /** Why, for the refusal's text; may be empty. */
  readonly reason: string;
}

export interface Authorizer {
  /** Synchronous and cheap: it runs for every request. */
  authorize(attributes: AuthorizationAttributes): AuthorizationDecision;
}

export const ALLOW: AuthorizationDecision = Object.freeze({ decision: 'allow', reason: '' });
export const NO_OPINION: AuthorizationDecision = Object.freeze({ decision: 'no-opinion', reason: '' });

/** Asks in order; the first that is not `no-opinion` decides. Reasons of those without one are joined. */
export function authorizerChain(authorizers: readonly Authorizer[]): Authorizer {
  return {
    authorize(attributes) {
      const reasons: string[] = [];
      for (const authorizer of authorizers) {
        const decision = authorizer.authorize(attributes);
        if (decision.decision !== 'no-opinion') return decision;
        if (decision.reason !== '') reasons.push(decision.reason);
      }
      return { decision: 'no-opinion', reason: reasons.join('\n') };
    },
  };
}

/** Members of these groups may do everything. */
export function groupAuthorizer(groups: readonly string[]): Authorizer {
  return {
    authorize: ({ user }) => (user.groups.some((group) => groups.includes(group)) ? ALLOW : NO_OPINION),
  };
}

const PUBLIC_PATHS = new Set(['/healthz', '/livez', '/readyz', '/version', '/version/']);
const isPublic = (path: string) => PUBLIC_PATHS.has(path) || /^\/(?:healthz|livez|readyz)\//.test(path);
const isDiscovery = (path: string) => /^\/(?:api|apis|openapi)(?:\/|$)/.test(path);

/** What upstream's `system:public-info-viewer` and `system:discovery` grant. */
export const nonResourceAuthorizer: Authorizer = {
  authorize({ path, user, verb }) {
    if (path === undefined || (verb !== 'get' && verb !== 'head')) return NO_OPINION;
    if (isPublic(path)) return ALLOW;
    return isDiscovery(path) && user.groups.includes(AUTHENTICATED_GROUP) ? ALLOW : NO_OPINION;
  },
};

/** The authorizer of a cluster without RBAC: administrators and machines may do everything. */
export const baseAuthorizer: Authorizer = authorizerChain([
  groupAuthorizer([MASTERS_GROUP, NODES_GROUP]),
  nonResourceAuthorizer,
]);

/** Upstream's text after `is forbidden: ` (or the whole text for other paths). */
export function refusalText(attributes: AuthorizationAttributes, reason: string): string {
  const { user, verb, group, resource, subresource, namespace, path } = attributes;
  const because = reason === '' ? '' : `: ${reason}`;
  const who = `User "${user.name}" cannot ${verb}`;
  if (path !== undefined) return `${who} path "${path}"${because}`;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  return `${who} resource "${what}" in API group "${group}" ${where}${because}`;
}

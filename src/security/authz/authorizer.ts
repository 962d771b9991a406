/**
 * Authorization: whether a user may do something. An authorizer allows, denies, or has no opinion; the first opinion of
 * a chain counts, and no opinion at all is a refusal.
 */
import type { PolicyRule } from '../../api/types/rbac-v1.js';

export const MASTERS_GROUP = 'system:masters';

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
  /** What a list or watch is limited to; absent where there is no selector, or one that cannot be expressed so. */
  readonly fieldSelector?: readonly SelectorRequirement[];
}

/** One part of a field selector: `key=value` is `In` one value. */
export interface SelectorRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

/** What a user may do in a namespace, as far as rules can tell. */
export interface ResolvedRules {
  readonly rules: readonly PolicyRule[];
  /** What hindered the resolution. */
  readonly errors: readonly string[];
  /** The user may do more than the rules say. */
  readonly incomplete: boolean;
}

export interface AuthorizationDecision {
  readonly decision: 'allow' | 'deny' | 'no-opinion';
  /** Why, for the refusal's text; may be empty. */
  readonly reason: string;
}

export interface Authorizer {
  /** Synchronous and cheap: it runs for every request. */
  authorize(attributes: AuthorizationAttributes): AuthorizationDecision;
  /** For authorizers whose decisions come from rules. */
  rulesFor?(user: Subject, namespace: string): ResolvedRules;
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
    rulesFor(user, namespace) {
      const parts = authorizers.flatMap((authorizer) => authorizer.rulesFor?.(user, namespace) ?? []);
      return {
        rules: parts.flatMap(({ rules }) => rules),
        errors: parts.flatMap(({ errors }) => errors),
        incomplete: parts.some(({ incomplete }) => incomplete),
      };
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

/** Anybody may ask for health and version: what upstream's `system:public-info-viewer` grants. */
export const publicPathsAuthorizer: Authorizer = {
  authorize: ({ path, verb }) => (path !== undefined && verb === 'get' && PUBLIC_PATHS.has(path) ? ALLOW : NO_OPINION),
};

/** The authorizer of a server without any policy: administrators may do everything, everybody may ask for its health. */
export const baseAuthorizer: Authorizer = authorizerChain([groupAuthorizer([MASTERS_GROUP]), publicPathsAuthorizer]);

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

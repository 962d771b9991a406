/**
 * Nobody hands out more than they hold: who writes a role must hold its rules (or `escalate`), who writes a binding must
 * hold the rules of its role (or `bind`). Judged in the write itself, on the newest state.
 */
import { compacted, describeRule, uncovered } from '../../../api/rbac/coverage.js';
import type { PolicyRule, RoleRef } from '../../../api/types/rbac-v1.js';
import { MASTERS_GROUP, type AuthorizationAttributes, type Subject } from '../authorizer.js';
import { RbacAuthorizer, rulesFor } from './rbac-authorizer.js';
import type { RbacSource } from './grants.js';
import { RBAC_GROUP } from './rules.js';

/** All there is: what a role that aggregates others needs, as nobody knows what it will hold. */
export const FULL_AUTHORITY: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

export const isMaster = ({ groups }: Subject) => groups.includes(MASTERS_GROUP);

const list = (items: readonly string[]) => `[${items.map((item) => JSON.stringify(item)).join(' ')}]`;

/** Undefined when the user holds all of the rules in the namespace; else upstream's text about those that are missing. */
export function escalationText(
  source: RbacSource,
  user: Subject,
  namespace: string,
  wanted: readonly PolicyRule[],
): string | undefined {
  const { rules, errors } = rulesFor(source, user, namespace);
  const missing = uncovered(rules, wanted);
  if (missing.length === 0) return undefined;
  const lines = [...new Set(compacted(missing).map(describeRule))].toSorted();
  const text =
    `user ${JSON.stringify(user.name)} (groups=${list(user.groups)}) is attempting to grant RBAC permissions ` +
    `not currently held:\n${lines.join('\n')}`;
  return errors.length === 0 ? text : `${text}; resolution errors: [${errors.join(' ')}]`;
}

function mayUseVerb(
  source: RbacSource,
  attributes: Pick<AuthorizationAttributes, 'user' | 'verb' | 'resource' | 'namespace' | 'name'>,
) {
  const asked = { ...attributes, group: RBAC_GROUP, version: '*', subresource: '' };
  return new RbacAuthorizer(source).authorize(asked).decision === 'allow';
}

/** Whether the user may write roles beyond its own rights. `name` is empty when the request names none. */
export const mayEscalate = (source: RbacSource, user: Subject, resource: string, namespace: string, name: string) =>
  mayUseVerb(source, { user, verb: 'escalate', resource, namespace, name });

/** Whether the user may bind a role without holding its rules. */
export function mayBind(source: RbacSource, user: Subject, { kind, name }: Readonly<RoleRef>, namespace: string) {
  if (kind !== 'ClusterRole' && (kind !== 'Role' || namespace === '')) return false;
  const resource = kind === 'Role' ? 'roles' : 'clusterroles';
  return mayUseVerb(source, { user, verb: 'bind', resource, namespace, name });
}

/** Role bindings as authorization reads them: one grant for each subject of a binding. */
import type { KubeObject } from '../../../api/object.js';
import type { ClusterRoleBinding, RoleBinding, RoleRef, Subject } from '../../../api/types/rbac-v1.js';
import type { AuthorizationDecision, Subject as User } from '../authorizer.js';
import { RBAC_GROUP, type RuleSet } from './rules.js';

export interface Grant {
  readonly roleRef: Readonly<RoleRef>;
  /** Of the binding: where its Role is looked up. Empty for ClusterRoleBindings. */
  readonly namespace: string;
  readonly subject: { readonly kind: 'user' | 'group'; readonly name: string };
  /** What a request is answered that this grant allows. */
  readonly allowed: AuthorizationDecision;
}

/** Where the roles and bindings come from: an index of this peer's store, or the newest state inside a write. */
export interface RbacSource {
  /** Every grant to the user that counts in the namespace (empty: cluster-wide ones only), until `visit` says false. */
  visitGrants(user: User, namespace: string, visit: (grant: Grant) => boolean): void;
  /** The rules of a role; undefined when there is none of that name. */
  rulesOf(roleRef: Readonly<RoleRef>, namespace: string): RuleSet | undefined;
}

export const serviceAccountUser = (namespace: string, name: string) => `system:serviceaccount:${namespace}:${name}`;

const quoted = (text: string) => JSON.stringify(text);

/** The user or group that a subject means; undefined for one that can mean nobody. */
function subjectOf(subject: Subject, bindingNamespace: string): Grant['subject'] | undefined {
  switch (subject.kind) {
    case 'User':
      return { kind: 'user', name: subject.name };
    case 'Group':
      return { kind: 'group', name: subject.name };
    case 'ServiceAccount': {
      const namespace = subject.namespace ? subject.namespace : bindingNamespace;
      return namespace === '' ? undefined : { kind: 'user', name: serviceAccountUser(namespace, subject.name) };
    }
    default:
      return undefined;
  }
}

function describe(binding: RoleBinding | ClusterRoleBinding, subject: Subject, namespace: string): string {
  const { metadata, roleRef } = binding;
  const name = metadata.name ?? '';
  const what =
    namespace === '' ? `ClusterRoleBinding ${quoted(name)}` : `RoleBinding ${quoted(`${name}/${namespace}`)}`;
  const whom = subject.kind === 'ServiceAccount' ? `${subject.name}/${subject.namespace || namespace}` : subject.name;
  return `RBAC: allowed by ${what} of ${roleRef.kind} ${quoted(roleRef.name)} to ${subject.kind} ${quoted(whom)}`;
}

export function grantsOf(object: KubeObject): Grant[] {
  const binding = object as RoleBinding | ClusterRoleBinding;
  const namespace = binding.metadata.namespace ?? '';
  const grants: Grant[] = [];
  for (const subject of binding.subjects ?? []) {
    const meant = subjectOf(subject, namespace);
    if (meant === undefined) continue;
    const allowed = Object.freeze({ decision: 'allow' as const, reason: describe(binding, subject, namespace) });
    grants.push({ roleRef: binding.roleRef, namespace, subject: meant, allowed });
  }
  return grants;
}

export const isGrantedTo = ({ subject }: Grant, user: User) =>
  subject.kind === 'user' ? subject.name === user.name : user.groups.includes(subject.name);

/** Upstream's words for a binding whose role is missing. */
export function missingRole({ kind, name }: Readonly<RoleRef>): string {
  if (kind !== 'ClusterRole' && kind !== 'Role') return `unsupported role reference kind: ${quoted(kind)}`;
  return `${kind.toLowerCase()}.${RBAC_GROUP} ${quoted(name)} not found`;
}

/** Several errors in one text, each once, as upstream aggregates them. */
export function aggregated(errors: readonly string[]): string {
  const distinct = [...new Set(errors)];
  return distinct.length === 1 ? (distinct[0] ?? '') : `[${distinct.join(', ')}]`;
}

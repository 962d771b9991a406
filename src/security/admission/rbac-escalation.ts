/**
 * Refuses roles and bindings that would grant more than their writer holds; see `authz/rbac/escalation`. Runs inside the
 * write, so that rights taken away by an earlier write no longer count. Cost: the bindings of the cluster and of the
 * namespace are looked through, for writes of roles and bindings by others than administrators only.
 */
import { ApiError, forbidden } from '../../api/errors.js';
import type { DeepReadonly, KubeObject } from '../../api/object.js';
import type { ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef } from '../../api/types/rbac-v1.js';
import { escalationText, FULL_AUTHORITY, isMaster, mayBind, mayEscalate } from '../authz/rbac/escalation.js';
import { grantsOf, isGrantedTo, missingRole, type RbacSource } from '../authz/rbac/grants.js';
import { RBAC_GROUP, ruleSet } from '../authz/rbac/rules.js';
import type { AdmissionAttributes, AdmissionLookups, AdmissionPlugin } from './admission.js';

type AnyBinding = RoleBinding | ClusterRoleBinding;

const isRole = (resource: string) => resource === 'roles' || resource === 'clusterroles';

/** The newest state inside the write as a source of roles and grants. */
export function sourceOf(lookups: AdmissionLookups): RbacSource {
  return {
    visitGrants(user, namespace, visit) {
      const bindings = [
        ...lookups.list(RBAC_GROUP, 'clusterrolebindings'),
        ...(namespace === '' ? [] : lookups.list(RBAC_GROUP, 'rolebindings', namespace)),
      ];
      for (const binding of bindings) {
        const grant = grantsOf(binding).find((candidate) => isGrantedTo(candidate, user));
        if (grant && !visit(grant)) return;
      }
    },
    rulesOf({ kind, name }, namespace) {
      const isCluster = kind === 'ClusterRole';
      if (!isCluster && kind !== 'Role') return undefined;
      const resource = isCluster ? 'clusterroles' : 'roles';
      const role = lookups.get(RBAC_GROUP, resource, isCluster ? '' : namespace, name) as ClusterRole | undefined;
      return role && ruleSet(role.rules);
    },
  };
}

const same = (a: unknown, b: unknown) => JSON.stringify(a ?? []) === JSON.stringify(b ?? []);

/** Whether an update leaves alone what it would need rights for. */
function isHarmless(resource: string, next: KubeObject, old: KubeObject | undefined): boolean {
  if (old === undefined) return false;
  if (isRole(resource)) {
    const [role, before] = [next as ClusterRole, old as ClusterRole];
    return same(role.rules, before.rules) && same(role.aggregationRule, before.aggregationRule);
  }
  const [binding, before] = [next as AnyBinding, old as AnyBinding];
  return same(binding.roleRef, before.roleRef) && same(binding.subjects, before.subjects);
}

function checkRole(attributes: AdmissionAttributes, source: RbacSource, role: ClusterRole): void {
  const { user, resource, namespace, name, operation } = attributes;
  if (mayEscalate(source, user, resource, namespace, operation === 'CREATE' ? '' : name)) return;
  const text = escalationText(source, user, namespace, role.rules ?? []);
  if (text !== undefined) throw forbidden(attributes, name, text);
  if ((role.aggregationRule?.clusterRoleSelectors ?? []).length === 0) return;
  if (escalationText(source, user, namespace, FULL_AUTHORITY) !== undefined) {
    throw forbidden(attributes, name, 'must have cluster-admin privileges to use an aggregationRule');
  }
}

function rulesToBind(source: RbacSource, roleRef: Readonly<RoleRef>, namespace: string): readonly PolicyRule[] {
  const found = source.rulesOf(roleRef, namespace);
  if (found) return found.rules;
  const kind = roleRef.kind.toLowerCase();
  throw new ApiError(404, 'NotFound', missingRole(roleRef), { name: roleRef.name, group: RBAC_GROUP, kind });
}

function checkBinding(attributes: AdmissionAttributes, source: RbacSource, binding: DeepReadonly<AnyBinding>): void {
  const { user, namespace, name } = attributes;
  const { roleRef } = binding;
  if (mayBind(source, user, roleRef, namespace)) return;
  const text = escalationText(source, user, namespace, rulesToBind(source, roleRef, namespace));
  if (text !== undefined) throw forbidden(attributes, name, text);
}

export const rbacEscalation: AdmissionPlugin = {
  name: 'RBACEscalation',
  handles: ({ group, operation }) => group === RBAC_GROUP && operation !== 'DELETE',
  validate(attributes, lookups) {
    const { object, oldObject, resource, user } = attributes;
    if (object === undefined || isMaster(user) || isHarmless(resource, object, oldObject)) return;
    const source = sourceOf(lookups);
    if (isRole(resource)) checkRole(attributes, source, object as ClusterRole);
    else checkBinding(attributes, source, object as AnyBinding);
  },
};

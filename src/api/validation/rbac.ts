/** Rules of `rbac.authorization.k8s.io`. */
import { dns1123Label, dns1123Subdomain } from '../names.js';
import { semanticEqual } from '../strategy/equality.js';
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding } from '../types/rbac-v1.js';
import type { FieldErrors } from './field-errors.js';
import { validateLabelSelector } from './selectors.js';
import type { Sent } from './sent.js';

const RBAC = 'rbac.authorization.k8s.io';

function validateRule(errors: FieldErrors, at: string, rule: Sent<PolicyRule>, namespaced: boolean): void {
  const { verbs = [], nonResourceURLs = [], apiGroups = [], resources = [], resourceNames = [] } = rule;
  if (verbs.length === 0) errors.required(`${at}.verbs`, 'verbs must contain at least one value');
  if (nonResourceURLs.length > 0) {
    const field = `${at}.nonResourceURLs`;
    if (namespaced) {
      errors.invalid(field, nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs');
    }
    if (apiGroups.length + resources.length + resourceNames.length > 0) {
      errors.invalid(field, nonResourceURLs, 'rules cannot apply to both regular resources and non-resource URLs');
    }
    return;
  }
  if (apiGroups.length === 0) errors.required(`${at}.apiGroups`, 'resource rules must supply at least one api group');
  if (resources.length === 0) errors.required(`${at}.resources`, 'resource rules must supply at least one resource');
}

export function validateRole(errors: FieldErrors, { rules }: Sent<Role>): void {
  rules?.forEach((rule, index) => validateRule(errors, `rules[${index}]`, rule, true));
}

export function validateClusterRole(errors: FieldErrors, { rules, aggregationRule }: Sent<ClusterRole>): void {
  rules?.forEach((rule, index) => validateRule(errors, `rules[${index}]`, rule, false));
  if (aggregationRule === undefined) return;
  const selectors = aggregationRule.clusterRoleSelectors ?? [];
  const at = 'aggregationRule.clusterRoleSelectors';
  if (selectors.length === 0) {
    errors.required(at, 'at least one clusterRoleSelector required if aggregationRule is non-nil');
  }
  selectors.forEach((selector, index) => validateLabelSelector(errors, `${at}[${index}]`, selector));
}

type Binding = Sent<RoleBinding | ClusterRoleBinding>;

export function validateRoleBinding(errors: FieldErrors, binding: Binding): void {
  const { roleRef, subjects = [] } = binding;
  const cluster = binding.kind === 'ClusterRoleBinding';
  if (roleRef?.apiGroup !== RBAC) errors.notSupported('roleRef.apiGroup', roleRef?.apiGroup ?? '', [RBAC]);
  const kinds = cluster ? ['ClusterRole'] : ['ClusterRole', 'Role'];
  if (!kinds.includes(roleRef?.kind ?? '')) errors.notSupported('roleRef.kind', roleRef?.kind ?? '', kinds);
  if (!roleRef?.name) errors.required('roleRef.name');
  subjects.forEach((subject, index) => {
    const at = `subjects[${index}]`;
    if (!subject.name) errors.required(`${at}.name`);
    switch (subject.kind) {
      case 'ServiceAccount':
        if (subject.name) errors.check(`${at}.name`, subject.name, dns1123Subdomain);
        if (subject.apiGroup) errors.notSupported(`${at}.apiGroup`, subject.apiGroup, ['']);
        if (!subject.namespace && cluster) errors.required(`${at}.namespace`);
        if (subject.namespace) errors.check(`${at}.namespace`, subject.namespace, dns1123Label);
        break;
      case 'User':
      case 'Group':
        if (subject.apiGroup !== RBAC) errors.notSupported(`${at}.apiGroup`, subject.apiGroup ?? '', [RBAC]);
        break;
      case undefined:
      default:
        errors.notSupported(`${at}.kind`, subject.kind ?? '', ['Group', 'ServiceAccount', 'User']);
    }
  });
}

export function validateRoleBindingUpdate(errors: FieldErrors, { roleRef }: Binding, old: Binding): void {
  if (semanticEqual(roleRef, old.roleRef)) return;
  const text = (field: string | undefined) => JSON.stringify(field ?? '');
  const shown = `rbac.RoleRef{APIGroup:${text(roleRef?.apiGroup)}, Kind:${text(roleRef?.kind)}, Name:${text(roleRef?.name)}}`;
  errors.invalidText('roleRef', shown, 'cannot change roleRef');
}

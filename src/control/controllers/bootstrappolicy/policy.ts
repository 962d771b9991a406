/** The whole default policy: roles before what binds them, and first of all what lets anybody ask for a peer's health. */
import type { ResourceRef } from '../../../api/resource.js';
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  Subject,
} from '../../../api/types/rbac-v1.js';
import { CLUSTER_ROLES } from './cluster-roles.js';
import { CONTROLLER_RULES } from './controller-roles.js';
import { account, EVENTS, group, RBAC_GROUP, READ, rule, user } from './rule.js';

const ref = (resource: string, kind: string, namespaced: boolean): ResourceRef =>
  Object.freeze({ group: RBAC_GROUP, version: 'v1', resource, kind, namespaced });

export const CLUSTERROLES = ref('clusterroles', 'ClusterRole', false);
export const ROLES = ref('roles', 'Role', true);
export const CLUSTERROLEBINDINGS = ref('clusterrolebindings', 'ClusterRoleBinding', false);
export const ROLEBINDINGS = ref('rolebindings', 'RoleBinding', true);

/** While the annotation is not "false", what is missing of the object comes back. */
export const AUTOUPDATE = 'rbac.authorization.kubernetes.io/autoupdate';

const AUTHENTICATED = group('system:authenticated');

/** ClusterRole -> whom it is bound to, by the binding of the same name. */
const CLUSTER_BINDINGS: Readonly<Record<string, readonly Subject[]>> = {
  'system:public-info-viewer': [AUTHENTICATED, group('system:unauthenticated')],
  'cluster-admin': [group('system:masters')],
  'system:monitoring': [group('system:monitoring')],
  'system:discovery': [AUTHENTICATED],
  'system:basic-user': [AUTHENTICATED],
  'system:node-proxier': [user('system:kube-proxy')],
  'system:kube-controller-manager': [user('system:kube-controller-manager')],
  'system:kube-dns': [account('kube-dns')],
  'system:kube-scheduler': [user('system:kube-scheduler')],
  'system:volume-scheduler': [user('system:kube-scheduler')],
  'system:service-account-issuer-discovery': [group('system:serviceaccounts')],
  // Nodes are the node authorizer's: to nobody, so that tools find the binding they know.
  'system:node': [],
};

const CONFIG_READER = 'extension-apiserver-authentication-reader';

const leaderLocking = (component: string): readonly PolicyRule[] => [
  rule('watch', 'core', 'configmaps'),
  rule('get update', 'core', 'configmaps', component),
];

const NAMESPACED_RULES: Readonly<Record<string, Readonly<Record<string, readonly PolicyRule[]>>>> = {
  'kube-system': {
    [CONFIG_READER]: [rule(READ, 'core', 'configmaps', 'extension-apiserver-authentication')],
    'system:controller:bootstrap-signer': [rule(READ, 'core', 'secrets')],
    'system:controller:cloud-provider': [rule(`create ${READ} update`, 'core', 'configmaps')],
    'system:controller:token-cleaner': [rule(`${READ} delete`, 'core', 'secrets'), EVENTS],
    'system::leader-locking-kube-controller-manager': leaderLocking('kube-controller-manager'),
    'system::leader-locking-kube-scheduler': leaderLocking('kube-scheduler'),
  },
  'kube-public': {
    'system:controller:bootstrap-signer': [
      rule(READ, 'core', 'configmaps'),
      rule('update', 'core', 'configmaps', 'cluster-info'),
      EVENTS,
    ],
  },
};

interface NamespacedBinding {
  readonly namespace: string;
  readonly name: string;
  readonly role: string;
  readonly subjects: readonly Subject[];
}

const both = (component: string) => [user(`system:${component}`), account(component)];
const same = (namespace: string, name: string, subjects: readonly Subject[]) => ({
  namespace,
  name,
  role: name,
  subjects,
});

const NAMESPACED_BINDINGS: readonly NamespacedBinding[] = [
  {
    namespace: 'kube-system',
    name: `system::${CONFIG_READER}`,
    role: CONFIG_READER,
    subjects: [user('system:kube-controller-manager'), user('system:kube-scheduler')],
  },
  same('kube-system', 'system::leader-locking-kube-controller-manager', both('kube-controller-manager')),
  same('kube-system', 'system::leader-locking-kube-scheduler', both('kube-scheduler')),
  same('kube-system', 'system:controller:bootstrap-signer', [account('bootstrap-signer')]),
  same('kube-system', 'system:controller:cloud-provider', [account('cloud-provider')]),
  same('kube-system', 'system:controller:token-cleaner', [account('token-cleaner')]),
  same('kube-public', 'system:controller:bootstrap-signer', [account('bootstrap-signer')]),
];

type Named = Pick<ClusterRole, 'metadata'>;

/** Marks an object as part of the default policy. */
function marked<T extends Named>(object: T): T {
  const { metadata } = object;
  const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults', ...metadata.labels };
  return { ...object, metadata: { ...metadata, labels, annotations: { [AUTOUPDATE]: 'true' } } };
}

const controllerRole = (name: string) => `system:controller:${name}`;
const clusterBinding = (name: string, subjects: readonly Subject[]): ClusterRoleBinding => ({
  metadata: { name },
  roleRef: { apiGroup: RBAC_GROUP, kind: 'ClusterRole', name },
  subjects: [...subjects],
});

export interface DefaultPolicy {
  readonly clusterRoles: readonly ClusterRole[];
  readonly clusterRoleBindings: readonly ClusterRoleBinding[];
  readonly roles: readonly Role[];
  readonly roleBindings: readonly RoleBinding[];
}

const controllers = Object.entries(CONTROLLER_RULES);

export const DEFAULT_POLICY: DefaultPolicy = {
  clusterRoles: [
    ...CLUSTER_ROLES,
    ...controllers.map(([name, rules]) => ({ metadata: { name: controllerRole(name) }, rules: [...rules] })),
  ].map(marked),
  clusterRoleBindings: [
    ...Object.entries(CLUSTER_BINDINGS).map(([name, subjects]) => clusterBinding(name, subjects)),
    ...controllers.map(([name]) => clusterBinding(controllerRole(name), [account(name)])),
  ].map(marked),
  roles: Object.entries(NAMESPACED_RULES).flatMap(([namespace, roles]) =>
    Object.entries(roles).map(([name, rules]) => marked({ metadata: { namespace, name }, rules: [...rules] })),
  ),
  roleBindings: NAMESPACED_BINDINGS.map(({ namespace, name, role, subjects }) =>
    marked({
      metadata: { namespace, name },
      roleRef: { apiGroup: RBAC_GROUP, kind: 'Role', name: role },
      subjects: [...subjects],
    }),
  ),
};

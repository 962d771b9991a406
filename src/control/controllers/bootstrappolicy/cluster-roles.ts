/** The ClusterRoles that every cluster has (Kubernetes 1.32's "Default roles and role bindings"), but for controllers'. */
import type { ClusterRole } from '../../../api/types/rbac-v1.js';
import { EVENTS, paths, READ, rule, RBAC_GROUP, WRITE, type Rules } from './rule.js';

const HEALTH = '/healthz /livez /readyz';
const REVIEWS: Rules = [
  rule('create', 'authentication.k8s.io', 'tokenreviews'),
  rule('create', 'authorization.k8s.io', 'subjectaccessreviews'),
];
const CSR = 'certificates.k8s.io';
const NETWORK = 'networking.k8s.io';

const leaderElection = (name: string): Rules => [
  rule('create', 'coordination.k8s.io', 'leases'),
  rule('get update', 'coordination.k8s.io', 'leases', name),
];
const approver = (signer: string): Rules => [rule('approve', CSR, 'signers', `kubernetes.io/${signer}`)];

const AGGREGATE_TO_EDIT: Rules = [
  rule(READ, 'core', 'pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy'),
  rule('impersonate', 'core', 'serviceaccounts'),
  rule(WRITE, 'core', 'pods pods/attach pods/proxy pods/exec pods/portforward'),
  rule('create', 'core', 'pods/eviction'),
  rule(
    WRITE,
    'core',
    'replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy ' +
      'persistentvolumeclaims configmaps secrets events',
  ),
  rule('create', 'core', 'serviceaccounts/token'),
  rule(
    WRITE,
    'apps',
    'statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback replicasets ' +
      'replicasets/scale',
  ),
  rule(WRITE, 'autoscaling', 'horizontalpodautoscalers'),
  rule(WRITE, 'batch', 'jobs cronjobs'),
  rule(
    WRITE,
    'extensions',
    'daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale ' +
      'replicationcontrollers/scale networkpolicies',
  ),
  rule(WRITE, 'policy', 'poddisruptionbudgets'),
  rule(WRITE, NETWORK, 'networkpolicies ingresses'),
  rule(`${READ} ${WRITE}`, 'coordination.k8s.io', 'leases'),
];

const AGGREGATE_TO_VIEW: Rules = [
  rule(
    READ,
    'core',
    'pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints ' +
      'persistentvolumeclaims persistentvolumeclaims/status configmaps',
  ),
  rule(
    READ,
    'core',
    'limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status ' +
      'replicationcontrollers/status pods/log',
  ),
  rule(READ, 'core', 'namespaces'),
  rule(READ, 'discovery.k8s.io', 'endpointslices'),
  rule(
    READ,
    'apps',
    'controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status deployments ' +
      'deployments/status deployments/scale replicasets replicasets/status replicasets/scale',
  ),
  rule(READ, 'autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status'),
  rule(READ, 'batch', 'jobs cronjobs cronjobs/status jobs/status'),
  rule(
    READ,
    'extensions',
    'daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status ' +
      'replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies',
  ),
  rule(READ, 'policy', 'poddisruptionbudgets poddisruptionbudgets/status'),
  rule(READ, NETWORK, 'networkpolicies ingresses ingresses/status'),
];

const SCHEDULER: Rules = [
  EVENTS,
  ...leaderElection('kube-scheduler'),
  rule(READ, 'core', 'nodes'),
  rule(`${READ} delete`, 'core', 'pods'),
  rule('create', 'core', 'bindings pods/binding'),
  rule('patch update', 'core', 'pods/status'),
  rule(READ, 'core', 'replicationcontrollers services'),
  rule(READ, 'apps extensions', 'replicasets'),
  rule(READ, 'apps', 'statefulsets'),
  rule(READ, 'policy', 'poddisruptionbudgets'),
  rule(READ, 'core', 'persistentvolumeclaims persistentvolumes'),
  ...REVIEWS,
  rule(READ, 'storage.k8s.io', 'csinodes'),
  rule(READ, 'core', 'namespaces'),
  rule(READ, 'storage.k8s.io', 'csidrivers'),
  rule(READ, 'storage.k8s.io', 'csistoragecapacities'),
];

const CONTROLLER_MANAGER: Rules = [
  EVENTS,
  ...leaderElection('kube-controller-manager'),
  rule('create', 'core', 'secrets serviceaccounts'),
  rule('delete', 'core', 'secrets'),
  rule('get', 'core', 'configmaps namespaces secrets serviceaccounts'),
  rule('update', 'core', 'secrets serviceaccounts'),
  ...REVIEWS,
  rule('list watch', '*', '*'),
  rule('create', 'core', 'serviceaccounts/token'),
];

/** Name -> rules. The role `system:node` is upstream's `NodeRules`: the node authorizer grants nodes the same, but narrower. */
const RULES: Readonly<Record<string, Rules>> = {
  'cluster-admin': [rule('*', '*', '*'), paths('*', '*')],
  'system:discovery': [paths('get', `${HEALTH} /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*`)],
  'system:monitoring': [paths('get', `/metrics /metrics/slis ${HEALTH} /livez/* /readyz/* /healthz/*`)],
  'system:basic-user': [
    rule('create', 'authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews'),
    rule('create', 'authentication.k8s.io', 'selfsubjectreviews'),
  ],
  'system:public-info-viewer': [paths('get', `${HEALTH} /version /version/`)],
  'system:heapster': [rule(READ, 'core', 'events pods nodes namespaces'), rule(READ, 'extensions', 'deployments')],
  'system:node': [
    ...REVIEWS.slice(0, 1),
    rule('create', 'authorization.k8s.io', 'localsubjectaccessreviews subjectaccessreviews'),
    rule(READ, 'core', 'services'),
    rule(`create ${READ}`, 'core', 'nodes'),
    rule('patch update', 'core', 'nodes/status'),
    rule('patch update', 'core', 'nodes'),
    rule('create patch update', 'core', 'events'),
    rule(READ, 'core', 'pods'),
    rule('create delete', 'core', 'pods'),
    rule('patch update', 'core', 'pods/status'),
    rule('create', 'core', 'pods/eviction'),
    rule(READ, 'core', 'configmaps secrets'),
    rule('get', 'core', 'persistentvolumeclaims persistentvolumes'),
    rule('get', 'core', 'endpoints'),
    rule(`create ${READ}`, CSR, 'certificatesigningrequests'),
    rule('create delete get patch update', 'coordination.k8s.io', 'leases'),
    rule('get', 'storage.k8s.io', 'volumeattachments'),
    rule('create', 'core', 'serviceaccounts/token'),
    rule('get patch update', 'core', 'persistentvolumeclaims/status'),
    rule(READ, 'storage.k8s.io', 'csidrivers'),
    rule('create delete get patch update', 'storage.k8s.io', 'csinodes'),
    rule(READ, 'node.k8s.io', 'runtimeclasses'),
  ],
  'system:node-problem-detector': [rule('get', 'core', 'nodes'), rule('patch', 'core', 'nodes/status'), EVENTS],
  'system:kubelet-api-admin': [
    rule(READ, 'core', 'nodes'),
    rule('proxy', 'core', 'nodes'),
    rule('*', 'core', 'nodes/log nodes/metrics nodes/proxy nodes/stats'),
  ],
  'system:node-bootstrapper': [rule(`create ${READ}`, CSR, 'certificatesigningrequests')],
  'system:auth-delegator': REVIEWS,
  'system:kube-aggregator': [rule(READ, 'core', 'endpoints services')],
  'system:kube-controller-manager': CONTROLLER_MANAGER,
  'system:kube-dns': [rule('list watch', 'core', 'endpoints services')],
  'system:persistent-volume-provisioner': [
    rule(`${READ} create delete`, 'core', 'persistentvolumes'),
    rule(`${READ} update`, 'core', 'persistentvolumeclaims'),
    rule(READ, 'storage.k8s.io', 'storageclasses'),
    rule('watch', 'core', 'events'),
    EVENTS,
  ],
  'system:certificates.k8s.io:certificatesigningrequests:nodeclient': [
    rule('create', CSR, 'certificatesigningrequests/nodeclient'),
  ],
  'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient': [
    rule('create', CSR, 'certificatesigningrequests/selfnodeclient'),
  ],
  'system:volume-scheduler': [
    rule(`${READ} patch update`, 'core', 'persistentvolumes'),
    rule(READ, 'storage.k8s.io', 'storageclasses'),
    rule(`${READ} patch update`, 'core', 'persistentvolumeclaims'),
  ],
  'system:certificates.k8s.io:legacy-unknown-approver': approver('legacy-unknown'),
  'system:certificates.k8s.io:kubelet-serving-approver': approver('kubelet-serving'),
  'system:certificates.k8s.io:kube-apiserver-client-approver': approver('kube-apiserver-client'),
  'system:certificates.k8s.io:kube-apiserver-client-kubelet-approver': approver('kube-apiserver-client-kubelet'),
  'system:service-account-issuer-discovery': [
    paths(
      'get',
      '/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/',
    ),
  ],
  'system:node-proxier': [
    rule('list watch', 'core', 'endpoints services'),
    rule(READ, 'core', 'nodes'),
    EVENTS,
    rule('list watch', 'discovery.k8s.io', 'endpointslices'),
  ],
  'system:kube-scheduler': SCHEDULER,
  'system:aggregate-to-admin': [
    rule('create', 'authorization.k8s.io', 'localsubjectaccessreviews'),
    rule(`${READ} ${WRITE}`, RBAC_GROUP, 'roles rolebindings'),
  ],
  'system:aggregate-to-edit': AGGREGATE_TO_EDIT,
  'system:aggregate-to-view': AGGREGATE_TO_VIEW,
};

const aggregateLabel = (to: string) => ({ [`${RBAC_GROUP}/aggregate-to-${to}`]: 'true' });

/** Labels by which roles become part of others. */
const LABELS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'system:aggregate-to-admin': aggregateLabel('admin'),
  'system:aggregate-to-edit': aggregateLabel('edit'),
  'system:aggregate-to-view': aggregateLabel('view'),
  edit: aggregateLabel('admin'),
  view: aggregateLabel('edit'),
};

const aggregating = (name: string): ClusterRole => ({
  metadata: { name, ...(LABELS[name] ? { labels: { ...LABELS[name] } } : {}) },
  aggregationRule: { clusterRoleSelectors: [{ matchLabels: aggregateLabel(name) }] },
});

export const CLUSTER_ROLES: readonly ClusterRole[] = [
  ...Object.entries(RULES).map(([name, rules]) => ({
    metadata: { name, ...(LABELS[name] ? { labels: { ...LABELS[name] } } : {}) },
    rules: [...rules],
  })),
  ...['admin', 'edit', 'view'].map(aggregating),
];

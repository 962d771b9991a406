/** Names of resources. The registry of what exists (from `api/data/` and CustomResourceDefinitions) is `api/schema`. */

/** A resource as components name it. The core group is the empty string. */
export interface ResourceRef {
  readonly group: string;
  readonly version: string;
  /** The plural, lower case: `pods`. */
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

const ref = (group: string, version: string, resource: string, kind: string, namespaced = true): ResourceRef =>
  Object.freeze({ group, version, resource, kind, namespaced });

export const NAMESPACES = ref('', 'v1', 'namespaces', 'Namespace', false);
export const NODES = ref('', 'v1', 'nodes', 'Node', false);
export const PODS = ref('', 'v1', 'pods', 'Pod');
export const SERVICES = ref('', 'v1', 'services', 'Service');
export const ENDPOINTS = ref('', 'v1', 'endpoints', 'Endpoints');
export const CONFIGMAPS = ref('', 'v1', 'configmaps', 'ConfigMap');
export const SECRETS = ref('', 'v1', 'secrets', 'Secret');
export const SERVICEACCOUNTS = ref('', 'v1', 'serviceaccounts', 'ServiceAccount');
export const EVENTS = ref('', 'v1', 'events', 'Event');
export const DEPLOYMENTS = ref('apps', 'v1', 'deployments', 'Deployment');
export const REPLICATION_CONTROLLERS = ref('', 'v1', 'replicationcontrollers', 'ReplicationController');
export const REPLICASETS = ref('apps', 'v1', 'replicasets', 'ReplicaSet');
export const STATEFULSETS = ref('apps', 'v1', 'statefulsets', 'StatefulSet');
export const DAEMONSETS = ref('apps', 'v1', 'daemonsets', 'DaemonSet');
export const CONTROLLERREVISIONS = ref('apps', 'v1', 'controllerrevisions', 'ControllerRevision');
export const PODDISRUPTIONBUDGETS = ref('policy', 'v1', 'poddisruptionbudgets', 'PodDisruptionBudget');
export const JOBS = ref('batch', 'v1', 'jobs', 'Job');
export const CRONJOBS = ref('batch', 'v1', 'cronjobs', 'CronJob');
export const ENDPOINTSLICES = ref('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice');
export const LEASES = ref('coordination.k8s.io', 'v1', 'leases', 'Lease');
export const APISERVICES = ref('apiregistration.k8s.io', 'v1', 'apiservices', 'APIService', false);
export const FLOWSCHEMAS = ref('flowcontrol.apiserver.k8s.io', 'v1', 'flowschemas', 'FlowSchema', false);
export const PRIORITYLEVELCONFIGURATIONS = ref(
  'flowcontrol.apiserver.k8s.io',
  'v1',
  'prioritylevelconfigurations',
  'PriorityLevelConfiguration',
  false,
);

/** `v1` or `group/version`. */
export const apiVersionOf = ({ group, version }: { group: string; version: string }) =>
  group ? `${group}/${version}` : version;

/** `pods` or `deployments.apps`. */
export const groupResourceOf = ({ group, resource }: { group: string; resource: string }) =>
  group ? `${resource}.${group}` : resource;

/** Short names, singulars and categories of the built-in resources, as `kubectl api-resources` shows them. */

/** By `group/resource`. */
export const SHORT_NAMES: Readonly<Record<string, readonly string[]>> = {
  '/componentstatuses': ['cs'],
  '/configmaps': ['cm'],
  '/endpoints': ['ep'],
  '/events': ['ev'],
  '/limitranges': ['limits'],
  '/namespaces': ['ns'],
  '/nodes': ['no'],
  '/persistentvolumeclaims': ['pvc'],
  '/persistentvolumes': ['pv'],
  '/pods': ['po'],
  '/replicationcontrollers': ['rc'],
  '/resourcequotas': ['quota'],
  '/serviceaccounts': ['sa'],
  '/services': ['svc'],
  'apiextensions.k8s.io/customresourcedefinitions': ['crd', 'crds'],
  'apps/daemonsets': ['ds'],
  'apps/deployments': ['deploy'],
  'apps/replicasets': ['rs'],
  'apps/statefulsets': ['sts'],
  'autoscaling/horizontalpodautoscalers': ['hpa'],
  'batch/cronjobs': ['cj'],
  'certificates.k8s.io/certificatesigningrequests': ['csr'],
  'events.k8s.io/events': ['ev'],
  'networking.k8s.io/ingresses': ['ing'],
  'networking.k8s.io/networkpolicies': ['netpol'],
  'policy/poddisruptionbudgets': ['pdb'],
  'scheduling.k8s.io/priorityclasses': ['pc'],
  'storage.k8s.io/storageclasses': ['sc'],
};

const ALL = ['all'];
const API_EXTENSIONS = ['api-extensions'];

/** By `group/resource`. */
export const CATEGORIES: Readonly<Record<string, readonly string[]>> = {
  '/pods': ALL,
  '/replicationcontrollers': ALL,
  '/services': ALL,
  'apps/daemonsets': ALL,
  'apps/deployments': ALL,
  'apps/replicasets': ALL,
  'apps/statefulsets': ALL,
  'autoscaling/horizontalpodautoscalers': ALL,
  'batch/cronjobs': ALL,
  'batch/jobs': ALL,
  'admissionregistration.k8s.io/mutatingwebhookconfigurations': API_EXTENSIONS,
  'admissionregistration.k8s.io/validatingadmissionpolicies': API_EXTENSIONS,
  'admissionregistration.k8s.io/validatingadmissionpolicybindings': API_EXTENSIONS,
  'admissionregistration.k8s.io/validatingwebhookconfigurations': API_EXTENSIONS,
  'apiextensions.k8s.io/customresourcedefinitions': API_EXTENSIONS,
  'apiregistration.k8s.io/apiservices': API_EXTENSIONS,
};

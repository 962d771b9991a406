/** One valid object of every kind that can be created, by `group/version/resource`, and what may change in it. */

export interface KindFixture {
  /** Without `apiVersion`, `kind` and `metadata`. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Where the kind demands a certain name. */
  readonly name?: string;
  /** A status that the `status` subresource takes. */
  readonly status?: Readonly<Record<string, unknown>>;
}

const labels = { app: 'web' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } };
const jobTemplate = { spec: { ...template.spec, restartPolicy: 'Never' } };
const selector = { matchLabels: labels };
const rule = { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] };
const webhook = {
  name: 'a.example.com',
  sideEffects: 'None',
  admissionReviewVersions: ['v1'],
  // Matches nothing that these tests write.
  rules: [{ ...rule, apiGroups: ['none.example.com'] }],
  clientConfig: { service: { name: 's', namespace: 'default' } },
};
const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
const subjects = [{ kind: 'User', name: 'anna', apiGroup: 'rbac.authorization.k8s.io' }];
const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }];
const conditions = [
  { type: 'Ready', status: 'True', reason: 'Because', message: 'm', lastTransitionTime: '2024-01-01T00:00:00Z' },
];
/** A certificate request (PEM, base64) for `CN=anna`. */
const csr = [
  'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISU1IRUNBUUF3RHpFTk1Bc0dBMVVFQXd3RVlXNXVZVEJaTUJN',
  'R0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSApBMElBQkJkRm5HV3VXREdOWE1McTBNdU1iY256Zm84VlVZeDAzci85V3pFYmI1NEJ6',
  'M2lmcGdmR0M0QTkzUXV6CklzMUlSVzdWWWhzNmp2bTFBeGN1emsxTXNuU2dBREFLQmdncWhrak9QUVFEQWdOSEFEQkVBaUJITkZq',
  'MVpZOVIKS1JudnJsMGpTUTZ5dFIrYjQ2WlhINUxhUk93OGY4cG1uUUlnQ2h4SHFmNCtrZ3dXM3dNYlYvM1JvOUVJd0kwWQptZzB5',
  'OUU2Y1U4a3M0a2s9Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=',
].join('');

export const FIXTURES: Readonly<Record<string, KindFixture>> = {
  '/v1/configmaps': { body: { data: { a: '1' } } },
  '/v1/endpoints': { body: { subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }] } },
  '/v1/events': {
    body: {
      involvedObject: { kind: 'Pod', name: 'p', namespace: 'default' },
      reason: 'R',
      message: 'm',
      type: 'Normal',
    },
  },
  '/v1/limitranges': { body: { spec: { limits: [{ type: 'Container', max: { cpu: '2' } }] } } },
  '/v1/namespaces': { body: {} },
  '/v1/nodes': { body: { spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] } }, status: { conditions } },
  '/v1/persistentvolumeclaims': {
    body: { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } },
    status: { phase: 'Bound' },
  },
  '/v1/persistentvolumes': {
    body: { spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/tmp/x' } } },
    status: { phase: 'Available' },
  },
  '/v1/pods': { body: { spec: template.spec }, status: { phase: 'Running' } },
  '/v1/podtemplates': { body: { template } },
  '/v1/replicationcontrollers': { body: { spec: { selector: labels, template } }, status: { replicas: 1 } },
  '/v1/resourcequotas': { body: { spec: { hard: { pods: '10' } } }, status: { hard: { pods: '10' } } },
  '/v1/secrets': { body: { stringData: { a: 'b' } } },
  '/v1/serviceaccounts': { body: { automountServiceAccountToken: false } },
  '/v1/services': { body: { spec: { selector: labels, ports: [{ port: 80 }] } }, status: { conditions } },
  'admissionregistration.k8s.io/v1/mutatingwebhookconfigurations': { body: { webhooks: [webhook] } },
  'admissionregistration.k8s.io/v1/validatingadmissionpolicies': {
    body: {
      spec: {
        matchConstraints: { resourceRules: [{ ...rule, apiGroups: ['none.example.com'] }] },
        validations: [{ expression: 'true' }],
      },
    },
    status: { observedGeneration: 1 },
  },
  'admissionregistration.k8s.io/v1/validatingadmissionpolicybindings': {
    body: { spec: { policyName: 'none', validationActions: ['Deny'] } },
  },
  'admissionregistration.k8s.io/v1/validatingwebhookconfigurations': { body: { webhooks: [webhook] } },
  'apiextensions.k8s.io/v1/customresourcedefinitions': {
    name: 'toys.example.org',
    body: {
      spec: {
        group: 'example.org',
        scope: 'Namespaced',
        names: { plural: 'toys', kind: 'Toy' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    },
  },
  'apiregistration.k8s.io/v1/apiservices': {
    name: 'v1.other.example.org',
    body: {
      spec: {
        group: 'other.example.org',
        version: 'v1',
        groupPriorityMinimum: 100,
        versionPriority: 10,
        insecureSkipTLSVerify: true,
        service: { name: 's', namespace: 'default' },
      },
    },
    status: { conditions: [{ type: 'Available', status: 'False', reason: 'R', message: 'm' }] },
  },
  'apps/v1/controllerrevisions': { body: { data: { a: 1 }, revision: 1 } },
  'apps/v1/daemonsets': {
    body: { spec: { selector, template } },
    status: { currentNumberScheduled: 1, desiredNumberScheduled: 1, numberMisscheduled: 0, numberReady: 1 },
  },
  'apps/v1/deployments': { body: { spec: { selector, template } }, status: { replicas: 1, updatedReplicas: 1 } },
  'apps/v1/replicasets': { body: { spec: { selector, template } }, status: { replicas: 1 } },
  'apps/v1/statefulsets': { body: { spec: { serviceName: 's', selector, template } }, status: { replicas: 1 } },
  'autoscaling/v1/horizontalpodautoscalers': {
    body: { spec: { scaleTargetRef, maxReplicas: 3, targetCPUUtilizationPercentage: 50 } },
    status: { currentReplicas: 1, desiredReplicas: 2, currentCPUUtilizationPercentage: 40 },
  },
  'autoscaling/v2/horizontalpodautoscalers': {
    body: {
      spec: {
        scaleTargetRef,
        maxReplicas: 3,
        metrics: [
          { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '64Mi' } } },
        ],
      },
    },
    status: { currentReplicas: 1, desiredReplicas: 2 },
  },
  'batch/v1/cronjobs': {
    body: {
      spec: { schedule: '*/5 * * * *', timeZone: 'Europe/Berlin', jobTemplate: { spec: { template: jobTemplate } } },
    },
    status: { lastScheduleTime: '2024-01-01T00:00:00Z' },
  },
  'batch/v1/jobs': { body: { spec: { template: jobTemplate } }, status: { active: 1 } },
  'certificates.k8s.io/v1/certificatesigningrequests': {
    body: { spec: { request: csr, signerName: 'example.com/signer', usages: ['client auth'] } },
  },
  'coordination.k8s.io/v1/leases': { body: { spec: { holderIdentity: 'x', leaseDurationSeconds: 10 } } },
  'discovery.k8s.io/v1/endpointslices': {
    body: { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ port: 80 }] },
  },
  'events.k8s.io/v1/events': {
    body: {
      eventTime: '2024-01-01T00:00:00.000000Z',
      regarding: { kind: 'Pod', name: 'p', namespace: 'default' },
      reportingController: 'example.com/c',
      reportingInstance: 'c-1',
      action: 'Act',
      reason: 'R',
      note: 'n',
      type: 'Normal',
    },
  },
  'flowcontrol.apiserver.k8s.io/v1/flowschemas': {
    body: { spec: { matchingPrecedence: 500, priorityLevelConfiguration: { name: 'global-default' } } },
    status: { conditions: [{ type: 'Dangling', status: 'False' }] },
  },
  'flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations': {
    body: { spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } } },
    status: { conditions: [{ type: 'Ready', status: 'False' }] },
  },
  'networking.k8s.io/v1/ingressclasses': { body: { spec: { controller: 'example.com/ingress' } } },
  'networking.k8s.io/v1/ingresses': {
    body: { spec: { defaultBackend: { service: { name: 'web', port: { number: 80 } } } } },
    status: { loadBalancer: { ingress: [{ ip: '10.1.1.1' }] } },
  },
  'networking.k8s.io/v1/networkpolicies': { body: { spec: { podSelector: selector } } },
  'node.k8s.io/v1/runtimeclasses': { body: { handler: 'runc' } },
  'policy/v1/poddisruptionbudgets': {
    body: { spec: { minAvailable: 1, selector } },
    status: { currentHealthy: 1, desiredHealthy: 1, disruptionsAllowed: 0, expectedPods: 1, observedGeneration: 1 },
  },
  'rbac.authorization.k8s.io/v1/clusterrolebindings': {
    body: { roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' }, subjects },
  },
  'rbac.authorization.k8s.io/v1/clusterroles': { body: { rules } },
  'rbac.authorization.k8s.io/v1/rolebindings': {
    body: { roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' }, subjects },
  },
  'rbac.authorization.k8s.io/v1/roles': { body: { rules } },
  'scheduling.k8s.io/v1/priorityclasses': { body: { value: 1000 } },
  'storage.k8s.io/v1/csidrivers': { body: { spec: { attachRequired: false } } },
  'storage.k8s.io/v1/csinodes': { body: { spec: { drivers: [{ name: 'd.example.com', nodeID: 'n' }] } } },
  'storage.k8s.io/v1/csistoragecapacities': { body: { storageClassName: 'fast', capacity: '1Gi' } },
  'storage.k8s.io/v1/storageclasses': { body: { provisioner: 'example.com/disk' } },
  'storage.k8s.io/v1/volumeattachments': {
    body: { spec: { attacher: 'd.example.com', nodeName: 'n', source: { persistentVolumeName: 'pv' } } },
    status: { attached: true },
  },
};

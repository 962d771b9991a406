/** A small valid object of each kind whose whole life is a row of its own. */
import type { Json } from '../framework/http.js';
import type { Fixture } from './lifecycle.js';

export const IMAGE = 'registry.k8s.io/pause:3.10';

export const podSpec = (): Json => ({
  terminationGracePeriodSeconds: 0,
  containers: [{ name: 'main', image: IMAGE }],
});

export const podTemplate = (app: string): Json => ({ metadata: { labels: { app } }, spec: podSpec() });

const condition = (type: string, status = 'True') => ({
  type,
  status,
  reason: 'Conformance',
  message: 'set by a test',
  lastTransitionTime: '2024-01-01T00:00:00Z',
});

/** Rules that match nothing anybody else makes: configurations of one row must not reach another. */
const rules = [
  { apiGroups: ['conformance.example.com'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['nothings'] },
];

const webhook = (name: string): Json => ({
  name: `${name}.conformance.example.com`,
  clientConfig: { url: 'https://127.0.0.1:9/' },
  admissionReviewVersions: ['v1'],
  sideEffects: 'None',
  timeoutSeconds: 1,
  rules,
});

export const webhooks = (plural: 'mutatingwebhookconfigurations' | 'validatingwebhookconfigurations'): Fixture => ({
  groupVersion: 'admissionregistration.k8s.io/v1',
  plural,
  kind: plural.startsWith('mutating') ? 'MutatingWebhookConfiguration' : 'ValidatingWebhookConfiguration',
  clusterScoped: true,
  body: (_i, name) => ({ webhooks: [webhook(name)] }),
});

const jobSpec = (): Json => ({ template: { spec: { ...podSpec(), restartPolicy: 'Never' } } });

const flowcontrol = { groupVersion: 'flowcontrol.apiserver.k8s.io/v1', clusterScoped: true } as const;
const admission = { groupVersion: 'admissionregistration.k8s.io/v1', clusterScoped: true } as const;
const resourceGroup = { groupVersion: 'resource.k8s.io/v1' } as const;
const storage = { groupVersion: 'storage.k8s.io/v1', clusterScoped: true } as const;
const networking = { groupVersion: 'networking.k8s.io/v1' } as const;

export const FIXTURES = {
  flowSchema: {
    ...flowcontrol,
    plural: 'flowschemas',
    kind: 'FlowSchema',
    body: () => ({
      spec: {
        matchingPrecedence: 10_000,
        priorityLevelConfiguration: { name: 'global-default' },
        distinguisherMethod: { type: 'ByUser' },
        rules: [
          {
            subjects: [{ kind: 'User', user: { name: 'nobody-at-all' } }],
            nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
          },
        ],
      },
    }),
    change: { spec: { matchingPrecedence: 9999 } },
    status: {
      patched: { conditions: [condition('PatchedCondition', 'False')] },
      updated: { conditions: [condition('UpdatedCondition', 'False')] },
    },
    statusIsReset: true,
    statusKeepsMetadata: true,
  },
  priorityLevel: {
    ...flowcontrol,
    plural: 'prioritylevelconfigurations',
    kind: 'PriorityLevelConfiguration',
    body: () => ({
      spec: {
        type: 'Limited',
        limited: { nominalConcurrencyShares: 2, limitResponse: { type: 'Reject' } },
      },
    }),
    change: { spec: { limited: { nominalConcurrencyShares: 4 } } },
    status: {
      patched: { conditions: [condition('PatchedCondition', 'False')] },
      updated: { conditions: [condition('UpdatedCondition', 'False')] },
    },
    statusIsReset: true,
    statusKeepsMetadata: true,
  },
  validatingPolicy: {
    ...admission,
    plural: 'validatingadmissionpolicies',
    kind: 'ValidatingAdmissionPolicy',
    body: () => ({
      spec: {
        failurePolicy: 'Ignore',
        matchConstraints: { resourceRules: rules },
        validations: [
          { expression: 'object.metadata.name != "bad"', messageExpression: '"not " + object.metadata.name' },
        ],
      },
    }),
    change: { spec: { failurePolicy: 'Fail' } },
    status: {
      patched: { conditions: [condition('PatchedCondition')] },
      updated: { conditions: [condition('UpdatedCondition')] },
    },
    statusIsReset: true,
    statusKeepsMetadata: true,
  },
  validatingPolicyBinding: {
    ...admission,
    plural: 'validatingadmissionpolicybindings',
    kind: 'ValidatingAdmissionPolicyBinding',
    body: () => ({ spec: { policyName: 'no-such-policy.conformance.example.com', validationActions: ['Deny'] } }),
    change: { spec: { validationActions: ['Warn'] } },
  },
  mutatingPolicy: {
    ...admission,
    plural: 'mutatingadmissionpolicies',
    kind: 'MutatingAdmissionPolicy',
    body: () => ({
      spec: {
        failurePolicy: 'Ignore',
        reinvocationPolicy: 'Never',
        matchConstraints: { resourceRules: rules },
        mutations: [
          {
            patchType: 'ApplyConfiguration',
            applyConfiguration: { expression: 'Object{metadata: Object.metadata{labels: {"a": "b"}}}' },
          },
        ],
      },
    }),
  },
  mutatingPolicyBinding: {
    ...admission,
    plural: 'mutatingadmissionpolicybindings',
    kind: 'MutatingAdmissionPolicyBinding',
    body: () => ({ spec: { policyName: 'no-such-policy.conformance.example.com' } }),
  },
  storageVersionMigration: {
    groupVersion: 'storagemigration.k8s.io/v1',
    clusterScoped: true,
    plural: 'storageversionmigrations',
    kind: 'StorageVersionMigration',
    body: () => ({ spec: { resource: { group: 'conformance.example.com', resource: 'nothings' } } }),
  },
  cronJob: {
    groupVersion: 'batch/v1',
    plural: 'cronjobs',
    kind: 'CronJob',
    body: () => ({ spec: { schedule: '0 0 1 1 *', suspend: true, jobTemplate: { spec: jobSpec() } } }),
    change: { spec: { concurrencyPolicy: 'Forbid' } },
    status: {
      patched: { lastScheduleTime: '2024-01-01T00:00:00Z' },
      updated: { lastScheduleTime: '2024-02-01T00:00:00Z' },
    },
  },
  job: {
    groupVersion: 'batch/v1',
    plural: 'jobs',
    kind: 'Job',
    body: () => ({ spec: { ...jobSpec(), suspend: true, parallelism: 1, completions: 2 } }),
    change: { spec: { parallelism: 2 } },
  },
  disruptionBudget: {
    groupVersion: 'policy/v1',
    plural: 'poddisruptionbudgets',
    kind: 'PodDisruptionBudget',
    body: () => ({ spec: { minAvailable: '1%', selector: { matchLabels: { foo: 'bar' } } } }),
    change: { spec: { minAvailable: '2%' } },
    status: {
      patched: { disruptedPods: { foo: '2024-01-01T00:00:00Z' } },
      updated: { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
    },
    statusIsReset: true,
  },
  serviceAccount: {
    groupVersion: 'v1',
    plural: 'serviceaccounts',
    kind: 'ServiceAccount',
    change: { automountServiceAccountToken: false },
  },
  podCertificateRequest: {
    groupVersion: 'certificates.k8s.io/v1',
    plural: 'podcertificaterequests',
    kind: 'PodCertificateRequest',
    body: () => ({ spec: { signerName: 'conformance.example.com/signer' } }),
  },
  trustBundle: {
    groupVersion: 'certificates.k8s.io/v1',
    clusterScoped: true,
    plural: 'clustertrustbundles',
    kind: 'ClusterTrustBundle',
    body: () => ({ spec: { trustBundle: '' } }),
  },
  endpointSlice: {
    groupVersion: 'discovery.k8s.io/v1',
    plural: 'endpointslices',
    kind: 'EndpointSlice',
    body: () => ({
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.1.2.3'], conditions: { ready: true } }],
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    }),
    change: { ports: [{ name: 'https', port: 443, protocol: 'TCP' }] },
  },
  ingress: {
    ...networking,
    plural: 'ingresses',
    kind: 'Ingress',
    body: () => ({
      spec: {
        ingressClassName: 'no-such-class',
        defaultBackend: { service: { name: 'default-backend', port: { number: 80 } } },
        tls: [{ hosts: ['*.example.com'], secretName: 'tls' }],
        rules: [
          {
            host: 'www.example.com',
            http: {
              paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { name: 'http' } } } }],
            },
          },
        ],
      },
    }),
    change: { spec: { tls: [{ hosts: ['www.example.com'], secretName: 'tls2' }] } },
    status: {
      patched: { loadBalancer: { ingress: [{ ip: '169.1.1.1' }] } },
      updated: { loadBalancer: { ingress: [{ ip: '169.1.1.2' }] } },
    },
  },
  ingressClass: {
    ...networking,
    clusterScoped: true,
    plural: 'ingressclasses',
    kind: 'IngressClass',
    body: () => ({ spec: { controller: 'conformance.example.com/controller' } }),
  },
  ipAddress: {
    ...networking,
    clusterScoped: true,
    plural: 'ipaddresses',
    kind: 'IPAddress',
    nameOf: (i) => `192.0.2.${10 + i}`,
    body: () => ({ spec: { parentRef: { resource: 'services', namespace: 'default', name: 'no-such-service' } } }),
  },
  serviceCidr: {
    ...networking,
    clusterScoped: true,
    plural: 'servicecidrs',
    kind: 'ServiceCIDR',
    body: (i) => ({ spec: { cidrs: [`198.51.100.${16 * (i + 1)}/28`] } }),
    status: {
      patched: { conditions: [condition('PatchedCondition')] },
      updated: { conditions: [condition('UpdatedCondition')] },
    },
    statusIsReset: true,
  },
  configMap: {
    groupVersion: 'v1',
    plural: 'configmaps',
    kind: 'ConfigMap',
    body: () => ({ data: { valueName: 'value' } }),
    change: { data: { valueName: 'value1' } },
  },
  secret: {
    groupVersion: 'v1',
    plural: 'secrets',
    kind: 'Secret',
    body: () => ({ type: 'Opaque', data: { key: Buffer.from('value').toString('base64') } }),
    change: { data: { key: Buffer.from('value1').toString('base64') } },
  },
  endpoints: {
    groupVersion: 'v1',
    plural: 'endpoints',
    kind: 'Endpoints',
    body: () => ({
      subsets: [{ addresses: [{ ip: '10.0.0.24' }], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }],
    }),
    change: { subsets: [{ addresses: [{ ip: '10.0.0.25' }], ports: [{ name: 'http', port: 8080, protocol: 'TCP' }] }] },
  },
  lease: {
    groupVersion: 'coordination.k8s.io/v1',
    plural: 'leases',
    kind: 'Lease',
    body: () => ({
      spec: {
        holderIdentity: 'holder',
        leaseDurationSeconds: 30,
        acquireTime: '2024-01-01T00:00:00.000000Z',
        renewTime: '2024-01-01T00:00:05.000000Z',
        leaseTransitions: 0,
      },
    }),
    change: { spec: { leaseDurationSeconds: 60 } },
  },
  podTemplate: {
    groupVersion: 'v1',
    plural: 'podtemplates',
    kind: 'PodTemplate',
    body: () => ({ template: podTemplate('template') }),
    change: { template: { metadata: { labels: { app: 'patched' } } } },
  },
  runtimeClass: {
    groupVersion: 'node.k8s.io/v1',
    clusterScoped: true,
    plural: 'runtimeclasses',
    kind: 'RuntimeClass',
    body: () => ({ handler: 'no-such-handler' }),
  },
  deviceClass: {
    ...resourceGroup,
    clusterScoped: true,
    plural: 'deviceclasses',
    kind: 'DeviceClass',
    body: () => ({ spec: { selectors: [{ cel: { expression: 'device.driver == "conformance.example.com"' } }] } }),
  },
  deviceTaintRule: {
    ...resourceGroup,
    clusterScoped: true,
    plural: 'devicetaintrules',
    kind: 'DeviceTaintRule',
    body: () => ({
      spec: {
        deviceSelector: { driver: 'conformance.example.com' },
        taint: { key: 'conformance.example.com/taint', effect: 'NoSchedule' },
      },
    }),
  },
  resourceClaim: {
    ...resourceGroup,
    plural: 'resourceclaims',
    kind: 'ResourceClaim',
    body: () => ({ spec: { devices: {} } }),
    status: { patched: { devices: [] }, updated: { devices: [] } },
  },
  resourceClaimTemplate: {
    ...resourceGroup,
    plural: 'resourceclaimtemplates',
    kind: 'ResourceClaimTemplate',
    body: () => ({ spec: { spec: { devices: {} } } }),
  },
  resourceSlice: {
    ...resourceGroup,
    clusterScoped: true,
    plural: 'resourceslices',
    kind: 'ResourceSlice',
    body: (_i, name) => ({
      spec: {
        driver: 'conformance.example.com',
        nodeName: 'no-such-node',
        pool: { name, generation: 1, resourceSliceCount: 1 },
      },
    }),
  },
  csiDriver: {
    ...storage,
    plural: 'csidrivers',
    kind: 'CSIDriver',
    body: () => ({ spec: { attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: ['Persistent'] } }),
    change: { spec: { requiresRepublish: true } },
  },
  csiNode: {
    ...storage,
    plural: 'csinodes',
    kind: 'CSINode',
    body: (_i, name) => ({
      spec: { drivers: [{ name: 'csi.conformance.example.com', nodeID: name, topologyKeys: ['zone'] }] },
    }),
  },
  csiStorageCapacity: {
    groupVersion: 'storage.k8s.io/v1',
    plural: 'csistoragecapacities',
    kind: 'CSIStorageCapacity',
    body: () => ({ storageClassName: 'example', capacity: '1Gi', nodeTopology: { matchLabels: { zone: 'a' } } }),
    change: { capacity: '2Gi' },
  },
  storageClass: {
    ...storage,
    plural: 'storageclasses',
    kind: 'StorageClass',
    body: () => ({ provisioner: 'conformance.example.com/none', reclaimPolicy: 'Delete' }),
    change: { allowVolumeExpansion: true },
  },
  volumeAttachment: {
    ...storage,
    plural: 'volumeattachments',
    kind: 'VolumeAttachment',
    body: (_i, name) => ({
      spec: {
        attacher: 'csi.conformance.example.com',
        nodeName: 'no-such-node',
        source: { persistentVolumeName: name },
      },
    }),
  },
  volumeAttributesClass: {
    ...storage,
    plural: 'volumeattributesclasses',
    kind: 'VolumeAttributesClass',
    body: () => ({ driverName: 'csi.conformance.example.com', parameters: { iops: '100' } }),
  },
  limitRange: {
    groupVersion: 'v1',
    plural: 'limitranges',
    kind: 'LimitRange',
    body: () => ({
      spec: { limits: [{ type: 'Container', default: { cpu: '500m' }, defaultRequest: { cpu: '50m' } }] },
    }),
    change: { spec: { limits: [{ type: 'Container', max: { cpu: '2' } }] } },
  },
  resourceQuota: {
    groupVersion: 'v1',
    plural: 'resourcequotas',
    kind: 'ResourceQuota',
    body: () => ({ spec: { hard: { cpu: '1', memory: '500Mi' } } }),
    change: { spec: { hard: { memory: '750Mi' } } },
  },
  persistentVolume: {
    groupVersion: 'v1',
    clusterScoped: true,
    plural: 'persistentvolumes',
    kind: 'PersistentVolume',
    body: () => ({
      spec: {
        accessModes: ['ReadWriteOnce'],
        capacity: { storage: '1Gi' },
        persistentVolumeReclaimPolicy: 'Retain',
        storageClassName: 'no-such-class',
        hostPath: { path: '/tmp/conformance' },
      },
    }),
    change: { spec: { persistentVolumeReclaimPolicy: 'Delete' } },
  },
  volumeClaim: {
    groupVersion: 'v1',
    plural: 'persistentvolumeclaims',
    kind: 'PersistentVolumeClaim',
    body: () => ({
      spec: {
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '1Gi' } },
        storageClassName: 'no-such-class',
      },
    }),
  },
  node: {
    groupVersion: 'v1',
    clusterScoped: true,
    plural: 'nodes',
    kind: 'Node',
    body: () => ({ spec: { unschedulable: true } }),
  },
  csiInlinePod: {
    groupVersion: 'v1',
    plural: 'pods',
    kind: 'Pod',
    body: () => ({
      spec: {
        ...podSpec(),
        nodeSelector: { 'conformance.example.com/no-such-node': 'true' },
        volumes: [{ name: 'inline', csi: { driver: 'csi.conformance.example.com', volumeAttributes: { foo: 'bar' } } }],
      },
    }),
  },
  service: {
    groupVersion: 'v1',
    plural: 'services',
    kind: 'Service',
    body: () => ({ spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }], selector: { app: 'none' } } }),
    change: { spec: { sessionAffinity: 'ClientIP' } },
  },
} as const satisfies Readonly<Record<string, Fixture>>;

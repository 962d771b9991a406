/** The exact texts of Kubernetes 1.32 for what is wrong with an object, by kind. */
import assert from 'node:assert/strict';
import { applyDefaults } from '../../../../src/api/defaults/defaults.js';
import { decodeObject } from '../../../../src/api/schema/decode.js';
import { KindRegistry } from '../../../../src/api/schema/registry.js';
import { prepareForCreate, prepareForUpdate } from '../../../../src/api/strategy/strategy.js';
import { validateCreate, validateUpdate } from '../../../../src/api/validation/validate.js';
import { FIXTURES } from '../../../integration/apiserver/kind-fixtures.js';

// Tests edit whatever field they like.
// oxlint-disable-next-line typescript/no-explicit-any
type Loose = any;
type Edit = (object: Loose) => void;
type Case = readonly [kind: string, edit: Edit, ...errors: string[]];

const registry = KindRegistry.load();

function infoOf(key: string) {
  const [group = '', version = '', resource = ''] = key.split('/');
  const info = registry.find(group, version, resource);
  assert.ok(info, key);
  return info;
}

function made(key: string, edit: Edit) {
  const info = infoOf(key);
  const fixture = FIXTURES[key];
  const metadata = { name: fixture?.name ?? 'x', ...(info.namespaced ? { namespace: 'default' } : {}) };
  const input: Loose = structuredClone({ metadata, ...fixture?.body });
  edit(input);
  const { object } = decodeObject(info, input, 'Strict');
  applyDefaults(info, object);
  prepareForCreate(info, object, { nowMs: 0, uid: 'u-1', nameSuffix: 'abcde' });
  return { info, object };
}

const texts = (errors: readonly { field: string; message: string }[]) =>
  errors.map(({ field, message }) => `${field}: ${message}`);

const INVALID: readonly Case[] = [
  ['/v1/persistentvolumes', (o) => delete o.spec.hostPath, 'spec: Required value: must specify a volume type'],
  [
    '/v1/persistentvolumes',
    (o) => (o.spec.nfs = { server: 's', path: 'p' }),
    'spec.nfs: Forbidden: may not specify more than 1 volume type',
    'spec.nfs.path: Invalid value: "p": must be an absolute path',
  ],
  [
    '/v1/persistentvolumes',
    (o) => (o.spec.capacity.storage = '0'),
    'spec.capacity[storage]: Invalid value: "0": must be greater than zero',
  ],
  [
    '/v1/persistentvolumeclaims',
    (o) => (o.spec = {}),
    'spec.accessModes: Required value: at least 1 access mode is required',
    'spec.resources[storage]: Required value',
  ],
  [
    '/v1/persistentvolumeclaims',
    (o) => (o.spec.accessModes = ['ReadWriteOncePod', 'ReadOnlyMany']),
    'spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes',
  ],
  ['storage.k8s.io/v1/storageclasses', (o) => delete o.provisioner, 'provisioner: Required value'],
  [
    'storage.k8s.io/v1/storageclasses',
    (o) => (o.reclaimPolicy = 'Recycle'),
    'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
  ],
  [
    'storage.k8s.io/v1/volumeattachments',
    (o) => (o.spec.source = {}),
    'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName',
  ],
  [
    'storage.k8s.io/v1/csidrivers',
    (o) => (o.spec.tokenRequests = [{ audience: 'a', expirationSeconds: 5 }]),
    'spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes',
  ],
  ['storage.k8s.io/v1/csinodes', (o) => delete o.spec.drivers[0].nodeID, 'spec.drivers[0].nodeID: Required value'],
  [
    'storage.k8s.io/v1/csistoragecapacities',
    (o) => (o.capacity = '-1'),
    'capacity: Invalid value: "-1": must be greater than or equal to 0',
  ],
  [
    'networking.k8s.io/v1/ingresses',
    (o) => (o.spec = {}),
    'spec: Invalid value: []networking.IngressRule(nil): either `defaultBackend` or `rules` must be specified',
  ],
  [
    'networking.k8s.io/v1/ingresses',
    (o) =>
      (o.spec = { rules: [{ host: '1.2.3.4', http: { paths: [{ path: 'x', pathType: 'Prefix', backend: {} }] } }] }),
    'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
    'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
    'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required',
  ],
  [
    'networking.k8s.io/v1/ingressclasses',
    (o) => (o.spec.controller = 'foo'),
    'spec.controller: Invalid value: "foo": must be a domain-prefixed path (such as "acme.io/foo")',
  ],
  [
    'networking.k8s.io/v1/networkpolicies',
    (o) => (o.spec.ingress = [{ ports: [{ port: 80, endPort: 70 }], from: [{}] }]),
    'spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`',
    'spec.ingress[0].from[0]: Required value: must specify a peer',
  ],
  [
    'networking.k8s.io/v1/networkpolicies',
    (o) => (o.spec.egress = [{ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }] }]),
    'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
  ],
  [
    'autoscaling/v2/horizontalpodautoscalers',
    (o) => Object.assign(o.spec, { minReplicas: 5, metrics: [{ type: 'Resource' }] }),
    'spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`',
    'spec.metrics[0].resource: Required value: must populate information for the given metric source',
  ],
  [
    'autoscaling/v1/horizontalpodautoscalers',
    (o) => (o.spec.maxReplicas = 0),
    'spec.maxReplicas: Invalid value: 0: must be greater than 0',
    'spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`',
  ],
  [
    'policy/v1/poddisruptionbudgets',
    (o) => (o.spec.minAvailable = '120%'),
    'spec.minAvailable: Invalid value: "120%": must not be greater than 100%',
  ],
  [
    'scheduling.k8s.io/v1/priorityclasses',
    (o) => (o.value = 1000000001),
    'value: Forbidden: maximum allowed value of a user defined priority is 1000000000',
  ],
  [
    'node.k8s.io/v1/runtimeclasses',
    (o) => (o.overhead = { podFixed: { cpu: '-1' } }),
    'overhead.podFixed[cpu]: Invalid value: "-1": must be greater than or equal to 0',
  ],
  [
    'coordination.k8s.io/v1/leases',
    (o) => (o.spec.leaseDurationSeconds = 0),
    'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0',
  ],
  [
    '/v1/limitranges',
    (o) => (o.spec.limits[0].min = { cpu: '3' }),
    'spec.limits[0].min[cpu]: Invalid value: "3": min value 3 is greater than max value 2',
    'spec.limits[0].defaultRequest[cpu]: Invalid value: "2": min value 3 is greater than default request value 2',
    'spec.limits[0].default[cpu]: Invalid value: "3": min value 3 is greater than default value 2',
  ],
  [
    '/v1/resourcequotas',
    (o) => Object.assign(o.spec, { hard: { foo: '1', pods: '-1' } }),
    'spec.hard[foo]: Invalid value: "foo": must be a standard resource for quotas',
    'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0',
  ],
  [
    'batch/v1/cronjobs',
    (o) => Object.assign(o.spec, { schedule: '99 * * * *', timeZone: 'Nowhere/Land' }),
    'spec.schedule: Invalid value: "99 * * * *": end of range (99) above maximum (59): 99',
    'spec.timeZone: Invalid value: "Nowhere/Land": unknown time zone Nowhere/Land',
  ],
  [
    'batch/v1/cronjobs',
    (o) => (o.spec.schedule = 'TZ=UTC 0 * * * *'),
    'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
  ],
  [
    'batch/v1/jobs',
    (o) => delete o.spec.template.spec.restartPolicy,
    'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
  ],
  [
    'batch/v1/jobs',
    (o) => Object.assign(o.spec, { completionMode: 'Indexed', parallelism: 2 }),
    'spec.completions: Required value: when completion mode is Indexed',
  ],
  [
    'batch/v1/jobs',
    (o) => (o.spec.podFailurePolicy = { rules: [{ action: 'Ignore', onExitCodes: { operator: 'In', values: [0] } }] }),
    'spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator',
  ],
  ['apps/v1/controllerrevisions', (o) => delete o.data, 'data: Required value: data is mandatory'],
  [
    'apps/v1/deployments',
    (o) => (o.spec.template.spec.restartPolicy = 'Never'),
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ],
  ['events.k8s.io/v1/events', (o) => delete o.action, 'action: Required value'],
  [
    '/v1/events',
    (o) => (o.involvedObject.namespace = 'other'),
    'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
  ],
  [
    'rbac.authorization.k8s.io/v1/roles',
    (o) => (o.rules = [{ nonResourceURLs: ['/x'], verbs: [] }]),
    'rules[0].verbs: Required value: verbs must contain at least one value',
    'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
  ],
  [
    'admissionregistration.k8s.io/v1/validatingwebhookconfigurations',
    (o) => Object.assign(o.webhooks[0], { name: 'a', sideEffects: 'Some', timeoutSeconds: 31, clientConfig: {} }),
    'webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots',
    'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
    'webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds',
    'webhooks[0].clientConfig: Required value: exactly one of url or service is required',
  ],
  [
    'admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
    (o) => (o.spec.validationActions = ['Deny', 'Deny']),
    'spec.validationActions[1]: Duplicate value: "Deny"',
  ],
  [
    'flowcontrol.apiserver.k8s.io/v1/flowschemas',
    (o) => (o.spec.rules = [{ subjects: [] }]),
    'spec.rules[0].subjects: Required value: subjects must contain at least one value',
    'spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty',
  ],
  [
    'flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations',
    (o) => delete o.spec.limited,
    'spec.limited: Required value: must not be empty when type is Limited',
  ],
  [
    'apiregistration.k8s.io/v1/apiservices',
    (o) => (o.spec.versionPriority = 0),
    'spec.versionPriority: Invalid value: 0: must be positive and less than 1000',
  ],
  [
    '/v1/pods',
    (o) => (o.spec.volumes = [{ name: 'v', nfs: { server: 's', path: 'p' }, iscsi: {} }]),
    'spec.volumes[0].iscsi: Forbidden: may not specify more than 1 volume type',
    'spec.volumes[0].iscsi.targetPortal: Required value',
    'spec.volumes[0].iscsi.iqn: Required value',
    'spec.volumes[0].nfs.path: Invalid value: "p": must be an absolute path',
  ],
  [
    '/v1/pods',
    (o) => (o.spec.containers[0].env = [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.foo' } } }]),
    'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": error converting fieldPath: field label not supported: spec.foo',
  ],
  [
    '/v1/pods',
    (o) => (o.spec.containers[0].resources = { limits: { cpu: '1' }, requests: { cpu: '2', foo: '1' } }),
    'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    'spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
    'spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource for containers',
  ],
  [
    '/v1/pods',
    (o) =>
      (o.spec.securityContext = { runAsUser: -1, sysctls: [{ name: 'a b' }], seccompProfile: { type: 'Localhost' } }),
    'spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive',
    'spec.securityContext.sysctls[0].name: Invalid value: "a b": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$',
    'spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost',
  ],
  [
    '/v1/pods',
    (o) => (o.spec.topologySpreadConstraints = [{ maxSkew: 0, topologyKey: '', whenUnsatisfiable: 'No' }]),
    'spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero',
    'spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty',
    'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "No": supported values: "DoNotSchedule", "ScheduleAnyway"',
  ],
  [
    '/v1/pods',
    (o) => (o.spec.dnsConfig = { options: [{ value: 'x' }], nameservers: ['a'] }),
    'spec.dnsConfig.nameservers[0]: Invalid value: "a": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    'spec.dnsConfig.options[0]: Required value: must not be empty',
  ],
  [
    '/v1/pods',
    (o) => Object.assign(o.spec, { nodeName: 'n', schedulingGates: [{ name: 'a' }] }),
    'spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared',
  ],
];

const UNCHANGEABLE: readonly Case[] = [
  [
    'storage.k8s.io/v1/storageclasses',
    (o) => Object.assign(o, { provisioner: 'b.com/c', volumeBindingMode: 'WaitForFirstConsumer' }),
    'provisioner: Forbidden: updates to provisioner are forbidden.',
    'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
  ],
  [
    'storage.k8s.io/v1/csidrivers',
    (o) => (o.spec.attachRequired = true),
    'spec.attachRequired: Invalid value: true: field is immutable',
  ],
  ['node.k8s.io/v1/runtimeclasses', (o) => (o.handler = 'kata'), 'handler: Invalid value: "kata": field is immutable'],
  ['scheduling.k8s.io/v1/priorityclasses', (o) => (o.value = 7), 'value: Forbidden: may not be changed in an update.'],
  [
    'rbac.authorization.k8s.io/v1/rolebindings',
    (o) => (o.roleRef.name = 'other'),
    'roleRef: Invalid value: rbac.RoleRef{APIGroup:"rbac.authorization.k8s.io", Kind:"Role", Name:"other"}: cannot change roleRef',
  ],
  [
    'networking.k8s.io/v1/ingressclasses',
    (o) => (o.spec.controller = 'example.com/other'),
    'spec.controller: Invalid value: "example.com/other": field is immutable',
  ],
  ['apps/v1/controllerrevisions', (o) => (o.data = { a: 2 }), 'data: Invalid value: {"a":2}: field is immutable'],
  [
    '/v1/persistentvolumeclaims',
    (o) => (o.spec.accessModes = ['ReadWriteMany']),
    'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n' +
      '-\taccessModes: ["ReadWriteOnce"]\n+\taccessModes: ["ReadWriteMany"]\n',
  ],
  [
    '/v1/persistentvolumes',
    (o) => (o.spec.hostPath.path = '/other'),
    'spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n' +
      '-\thostPath: {"path":"/tmp/x","type":""}\n+\thostPath: {"path":"/other","type":""}\n',
  ],
  ['batch/v1/jobs', (o) => (o.spec.completions = 5), 'spec.completions: Invalid value: 5: field is immutable'],
  [
    'discovery.k8s.io/v1/endpointslices',
    (o) => Object.assign(o, { addressType: 'FQDN', endpoints: [] }),
    'addressType: Invalid value: "FQDN": field is immutable',
  ],
  ['events.k8s.io/v1/events', (o) => (o.reason = 'Other'), 'reason: Invalid value: "Other": field is immutable'],
  [
    '/v1/resourcequotas',
    (o) => (o.spec.scopes = ['Terminating']),
    'spec.scopes: Invalid value: ["Terminating"]: field is immutable',
  ],
  [
    'apps/v1/statefulsets',
    (o) => (o.spec.serviceName = 'other'),
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
  ],
];

describe('validation of every kind', () => {
  for (const [key, edit, ...expected] of INVALID) {
    it(`refuses ${key}: ${expected[0]?.slice(0, 90)}`, () => {
      const { info, object } = made(key, edit);
      assert.deepEqual(texts(validateCreate(info, object)), expected);
    });
  }

  for (const [key, edit, ...expected] of UNCHANGEABLE) {
    it(`keeps ${key}: ${expected[0]?.slice(0, 90)}`, () => {
      const { info, object: old } = made(key, () => undefined);
      const { object } = decodeObject(info, structuredClone(old), 'Strict');
      edit(object);
      applyDefaults(info, object);
      const next = prepareForUpdate(info, object, old, '');
      assert.deepEqual(texts(validateUpdate(info, next, old, '')), expected);
    });
  }

  it('lets a claim grow once it is bound, and not shrink below what it has', () => {
    const { info, object } = made('/v1/persistentvolumeclaims', () => undefined);
    const old: Loose = { ...object, status: { phase: 'Bound', capacity: { storage: '1Gi' } } };
    const sized = (storage: string): Loose => {
      const next: Loose = structuredClone(old);
      next.spec.resources.requests.storage = storage;
      return next;
    };
    assert.deepEqual(texts(validateUpdate(info, sized('2Gi'), old, '')), []);
    assert.deepEqual(texts(validateUpdate(info, sized('512Mi'), old, '')), [
      'spec.resources.requests.storage: Forbidden: field can not be less than status.capacity',
    ]);
  });

  it('lets the place of gated pods be narrowed down only', () => {
    const { info, object: old } = made('/v1/pods', (pod) =>
      Object.assign(pod.spec, { schedulingGates: [{ name: 'a' }], nodeSelector: { x: '1' } }),
    );
    const changed = (nodeSelector: object): Loose => {
      const next: Loose = structuredClone(old);
      next.spec.nodeSelector = nodeSelector;
      return next;
    };
    assert.deepEqual(texts(validateUpdate(info, changed({ x: '1', y: '2' }), old, '')), []);
    assert.deepEqual(texts(validateUpdate(info, changed({ y: '2' }), old, '')), [
      'spec.nodeSelector: Invalid value: {"y":"2"}: only additions are allowed to spec.nodeSelector (no mutations or deletions)',
    ]);
  });
});

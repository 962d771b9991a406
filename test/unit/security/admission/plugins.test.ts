import assert from 'node:assert/strict';
import { ApiError } from '../../../../src/api/errors.js';
import type { KubeObject } from '../../../../src/api/object.js';
import type { Node, PersistentVolumeClaim, Pod, PodSpec } from '../../../../src/api/types/core-v1.js';
import type { Ingress } from '../../../../src/api/types/networking-v1.js';
import type { AdmissionAttributes, AdmissionPlugin } from '../../../../src/security/admission/admission.js';
import { defaultIngressClass } from '../../../../src/security/admission/default-ingress-class.js';
import { defaultTolerationSeconds } from '../../../../src/security/admission/default-toleration-seconds.js';
import { namespaceLifecycle } from '../../../../src/security/admission/namespace-lifecycle.js';
import { priorityAdmission } from '../../../../src/security/admission/priority.js';
import { runtimeClass } from '../../../../src/security/admission/runtime-class.js';
import {
  defaultStorageClass,
  persistentVolumeClaimResize,
  storageObjectInUseProtection,
} from '../../../../src/security/admission/storage.js';
import { taintNodesByCondition } from '../../../../src/security/admission/taint-nodes.js';
import { attributes, lookups } from './attributes.js';

type State = Parameters<typeof lookups>[0];

/** Runs the plugin as the chain does. The refusal's text, or `allowed`. */
function outcome(plugin: AdmissionPlugin, request: AdmissionAttributes, state: State = {}): string {
  if (!plugin.handles(request)) return 'not handled';
  try {
    plugin.admit?.(request, lookups(state));
    plugin.validate?.(request, lookups(state));
    return 'allowed';
  } catch (error) {
    if (error instanceof ApiError) return `${error.code} ${error.message}`;
    throw error;
  }
}

const named = (name: string, more: object = {}): KubeObject => ({ metadata: { name }, ...more });
const pod = (spec: Partial<PodSpec> = {}): Pod & { spec: PodSpec } => ({
  metadata: { namespace: 'ns', name: 'p' },
  spec: { containers: [], ...spec },
});

describe('NamespaceLifecycle', () => {
  const namespaces = [
    named('ns', { status: { phase: 'Active' } }),
    { metadata: { name: 'going', deletionTimestamp: '2026-01-01T00:00:00Z' }, status: { phase: 'Terminating' } },
  ];
  const create = (namespace: string, more: Partial<AdmissionAttributes> = {}) =>
    outcome(namespaceLifecycle, attributes('configmaps', { metadata: { namespace, name: 'c' } }, more), { namespaces });

  it('takes new objects into namespaces that are there to stay', () => {
    assert.equal(create('ns'), 'allowed');
    assert.equal(create('nope'), '404 namespaces "nope" not found');
    assert.equal(
      create('going'),
      '403 configmaps "c" is forbidden: unable to create new content in namespace going because it is being terminated',
    );
    assert.equal(create('nope', { resource: 'localsubjectaccessreviews' }), 'allowed');
    assert.equal(create('going', { operation: 'UPDATE' }), 'not handled');
  });

  it('keeps the namespaces that the cluster needs', () => {
    const remove = (name: string) =>
      outcome(
        namespaceLifecycle,
        attributes('namespaces', undefined, { operation: 'DELETE', name, oldObject: named(name) }),
      );
    for (const name of ['default', 'kube-system', 'kube-public']) {
      assert.equal(remove(name), `403 namespaces "${name}" is forbidden: this namespace may not be deleted`);
    }
    assert.equal(remove('other'), 'allowed');
  });
});

describe('Priority', () => {
  const classes = [
    named('high', { value: 1000, preemptionPolicy: 'Never' }),
    named('usual', { value: 5, globalDefault: true }),
  ];
  const cases: readonly (readonly [
    what: string,
    spec: Partial<PodSpec>,
    priorityclasses: KubeObject[],
    expected: unknown,
  ])[] = [
    ['no class', {}, [], [undefined, 0, 'PreemptLowerPriority']],
    ['the default class', {}, classes, ['usual', 5, 'PreemptLowerPriority']],
    ['a class', { priorityClassName: 'high' }, classes, ['high', 1000, 'Never']],
    [
      'a system class',
      { priorityClassName: 'system-node-critical' },
      [],
      ['system-node-critical', 2_000_001_000, 'PreemptLowerPriority'],
    ],
    [
      'an unknown class',
      { priorityClassName: 'x' },
      classes,
      '403 pods "p" is forbidden: no PriorityClass with name x was found',
    ],
    [
      'a property of every object',
      { priorityClassName: 'constructor' },
      [],
      '403 pods "p" is forbidden: no PriorityClass with name constructor was found',
    ],
    [
      'a number of its own',
      { priority: 7 },
      [],
      '403 pods "p" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name',
    ],
    [
      'a policy of its own',
      { priorityClassName: 'high', preemptionPolicy: 'PreemptLowerPriority' },
      classes,
      '403 pods "p" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name',
    ],
  ];
  for (const [what, spec, priorityclasses, expected] of cases) {
    it(`resolves ${what}`, () => {
      const object = pod(spec);
      const result = outcome(priorityAdmission, attributes('pods', object), { priorityclasses });
      const { priorityClassName, priority, preemptionPolicy } = object.spec;
      assert.deepEqual(result === 'allowed' ? [priorityClassName, priority, preemptionPolicy] : result, expected);
    });
  }

  it('keeps what an update leaves out', () => {
    const object = pod();
    const oldObject = pod({ priority: 3, preemptionPolicy: 'Never' });
    assert.equal(outcome(priorityAdmission, attributes('pods', object, { operation: 'UPDATE', oldObject })), 'allowed');
    assert.deepEqual([object.spec.priority, object.spec.preemptionPolicy], [3, 'Never']);
  });

  it('keeps the classes of the system', () => {
    const remove = (name: string) => {
      const request = { operation: 'DELETE', group: 'scheduling.k8s.io', name } as const;
      return outcome(priorityAdmission, attributes('priorityclasses', undefined, request));
    };
    assert.equal(remove('high'), 'allowed');
    assert.match(remove('system-node-critical'), /403 .*this is a system priority class and cannot be deleted/);
  });

  it('lets there be one default class', () => {
    const make = (name: string) =>
      outcome(
        priorityAdmission,
        attributes('priorityclasses', named(name, { value: 1, globalDefault: true }), { group: 'scheduling.k8s.io' }),
        { priorityclasses: classes },
      );
    assert.equal(
      make('second'),
      '403 priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass usual is already marked as default. Only one default can exist',
    );
    assert.equal(make('usual'), 'allowed');
  });
});

describe('DefaultTolerationSeconds', () => {
  it('adds what the pod does not tolerate for ever', () => {
    const plugin = defaultTolerationSeconds({ notReadySeconds: 5, unreachableSeconds: 6 });
    const object = pod({
      tolerations: [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' }],
    });
    assert.equal(outcome(plugin, attributes('pods', object)), 'allowed');
    assert.deepEqual(object.spec.tolerations?.slice(1), [
      { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 6 },
    ]);
    assert.equal(
      outcome(plugin, attributes('pods', pod(), { subresource: 'status', operation: 'UPDATE' })),
      'not handled',
    );
  });
});

describe('TaintNodesByCondition', () => {
  it('taints a new node once', () => {
    const node: Node = { metadata: { name: 'n' }, spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] } };
    for (let time = 0; time < 2; time++)
      assert.equal(outcome(taintNodesByCondition, attributes('nodes', node)), 'allowed');
    assert.deepEqual(node.spec?.taints, [
      { key: 'a', effect: 'NoSchedule' },
      { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' },
    ]);
  });
});

describe('RuntimeClass', () => {
  const runtimeclasses = [
    named('heavy', { handler: 'h', overhead: { podFixed: { cpu: '10m' } }, scheduling: { nodeSelector: { a: 'b' } } }),
    named('plain', { handler: 'h' }),
  ];
  const make = (spec: Partial<PodSpec>) => outcome(runtimeClass, attributes('pods', pod(spec)), { runtimeclasses });
  const cases: readonly (readonly [spec: Partial<PodSpec>, expected: string])[] = [
    [{}, 'not handled'],
    [{ runtimeClassName: 'plain' }, 'allowed'],
    [{ runtimeClassName: 'nope' }, '403 pods "p" is forbidden: pod rejected: RuntimeClass "nope" not found'],
    [
      { runtimeClassName: 'heavy', overhead: { cpu: '1' } },
      `403 pods "p" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead`,
    ],
    [
      { runtimeClassName: 'plain', overhead: { cpu: '1' } },
      '403 pods "p" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead',
    ],
    [
      { runtimeClassName: 'heavy', nodeSelector: { a: 'c' } },
      '403 pods "p" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c',
    ],
  ];
  for (const [spec, expected] of cases) {
    it(`answers ${JSON.stringify(spec)}`, () => assert.equal(make(spec), expected));
  }
});

describe('admission of storage', () => {
  const isDefault = { 'storageclass.kubernetes.io/is-default-class': 'true' };
  const storageclasses: KubeObject[] = [
    { metadata: { name: 'old', creationTimestamp: '2026-01-01T00:00:00Z', annotations: isDefault } },
    { metadata: { name: 'new', creationTimestamp: '2026-02-01T00:00:00Z', annotations: isDefault } },
    { metadata: { name: 'newest', creationTimestamp: '2026-03-01T00:00:00Z' } },
    named('grows', { allowVolumeExpansion: true }),
  ];
  const claim = (spec: PersistentVolumeClaim['spec'] = {}, more: object = {}): PersistentVolumeClaim => ({
    metadata: { namespace: 'ns', name: 'c' },
    spec,
    ...more,
  });

  it('gives a claim without class the newest default, and leaves one that wants none', () => {
    const classOf = (object: PersistentVolumeClaim) => {
      outcome(defaultStorageClass, attributes('persistentvolumeclaims', object), { storageclasses });
      return object.spec?.storageClassName;
    };
    assert.equal(classOf(claim()), 'new');
    assert.equal(classOf(claim({ storageClassName: '' })), '');
    assert.equal(classOf(claim({ storageClassName: 'other' })), 'other');
  });

  it('protects claims and volumes', () => {
    for (const [resource, finalizer] of [
      ['persistentvolumeclaims', 'kubernetes.io/pvc-protection'],
      ['persistentvolumes', 'kubernetes.io/pv-protection'],
    ] as const) {
      const object = named('x');
      outcome(storageObjectInUseProtection, attributes(resource, object));
      assert.deepEqual(object.metadata.finalizers, [finalizer]);
    }
    assert.equal(outcome(storageObjectInUseProtection, attributes('pods', pod())), 'not handled');
  });

  it('lets bound claims grow where their class allows it', () => {
    const sized = (storage: string, storageClassName: string, phase = 'Bound') =>
      claim({ storageClassName, resources: { requests: { storage } } }, { status: { phase } });
    const grow = (old: PersistentVolumeClaim, to: string, storageClassName: string) =>
      outcome(
        persistentVolumeClaimResize,
        attributes('persistentvolumeclaims', sized(to, storageClassName), { operation: 'UPDATE', oldObject: old }),
        { storageclasses },
      );
    assert.equal(grow(sized('1Gi', 'grows'), '2Gi', 'grows'), 'allowed');
    assert.equal(grow(sized('1Gi', 'old'), '1Gi', 'old'), 'allowed');
    assert.match(
      grow(sized('1Gi', 'grows', 'Pending'), '2Gi', 'grows'),
      /Only bound persistent volume claims can be expanded/,
    );
    assert.match(grow(sized('1Gi', 'old'), '2Gi', 'old'), /403 .*only dynamically provisioned pvc can be resized/);
  });
});

describe('DefaultIngressClass', () => {
  it('gives an Ingress without class the default one', () => {
    const ingressclasses = [
      { metadata: { name: 'main', annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } } },
      named('other'),
    ];
    const classOf = (object: Ingress) => {
      outcome(defaultIngressClass, attributes('ingresses', object, { group: 'networking.k8s.io' }), { ingressclasses });
      return object.spec?.ingressClassName;
    };
    assert.equal(classOf({ metadata: { name: 'i' }, spec: {} }), 'main');
    assert.equal(classOf({ metadata: { name: 'i' }, spec: { ingressClassName: 'other' } }), 'other');
    const annotations = { 'kubernetes.io/ingress.class': 'x' };
    assert.equal(classOf({ metadata: { name: 'i', annotations }, spec: {} }), undefined);
  });
});

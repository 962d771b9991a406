/** Decoding, defaults, strategy and validation together, as a write passes them. */
import assert from 'node:assert/strict';
import { applyDefaults } from '../../../src/api/defaults/defaults.js';
import { ApiError, invalid } from '../../../src/api/errors.js';
import type { KubeObject } from '../../../src/api/object.js';
import { decodeObject } from '../../../src/api/schema/decode.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { fromScale, toScale } from '../../../src/api/strategy/scale.js';
import { prepareForCreate, prepareForUpdate } from '../../../src/api/strategy/strategy.js';
import { validateCreate, validateUpdate } from '../../../src/api/validation/validate.js';

// Tests edit whatever field they like.
// oxlint-disable-next-line typescript/no-explicit-any
type Loose = any;

const registry = KindRegistry.load();
const infoOf = (group: string, kind: string, version = 'v1') => {
  const info = registry.byKind(group, version, kind);
  assert.ok(info, kind);
  return info;
};

function create(group: string, kind: string, input: object) {
  const info = infoOf(group, kind);
  const { object } = decodeObject(info, structuredClone(input), 'Strict');
  applyDefaults(info, object);
  prepareForCreate(info, object, { nowMs: 0, uid: 'u-1', nameSuffix: 'abcde' });
  return { info, object, errors: validateCreate(info, object).map(({ field, message }) => `${field}: ${message}`) };
}

function change(group: string, kind: string, old: KubeObject, edit: (object: Loose) => void, subresource = '') {
  const info = infoOf(group, kind);
  const input = structuredClone(old);
  edit(input);
  const { object } = decodeObject(info, input, 'Strict');
  applyDefaults(info, object);
  const result = prepareForUpdate(info, object, old, subresource);
  const errors = validateUpdate(info, result, old, subresource);
  return { object: result, errors: errors.map(({ field, message }) => `${field}: ${message}`) };
}

const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'nginx' }] } };
const web = {
  metadata: { name: 'web', namespace: 'default' },
  spec: { selector: { matchLabels: { app: 'web' } }, template },
};
const webPod = { metadata: { name: 'p', namespace: 'default' }, spec: template.spec };

describe('decoding', () => {
  const decode = (group: string, kind: string, input: unknown) => () =>
    decodeObject(infoOf(group, kind), input, 'Strict');

  it('words wrong types and unknown fields as Go does', () => {
    assert.throws(
      decode('apps', 'Deployment', { spec: { replicas: '3' } }),
      /^ApiError: Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec\.spec\.replicas of type int32$/,
    );
    assert.throws(
      decode('', 'Pod', { spec: { containers: [{ name: 'a', imagee: 'x' }], foo: 1 } }),
      /strict decoding error: unknown field "spec\.containers\[0\]\.imagee", unknown field "spec\.foo"$/,
    );
    assert.throws(
      decode('', 'Pod', { spec: { containers: { name: 'a' } } }),
      /cannot unmarshal object into Go struct field PodSpec\.spec\.containers of type \[\]v1\.Container/,
    );
    assert.throws(decode('', 'Pod', []), (error) => error instanceof ApiError && error.code === 400);
    assert.throws(decode('', 'Pod', null), ApiError);
    assert.throws(decode('', 'Secret', { data: { a: '?' } }), /illegal base64 data at input byte 0/);
    assert.throws(decode('', 'Pod', { metadata: { creationTimestamp: 'x' } }), /parsing time/);
    assert.throws(
      decode('', 'Pod', { spec: { containers: [{ resources: { limits: { cpu: 'x' } } }] } }),
      /quantities must match/,
    );
  });

  it('drops what Go leaves out, so that equal objects have equal JSON', () => {
    const { object, warnings } = decodeObject(
      infoOf('', 'Pod'),
      {
        metadata: { name: 'p', creationTimestamp: null, labels: {} },
        spec: {
          hostNetwork: false,
          nodeName: '',
          securityContext: {},
          activeDeadlineSeconds: 0,
          containers: [{ name: 'c', tty: false, args: [] }],
          x: 1,
        },
      },
      'Warn',
    );
    assert.deepEqual(object, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { securityContext: {}, activeDeadlineSeconds: 0, containers: [{ name: 'c' }] },
    });
    assert.deepEqual(warnings, ['unknown field "spec.x"']);
  });

  it('survives hostile keys and nesting', () => {
    const { object } = decodeObject(
      infoOf('', 'ConfigMap'),
      JSON.parse('{"data":{"__proto__":"x","constructor":"y"}}'),
      'Strict',
    );
    assert.deepEqual(Object.keys((object as unknown as { data: object }).data), ['__proto__', 'constructor']);
    let schema: object = {};
    for (let i = 0; i < 5000; i++) schema = { not: schema };
    assert.throws(
      decode('apiextensions.k8s.io', 'CustomResourceDefinition', {
        spec: { versions: [{ schema: { openAPIV3Schema: schema } }] },
      }),
      { code: 400 },
    );
  });
});

describe('defaults', () => {
  it('of a pod are those of upstream', () => {
    const { object } = create('', 'Pod', {
      metadata: webPod.metadata,
      spec: {
        containers: [
          {
            name: 'c',
            image: 'nginx:1.27',
            resources: { limits: { cpu: '1' } },
            livenessProbe: { tcpSocket: { port: 80 } },
          },
        ],
        volumes: [{ name: 'v' }],
      },
    });
    assert.deepEqual(object.spec, {
      containers: [
        {
          name: 'c',
          image: 'nginx:1.27',
          resources: { limits: { cpu: '1' }, requests: { cpu: '1' } },
          livenessProbe: {
            tcpSocket: { port: 80 },
            timeoutSeconds: 1,
            periodSeconds: 10,
            successThreshold: 1,
            failureThreshold: 3,
          },
          imagePullPolicy: 'IfNotPresent',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
        },
      ],
      volumes: [{ name: 'v', emptyDir: {} }],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      securityContext: {},
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
    });
    assert.deepEqual(object.status, { phase: 'Pending', qosClass: 'Burstable' });
  });

  it('are idempotent for every kind, and an empty object of every kind passes', () => {
    for (const info of registry.all()) {
      const { object } = decodeObject(info, { metadata: { name: 'x' } }, 'Strict');
      const once = structuredClone(applyDefaults(info, object));
      assert.deepEqual(applyDefaults(info, object), once, info.kind);
      validateCreate(info, object);
    }
  });

  it('of other kinds', () => {
    const { object: secret } = create('', 'Secret', {
      metadata: { name: 's', namespace: 'd' },
      stringData: { a: 'hello' },
    });
    assert.deepEqual((secret as unknown as { data: unknown }).data, { a: 'aGVsbG8=' });
    const { object: namespace, errors } = create('', 'Namespace', { metadata: { generateName: 'ns-' } });
    assert.deepEqual(errors, []);
    assert.deepEqual(namespace.metadata.labels, { 'kubernetes.io/metadata.name': 'ns-abcde' });
    assert.deepEqual([namespace.spec, namespace.status], [{ finalizers: ['kubernetes'] }, { phase: 'Active' }]);
    const { object: service } = create('', 'Service', {
      metadata: { name: 's', namespace: 'd' },
      spec: { ports: [{ port: 80 }] },
    });
    assert.deepEqual(service.spec, {
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
    });
  });
});

describe('strategy', () => {
  it('counts generations only when what is asked for changes', () => {
    const { object } = create('apps', 'Deployment', { ...web, status: { replicas: 7 } });
    assert.equal(object.metadata.generation, 1);
    assert.deepEqual(object.status, {});
    assert.equal(object.metadata.creationTimestamp, '1970-01-01T00:00:00Z');
    assert.equal(
      change('apps', 'Deployment', object, (d) => (d.metadata.labels = { a: 'b' })).object.metadata.generation,
      1,
    );
    assert.equal(change('apps', 'Deployment', object, (d) => (d.spec.replicas = 3)).object.metadata.generation, 2);
    const status = change(
      'apps',
      'Deployment',
      object,
      (d) => {
        d.status = { replicas: 2 };
        d.spec.replicas = 9;
      },
      'status',
    ).object;
    assert.deepEqual(
      [status.metadata.generation, status.status, (status.spec as { replicas: number }).replicas],
      [1, { replicas: 2 }, 1],
    );
    assert.deepEqual(change('apps', 'Deployment', object, (d) => (d.status = { replicas: 2 })).object.status, {});
  });

  it('scales', () => {
    const { object, info } = create('apps', 'Deployment', web);
    const scale = toScale(info, object);
    assert.deepEqual([scale.spec, scale.status], [{ replicas: 1 }, { replicas: 0, selector: 'app=web' }]);
    const scaled = fromScale(info, object, { ...scale, spec: { replicas: 0 } });
    assert.equal((scaled.spec as { replicas: number }).replicas, 0);
    assert.equal(scaled.metadata.generation, 2);
  });

  it('a Service that is replaced keeps its addresses', () => {
    const { object } = create('', 'Service', {
      metadata: { name: 's', namespace: 'd' },
      spec: { type: 'NodePort', clusterIP: '10.96.0.9', ports: [{ port: 80, nodePort: 30080 }] },
    });
    assert.deepEqual((object.spec as { clusterIPs: string[] }).clusterIPs, ['10.96.0.9']);
    const kept = change('', 'Service', object, (s) => {
      delete s.spec.clusterIP;
      delete s.spec.clusterIPs;
      delete s.spec.ports[0].nodePort;
    });
    assert.deepEqual(kept.object.spec, object.spec);
    assert.match(
      change('', 'Service', object, (s) => (s.spec.clusterIP = '10.96.0.10')).errors.join(),
      /may not change once set/,
    );
  });

  it('a Job selects its own pods', () => {
    const spec = { template: { spec: { ...template.spec, restartPolicy: 'Never' } } };
    const { object, errors } = create('batch', 'Job', { metadata: { name: 'j', namespace: 'd' }, spec });
    assert.deepEqual(errors, []);
    assert.deepEqual((object.spec as { selector: unknown }).selector, {
      matchLabels: { 'batch.kubernetes.io/controller-uid': 'u-1' },
    });
  });
});

describe('validation', () => {
  it('passes ordinary objects', () => {
    assert.deepEqual(create('apps', 'Deployment', web).errors, []);
    assert.deepEqual(create('', 'Pod', webPod).errors, []);
  });

  it('words name errors as upstream', () => {
    const { info, errors } = create('', 'Pod', { ...webPod, metadata: { name: 'Foo', namespace: 'default' } });
    assert.deepEqual(errors, [
      `metadata.name: Invalid value: "Foo": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
    ]);
    assert.match(invalid(info, 'Foo', []).message, /^Pod "Foo" is invalid/);
  });

  it('finds what is wrong with a pod', () => {
    const { errors } = create('', 'Pod', {
      metadata: { name: 'p', namespace: 'd', labels: { 'a b': 'c d' } },
      spec: {
        restartPolicy: 'Sometimes',
        containers: [
          {
            name: 'c',
            image: 'x',
            volumeMounts: [{ name: 'none', mountPath: '/x' }],
            ports: [{ containerPort: 99999 }],
          },
          { name: 'c', resources: { requests: { cpu: '2' }, limits: { cpu: '1' } }, livenessProbe: {} },
        ],
      },
    });
    const expected = [
      /^metadata\.labels: Invalid value: "a b": name part must consist/,
      /^metadata\.labels: Invalid value: "c d": a valid label must be/,
      /^spec\.containers\[0\]\.ports\[0\]\.containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive$/,
      /^spec\.containers\[0\]\.volumeMounts\[0\]\.name: Not found: "none"$/,
      /^spec\.containers\[1\]\.name: Duplicate value: "c"$/,
      /^spec\.containers\[1\]\.image: Required value$/,
      /^spec\.containers\[1\]\.resources\.requests: Invalid value: "2": must be less than or equal to cpu limit of 1$/,
      /^spec\.containers\[1\]\.livenessProbe: Required value: must specify a handler type$/,
      /^spec\.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"$/,
    ];
    for (const pattern of expected)
      assert.ok(
        errors.some((text) => pattern.test(text)),
        `${pattern} in\n${errors.join('\n')}`,
      );
    assert.equal(errors.length, expected.length, errors.join('\n'));
  });

  it('freezes a pod except its images, deadline and new tolerations', () => {
    const { object } = create('', 'Pod', webPod);
    assert.deepEqual(change('', 'Pod', object, (p) => (p.spec.containers[0].image = 'nginx:2')).errors, []);
    assert.deepEqual(
      change('', 'Pod', object, (p) => (p.spec.tolerations = [{ key: 'a', operator: 'Exists' }])).errors,
      [],
    );
    assert.match(
      change('', 'Pod', object, (p) => (p.spec.hostNetwork = true)).errors.join(),
      /^spec: Forbidden: pod updates may not change fields other than/,
    );
    assert.match(
      change('', 'Pod', object, (p) => p.spec.containers.push({ name: 'd', image: 'x' })).errors.join(),
      /may not add or remove containers/,
    );
    const other = change('', 'Pod', object, (p) => (p.metadata.uid = 'u-2')).errors;
    assert.deepEqual(other, ['metadata.uid: Invalid value: "u-2": field is immutable']);
  });

  it('takes new ephemeral containers and keeps those that are there', () => {
    const { object } = create('', 'Pod', webPod);
    const debug = { name: 'debug', image: 'busybox', targetContainerName: 'c' };
    const added = change('', 'Pod', object, (p) => (p.spec.ephemeralContainers = [debug]), 'ephemeralcontainers');
    assert.deepEqual(added.errors, []);
    const gone = change('', 'Pod', added.object, (p) => (p.spec.ephemeralContainers = []), 'ephemeralcontainers');
    assert.match(gone.errors.join(), /existing ephemeral containers "debug" may not be removed/);
    const edited = change(
      '',
      'Pod',
      added.object,
      (p) => (p.spec.ephemeralContainers[0].image = 'x'),
      'ephemeralcontainers',
    );
    assert.match(edited.errors.join(), /existing ephemeral containers "debug" may not be changed/);
  });

  it('keeps selectors and templates together and selectors immutable', () => {
    const broken = { ...web, spec: { ...web.spec, selector: { matchLabels: { app: 'other' } } } };
    assert.deepEqual(create('apps', 'Deployment', broken).errors, [
      'spec.template.metadata.labels: Invalid value: map[string]string{"app":"web"}: `selector` does not match template `labels`',
    ]);
    const { object } = create('apps', 'Deployment', web);
    const { errors } = change('apps', 'Deployment', object, (d) => {
      d.spec.selector.matchLabels.app = 'b';
      d.spec.template.metadata.labels.app = 'b';
    });
    assert.deepEqual(errors, [
      'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"b"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable',
    ]);
  });

  it('holds configuration to its keys, size and immutability', () => {
    const { object, errors } = create('', 'ConfigMap', {
      metadata: { name: 'c', namespace: 'd' },
      data: { a: '1' },
      immutable: true,
    });
    assert.deepEqual(errors, []);
    assert.deepEqual(change('', 'ConfigMap', object, (c) => (c.data.a = '2')).errors, [
      'data: Forbidden: field is immutable when `immutable` is set',
    ]);
    assert.match(
      create('', 'ConfigMap', { metadata: object.metadata, data: { 'a/b': '' } }).errors.join(),
      /^data\[a\/b\]: Invalid value: "a\/b": a valid config key/,
    );
    assert.match(
      create('', 'ConfigMap', { metadata: object.metadata, data: { a: 'x'.repeat(1048577) } }).errors.join(),
      /Too long/,
    );
  });

  it('words what is wrong deep inside an object', () => {
    const { errors } = create('networking.k8s.io', 'Ingress', {
      metadata: { name: 'i', namespace: 'd' },
      spec: { rules: [{ http: { paths: [{ path: '/', pathType: 'Nonsense', backend: {} }] } }] },
    });
    assert.deepEqual(errors, [
      'spec.rules[0].http.paths[0].pathType: Unsupported value: "Nonsense": supported values: "Exact", "ImplementationSpecific", "Prefix"',
      'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required',
    ]);
  });
});

describe('custom resources', () => {
  it('are decoded and validated like built-in kinds once registered', () => {
    const info = registry.register({
      group: 'example.com',
      version: 'v1',
      resource: 'widgets',
      kind: 'Widget',
      namespaced: true,
      subresources: ['status'],
      schema: { type: 'object', properties: { spec: { type: 'object', properties: { size: { type: 'integer' } } } } },
    });
    assert.ok(info);
    const { object, warnings } = decodeObject(
      info,
      { metadata: { name: 'w', namespace: 'd' }, spec: { size: 1, x: 2 } },
      'Warn',
    );
    assert.deepEqual([object.spec, warnings], [{ size: 1 }, ['unknown field "spec.x"']]);
    prepareForCreate(info, object, { nowMs: 0, uid: 'u', nameSuffix: 'x' });
    assert.equal(object.metadata.generation, 1);
    assert.deepEqual(validateCreate(info, object), []);
    registry.unregister('example.com', 'v1', 'widgets');
    assert.equal(registry.byKind('example.com', 'v1', 'Widget'), undefined);
  });
});

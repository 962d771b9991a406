/**
 * Two operators as they are installed with kubectl: one with small definitions full of rules, one with a definition of
 * several hundred kilobytes, which no annotation can hold.
 */
import assert from 'node:assert/strict';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { play, type Step } from './kubectl-script.js';

const OPERATOR = `apiVersion: v1
kind: Namespace
metadata: {name: certs}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: issuer, namespace: certs}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: issuer-view, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
rules: [{apiGroups: [certs.example.com], resources: [certificates, issuers], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: issuer, namespace: certs}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: issuer-view}
subjects: [{kind: ServiceAccount, name: issuer, namespace: certs}]
---
apiVersion: v1
kind: Service
metadata: {name: issuer-webhook, namespace: certs}
spec: {type: ClusterIP, selector: {app: issuer}, ports: [{name: https, port: 443, targetPort: https}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: issuer, namespace: certs}
spec:
  selector: {matchLabels: {app: issuer}}
  template:
    metadata: {labels: {app: issuer}}
    spec:
      serviceAccountName: issuer
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: controller
        image: 'issuer:1'
        args: [--leader-election-namespace=certs]
        ports: [{containerPort: 9402, name: metrics}, {containerPort: 10250, name: https}]
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true}
        livenessProbe: {httpGet: {port: 9402, path: /livez}, periodSeconds: 10}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: issuer-webhook, annotations: {certs.example.com/inject-ca-from-secret: certs/ca}}
webhooks:
- name: webhook.certs.example.com
  namespaceSelector: {matchExpressions: [{key: certs.example.com/disable-validation, operator: NotIn, values: ["true"]}]}
  rules: [{apiGroups: [certs.example.com], apiVersions: [v1], operations: [CREATE, UPDATE], resources: ['nothing/*']}]
  admissionReviewVersions: [v1]
  matchPolicy: Equivalent
  timeoutSeconds: 30
  failurePolicy: Fail
  sideEffects: None
  clientConfig: {service: {name: issuer-webhook, namespace: certs, path: /validate}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: certificates.certs.example.com, labels: {app: issuer}}
spec:
  group: certs.example.com
  scope: Namespaced
  names: {plural: certificates, singular: certificate, kind: Certificate, listKind: CertificateList, shortNames: [cert, certs], categories: [issuing]}
  conversion: {strategy: None}
  versions:
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    selectableFields: [{jsonPath: .spec.secretName}]
    additionalPrinterColumns:
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type == "Ready")].status'}
    - {name: Secret, type: string, jsonPath: .spec.secretName}
    - {name: Issuer, type: string, priority: 1, jsonPath: .spec.issuerRef.name}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        description: A certificate that is kept up to date.
        type: object
        required: [spec]
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec:
            type: object
            required: [secretName, issuerRef]
            x-kubernetes-validations:
            - {rule: 'has(self.dnsNames) || has(self.commonName)', message: 'a name is needed: dnsNames or commonName'}
            - {rule: 'self.secretName == oldSelf.secretName', message: secretName is immutable, fieldPath: .secretName, reason: FieldValueForbidden}
            properties:
              secretName: {type: string, minLength: 1, description: Where the key pair goes.}
              commonName: {type: string, maxLength: 64}
              dnsNames: {type: array, maxItems: 20, x-kubernetes-list-type: set, items: {type: string, maxLength: 253}}
              duration: {type: string, format: duration, default: 2160h}
              privateKey: {type: object, default: {}, properties: {algorithm: {type: string, enum: [RSA, ECDSA], default: RSA}, size: {type: integer}}, x-kubernetes-validations: [{rule: "self.algorithm != 'RSA' || !has(self.size) || self.size >= 2048", messageExpression: "'a key of %d bits is too small'.format([self.size])"}]}
              issuerRef: {type: object, required: [name], x-kubernetes-map-type: atomic, properties: {name: {type: string}, kind: {type: string, default: Issuer}, group: {type: string}}}
          status:
            type: object
            properties:
              notAfter: {type: string, format: date-time}
              conditions: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [type], items: {type: object, required: [type, status], properties: {type: {type: string}, status: {type: string, enum: ['True', 'False', Unknown]}, reason: {type: string}, message: {type: string}, lastTransitionTime: {type: string, format: date-time}}}}
`;
const CERTIFICATE = `apiVersion: certs.example.com/v1
kind: Certificate
metadata: {name: web}
spec: {secretName: web-tls, dnsNames: [web.example.com], issuerRef: {name: ca}}
`;

const FIRST: readonly Step[] = [
  {
    run: 'apply -f -',
    input: OPERATOR,
    out: /^namespace\/certs created\n[\s\S]*\ncustomresourcedefinition\.apiextensions\.k8s\.io\/certificates\.certs\.example\.com created\n$/,
  },
  {
    run: 'wait crd certificates.certs.example.com --for=condition=Established --timeout=5s',
    out: 'customresourcedefinition.apiextensions.k8s.io/certificates.certs.example.com condition met\n',
  },
  {
    run: 'apply -f -',
    input: OPERATOR,
    out: /^(?:\S+ unchanged\n){6}validatingwebhookconfiguration\S+ configured\n\S+ unchanged\n$/,
  },
  { run: 'create -f -', input: CERTIFICATE, out: 'certificate.certs.example.com/web created\n' },
  {
    run: 'create -f -',
    input: CERTIFICATE.replace('name: web}', 'name: none}').replace('dnsNames: [web.example.com], ', ''),
    code: 1,
    err: 'The Certificate "none" is invalid: spec: Invalid value: "object": a name is needed: dnsNames or commonName\n',
  },
  {
    run: 'create -f -',
    input: CERTIFICATE.replace('name: web}', 'name: small}').replace(
      'issuerRef',
      'privateKey: {size: 1024}, issuerRef',
    ),
    code: 1,
    err: 'The Certificate "small" is invalid: spec.privateKey: Invalid value: "object": a key of 1024 bits is too small\n',
  },
  {
    run: `patch cert web --type=merge -p '{"spec":{"secretName":"other"}}'`,
    code: 1,
    err: 'The Certificate "web" is invalid: spec.secretName: Forbidden: secretName is immutable\n',
  },
  {
    run: `patch cert web --type=merge -p '{"spec":{"privateKey":{"algorithm":"DSA"}}}'`,
    code: 1,
    err: /^The Certificate "web" is invalid: .*spec\.privateKey\.algorithm: Unsupported value: "DSA": supported values: "RSA", "ECDSA"\n/s,
  },
  {
    run: 'create -f -',
    input: CERTIFICATE.replace('name: web}', 'name: typo}').replace('secretName', 'sekretName'),
    code: 1,
    err: /strict decoding error: unknown field "spec\.sekretName"|unknown field "(?:io\.|com\.)?.*sekretName"|unknown field "sekretName"/,
  },
  { run: 'get certs', out: /^NAME +READY +SECRET +AGE\nweb +web-tls +\S+\n$/ },
  {
    run: `patch cert web --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'`,
    out: 'certificate.certs.example.com/web patched\n',
  },
  { run: 'wait cert/web --for=condition=Ready --timeout=5s', out: 'certificate.certs.example.com/web condition met\n' },
  { run: 'get issuing -o wide', out: /^NAME +READY +SECRET +ISSUER +AGE\nweb +True +web-tls +ca +\S+\n$/ },
  { run: 'get cert --field-selector=spec.secretName=web-tls -o name', out: 'certificate.certs.example.com/web\n' },
  {
    run: 'get certificates.v1beta1.certs.example.com web -o jsonpath={.apiVersion},{.spec.duration}',
    out: 'certs.example.com/v1beta1,2160h',
    err: /^Warning: certs\.example\.com\/v1beta1 Certificate is deprecated\n$/,
  },
  {
    run: 'explain cert.spec.secretName',
    out: /KIND: +Certificate\nVERSION: +(?:certs\.example\.com\/)?v1\n\nFIELD: +secretName <string>/,
  },
  { run: 'describe cert web', out: /\nSpec:\n {2}Dns Names:\n {4}web\.example\.com\n {2}Duration: +2160h\n/ },
  {
    run: 'api-resources --api-group=certs.example.com --no-headers',
    out: /^certificates +cert,certs +certs\.example\.com\/v1 +true +Certificate\n$/,
  },
];

const words = (count: number) =>
  'what this field is for, how it is read and what it is when it is left out '.repeat(count);
/** Properties in breadth and depth, as of a kind that embeds whole pods. */
function properties(depth: number): object {
  const own: Record<string, object> = {};
  for (let index = 0; index < 8; index++) {
    own[`text${index}`] = { type: 'string', description: words(2), pattern: '^[a-z0-9]*$' };
    own[`amount${index}`] = {
      'x-kubernetes-int-or-string': true,
      anyOf: [{ type: 'integer' }, { type: 'string' }],
      description: words(1),
    };
    if (depth === 0) continue;
    own[`part${index}`] = { type: 'object', description: words(3), properties: properties(depth - 1) };
    own[`list${index}`] = {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items: {
        type: 'object',
        required: ['name'],
        properties: { name: { type: 'string' }, ...properties(0) },
      },
    };
  }
  return own;
}
const HUGE = JSON.stringify({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'monitors.watch.example.com' },
  spec: {
    group: 'watch.example.com',
    scope: 'Namespaced',
    names: {
      plural: 'monitors',
      singular: 'monitor',
      kind: 'Monitor',
      listKind: 'MonitorList',
      categories: ['monitoring'],
    },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: {
          status: {},
          scale: {
            specReplicasPath: '.spec.replicas',
            statusReplicasPath: '.status.replicas',
            labelSelectorPath: '.status.selector',
          },
        },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            description: 'A monitor.',
            properties: {
              spec: {
                type: 'object',
                properties: { replicas: { type: 'integer', format: 'int32' }, ...properties(2) },
              },
              status: { type: 'object', properties: { replicas: { type: 'integer' }, selector: { type: 'string' } } },
            },
          },
        },
      },
    ],
  },
});
const MONITOR = `apiVersion: watch.example.com/v1
kind: Monitor
metadata: {name: main}
spec: {replicas: 2, part0: {list1: [{name: a, text0: x}, {name: b}]}}
`;
const SECOND: readonly Step[] = [
  {
    run: 'apply -f -',
    input: HUGE,
    code: 1,
    err: 'The CustomResourceDefinition "monitors.watch.example.com" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes\n',
  },
  {
    run: 'apply --server-side -f -',
    input: HUGE,
    out: 'customresourcedefinition.apiextensions.k8s.io/monitors.watch.example.com serverside-applied\n',
  },
  {
    run: 'apply --server-side -f -',
    input: HUGE.replace('A monitor.', 'Another monitor.'),
    out: 'customresourcedefinition.apiextensions.k8s.io/monitors.watch.example.com serverside-applied\n',
  },
  { run: 'wait crd/monitors.watch.example.com --for=condition=Established --timeout=5s', out: /condition met/ },
  { run: 'apply --server-side -f -', input: MONITOR, out: 'monitor.watch.example.com/main serverside-applied\n' },
  {
    run: 'apply --server-side --field-manager=other -f -',
    input: MONITOR.replace('replicas: 2, ', '').replace('{name: a, text0: x}, {name: b}', '{name: c, text1: z}'),
    out: 'monitor.watch.example.com/main serverside-applied\n',
  },
  { run: 'get monitor main -o jsonpath={.spec.part0.list1[*].name}', out: 'a b c' },
  { run: 'scale monitor main --replicas=5', out: 'monitor.watch.example.com/main scaled\n' },
  { run: 'apply -f -', input: MONITOR, out: /monitor\.watch\.example\.com\/main configured\n$/ },
  { run: 'apply -f -', input: MONITOR, out: 'monitor.watch.example.com/main unchanged\n' },
  { run: 'explain monitor.spec.part0.part1', out: /FIELD: +part1 <Object>/ },
  {
    run: 'apply -f -',
    input: MONITOR.replace('text0: x', 'text0: X'),
    code: 1,
    err: /The Monitor "main" is invalid: spec\.part0\.list1\[0\]\.text0: Invalid value: "X": spec\.part0\.list1\[0\]\.text0 in body should match '\^\[a-z0-9\]\*\$'\n/,
  },
];

for (const kubectl of KUBECTLS) {
  describe(`operators, installed with kubectl ${kubectl.version}`, function () {
    this.timeout(60_000);
    let cluster: TestCluster;
    before(async function () {
      if (!isPresent(kubectl.path)) {
        process.stderr.write(`      SKIPPED: ${kubectl.path} is not installed\n`);
        this.skip();
      }
      cluster = await startCluster();
    });
    after(async () => cluster?.stop());

    it('brings definitions with rules, roles, webhooks and a controller', () => play(cluster, kubectl, FIRST));

    it('brings a definition that only the server can apply', async () => {
      assert(HUGE.length > 400_000 && HUGE.length < 1_000_000, `it has ${HUGE.length} bytes`);
      await play(cluster, kubectl, SECOND);
    });
  });
}

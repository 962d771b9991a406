/** A chart's objects, as helm renders them: a definition, a hook and one of each kind that charts are made of. */

// oxlint-disable-next-line typescript/no-explicit-any -- documents of any shape
type Json = any;

export const NAMESPACE = 'shop';
const MANAGED = {
  labels: { 'app.kubernetes.io/managed-by': 'Helm', 'app.kubernetes.io/name': 'shop' },
  annotations: { 'meta.helm.sh/release-name': 'shop', 'meta.helm.sh/release-namespace': NAMESPACE },
};
const SELECTOR = { 'app.kubernetes.io/name': 'shop' };

export const DEFINITION = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'backups.shop.example.com' },
  spec: {
    group: 'shop.example.com',
    scope: 'Namespaced',
    names: { plural: 'backups', singular: 'backup', kind: 'Backup', listKind: 'BackupList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                properties: { schedule: { type: 'string' }, keep: { type: 'integer', default: 7 } },
              },
              status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      },
    ],
  },
};

/** In helm's order of installation; the path is that of the collection. */
export function chart(image: string): readonly { readonly path: string; readonly object: Json }[] {
  const meta = (name: string, more: object = {}) => ({ ...MANAGED, name, namespace: NAMESPACE, ...more });
  const wide = (name: string) => ({ ...MANAGED, name });
  const template = {
    metadata: { labels: SELECTOR },
    spec: {
      serviceAccountName: 'shop',
      containers: [
        {
          name: 'web',
          image,
          ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
          env: [
            { name: 'MODE', value: 'plain' },
            { name: 'OLD', value: 'x' },
          ],
          resources: {},
        },
      ],
    },
  };
  const at = (path: string, kind: string, object: object) => {
    const [, root, ...rest] = path.split('/');
    const apiVersion = root === 'api' ? 'v1' : `${rest[0]}/${rest[1]}`;
    return { path, object: { apiVersion, kind, ...object } };
  };
  const inside = `namespaces/${NAMESPACE}`;
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const roleRef = (kind: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name: 'shop' });
  const subjects = [{ kind: 'ServiceAccount', name: 'shop', namespace: NAMESPACE }];
  const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list'] }];
  return [
    at(`/apis/networking.k8s.io/v1/${inside}/networkpolicies`, 'NetworkPolicy', {
      metadata: meta('shop'),
      spec: {
        podSelector: { matchLabels: SELECTOR },
        policyTypes: ['Ingress'],
        ingress: [{ ports: [{ port: 8080 }] }],
      },
    }),
    at(`/apis/policy/v1/${inside}/poddisruptionbudgets`, 'PodDisruptionBudget', {
      metadata: meta('shop'),
      spec: { minAvailable: 1, selector: { matchLabels: SELECTOR } },
    }),
    at(`/api/v1/${inside}/serviceaccounts`, 'ServiceAccount', { metadata: meta('shop') }),
    at(`/api/v1/${inside}/secrets`, 'Secret', {
      metadata: meta('shop'),
      type: 'Opaque',
      stringData: { password: 'x' },
    }),
    at(`/api/v1/${inside}/configmaps`, 'ConfigMap', { metadata: meta('shop'), data: { mode: 'plain' } }),
    at(`${rbac}/clusterroles`, 'ClusterRole', { metadata: wide('shop'), rules }),
    at(`${rbac}/clusterrolebindings`, 'ClusterRoleBinding', {
      metadata: wide('shop'),
      roleRef: roleRef('ClusterRole'),
      subjects,
    }),
    at(`${rbac}/${inside}/roles`, 'Role', { metadata: meta('shop'), rules }),
    at(`${rbac}/${inside}/rolebindings`, 'RoleBinding', { metadata: meta('shop'), roleRef: roleRef('Role'), subjects }),
    at(`/api/v1/${inside}/services`, 'Service', {
      metadata: meta('shop'),
      spec: {
        type: 'ClusterIP',
        selector: SELECTOR,
        ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }],
      },
    }),
    at(`/apis/apps/v1/${inside}/deployments`, 'Deployment', {
      metadata: meta('shop'),
      spec: { replicas: 1, selector: { matchLabels: SELECTOR }, template },
    }),
    at(`/apis/autoscaling/v2/${inside}/horizontalpodautoscalers`, 'HorizontalPodAutoscaler', {
      metadata: meta('shop'),
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' },
        minReplicas: 1,
        maxReplicas: 3,
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
        ],
      },
    }),
    at(`/apis/apps/v1/${inside}/statefulsets`, 'StatefulSet', {
      metadata: meta('shop-db'),
      spec: {
        serviceName: 'shop-db',
        selector: { matchLabels: { app: 'shop-db' } },
        template: {
          metadata: { labels: { app: 'shop-db' } },
          spec: { containers: [{ name: 'db', image: 'db:1', volumeMounts: [{ name: 'data', mountPath: '/data' }] }] },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: 'data' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
          },
        ],
      },
    }),
    at(`/apis/networking.k8s.io/v1/${inside}/ingresses`, 'Ingress', {
      metadata: meta('shop'),
      spec: {
        rules: [
          {
            host: 'shop.example.com',
            http: {
              paths: [
                { path: '/', pathType: 'Prefix', backend: { service: { name: 'shop', port: { name: 'http' } } } },
              ],
            },
          },
        ],
      },
    }),
    at('/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations', 'ValidatingWebhookConfiguration', {
      metadata: wide('shop'),
      webhooks: [
        {
          name: 'check.shop.example.com',
          clientConfig: { service: { name: 'shop', namespace: NAMESPACE, path: '/check' } },
          rules: [
            { apiGroups: ['shop.example.com'], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['nothing'] },
          ],
          sideEffects: 'None',
          failurePolicy: 'Ignore',
          admissionReviewVersions: ['v1'],
        },
      ],
    }),
    at(`/apis/shop.example.com/v1/${inside}/backups`, 'Backup', {
      metadata: meta('shop'),
      spec: { schedule: 'daily' },
    }),
  ];
}

export const HOOK = {
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: {
    ...MANAGED,
    name: 'shop-migrate',
    namespace: NAMESPACE,
    annotations: {
      'helm.sh/hook': 'pre-install,pre-upgrade',
      'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded',
    },
  },
  spec: {
    backoffLimit: 1,
    template: { spec: { restartPolicy: 'Never', containers: [{ name: 'migrate', image: 'shop:1' }] } },
  },
};

import assert from 'node:assert/strict';
import { seededRandom } from '../../../../src/base/random.js';
import { isForbidden } from '../../../../src/api/errors.js';
import type { KubeObject } from '../../../../src/api/object.js';
import type { Pod, PodSpec, ServiceAccount } from '../../../../src/api/types/core-v1.js';
import type { AdmissionAttributes, AdmissionLookups } from '../../../../src/security/admission/admission.js';
import { serviceAccountAdmission, serviceAccountWarnings } from '../../../../src/security/admission/service-account.js';

const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

describe('ServiceAccount admission', () => {
  const plugin = serviceAccountAdmission({ random: seededRandom(1) });

  function run(
    spec: Partial<PodSpec>,
    accounts: readonly ServiceAccount[] = [{ metadata: { name: 'default' } }],
    metadata: Pod['metadata'] = {},
    place: Partial<AdmissionAttributes> = {},
  ): PodSpec {
    const pod: Pod = {
      metadata: { name: 'p', namespace: 'ns', ...metadata },
      spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
    };
    const attributes: AdmissionAttributes = {
      operation: 'CREATE',
      group: '',
      version: 'v1',
      resource: 'pods',
      kind: 'Pod',
      subresource: '',
      namespace: 'ns',
      name: 'p',
      user: { name: 'u', groups: [] },
      dryRun: false,
      effects: { warn: () => undefined, put: () => undefined, annotate: () => undefined },
      object: pod as KubeObject,
      ...place,
    };
    const lookups = {
      nowMs: 0,
      get: (_group: string, resource: string, namespace: string, name: string) =>
        resource === 'serviceaccounts' && namespace === 'ns'
          ? (accounts.find((account) => account.metadata?.name === name) as KubeObject | undefined)
          : undefined,
      list: () => [],
    } as unknown as AdmissionLookups;
    assert.ok(plugin.handles(attributes));
    plugin.admit?.(attributes, lookups);
    plugin.validate?.(attributes, lookups);
    return pod.spec ?? { containers: [] };
  }

  it('gives every container the token, the certificate and the namespace', () => {
    const spec = run({ initContainers: [{ name: 'i', image: 'i' }] });
    const [volume] = spec.volumes ?? [];
    assert.match(volume?.name ?? '', /^kube-api-access-[a-z0-9]{5}$/);
    assert.deepEqual(volume?.projected, {
      defaultMode: 420,
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    });
    const mount = { name: volume?.name, readOnly: true, mountPath: MOUNT_PATH };
    for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
      assert.deepEqual(container.volumeMounts, [mount]);
    }
    assert.equal(spec.serviceAccountName, 'default');
    assert.equal(spec.serviceAccount, 'default');
  });

  it('lets the pod decide before the account whether there is a token', () => {
    for (const account of [undefined, true, false]) {
      for (const pod of [undefined, true, false]) {
        const spec = run(
          { serviceAccountName: 'a', ...(pod === undefined ? {} : { automountServiceAccountToken: pod }) },
          [
            {
              metadata: { name: 'a' },
              ...(account === undefined ? {} : { automountServiceAccountToken: account }),
            },
          ],
        );
        const wanted = pod ?? account ?? true;
        assert.equal((spec.volumes ?? []).length, wanted ? 1 : 0, `pod ${String(pod)}, account ${String(account)}`);
      }
    }
  });

  it('leaves a container its own mount, and adds no volume that nobody uses', () => {
    const volumeMounts = [{ name: 'own', mountPath: MOUNT_PATH }];
    const spec = run({ containers: [{ name: 'c', image: 'i', volumeMounts }] });
    assert.deepEqual(spec.containers[0]?.volumeMounts, volumeMounts);
    assert.equal(spec.volumes, undefined);
    const again = run({ volumes: [{ name: 'kube-api-access-zzzzz', emptyDir: {} }] });
    assert.equal(again.volumes?.length, 1);
    assert.equal(again.containers[0]?.volumeMounts?.[0]?.name, 'kube-api-access-zzzzz');
  });

  it('requires the account, but does not wait for the default one', () => {
    assert.throws(() => run({ serviceAccountName: 'no' }), {
      message: 'pods "p" is forbidden: error looking up service account ns/no: serviceaccount "no" not found',
    });
    assert.equal(run({}, []).volumes?.length, 1);
  });

  it("takes over the account's image pull secrets where the pod has none", () => {
    const accounts = [{ metadata: { name: 'default' }, imagePullSecrets: [{ name: 'registry' }] }];
    assert.deepEqual(run({}, accounts).imagePullSecrets, [{ name: 'registry' }]);
    assert.deepEqual(run({ imagePullSecrets: [{ name: 'own' }] }, accounts).imagePullSecrets, [{ name: 'own' }]);
  });

  it('holds pods to the secrets of an account that says so', () => {
    const annotations = { 'kubernetes.io/enforce-mountable-secrets': 'true' };
    const accounts = [
      { metadata: { name: 'default', annotations }, secrets: [{ name: 'mine' }], imagePullSecrets: [{ name: 'pull' }] },
    ];
    const from = (name: string) => [{ name: 'V', valueFrom: { secretKeyRef: { name, key: 'k' } } }];
    run({ volumes: [{ name: 'v', secret: { secretName: 'mine' } }] }, accounts);
    run({ containers: [{ name: 'c', env: from('mine') }] }, accounts);
    const refused: [Partial<PodSpec>, RegExp][] = [
      [{ volumes: [{ name: 'v', secret: { secretName: 'x' } }] }, /volume with secret.secretName="x" is not allowed/],
      [
        { containers: [{ name: 'c', env: from('x') }] },
        /container c with envVar V referencing secret.secretName="x" is not allowed because service account default/,
      ],
      [
        { initContainers: [{ name: 'i', envFrom: [{ secretRef: { name: 'x' } }] }] },
        /init container i with envFrom referencing secret.secretName="x"/,
      ],
      [{ imagePullSecrets: [{ name: 'x' }] }, /imagePullSecrets\[0\].name="x" is not allowed/],
    ];
    for (const [spec, text] of refused) {
      assert.throws(
        () => run(spec, accounts),
        (error: Error) => isForbidden(error) && text.test(error.message),
      );
    }
    const debug: Partial<PodSpec> = {
      serviceAccountName: 'default',
      ephemeralContainers: [{ name: 'e', env: from('x') }],
    };
    const place = { operation: 'UPDATE', subresource: 'ephemeralcontainers' } as const;
    assert.throws(() => run(debug, accounts, {}, place), /ephemeral container e with envVar V/);
  });

  it('warns of the annotation when it is new', () => {
    const account: KubeObject = {
      metadata: { name: 'a', annotations: { 'kubernetes.io/enforce-mountable-secrets': 'true' } },
    };
    const texts: string[] = [];
    const write = (oldObject?: KubeObject) =>
      serviceAccountWarnings.admit?.(
        {
          operation: oldObject ? 'UPDATE' : 'CREATE',
          object: account,
          ...(oldObject ? { oldObject } : {}),
          effects: { warn: (text: string) => texts.push(text) },
        } as unknown as AdmissionAttributes,
        {} as AdmissionLookups,
      );
    write();
    write({ metadata: { name: 'a' } });
    write(account);
    assert.equal(texts.length, 2);
    assert.match(texts[0] ?? '', /deprecated in v1.32\+; prefer separate namespaces/);
  });

  it('lets mirror pods ask the API for nothing', () => {
    const metadata = { annotations: { 'kubernetes.io/config.mirror': 'x' } };
    const spec = run({}, [], metadata);
    assert.equal(spec.serviceAccountName, undefined);
    assert.equal(spec.volumes, undefined);
    assert.throws(() => run({ serviceAccountName: 'a' }, [], metadata), /may not reference service accounts/);
    const secret = [{ name: 'v', secret: { secretName: 's' } }];
    assert.throws(() => run({ volumes: secret }, [], metadata), /may not reference secrets/);
    const token = [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } }];
    assert.throws(() => run({ volumes: token }, [], metadata), /ServiceAccountToken volume projections/);
  });
});

import assert from 'node:assert/strict';
import type { KubeObject } from '../../../../src/api/object.js';
import type { AdmissionAttributes, AdmissionLookups } from '../../../../src/security/admission/admission.js';
import { certificateRequestAdmission } from '../../../../src/security/admission/certificates.js';

const SIGNER = 'kubernetes.io/kube-apiserver-client';
const GROUP = 'certificates.k8s.io';

/** A role that gives `helper` a verb on signers by name. */
function lookups(verb: string, signer: string): AdmissionLookups {
  const role = {
    metadata: { name: 'signers' },
    rules: [{ verbs: [verb], apiGroups: [GROUP], resources: ['signers'], resourceNames: [signer] }],
  } as unknown as KubeObject;
  const binding = {
    metadata: { name: 'signers' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'signers' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'helper' }],
  } as unknown as KubeObject;
  return {
    nowMs: 1_000_000,
    get: (_group: string, resource: string) => (resource === 'clusterroles' ? role : undefined),
    list: (_group: string, resource: string) => (resource === 'clusterrolebindings' ? [binding] : []),
  } as unknown as AdmissionLookups;
}

const object = (status: object): KubeObject => ({
  metadata: { name: 'r' },
  spec: { request: '', signerName: SIGNER },
  status,
});

function run(
  subresource: string,
  status: object,
  state: AdmissionLookups,
  user: AdmissionAttributes['user'] = { name: 'helper', groups: ['system:authenticated'] },
): KubeObject {
  const next = object(status);
  const attributes = {
    operation: 'UPDATE',
    group: GROUP,
    version: 'v1',
    resource: 'certificatesigningrequests',
    kind: 'CertificateSigningRequest',
    subresource,
    namespace: '',
    name: 'r',
    user,
    object: next,
    oldObject: object({}),
  } as unknown as AdmissionAttributes;
  assert.ok(certificateRequestAdmission.handles(attributes));
  certificateRequestAdmission.admit?.(attributes, state);
  certificateRequestAdmission.validate?.(attributes, state);
  return next;
}

const APPROVED = { conditions: [{ type: 'Approved', status: 'True' }] };

describe('admission of certificate requests', () => {
  it('lets those approve who may for this signer, or for all of its domain', () => {
    for (const name of [SIGNER, 'kubernetes.io/*']) run('approval', APPROVED, lookups('approve', name));
    run('approval', APPROVED, lookups('none', 'x'), { name: 'root', groups: ['system:masters'] });
    for (const state of [lookups('approve', 'kubernetes.io/other'), lookups('sign', SIGNER)]) {
      assert.throws(() => run('approval', APPROVED, state), {
        code: 403,
        message:
          'certificatesigningrequests.certificates.k8s.io "r" is forbidden: ' +
          `user not permitted to approve requests with signerName "${SIGNER}"`,
      });
    }
  });

  it('lets those sign who may for this signer', () => {
    const status = { certificate: 'eA==' };
    run('status', status, lookups('sign', SIGNER));
    assert.throws(() => run('status', status, lookups('approve', SIGNER)), /user not permitted to sign requests/);
  });

  it('dates conditions that have no date', () => {
    const { status } = run('approval', APPROVED, lookups('approve', SIGNER)) as { status?: { conditions: object[] } };
    const at = '1970-01-01T00:16:40Z';
    assert.deepEqual(status?.conditions, [
      { type: 'Approved', status: 'True', lastUpdateTime: at, lastTransitionTime: at },
    ]);
  });
});

import assert from 'node:assert/strict';
import { ApiError } from '../../../../src/api/errors.js';
import type { KubeObject } from '../../../../src/api/object.js';
import type { PolicyRule } from '../../../../src/api/types/rbac-v1.js';
import type { AdmissionAttributes } from '../../../../src/security/admission/admission.js';
import { rbacEscalation } from '../../../../src/security/admission/rbac-escalation.js';

const GROUP = 'rbac.authorization.k8s.io';
const READ: PolicyRule = { verbs: ['get'], apiGroups: [''], resources: ['pods'] };
const EVERYTHING: PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/** `anna` holds `held` everywhere; the refusal of a write by her, if any. */
function refusal(
  held: PolicyRule[],
  resource: string,
  object: object,
  more: Partial<AdmissionAttributes> = {},
): ApiError | undefined {
  const roles = new Map<string, object>([
    ['held', { metadata: { name: 'held' }, rules: held }],
    ['reader', { metadata: { name: 'reader' }, rules: [READ] }],
    ['other', { metadata: { name: 'other' }, rules: [READ] }],
  ]);
  const binding = {
    metadata: { name: 'b' },
    roleRef: { apiGroup: GROUP, kind: 'ClusterRole', name: 'held' },
    subjects: [{ kind: 'User', apiGroup: GROUP, name: 'anna' }],
  };
  const attributes: AdmissionAttributes = {
    operation: 'CREATE',
    group: GROUP,
    version: 'v1',
    resource,
    kind: '',
    subresource: '',
    namespace: '',
    name: 'x',
    user: { name: 'anna', groups: [] },
    dryRun: false,
    effects: { warn: () => undefined, put: () => undefined, annotate: () => undefined },
    object: { metadata: { name: 'x' }, ...object } as KubeObject,
    ...more,
  };
  try {
    rbacEscalation.validate?.(attributes, {
      nowMs: 0,
      get: (_group, of, _namespace, name) => (of === 'clusterroles' ? (roles.get(name) as KubeObject) : undefined),
      inVersion: (object: KubeObject) => object,
      list: (_group, of) => (of === 'clusterrolebindings' ? [binding as KubeObject] : []),
    });
    return undefined;
  } catch (error) {
    assert.ok(error instanceof ApiError);
    return error;
  }
}

const roleRef = { apiGroup: GROUP, kind: 'ClusterRole', name: 'reader' };

describe('granting permissions', () => {
  it('needs the rules of a role, or the right to escalate', () => {
    assert.equal(refusal([READ], 'clusterroles', { rules: [READ] }), undefined);
    const refused = refusal([], 'clusterroles', { rules: [READ] });
    assert.equal(refused?.code, 403);
    assert.equal(
      refused?.message,
      'clusterroles.rbac.authorization.k8s.io "x" is forbidden: user "anna" (groups=[]) is attempting to grant RBAC ' +
        'permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get"]}',
    );
    const escalate = { verbs: ['escalate'], apiGroups: [GROUP], resources: ['clusterroles'] };
    assert.equal(refusal([escalate], 'clusterroles', { rules: [READ] }), undefined);
    assert.equal(
      refusal([], 'clusterroles', { rules: [READ] }, { user: { name: 'x', groups: ['system:masters'] } }),
      undefined,
    );
  });

  it('needs everything for a role that aggregates others', () => {
    const role = { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] } };
    assert.match(
      refusal([READ], 'clusterroles', role)?.message ?? '',
      /must have cluster-admin privileges to use an aggr/,
    );
    assert.equal(refusal(EVERYTHING, 'clusterroles', role), undefined);
  });

  it('needs the rules of a bound role, or the right to bind it', () => {
    assert.equal(refusal([READ], 'clusterrolebindings', { roleRef }), undefined);
    assert.equal(refusal([], 'clusterrolebindings', { roleRef })?.code, 403);
    const bind = { verbs: ['bind'], apiGroups: [GROUP], resources: ['clusterroles'], resourceNames: ['reader'] };
    assert.equal(refusal([bind], 'clusterrolebindings', { roleRef }), undefined);
    assert.equal(refusal([bind], 'clusterrolebindings', { roleRef: { ...roleRef, name: 'other' } })?.code, 403);
    const missing = refusal([READ], 'clusterrolebindings', { roleRef: { ...roleRef, name: 'gone' } });
    assert.equal(missing?.code, 404);
    assert.equal(missing?.message, 'clusterrole.rbac.authorization.k8s.io "gone" not found');
  });

  it('is not asked for again by a change of labels', () => {
    const old = { metadata: { name: 'x' }, rules: [READ] } as KubeObject;
    const update = { operation: 'UPDATE' as const, oldObject: old };
    assert.equal(refusal([], 'clusterroles', { rules: [READ] }, update), undefined);
    assert.equal(refusal([], 'clusterroles', { rules: [READ, READ] }, update)?.code, 403);
  });
});

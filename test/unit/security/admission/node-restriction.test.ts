import assert from 'node:assert/strict';
import { ApiError } from '../../../../src/api/errors.js';
import type { KubeObject } from '../../../../src/api/object.js';
import type { TokenRequest } from '../../../../src/api/types/authentication-v1.js';
import type { AdmissionAttributes } from '../../../../src/security/admission/admission.js';
import { nodeRestriction, restrictNodeToken } from '../../../../src/security/admission/node-restriction.js';

const NODE = { name: 'system:node:n1', groups: ['system:nodes'] };

const textOf = (act: () => void): string => {
  try {
    act();
    return '';
  } catch (error) {
    assert.ok(error instanceof ApiError);
    return error.message.replace(/^.* is forbidden: /, '');
  }
};

function refusal(resource: string, more: Partial<AdmissionAttributes>): string {
  const attributes: AdmissionAttributes = {
    operation: 'CREATE',
    group: '',
    version: 'v1',
    resource,
    kind: '',
    subresource: '',
    namespace: 'ns',
    name: '',
    user: NODE,
    dryRun: false,
    effects: { warn: () => undefined, put: () => undefined, annotate: () => undefined },
    ...more,
  };
  if (!nodeRestriction.handles(attributes)) return '';
  const node = { metadata: { name: 'n1', uid: 'u' } };
  return textOf(() =>
    nodeRestriction.admit?.(attributes, {
      nowMs: 0,
      get: (_group, of, _namespace, name) => (of === 'nodes' && name === 'n1' ? node : undefined),
      inVersion: (object: KubeObject) => object,
      list: () => [],
    }),
  );
}

const owner = { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'u', controller: true };
const mirror = (spec: object = {}, metadata: object = {}) =>
  ({
    metadata: { name: 'p', annotations: { 'kubernetes.io/config.mirror': 'x' }, ownerReferences: [owner], ...metadata },
    spec: { nodeName: 'n1', containers: [], ...spec },
  }) as KubeObject;

describe('node restriction', () => {
  it('leaves everybody else alone', () => {
    const user = { name: 'anna', groups: [] };
    assert.equal(refusal('pods', { user, object: { metadata: {} } }), '');
    assert.equal(
      refusal('pods', { user: { name: 'x', groups: ['system:nodes'] }, object: mirror() }),
      'could not determine node from user "x"',
    );
  });

  it('lets a node make mirror pods of its own that refer to nothing', () => {
    const create = (object: KubeObject) => refusal('pods', { object });
    assert.equal(create(mirror()), '');
    assert.match(create(mirror({}, { annotations: {} })), /annotation, node "n1" can only create mirror pods/);
    assert.match(create(mirror({ nodeName: 'n2' })), /spec.nodeName set to itself/);
    assert.match(create(mirror({}, { ownerReferences: [] })), /an owner reference set to itself/);
    assert.match(create(mirror({}, { ownerReferences: [owner, owner] })), /a single owner reference/);
    assert.match(create(mirror({}, { ownerReferences: [{ ...owner, uid: 'v' }] })), /UID mismatch: expected v got u/);
    assert.match(create(mirror({ serviceAccountName: 'a' })), /reference a service account/);
    assert.match(create(mirror({ volumes: [{ name: 'v', secret: { secretName: 's' } }] })), /reference secrets/);
    const of = (nodeName: string) => ({ oldObject: mirror({ nodeName }), operation: 'DELETE' as const, name: 'p' });
    assert.equal(refusal('pods', of('n1')), '');
    assert.match(refusal('pods', of('n2')), /can only delete pods with spec.nodeName set to itself/);
  });

  it('lets it report the status of its own pods without changing their labels', () => {
    const status = (old: KubeObject, object: KubeObject) =>
      refusal('pods', { operation: 'UPDATE', subresource: 'status', name: 'p', oldObject: old, object });
    assert.equal(status(mirror(), mirror()), '');
    assert.match(status(mirror({ nodeName: 'n2' }), mirror()), /can only update pod status for pods with/);
    assert.match(status(mirror(), mirror({}, { labels: { a: 'b' } })), /cannot update labels through pod status/);
  });

  it('keeps a node from drawing workloads to itself', () => {
    const node = (spec: object = {}, labels: Record<string, string> = {}, name = 'n1') =>
      ({ metadata: { name, labels }, spec }) as KubeObject;
    const update = (object: KubeObject, name = 'n1') =>
      refusal('nodes', { operation: 'UPDATE', namespace: '', name, object, oldObject: node() });
    assert.equal(
      update(node({}, { color: 'red', 'topology.kubernetes.io/zone': 'a', 'node.kubernetes.io/x': 'y' })),
      '',
    );
    assert.equal(update(node(), 'n2'), 'node "n1" is not allowed to modify node "n2"');
    assert.equal(
      update(node({ taints: [{ key: 'a', effect: 'NoSchedule' }] })),
      'node "n1" is not allowed to modify taints',
    );
    assert.equal(
      update(node({}, { 'node-role.kubernetes.io/control-plane': '', 'x.node-restriction.kubernetes.io/a': 'b' })),
      'is not allowed to modify labels: node-role.kubernetes.io/control-plane, x.node-restriction.kubernetes.io/a',
    );
    assert.equal(refusal('nodes', { namespace: '', object: node({ taints: [{ key: 'a' }] }) }), '');
    assert.match(
      refusal('nodes', { namespace: '', object: node({}, { 'k8s.io/x': 'y' }) }),
      /not allowed to set the following labels: k8s.io\/x/,
    );
    const lease = (namespace: string, name: string) =>
      refusal('leases', {
        group: 'coordination.k8s.io',
        operation: 'UPDATE',
        namespace,
        name,
        object: { metadata: {} },
      });
    assert.equal(lease('kube-node-lease', 'n1'), '');
    assert.match(lease('kube-node-lease', 'n2'), /with the same name as the requesting node/);
    assert.match(lease('default', 'n1'), /can only access leases in the "kube-node-lease" system namespace/);
  });

  it('gives it tokens for its own pods only', () => {
    const ask = (boundObjectRef: object | undefined, nodeName = 'n1') =>
      textOf(() =>
        restrictNodeToken(NODE, 'robot', { spec: { audiences: [], boundObjectRef } } as unknown as TokenRequest, () =>
          mirror({ nodeName }, { uid: 'p-uid' }),
        ),
      );
    const bound = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'p-uid' };
    assert.equal(ask(bound), '');
    assert.equal(ask(undefined), 'node requested token not bound to a pod');
    assert.equal(ask({ ...bound, uid: '' }), 'node requested token with a pod binding without a uid');
    assert.equal(ask(bound, 'n2'), 'node requested token bound to a pod scheduled on a different node');
    assert.match(ask({ ...bound, uid: 'other' }), /does not match the UID in record/);
  });
});

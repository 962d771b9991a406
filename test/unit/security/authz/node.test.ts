import assert from 'node:assert/strict';
import { keyOf, type KubeObject } from '../../../../src/api/object.js';
import type { AuthorizationAttributes } from '../../../../src/security/authz/authorizer.js';
import { NodeAuthorizer } from '../../../../src/security/authz/node/node-authorizer.js';
import { NodePods } from '../../../../src/security/authz/node/node-pods.js';

const NODE = { name: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] };

function setUp() {
  const objects = new Map<string, object>();
  const pods = new NodePods({
    get: ({ resource, namespace, name }) =>
      objects.get(`${resource} ${keyOf({ metadata: { namespace, name } })}`) as KubeObject | undefined,
  });
  const authorizer = new NodeAuthorizer(pods);
  const pod = (name: string, nodeName: string, spec: object, type: 'ADDED' | 'DELETED' = 'ADDED') =>
    pods.followed.changed({
      type,
      object: { metadata: { namespace: 'ns', name }, spec: { nodeName, containers: [], ...spec } } as KubeObject,
    });
  const ask = (more: Partial<AuthorizationAttributes>) =>
    authorizer.authorize({
      user: NODE,
      verb: 'get',
      group: '',
      version: 'v1',
      resource: 'secrets',
      subresource: '',
      namespace: 'ns',
      name: '',
      ...more,
    });
  const allows = (more: Partial<AuthorizationAttributes>) => ask(more).decision === 'allow';
  return { objects, pod, ask, allows };
}

describe('the node authorizer', () => {
  it('lets a node read what its pods name, as long as they are there', () => {
    const { pod, allows } = setUp();
    const spec = {
      serviceAccountName: 'robot',
      imagePullSecrets: [{ name: 'pull' }],
      containers: [
        {
          name: 'c',
          env: [{ name: 'E', valueFrom: { secretKeyRef: { name: 'env', key: 'k' } } }],
          envFrom: [{ configMapRef: { name: 'all' } }],
        },
      ],
      volumes: [
        { name: 'v', secret: { secretName: 'volume' } },
        { name: 'p', projected: { sources: [{ configMap: { name: 'part' } }, { secret: { name: 'projected' } }] } },
        { name: 'e', ephemeral: {} },
      ],
    };
    pod('p', 'n1', spec);
    pod('q', 'n2', { volumes: [{ name: 'v', secret: { secretName: 'foreign' } }] });
    for (const name of ['pull', 'env', 'volume', 'projected']) assert.equal(allows({ name }), true, name);
    for (const name of ['foreign', 'all', '']) assert.equal(allows({ name }), false, name);
    assert.equal(allows({ name: 'pull', namespace: 'other' }), false);
    assert.equal(allows({ name: 'pull', verb: 'watch' }), true);
    assert.equal(allows({ name: 'pull', verb: 'update' }), false);
    for (const name of ['all', 'part']) assert.equal(allows({ resource: 'configmaps', name }), true, name);
    assert.equal(allows({ resource: 'persistentvolumeclaims', name: 'p-e' }), true);
    const token = { verb: 'create', resource: 'serviceaccounts', subresource: 'token' };
    assert.equal(allows({ ...token, name: 'robot' }), true);
    assert.equal(allows({ ...token, name: 'default' }), false);
    pod('p', 'n1', spec, 'DELETED');
    assert.equal(allows({ name: 'pull' }), false);
  });

  it('follows claims to their volumes and the secrets of these', () => {
    const { objects, pod, allows } = setUp();
    pod('p', 'n1', { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }] });
    objects.set('persistentvolumeclaims ns/data', { metadata: {}, spec: { volumeName: 'pv' } });
    objects.set('persistentvolumes pv', {
      metadata: {},
      spec: {
        claimRef: { namespace: 'ns', name: 'data' },
        csi: { nodeStageSecretRef: { namespace: 'kube-system', name: 'stage' } },
      },
    });
    assert.equal(allows({ resource: 'persistentvolumes', namespace: '', name: 'pv' }), true);
    assert.equal(allows({ resource: 'persistentvolumes', namespace: '', name: 'other' }), false);
    assert.equal(allows({ namespace: 'kube-system', name: 'stage' }), true);
    assert.equal(allows({ namespace: 'ns', name: 'stage' }), false);
  });

  it('gives it its own Node, Lease and CSINode, and lists of its own pods', () => {
    const { pod, allows, ask } = setUp();
    pod('p', 'n1', {});
    const lease = { group: 'coordination.k8s.io', resource: 'leases', namespace: 'kube-node-lease' };
    assert.equal(allows({ ...lease, verb: 'update', name: 'n1' }), true);
    assert.equal(allows({ ...lease, verb: 'update', name: 'n2' }), false);
    assert.equal(allows({ ...lease, verb: 'create' }), true);
    assert.equal(allows({ ...lease, verb: 'update', name: 'n1', namespace: 'default' }), false);
    const csi = { group: 'storage.k8s.io', resource: 'csinodes', namespace: '' };
    assert.equal(allows({ ...csi, verb: 'patch', name: 'n1' }), true);
    assert.equal(allows({ ...csi, verb: 'patch', name: 'n2' }), false);
    assert.equal(allows({ resource: 'nodes', name: 'n1', namespace: '' }), true);
    assert.equal(allows({ resource: 'nodes', verb: 'list', namespace: '' }), false);
    assert.equal(allows({ resource: 'nodes', verb: 'create', namespace: '' }), true);
    assert.equal(allows({ resource: 'nodes', subresource: 'status', verb: 'patch', name: 'n1', namespace: '' }), true);
    assert.equal(allows({ resource: 'pods', name: 'p' }), true);
    assert.equal(allows({ resource: 'pods', verb: 'watch', namespace: '' }), false);
    const fieldSelector = [{ key: 'spec.nodeName', operator: 'In' as const, values: ['n1'] }];
    assert.equal(allows({ resource: 'pods', verb: 'watch', namespace: '', fieldSelector }), true);
    assert.equal(allows({ resource: 'services', verb: 'list', namespace: '' }), true);
    assert.equal(allows({ resource: 'namespaces', verb: 'list', namespace: '' }), false);
    const stranger = { user: { name: 'someone', groups: ['system:nodes'] } };
    assert.equal(ask(stranger).reason, 'unknown node for user "someone"');
    assert.equal(ask({ user: { name: 'system:node:n1', groups: [] } }).reason, '');
  });
});

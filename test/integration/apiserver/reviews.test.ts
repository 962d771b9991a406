import assert from 'node:assert/strict';
import { CLUSTERROLEBINDINGS, CLUSTERROLES } from '../../../src/control/controllers/bootstrappolicy/policy.js';
import type { KubeObject } from '../../../src/api/object.js';
import { startCluster, type TestCluster } from './cluster.js';

interface Answer {
  readonly status: number;
  readonly body: {
    readonly message?: string;
    readonly reason?: string;
    readonly status?: Readonly<Record<string, unknown>>;
    readonly details?: { readonly causes?: readonly { readonly field: string }[] };
  };
}

const ACCESS = '/apis/authorization.k8s.io/v1';
const PODS = { verb: 'list', resource: 'pods', namespace: 'default' };

describe('reviews', () => {
  let cluster: TestCluster;
  const post = async (path: string, body: object, headers: Record<string, string> = {}): Promise<Answer> => {
    const answer = await fetch(`${cluster.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as Answer['body'] };
  };
  const review = (kind: string, spec: object, namespace?: string) => {
    const place = namespace === undefined ? '' : `/namespaces/${namespace}`;
    const apiVersion = 'authorization.k8s.io/v1';
    return post(`${ACCESS}${place}/${kind.toLowerCase()}s`, { kind, apiVersion, spec });
  };

  before(async () => {
    cluster = await startCluster();
    const rules = [{ verbs: ['list'], apiGroups: [''], resources: ['pods'] }];
    await cluster.client.create<KubeObject>(CLUSTERROLES, { metadata: { name: 'r' }, rules } as KubeObject);
    await cluster.client.create<KubeObject>(CLUSTERROLEBINDINGS, {
      metadata: { name: 'b' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'r' },
      subjects: [{ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'ops' }],
    } as KubeObject);
  });
  after(async () => cluster.stop());

  it('answer for others, with the reason', async () => {
    const { status, body } = await review('SubjectAccessReview', { groups: ['ops'], resourceAttributes: PODS });
    assert.equal(status, 201);
    assert.deepEqual(body.status, {
      allowed: true,
      reason: 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "ops"',
    });
    const no = await review('SubjectAccessReview', { user: 'x', resourceAttributes: PODS });
    assert.deepEqual(no.body.status, { allowed: false });
    const path = await review('SubjectAccessReview', { user: 'x', nonResourceAttributes: { path: '/x', verb: 'get' } });
    assert.deepEqual(path.body.status, { allowed: false });
  });

  it('take selectors, and refuse those that make no sense', async () => {
    const fieldSelector = { requirements: [{ key: 'spec.nodeName', operator: 'In', values: ['n'] }] };
    const asked = { ...PODS, fieldSelector, labelSelector: { rawSelector: 'a=b' } };
    assert.equal((await review('SelfSubjectAccessReview', { resourceAttributes: asked })).status, 201);
    const node = { user: 'system:node:n', groups: ['system:nodes'], resourceAttributes: { ...PODS, fieldSelector } };
    assert.deepEqual((await review('SubjectAccessReview', node)).body.status, { allowed: true });
    const both = { ...PODS, fieldSelector: { ...fieldSelector, rawSelector: 'a=b' } };
    const refused = await review('SelfSubjectAccessReview', { resourceAttributes: both });
    assert.equal(refused.status, 422);
    assert.match(refused.body.message ?? '', /may not specified at the same time as requirements/);
  });

  it('refuse questions that are none, with upstream’s causes', async () => {
    const none = await review('SubjectAccessReview', {});
    assert.equal(none.status, 422);
    assert.equal(
      none.body.message,
      '.authorization.k8s.io "" is invalid: [spec.resourceAttributes: Invalid value: null: exactly one of ' +
        'nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: "": at least one of ' +
        'user or group must be specified]',
    );
    const local = await review('LocalSubjectAccessReview', { user: 'x', resourceAttributes: PODS }, 'kube-system');
    assert.deepEqual(
      local.body.details?.causes?.map(({ field }) => field),
      ['spec.resourceAttributes.namespace'],
    );
    const paths = { user: 'x', nonResourceAttributes: { path: '/' } };
    assert.match(
      (await review('LocalSubjectAccessReview', paths, 'default')).body.message ?? '',
      /disallowed on this kind of request/,
    );
    const fine = await review(
      'LocalSubjectAccessReview',
      { user: 'x', groups: ['ops'], resourceAttributes: PODS },
      'default',
    );
    assert.equal(fine.body.status?.['allowed'], true);
    const rules = await review('SelfSubjectRulesReview', {});
    assert.equal(rules.status, 400);
    assert.equal(rules.body.message, 'no namespace on request');
  });

  it('tell a user what it is, also when it acts as another', async () => {
    const whoami = { kind: 'SelfSubjectReview', apiVersion: 'authentication.k8s.io/v1' };
    const { body } = await post('/apis/authentication.k8s.io/v1/selfsubjectreviews', whoami, {
      'impersonate-user': 'anna',
      'impersonate-uid': '7',
      'impersonate-group': 'system:masters',
      'impersonate-extra-example.com%2fscope': 'all',
    });
    assert.deepEqual(body.status, {
      userInfo: {
        username: 'anna',
        uid: '7',
        groups: ['system:masters', 'system:authenticated'],
        extra: { 'example.com/scope': ['all'] },
      },
    });
    const nobody = await post('/apis/authentication.k8s.io/v1/selfsubjectreviews', whoami, {
      'impersonate-group': 'a',
    });
    assert.equal(nobody.status, 500);
    assert.match(nobody.body.message ?? '', /requested \[a\] without impersonating a user/);
  });

  it('list what a user may in a namespace', async () => {
    const answer = await post(
      `${ACCESS}/selfsubjectrulesreviews`,
      { kind: 'SelfSubjectRulesReview', apiVersion: 'authorization.k8s.io/v1', spec: { namespace: 'default' } },
      { 'impersonate-user': 'system:node:n', 'impersonate-group': 'system:nodes' },
    );
    // Asking is a right too, and this cluster's policy grants it to nobody.
    assert.equal(answer.status, 403);
    const own = await review('SelfSubjectRulesReview', { namespace: 'default' });
    assert.deepEqual(own.body.status, { resourceRules: [], nonResourceRules: [], incomplete: false });
  });
});

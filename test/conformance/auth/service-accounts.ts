/** Tokens of ServiceAccounts, the CA that comes with them, and what reviews say of them. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

async function tokenReview(t: Context): Promise<void> {
  const namespace = await t.namespace('auth');
  const name = 'e2e-account';
  const accounts = t.core('serviceaccounts', namespace);
  const { metadata } = await accounts.create({ metadata: { name } });
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } };
  const issued = await t.api.call('POST', accounts.path(name, 'token'), { body: request });
  const { token, expirationTimestamp } = issued.status;
  assert.ok(token);
  assert.ok(Date.parse(expirationTimestamp) > Date.now());
  const review = async (spec: Json) =>
    (await t.api.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { body: { spec } })).status;
  const status = await review({ token });
  assert.equal(status.error, undefined);
  assert.equal(status.authenticated, true);
  includes(status.user, { username: `system:serviceaccount:${namespace}:${name}`, uid: metadata.uid });
  for (const group of ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated']) {
    assert.ok(status.user.groups.includes(group), group);
  }
  assert.notEqual((await review({ token: `${token}x` })).authenticated, true);
  // It is good for requests, to every peer.
  const self = t.api.withToken(token);
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const who = await self.call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body });
  self.close();
  assert.equal(who.status.userInfo.username, `system:serviceaccount:${namespace}:${name}`);
}

async function rootCa(t: Context): Promise<void> {
  t.needsControllers();
  const configMaps = t.core('configmaps', await t.namespace('auth'));
  const name = 'kube-root-ca.crt';
  const { data } = await configMaps.get(name);
  assert.match(data['ca.crt'], /BEGIN CERTIFICATE/);
  await configMaps.delete(name);
  await eventually('it to come back', () => configMaps.exists(name));
  assert.equal((await configMaps.get(name)).data['ca.crt'], data['ca.crt']);
  await configMaps.update(name, (object) => (object.data = { 'ca.crt': 'changed' }));
  await eventually('a change to be undone', async () => (await configMaps.get(name)).data['ca.crt'] === data['ca.crt']);
}

/** Reviews and an impersonated request agree, before a role is bound and after. */
async function subjectReview(t: Context): Promise<void> {
  const namespace = await t.namespace('auth');
  await t.core('serviceaccounts', namespace).create({ metadata: { name: 'reviewed' } });
  const user = `system:serviceaccount:${namespace}:reviewed`;
  const groups = ['system:authenticated', 'system:serviceaccounts', `system:serviceaccounts:${namespace}`];
  const spec = { user, groups, resourceAttributes: { verb: 'list', resource: 'configmaps', version: 'v1', namespace } };
  const root = '/apis/authorization.k8s.io/v1';
  const allowed = async () => {
    const paths = [`${root}/subjectaccessreviews`, `${root}/namespaces/${namespace}/localsubjectaccessreviews`];
    const local = { metadata: { namespace }, spec };
    const [everywhere, here] = await Promise.all([
      t.api.call('POST', paths[0] ?? '', { body: { spec } }),
      t.api.call('POST', paths[1] ?? '', { body: local }),
    ]);
    assert.equal(everywhere.status.allowed, here.status.allowed, 'the two reviews disagree');
    return Boolean(everywhere.status.allowed);
  };
  const list = () => t.api.as(user, groups).get(`/api/v1/namespaces/${namespace}/configmaps`);
  assert.equal(await allowed(), false);
  await refused(list(), { status: 403, reason: 'Forbidden', message: new RegExp(`User "${user}" cannot list`) });
  const rbac = (plural: string) => t.resource('rbac.authorization.k8s.io/v1', plural, namespace);
  const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }];
  await rbac('roles').create({ metadata: { name: 'lister' }, rules });
  await rbac('rolebindings').create({
    metadata: { name: 'lister' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'lister' },
    subjects: [{ kind: 'ServiceAccount', name: 'reviewed', namespace }],
  });
  await eventually('the binding to take effect', allowed);
  assert.equal((await list()).kind, 'ConfigMapList');
}

export const rows: Rows = {
  'sa-tokenreview': tokenReview,
  'sa-root-ca': rootCa,
  'auth-subjectreview': subjectReview,
};

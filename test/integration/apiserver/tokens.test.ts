import assert from 'node:assert/strict';
import { createPublicKey, type JsonWebKey, verify } from 'node:crypto';
import type { KubeObject } from '../../../src/api/object.js';
import { NODES, PODS, SECRETS, SERVICEACCOUNTS } from '../../../src/api/resource.js';
import type { TokenRequest, TokenReview } from '../../../src/api/types/authentication-v1.js';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';

const ISSUER = 'https://kubernetes.default.svc.cluster.local';

interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;

describe('service account tokens over HTTP', function () {
  this.timeout(60_000);
  let cluster: TestCluster;

  before(async () => {
    cluster = await startCluster();
  });
  after(async () => cluster?.stop());

  const account = (name: string) =>
    cluster.client.create<KubeObject>(SERVICEACCOUNTS, { metadata: { name, namespace: 'default' } });

  async function call<T>(method: string, path: string, body?: unknown, token?: string): Promise<Answer<T>> {
    const response = await fetch(`${cluster.url}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as T };
  }

  const request = (name: string, spec: Partial<TokenRequest['spec']> = {}) =>
    call<TokenRequest & { message?: string }>('POST', `/api/v1/namespaces/default/serviceaccounts/${name}/token`, {
      spec,
    });

  async function tokenOf(name: string, spec: Partial<TokenRequest['spec']> = {}): Promise<string> {
    const { status, body } = await request(name, spec);
    assert.equal(status, 201, JSON.stringify(body));
    return body.status?.token ?? '';
  }

  const review = async (token: string, audiences?: readonly string[]) =>
    (
      await call<TokenReview>('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
        spec: { token, ...(audiences ? { audiences } : {}) },
      })
    ).body.status;

  it('issues a token for the API that names the account', async () => {
    const made = await account('plain');
    const { body } = await request('plain');
    assert.deepEqual(body.spec, { audiences: [ISSUER], expirationSeconds: 3600 });
    const claims = claimsOf(body.status?.token ?? '');
    assert.equal(claims['sub'], 'system:serviceaccount:default:plain');
    assert.equal(claims['iss'], ISSUER);
    assert.deepEqual(claims['aud'], [ISSUER]);
    assert.equal(Number(claims['exp']) - Number(claims['iat']), 3600);
    assert.deepEqual(claims['kubernetes.io'], {
      namespace: 'default',
      serviceaccount: { name: 'plain', uid: made.metadata.uid },
    });
    const status = await review(body.status?.token ?? '');
    assert.deepEqual(status, {
      authenticated: true,
      user: {
        username: 'system:serviceaccount:default:plain',
        uid: made.metadata.uid,
        groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'],
        extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${String(claims['jti'])}`] },
      },
      audiences: [ISSUER],
    });
  });

  it('makes requests as the account and refuses them once it is gone', async () => {
    await account('user');
    const token = await tokenOf('user');
    const who = await call<{ status: { userInfo: { username: string } } }>(
      'POST',
      '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      {},
      token,
    );
    assert.notEqual(who.status, 401);
    await cluster.client.delete(SERVICEACCOUNTS, 'default', 'user');
    assert.equal((await call('GET', '/api', undefined, token)).status, 401);
    assert.deepEqual(await review(token), {
      user: {},
      error: '[invalid bearer token, serviceaccounts "user" not found]',
    });
    await account('user');
    assert.match((await review(token))?.error ?? '', /service account UID \(\S+\) does not match claim \(\S+\)/);
  });

  it('refuses what is no token, a token of another key and one for somebody else', async () => {
    await account('other');
    assert.equal((await call('GET', '/api', undefined, 'nonsense')).status, 401);
    assert.equal((await review('nonsense'))?.error, 'invalid bearer token');
    const token = await tokenOf('other', { audiences: ['vault'] });
    const [head, , signature] = (await tokenOf('other')).split('.');
    const forged = `${head}.${token.split('.')[1]}.${signature}`;
    assert.equal((await review(forged))?.authenticated, undefined);
    assert.equal((await call('GET', '/api', undefined, token)).status, 401);
    assert.equal(
      (await review(token))?.error,
      `[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["${ISSUER}"]]`,
    );
    assert.deepEqual((await review(token, ['vault', 'more']))?.audiences, ['vault']);
    const empty = await call<{ message: string }>('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: {} });
    assert.equal(empty.status, 400);
    assert.equal(empty.body.message, 'token is required for TokenReview in authentication');
  });

  it('binds tokens to pods, secrets and nodes, and refuses them when those are gone', async () => {
    await account('bound');
    const node = await cluster.client.create<KubeObject>(NODES, { metadata: { name: 'machine' } });
    const pod = await cluster.client.create<KubeObject>(PODS, {
      metadata: { name: 'p', namespace: 'default' },
      spec: { serviceAccountName: 'bound', nodeName: 'machine', containers: [{ name: 'c', image: 'i' }] },
    });
    await cluster.client.create(SECRETS, { metadata: { name: 's', namespace: 'default' } });
    const reference = (kind: string, name: string, uid?: string) => ({
      boundObjectRef: { apiVersion: 'v1', kind, name, ...(uid === undefined ? {} : { uid }) },
    });
    const ofPod = await tokenOf('bound', reference('Pod', 'p', pod.metadata.uid));
    const ofSecret = await tokenOf('bound', reference('Secret', 's'));
    const ofNode = await tokenOf('bound', reference('Node', 'machine'));
    assert.deepEqual((await review(ofPod))?.user?.extra, {
      'authentication.kubernetes.io/credential-id': [`JTI=${String(claimsOf(ofPod)['jti'])}`],
      'authentication.kubernetes.io/node-name': ['machine'],
      'authentication.kubernetes.io/node-uid': [node.metadata.uid],
      'authentication.kubernetes.io/pod-name': ['p'],
      'authentication.kubernetes.io/pod-uid': [pod.metadata.uid],
    });
    for (const token of [ofSecret, ofNode]) assert.equal((await review(token))?.authenticated, true);
    await cluster.client.delete(PODS, 'default', 'p', { gracePeriodSeconds: 0 });
    await cluster.client.delete(SECRETS, 'default', 's');
    await cluster.client.delete(NODES, '', 'machine');
    for (const token of [ofPod, ofSecret, ofNode]) {
      const text = '[invalid bearer token, service account token has been invalidated]';
      assert.deepEqual(await review(token), { user: {}, error: text });
    }
  });

  it('refuses bad durations, references and names with the texts of Kubernetes', async () => {
    await account('checked');
    const refused = async (spec: Partial<TokenRequest['spec']>, code: number, text: RegExp) => {
      const { status, body } = await request('checked', spec);
      assert.equal(status, code);
      assert.match(body.message ?? '', text);
    };
    await refused({ expirationSeconds: 599 }, 422, /spec.expirationSeconds: Invalid value: 599: may not specify a dur/);
    await refused({ expirationSeconds: 2 ** 32 + 1 }, 422, /may not specify a duration larger than 2\^32 seconds/);
    await refused({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'no' } }, 404, /pods "no" not found/);
    await refused(
      { boundObjectRef: { apiVersion: 'v1', kind: 'ConfigMap', name: 'x' } },
      400,
      /cannot bind token to object of type \/v1, Kind=ConfigMap/,
    );
    await cluster.client.create(SECRETS, { metadata: { name: 'there', namespace: 'default' } });
    await refused(
      { boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: 'there', uid: 'x' } },
      409,
      /the UID in the bound object reference \(x\) does not match the UID in record/,
    );
    const missing = await request('nobody');
    assert.equal(missing.body.message, 'serviceaccounts "nobody" not found');
  });

  it('marks the tokens that pods are given and lets them count for a year', async () => {
    await cluster.client.create<KubeObject>(PODS, {
      metadata: { name: 'long', namespace: 'default' },
      spec: { serviceAccountName: 'checked', containers: [{ name: 'c', image: 'i' }] },
    });
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: 'long' };
    const claims = claimsOf(await tokenOf('checked', { expirationSeconds: 3607, boundObjectRef }));
    const own = claims['kubernetes.io'] as { warnafter: number };
    assert.equal(own.warnafter - Number(claims['iat']), 3607);
    assert.equal(Number(claims['exp']) - Number(claims['iat']), 365 * 24 * 3600);
  });

  it('publishes the keys that tokens verify with', async () => {
    await account('oidc');
    const configuration = await call<Record<string, string>>('GET', '/.well-known/openid-configuration');
    assert.equal(configuration.body['issuer'], ISSUER);
    assert.equal(configuration.body['jwks_uri'], `${ISSUER}/openid/v1/jwks`);
    const { body } = await call<{ keys: (JsonWebKey & { kid: string })[] }>('GET', '/openid/v1/jwks');
    const [head = '', payload = '', signature = ''] = (await tokenOf('oidc', { audiences: ['x'] })).split('.');
    const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString()) as { kid: string };
    const jwk = body.keys.find((key) => key.kid === kid);
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    const data = Buffer.from(`${head}.${payload}`);
    const options = { key, dsaEncoding: 'ieee-p1363' } as const;
    assert.ok(verify('sha256', data, options, Buffer.from(signature, 'base64url')));
  });

  for (const { version, path } of KUBECTLS) {
    it(`works with kubectl ${version}: create token`, async function () {
      if (!isPresent(path)) this.skip();
      const secure = await startCluster({ tls: true });
      const run = (...args: string[]) => secure.kubectl(path, args);
      // The kubeconfig's certificate would win over a token.
      const as = (token: string) => ['--kubeconfig=/dev/null', `--server=${secure.url}`, '--token', token];
      const trust = ['--insecure-skip-tls-verify', 'get', '--raw=/api/v1/namespaces/default/pods'];
      try {
        const made = await run('create', 'serviceaccount', 'robot');
        assert.equal(made.code, 0, made.stderr);
        const { stdout, stderr, code } = await run('create', 'token', 'robot', '--duration=20m');
        assert.equal(code, 0, stderr);
        const refused = await run('create', 'token', 'robot', '--duration=1m');
        assert.match(refused.stderr, /may not specify a duration less than 10 minutes/);
        const shown = await run(...as(stdout.trim()), ...trust);
        assert.match(shown.stderr, /User "system:serviceaccount:default:robot" cannot list resource "pods"/);
        await run('delete', 'serviceaccount', 'robot');
        const after = await run(...as(stdout.trim()), ...trust);
        assert.match(after.stderr, /Unauthorized|must be logged in/);
      } finally {
        await secure.stop();
      }
    });
  }
});

/** Which pods get a token, and how anybody can check one. */
import assert from 'node:assert/strict';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import type { Json } from '../framework/http.js';

const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The pod's word counts, then the account's, then yes. */
async function automount(t: Context): Promise<void> {
  const namespace = await t.namespace('auth');
  const [accounts, pods] = [t.core('serviceaccounts', namespace), t.core('pods', namespace)];
  const choices = { unset: undefined, mount: true, nomount: false } as const;
  for (const [ofAccount, onAccount] of Object.entries(choices)) {
    await accounts.create({ metadata: { name: ofAccount }, automountServiceAccountToken: onAccount });
    for (const [ofPod, onPod] of Object.entries(choices)) {
      const name = `account-${ofAccount}-pod-${ofPod}`;
      const spec = { ...podSpec(), serviceAccountName: ofAccount, automountServiceAccountToken: onPod };
      const { spec: made } = await pods.create({ metadata: { name }, spec });
      const volume = (made.volumes ?? []).find(({ projected }: Json) =>
        (projected?.sources ?? []).some((source: Json) => source.serviceAccountToken !== undefined),
      );
      const mount = (made.containers[0].volumeMounts ?? []).find(({ mountPath }: Json) => mountPath === MOUNT_PATH);
      const expected = onPod ?? onAccount ?? true;
      assert.deepEqual([volume !== undefined, mount !== undefined], [expected, expected], name);
      if (expected) assert.equal(mount.name, volume.name, name);
    }
  }
}

/** The holder of a pod's token finds the issuer's keys with nothing but it, and the token is by one of them. */
async function issuerDiscovery(t: Context): Promise<void> {
  const namespace = await t.namespace('auth');
  const pod = await t.core('pods', namespace).create({ metadata: { name: 'verifier' }, spec: podSpec() });
  const { name, uid } = pod.metadata;
  const account = pod.spec.serviceAccountName as string;
  const audience = 'oidc-discovery-test';
  const issue = async (audiences?: string[]): Promise<string> => {
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name, uid };
    const body = { spec: { boundObjectRef, expirationSeconds: 600, ...(audiences && { audiences }) } };
    const path = t.core('serviceaccounts', namespace).path(account, 'token');
    return (await t.api.call('POST', path, { body })).status.token as string;
  };
  const pods = t.api.withToken(await issue());
  t.cleanup(() => Promise.resolve(pods.close()));
  const configuration = await pods.get('/.well-known/openid-configuration');
  assert.ok(configuration.id_token_signing_alg_values_supported.length > 0);
  // Whatever name the cluster gives itself there, the path is served by each API server.
  const keys = await pods.get(new URL(configuration.jwks_uri).pathname);
  const { payload } = await jwtVerify(await issue([audience]), createLocalJWKSet(keys), {
    issuer: configuration.issuer,
    audience,
    algorithms: configuration.id_token_signing_alg_values_supported,
  });
  assert.equal(payload.sub, `system:serviceaccount:${namespace}:${account}`);
  const claims = payload['kubernetes.io'] as Json;
  assert.deepEqual([claims.namespace, claims.pod.name, claims.pod.uid], [namespace, name, uid]);
}

export const rows: Rows = { 'sa-automount-optout': automount, 'sa-oidc': issuerDiscovery };

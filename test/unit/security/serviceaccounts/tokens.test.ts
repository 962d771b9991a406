import assert from 'node:assert/strict';
import { seededRandom } from '../../../../src/base/random.js';
import type { KubeObject } from '../../../../src/api/object.js';
import type { TokenRequest } from '../../../../src/api/types/authentication-v1.js';
import { Authenticator } from '../../../../src/security/authn/authenticator.js';
import { createServiceAccounts } from '../../../../src/security/serviceaccounts/service-accounts.js';
import { KEYS_CONFIG_MAP, ServiceAccountKeys } from '../../../../src/security/serviceaccounts/signing-keys.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';

const SECRET = new Uint8Array(32).fill(7);
const HOUR_MS = 3_600_000;

/** A peer with its own copy of the cluster's state. */
function peer(clock: ManualClock, clusterSecret = SECRET) {
  const objects = new Map<string, KubeObject>();
  const key = (resource: string, namespace: string, name: string) => `${resource}/${namespace}/${name}`;
  /** What the peer has not heard of yet. */
  let pending: (() => void)[] = [];
  let asked = 0;
  const accounts = createServiceAccounts({
    clock,
    random: seededRandom(1),
    clusterSecret,
    lookups: {
      get: (_group, resource, namespace, name) => objects.get(key(resource, namespace, name)),
      fresh: () => {
        asked++;
        for (const apply of pending.splice(0)) apply();
        return Promise.resolve();
      },
    },
  });
  const authenticator = new Authenticator([accounts.authenticator]);
  return {
    accounts,
    authenticator,
    asked: () => asked,
    put(resource: string, object: KubeObject): void {
      objects.set(key(resource, object.metadata.namespace ?? '', object.metadata.name ?? ''), object);
    },
    remove: (resource: string, namespace: string, name: string) => objects.delete(key(resource, namespace, name)),
    later: (apply: () => void) => (pending = [...pending, apply]),
    token: async (spec: Partial<TokenRequest['spec']> = {}) =>
      (await accounts.requests.create('ns', 'robot', { metadata: {}, spec: { audiences: [], ...spec } })).object.status
        ?.token ?? '',
    error: async (token: string) => {
      const verdict = await authenticator.review(token);
      return verdict.authenticated ? undefined : verdict.error;
    },
  };
}

const ACCOUNT = { metadata: { name: 'robot', namespace: 'ns', uid: 'u-robot' } };
const refusal = (text: string) => `[invalid bearer token, ${text}]`;

describe('service account tokens', () => {
  let clock: ManualClock;
  beforeEach(() => {
    clock = new ManualClock();
  });

  it('verify on every peer of the cluster, and on no other', async () => {
    const [one, two, stranger] = [peer(clock), peer(clock), peer(clock, new Uint8Array(32).fill(8))];
    for (const each of [one, two, stranger]) each.put('serviceaccounts', ACCOUNT);
    const token = await one.token();
    assert.equal(await two.error(token), undefined);
    assert.equal(await stranger.error(token), 'invalid bearer token');
    assert.deepEqual(one.accounts.documents.jwks(), two.accounts.documents.jwks());
  });

  it('end when they expire, with a minute for clocks that differ', async () => {
    const one = peer(clock);
    one.put('serviceaccounts', ACCOUNT);
    const [seen, unseen] = [await one.token(), await one.token()];
    assert.equal(await one.error(seen), undefined);
    await clock.advance(HOUR_MS + 59_000);
    assert.equal(await one.error(seen), undefined);
    await clock.advance(2_000);
    for (const token of [seen, unseen])
      assert.equal(await one.error(token), refusal('service account token has expired'));
  });

  it('end with what they are bound to, a minute after its deletion began', async () => {
    const one = peer(clock);
    one.put('serviceaccounts', ACCOUNT);
    const pod = { metadata: { name: 'p', namespace: 'ns', uid: 'u-p' }, spec: { serviceAccountName: 'robot' } };
    one.put('pods', pod);
    const token = await one.token({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p' } });
    const deletionTimestamp = new Date(clock.nowMs()).toISOString();
    one.put('pods', { ...pod, metadata: { ...pod.metadata, deletionTimestamp } });
    assert.equal(await one.error(token), undefined);
    await clock.advance(61_000);
    assert.equal(await one.error(token), refusal('service account token has been invalidated'));
    one.put('pods', { ...pod, metadata: { ...pod.metadata, uid: 'another' } });
    assert.equal(
      await one.error(token),
      refusal('Pod UID (another) does not match service account pod ref claim (u-p)'),
    );
  });

  it('count on a peer that hears of their account only when it asks', async () => {
    const [one, two] = [peer(clock), peer(clock)];
    one.put('serviceaccounts', ACCOUNT);
    const token = await one.token();
    two.later(() => two.put('serviceaccounts', ACCOUNT));
    assert.equal(await two.error(token), undefined);
    assert.equal(two.asked(), 1);
  });

  it('that are refused do not make a peer ask again and again', async () => {
    const one = peer(clock);
    one.put('serviceaccounts', ACCOUNT);
    const token = await one.token();
    one.remove('serviceaccounts', 'ns', 'robot');
    for (let i = 0; i < 10; i++) assert.equal(await one.error(token), refusal('serviceaccounts "robot" not found'));
    assert.equal(one.asked(), 1);
    await clock.advance(1_001);
    await one.error(token);
    assert.equal(one.asked(), 2);
  });

  it('of a retired key end, and those of the next one count already', async () => {
    const [one, two] = [peer(clock), peer(clock)];
    const keys = (signing: number, oldest: number) => ({
      metadata: KEYS_CONFIG_MAP,
      data: { signing: String(signing), oldest: String(oldest) },
    });
    for (const each of [one, two]) each.put('serviceaccounts', ACCOUNT);
    const old = await one.token();
    one.put('configmaps', keys(2, 1));
    const fresh = await one.token();
    for (const each of [one, two]) {
      assert.equal(await each.error(old), undefined);
      assert.equal(await each.error(fresh), undefined);
    }
    one.put('configmaps', keys(2, 2));
    assert.equal(await one.error(old), 'invalid bearer token');
    assert.equal(await one.error(fresh), undefined);
    assert.equal(await two.error(old), undefined);
  });

  it('of a Secret count while it holds them', async () => {
    const one = peer(clock);
    one.put('serviceaccounts', ACCOUNT);
    const token = await one.accounts.issuer.issueForSecret(ACCOUNT, 's');
    const holding = (text: string) => ({
      metadata: { name: 's', namespace: 'ns' },
      data: { token: Buffer.from(text).toString('base64') },
    });
    one.put('secrets', holding(token));
    const verdict = await one.authenticator.review(token);
    assert.ok(verdict.authenticated);
    assert.equal(verdict.user.name, 'system:serviceaccount:ns:robot');
    await clock.advance(10 * 365 * 24 * HOUR_MS);
    assert.equal(await one.error(token), undefined);
    one.put('secrets', holding(`${token}x`));
    assert.equal(await one.error(token), refusal('service account token has been invalidated'));
  });
});

describe('the keys of service account tokens', () => {
  const keysWith = (data: Record<string, string>) =>
    new ServiceAccountKeys(SECRET, { get: () => ({ metadata: {}, data }) as KubeObject });

  it('are the same for the same secret, and never change between versions', () => {
    const key = new ServiceAccountKeys(SECRET, { get: () => undefined }).signing();
    assert.equal(key.number, 1);
    assert.equal(key.id, 'WHpXLkbvRoPYi_L5j2ZxVq0doKj_i3mCV2IweP3OteY');
  });

  it('survive nonsense in their ConfigMap, and are never many', () => {
    for (const data of [{ signing: 'x' }, { signing: '-1', oldest: '0' }, { signing: '1e9' }]) {
      assert.equal(keysWith(data).signing().number, 1);
    }
    assert.equal(keysWith({ signing: '2', oldest: '5' }).jwks().length, 2);
    assert.equal(keysWith({ signing: '1000', oldest: '1' }).jwks().length, 9);
  });
});

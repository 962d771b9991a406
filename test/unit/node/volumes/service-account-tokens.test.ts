import assert from 'node:assert/strict';
import { SERVICEACCOUNTS } from '../../../../src/api/resource.js';
import type { TokenRequest } from '../../../../src/api/types/authentication-v1.js';
import type { Pod } from '../../../../src/api/types/core-v1.js';
import type { Client } from '../../../../src/client/client.js';
import { ServiceAccountTokens } from '../../../../src/node/volumes/service-account-tokens.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';

const POD: Pod = {
  metadata: { name: 'p', namespace: 'ns', uid: 'u-1' },
  spec: { serviceAccountName: 'robot', containers: [] },
};
const WANTED = { audience: undefined, expirationSeconds: 3600 };

describe('tokens of projected volumes', () => {
  let clock: ManualClock;
  let requests: { account: string; request: TokenRequest }[];
  let failure: Error | undefined;
  let tokens: ServiceAccountTokens;

  /** A token as the API makes it, as far as a node looks at it. */
  const made = (seconds: number, own: object = {}, aud = ['api']) => {
    const iat = Math.floor(clock.nowMs() / 1000);
    const claims = {
      aud,
      iat,
      exp: iat + seconds,
      'kubernetes.io': { pod: { uid: 'u-1' }, serviceaccount: { name: 'robot' }, ...own },
    };
    return `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;
  };

  beforeEach(() => {
    clock = new ManualClock();
    requests = [];
    failure = undefined;
    const client: Pick<Client, 'createSubresource'> = {
      createSubresource(resource, namespace, account, subresource, body) {
        assert.equal(resource, SERVICEACCOUNTS);
        assert.deepEqual([namespace, subresource], ['ns', 'token']);
        requests.push({ account, request: body as TokenRequest });
        if (failure) return Promise.reject(failure);
        return Promise.resolve({ status: { token: `new-${requests.length}` } });
      },
    };
    tokens = new ServiceAccountTokens({ client: client as Client, clock });
  });

  it('asks for a token that is bound to the pod', async () => {
    assert.equal(await tokens.token(POD, { audience: 'vault', expirationSeconds: 700 }, undefined), 'new-1');
    assert.equal(requests[0]?.account, 'robot');
    assert.deepEqual(requests[0].request.spec, {
      audiences: ['vault'],
      expirationSeconds: 700,
      boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u-1' },
    });
  });

  it('keeps the token on disk for four fifths of its life, and at most a day', async () => {
    const hour = made(3600);
    await clock.advance(2879_000);
    assert.equal(await tokens.token(POD, WANTED, hour), hour);
    await clock.advance(2_000);
    assert.equal(await tokens.token(POD, WANTED, hour), 'new-1');
    const week = made(7 * 24 * 3600);
    await clock.advance(24 * 3600_000 - 1000);
    assert.equal(await tokens.token(POD, WANTED, week), week);
    await clock.advance(2_000);
    assert.equal(await tokens.token(POD, WANTED, week), 'new-2');
  });

  it('replaces a token whose life was extended when it says so, not when it expires', async () => {
    const warnafter = Math.floor(clock.nowMs() / 1000) + 3607;
    const extended = made(365 * 24 * 3600, { warnafter });
    assert.equal(await tokens.token(POD, WANTED, extended), extended);
    await clock.advance(3000_000);
    assert.equal(await tokens.token(POD, WANTED, extended), 'new-1');
  });

  it('makes do with an old token that still counts while nobody issues new ones', async () => {
    const old = made(3600);
    failure = new Error('no sequencer is in reach');
    await clock.advance(3500_000);
    assert.equal(await tokens.token(POD, WANTED, old), old);
    assert.equal(requests.length, 1);
    await clock.advance(200_000);
    await assert.rejects(tokens.token(POD, WANTED, old), /no sequencer is in reach/);
    await assert.rejects(tokens.token(POD, WANTED, undefined), /no sequencer is in reach/);
  });

  it('trusts no file that is not the token asked for', async () => {
    for (const present of [
      '',
      'garbage',
      'a.b.c',
      made(3600, { pod: { uid: 'another' } }),
      made(3600, { serviceaccount: { name: 'other' } }),
    ]) {
      assert.match(await tokens.token(POD, WANTED, present), /^new-/);
    }
    assert.match(await tokens.token(POD, { ...WANTED, audience: 'vault' }, made(3600)), /^new-/);
  });
});

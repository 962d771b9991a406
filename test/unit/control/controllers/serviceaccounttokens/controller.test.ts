import assert from 'node:assert/strict';
import { isNotFound } from '../../../../../src/api/errors.js';
import type { KubeObject } from '../../../../../src/api/object.js';
import { SECRETS, SERVICEACCOUNTS } from '../../../../../src/api/resource.js';
import type { Secret, ServiceAccount } from '../../../../../src/api/types/core-v1.js';
import { serviceAccountTokensController } from '../../../../../src/control/controllers/serviceaccounttokens/controller.js';
import { harness, type Harness } from '../harness.js';

describe('the service account token controller', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    const signSecretToken = (account: KubeObject, secret: string) =>
      Promise.resolve(`token of ${account.metadata.name} for ${secret}`);
    await h.run(serviceAccountTokensController(h, { caPem: 'CA', signSecretToken }));
  });
  afterEach(() => h.stop());

  const account = (name: string, more: Partial<ServiceAccount> = {}) =>
    h.client.create<ServiceAccount>(SERVICEACCOUNTS, { metadata: { name, namespace: 'ns' }, ...more });
  const secret = (name: string, of: string, more: Partial<Secret> = {}) =>
    h.client.create<Secret>(SECRETS, {
      metadata: { name, namespace: 'ns', annotations: { 'kubernetes.io/service-account.name': of } },
      type: 'kubernetes.io/service-account-token',
      ...more,
    });
  const get = (name: string) => h.client.get<Secret>(SECRETS, 'ns', name);
  const text = (base64 = '') => Buffer.from(base64, 'base64').toString();

  it('fills a Secret that names an account, and fills again what is taken out', async () => {
    const made = await account('robot');
    await secret('s', 'robot');
    await h.clock.advance(100);
    const filled = await get('s');
    assert.equal(text(filled.data?.['token']), 'token of robot for s');
    assert.equal(text(filled.data?.['ca.crt']), 'CA');
    assert.equal(text(filled.data?.['namespace']), 'ns');
    assert.equal(filled.metadata.annotations?.['kubernetes.io/service-account.uid'], made.metadata.uid);
    const { token: _token, ...data } = filled.data ?? {};
    await h.client.update<Secret>(SECRETS, { ...filled, data });
    await h.clock.advance(100);
    assert.equal(text((await get('s')).data?.['token']), 'token of robot for s');
  });

  it('leaves other Secrets alone', async () => {
    await account('robot');
    await secret('plain', 'robot', { type: 'Opaque' });
    await h.clock.advance(100);
    assert.equal((await get('plain')).data, undefined);
  });

  it('deletes Secrets of an account that is gone, or is another by the same name', async () => {
    await account('robot');
    await secret('s', 'robot');
    await secret('orphan', 'nobody');
    await h.clock.advance(100);
    await assert.rejects(get('orphan'), isNotFound);
    await h.client.delete(SERVICEACCOUNTS, 'ns', 'robot');
    await account('robot');
    await h.clock.advance(100);
    await assert.rejects(get('s'), isNotFound);
  });

  it('takes a deleted Secret out of the list of its account', async () => {
    await account('robot', { secrets: [{ name: 's' }] });
    await secret('s', 'robot');
    await h.clock.advance(100);
    await h.client.delete(SECRETS, 'ns', 's');
    await h.clock.advance(100);
    const { secrets } = await h.client.get<ServiceAccount>(SERVICEACCOUNTS, 'ns', 'robot');
    assert.deepEqual(secrets, []);
  });
});

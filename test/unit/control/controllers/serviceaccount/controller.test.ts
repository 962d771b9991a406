import assert from 'node:assert/strict';
import { ApiError, forbidden } from '../../../../../src/api/errors.js';
import { CONFIGMAPS, NAMESPACES, SERVICEACCOUNTS } from '../../../../../src/api/resource.js';
import { serviceAccountController } from '../../../../../src/control/controllers/serviceaccount/controller.js';
import { harness, type Harness } from '../harness.js';

describe('what every namespace has', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(serviceAccountController(h, { caPem: 'PEM' }));
  });
  afterEach(() => h.stop());

  const namesOf = (resource: typeof CONFIGMAPS) => h.client.all(resource).map(({ metadata }) => metadata.name);

  it('is an account and the certificates, put back when they are deleted', async () => {
    await h.client.create(NAMESPACES, { metadata: { name: 'team' } });
    await h.clock.advance(10);
    await h.client.delete(CONFIGMAPS, 'team', 'kube-root-ca.crt');
    await h.client.delete(SERVICEACCOUNTS, 'team', 'default');
    await h.clock.advance(10);
    assert.deepEqual([namesOf(CONFIGMAPS), namesOf(SERVICEACCOUNTS)], [['kube-root-ca.crt'], ['default']]);
  });

  it('is tried again after a quota refused it, but not in a namespace that is going', async () => {
    const refused = forbidden({ group: '', resource: 'configmaps' }, 'kube-root-ca.crt', 'exceeded quota: q');
    h.client.failNext({ verb: 'create', resource: CONFIGMAPS, error: refused, times: 3 });
    await h.client.create(NAMESPACES, { metadata: { name: 'full' } });
    await h.clock.advance(10_000);
    assert.deepEqual(namesOf(CONFIGMAPS), ['kube-root-ca.crt']);

    const causes = [{ reason: 'NamespaceTerminating', message: 'namespace full is being terminated' }];
    const going = new ApiError(403, 'Forbidden', 'it is being terminated', { causes });
    h.client.failNext({ verb: 'create', resource: CONFIGMAPS, error: going });
    await h.client.delete(CONFIGMAPS, 'full', 'kube-root-ca.crt');
    await h.clock.advance(10_000);
    assert.deepEqual(namesOf(CONFIGMAPS), []);
  });
});

import assert from 'node:assert/strict';
import { systemClock } from '../../../../src/base/clock.js';
import { silentLogger } from '../../../../src/base/log.js';
import type { KubeObject } from '../../../../src/api/object.js';
import { createClusterAuthorization } from '../../../../src/security/authz/cluster-authorizer.js';
import { StoreFollower } from '../../../../src/store/follower.js';
import { MemoryStore } from '../../../../src/testing/memory-store.js';

const GROUP = 'rbac.authorization.k8s.io';
const NOTHING = { group: '', version: '', resource: '', subresource: '', namespace: '', name: '' };

describe('the authorization of a cluster', () => {
  /** A store that puts (or, without an object, removes) what it is asked to. */
  const setUp = async () => {
    const store = new MemoryStore({
      clock: systemClock,
      executor: (transaction, request) => {
        const { resource, name, object } = request as { resource: string; name: string; object?: KubeObject };
        const key = { group: GROUP, resource, namespace: '', name };
        if (object) transaction.put(key, object);
        else transaction.delete(key);
        return { code: 200, body: null, warnings: [] };
      },
    });
    const { authorizer, followed } = createClusterAuthorization(store);
    const follower = new StoreFollower('authorization', store, followed, silentLogger);
    await follower.start();
    let id = 0;
    const write = (resource: string, name: string, rest?: object) =>
      store.write(String(id++), {
        resource,
        name,
        ...(rest ? { object: { metadata: { name }, ...rest } } : {}),
      });
    const ask = (user: { name: string; groups: string[] }, path: string) =>
      authorizer.authorize({
        user,
        verb: 'get',
        ...NOTHING,
        path,
      }).decision === 'allow';
    return { store, follower, write, ask };
  };
  const anybody = { name: 'system:anonymous', groups: ['system:unauthenticated'] };
  const bound = {
    roleRef: { apiGroup: GROUP, kind: 'ClusterRole', name: 'health' },
    subjects: [{ kind: 'Group', apiGroup: GROUP, name: 'system:unauthenticated' }],
  };

  it('tells anybody of a peer’s health before there are roles, and what they say afterwards', async () => {
    const { follower, write, ask } = await setUp();
    assert.equal(ask(anybody, '/healthz'), true);
    assert.equal(ask(anybody, '/api'), false);
    await write('clusterrolebindings', 'health', bound);
    assert.equal(ask(anybody, '/healthz'), false);
    await write('clusterroles', 'health', { rules: [{ verbs: ['get'], nonResourceURLs: ['/livez'] }] });
    assert.equal(ask(anybody, '/livez'), true);
    assert.equal(ask(anybody, '/healthz'), false);
    assert.equal(ask({ name: 'x', groups: ['system:masters'] }, '/anything'), true);
    await follower.stop();
  });

  it('begins anew when the history is replaced', async () => {
    const { store, follower, write, ask } = await setUp();
    await write('clusterrolebindings', 'health', bound);
    await write('clusterroles', 'health', { rules: [{ verbs: ['get'], nonResourceURLs: ['*'] }] });
    assert.equal(ask(anybody, '/x'), true);
    // Another line of history: the role is not in it, and no event says so.
    store.assign({ group: GROUP, resource: 'clusterroles', namespace: '', name: 'health' }, undefined);
    store.compact();
    await Promise.resolve();
    assert.equal(ask(anybody, '/x'), false);
    await write('clusterroles', 'health', { rules: [{ verbs: ['get'], nonResourceURLs: ['/x'] }] });
    assert.equal(ask(anybody, '/x'), true);
    await follower.stop();
  });
});

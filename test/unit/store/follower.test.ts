import assert from 'node:assert/strict';
import { silentLogger } from '../../../src/base/log.js';
import { CONFIGMAPS } from '../../../src/api/resource.js';
import type { KubeObject } from '../../../src/api/object.js';
import type { InProcessClient } from '../../../src/control/apiserver/client.js';
import { watchObjects } from '../../../src/control/apiserver/reads/object-watch.js';
import { parseSelection } from '../../../src/control/apiserver/reads/selection.js';
import { StoreFollower, type FollowedResource } from '../../../src/store/follower.js';
import type { MemoryStore } from '../../../src/testing/memory-store.js';
import { setUp } from '../control/apiserver/setup.js';

describe('what follows the store', () => {
  let store: MemoryStore;
  let client: InProcessClient;
  const create = (name: string) =>
    client.create(CONFIGMAPS, { metadata: { name, namespace: 'default' }, data: {} } as KubeObject);

  beforeEach(async () => {
    ({ store, client } = await setUp());
  });

  /** An index that cannot take the object `bad`. */
  const indexOf = (names: Set<string>): FollowedResource => {
    const add = ({ metadata: { name = '' } }: KubeObject) => {
      if (name === 'bad') throw new TypeError('what is this?');
      names.add(name);
    };
    return {
      group: '',
      resource: 'configmaps',
      reset: (objects) => {
        names.clear();
        for (const object of objects) add(object);
      },
      changed: ({ object }) => add(object),
    };
  };

  it('leaves out what an index cannot take, and nothing else', async () => {
    for (const name of ['a', 'bad', 'c']) await create(name);
    const names = new Set<string>();
    const follower = new StoreFollower('test', store, [indexOf(names)], silentLogger);
    await follower.start();
    assert.deepEqual([...names], ['a', 'c']);
    await client.patch(CONFIGMAPS, 'default', 'bad', 'merge', { data: { more: 'yes' } });
    await create('d');
    assert.deepEqual([...names], ['a', 'c', 'd']);
    await follower.stop();
  });

  it('ends a watch that cannot show an object, while the store goes on', async () => {
    const seen: string[] = [];
    const failures: string[] = [];
    const stop = watchObjects(
      store,
      CONFIGMAPS,
      parseSelection(CONFIGMAPS, {}),
      { from: store.revision },
      {
        event: (type, { metadata: { name = '' } }) => {
          if (name === 'bad') throw new TypeError('what is this?');
          seen.push(`${type} ${name}`);
        },
        failed: ({ reason }) => failures.push(reason),
      },
    );
    for (const name of ['a', 'bad']) await create(name);
    assert.deepEqual([seen, failures], [['ADDED a'], ['InternalError']]);
    stop();
  });
});

import assert from 'node:assert/strict';
import { listAt } from '../../../../../src/control/apiserver/reads/rewound-list.js';
import type { ObjectReader, StoreEvent } from '../../../../../src/store/object-store.js';
import type { KubeObject } from '../../../../../src/api/object.js';

const object = (name: string, resourceVersion: string): KubeObject => ({
  metadata: { namespace: 'ns', name, resourceVersion },
});
const key = (name: string) => ({ group: '', resource: 'configmaps', namespace: 'ns', name });

describe('a list at an earlier revision', () => {
  it('is what is stored now without the changes, creations and deletions since', () => {
    const events: StoreEvent[] = [
      { type: 'MODIFIED', key: key('b'), object: object('b', '4'), previous: object('b', '2'), revision: 4 },
      { type: 'ADDED', key: key('d'), object: object('d', '5'), previous: undefined, revision: 5 },
      { type: 'MODIFIED', key: key('b'), object: object('b', '6'), previous: object('b', '4'), revision: 6 },
      { type: 'DELETED', key: key('a'), object: object('a', '7'), previous: object('a', '1'), revision: 7 },
    ];
    const store: ObjectReader = {
      revision: 7,
      get: () => undefined,
      list: () => [object('b', '6'), object('c', '3'), object('d', '5')],
      watch: (_group, _resource, _namespace, from, watcher) => {
        watcher.onEvents(events.filter(({ revision }) => revision > from));
        return () => undefined;
      },
    };
    const at = (revision: number) =>
      listAt(store, { group: '', resource: 'configmaps' }, 'ns', revision).map(
        ({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`,
      );
    assert.deepEqual(at(3), ['a@1', 'b@2', 'c@3']);
    assert.deepEqual(at(5), ['a@1', 'b@4', 'c@3', 'd@5']);
    assert.deepEqual(at(7), ['b@6', 'c@3', 'd@5']);
  });
});

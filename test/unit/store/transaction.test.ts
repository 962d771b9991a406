import assert from 'node:assert/strict';
import type { KubeObject } from '../../../src/api/object.js';
import { Overlay, Transaction, type HeadReader } from '../../../src/store/transaction.js';

const object = (namespace: string, name: string): KubeObject => ({ metadata: { namespace, name } });
const names = (objects: readonly KubeObject[]) =>
  objects.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);

/** Pods `a/1` and `b/1` are applied. */
const applied: HeadReader = {
  get: () => undefined,
  list: (_group, resource, namespace) =>
    (resource === 'pods' ? [object('a', '1'), object('b', '1')] : []).filter(
      ({ metadata }) => namespace === undefined || metadata.namespace === namespace,
    ),
};

describe('the sequencer’s view of what is not applied yet', () => {
  it('lists what is pending of a resource and a namespace among what is applied, in order', () => {
    const overlay = new Overlay(applied);
    overlay.set('/pods/a/2', object('a', '2'), 1);
    overlay.set('/pods/a/0', object('a', '0'), 2);
    overlay.set('/pods/b/1', undefined, 3);
    overlay.set('/services/a/s', object('a', 's'), 4);
    overlay.set('apps/pods/a/other', object('a', 'other'), 5);
    assert.deepEqual(names(overlay.list('', 'pods')), ['a/0', 'a/1', 'a/2']);
    assert.deepEqual(names(overlay.list('', 'pods', 'a')), ['a/0', 'a/1', 'a/2']);
    assert.deepEqual(names(overlay.list('', 'pods', 'b')), []);
    assert.deepEqual(names(overlay.list('', 'services')), ['a/s']);
    assert.deepEqual(names(overlay.list('apps', 'pods')), ['a/1', 'a/other', 'b/1']);
    assert.deepEqual(names(overlay.list('', 'secrets')), []);
  });

  it('forgets what has been applied, and all when told', () => {
    const overlay = new Overlay(applied);
    overlay.set('/pods/a/2', object('a', '2'), 1);
    overlay.set('/pods/a/3', object('a', '3'), 2);
    overlay.settle(1);
    assert.deepEqual(names(overlay.list('', 'pods', 'a')), ['a/1', 'a/3']);
    overlay.settle(2);
    assert.deepEqual(names(overlay.list('', 'pods', 'a')), ['a/1']);
    overlay.set('/pods/a/4', object('a', '4'), 3);
    overlay.clear();
    assert.deepEqual(names(overlay.list('', 'pods', 'a')), ['a/1']);
  });

  it('shows a transaction its own writes', () => {
    const transaction = new Transaction(new Overlay(applied), 10, 0);
    transaction.put({ group: '', resource: 'pods', namespace: 'a', name: '9' }, object('a', '9'));
    assert.deepEqual(names(transaction.list('', 'pods', 'a')), ['a/1', 'a/9']);
  });
});

import assert from 'node:assert/strict';
import { WatchLedger } from '../../../scripts/chaos.d/watch-ledger.js';

const object = (name: string, revision: number) => ({ metadata: { name, resourceVersion: String(revision) } });

describe('the rules of a watch', () => {
  it('are kept by every change once, in order', () => {
    const watch = new WatchLedger('w');
    watch.listed([object('a', 3)], '5');
    watch.event('ADDED', object('b', 6));
    watch.event('MODIFIED', object('a', 7));
    watch.event('BOOKMARK', object('', 9));
    watch.event('DELETED', object('b', 10));
    assert.deepEqual([watch.duplicates, watch.gaps], [[], []]);
    assert.equal(watch.differenceTo([object('a', 7)]), undefined);
    assert.match(
      watch.differenceTo([object('a', 8)]) ?? '',
      /1 objects differ from the list, such as a: 7 instead of 8/,
    );
  });

  it('are broken by repeated events, and by changes of what was never told', () => {
    const watch = new WatchLedger('w');
    watch.listed([object('a', 3)], '5');
    watch.event('MODIFIED', object('a', 5));
    watch.event('MODIFIED', object('c', 6));
    watch.event('ADDED', object('a', 7));
    watch.event('BOOKMARK', object('', 6));
    assert.deepEqual(watch.duplicates, ['w: MODIFIED a at 5 after 5', 'w: a bookmark 6 after 7']);
    assert.deepEqual(watch.gaps, ['w: MODIFIED c, which was not there', 'w: ADDED a, which was there']);
  });

  it('begin anew with a list', () => {
    const watch = new WatchLedger('w');
    watch.listed([object('a', 30)], '50');
    watch.listed([object('b', 4)], '9');
    watch.event('MODIFIED', object('b', 10));
    assert.deepEqual([watch.duplicates, watch.gaps], [[], []]);
    assert.equal(watch.differenceTo([object('b', 10)]), undefined);
  });
});

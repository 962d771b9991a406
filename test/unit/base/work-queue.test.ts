import assert from 'node:assert/strict';
import { WorkQueue } from '../../../src/base/work-queue.js';
import { ManualClock, settle } from '../../../src/testing/manual-clock.js';

describe('a work queue', () => {
  let clock: ManualClock;
  let queue: WorkQueue;
  beforeEach(() => {
    clock = new ManualClock();
    queue = new WorkQueue(clock, { baseMs: 10, maxMs: 100 });
  });

  it('gives keys in order, each once however often it was added', async () => {
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    assert.equal(queue.depth, 3);
    assert.deepEqual([await queue.take(), await queue.take(), await queue.take()], ['a', 'b', 'c']);
  });

  it('gives a waiting taker what is added, one key to one taker', async () => {
    const takes = [queue.take(), queue.take()];
    queue.add('a');
    queue.add('a');
    queue.add('b');
    assert.deepEqual(await Promise.all(takes), ['a', 'b']);
  });

  it('holds back a key that is being processed until it is done, then gives it once', async () => {
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('a');
    assert.equal(queue.depth, 0);
    queue.done('a');
    assert.equal(await queue.take(), 'a');
    queue.done('a');
    assert.equal(queue.idle, true);
  });

  it('adds later; of several times the earliest counts', async () => {
    queue.addAfter('a', 100);
    queue.addAfter('a', 50);
    queue.addAfter('a', 80);
    await clock.advance(49);
    assert.equal(queue.depth, 0);
    await clock.advance(1);
    assert.equal(await queue.take(), 'a');
    queue.done('a');
    await clock.advance(1_000);
    assert.equal(queue.idle, true);
    queue.addAfter('a', 0);
    assert.equal(queue.depth, 1);
  });

  it('backs off per key, ever more up to the limit, until forgotten', async () => {
    for (const delay of [10, 20, 40, 80, 100, 100]) {
      queue.addRateLimited('a');
      await clock.advance(delay - 1);
      assert.equal(queue.depth, 0, `${delay}`);
      await clock.advance(1);
      queue.done((await queue.take()) ?? '');
    }
    assert.equal(queue.failuresOf('a'), 6);
    queue.addRateLimited('b');
    await clock.advance(10);
    assert.equal(await queue.take(), 'b');
    queue.forget('a');
    queue.addRateLimited('a');
    await clock.advance(10);
    assert.equal(await queue.take(), 'a');
  });

  it('wakes everybody when it closes, and takes nothing more', async () => {
    const waiting = [queue.take(), queue.take()];
    queue.addAfter('later', 10);
    queue.close();
    assert.deepEqual(await Promise.all(waiting), [undefined, undefined]);
    queue.add('a');
    queue.addAfter('a', 5);
    queue.addRateLimited('a');
    await settle();
    assert.equal(clock.pending, 0);
    assert.equal(await queue.take(), undefined);
  });
});

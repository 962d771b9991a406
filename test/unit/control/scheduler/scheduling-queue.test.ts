import assert from 'node:assert/strict';
import { DEFAULT_FILTERS } from '../../../../src/control/scheduler/filters/default-filters.js';
import { podInfoOf } from '../../../../src/control/scheduler/pod-info.js';
import { SchedulingQueue, type Entry } from '../../../../src/control/scheduler/scheduling-queue.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';
import { pod } from './objects.js';

describe('the scheduling queue', () => {
  let clock: ManualClock;
  let queue: SchedulingQueue;
  beforeEach(() => {
    clock = new ManualClock();
    queue = new SchedulingQueue(clock, DEFAULT_FILTERS, {
      initialBackoffMs: 1000,
      maxBackoffMs: 10_000,
      flushMs: 300_000,
    });
  });
  const add = (name: string, priority = 0) => queue.upsert(podInfoOf(pod(name, {}, { priority })));
  const next = () => {
    queue.settle();
    return queue.take();
  };
  const nextName = () => next()?.info.pod.metadata.name;
  const refusedBy = (...filters: string[]) => queue.refuse(next() as Entry, new Set(filters));

  it('gives the highest priority first, then who came first', () => {
    add('low', -5);
    add('first');
    add('second');
    add('high', 1000);
    assert.deepEqual(
      [nextName(), nextName(), nextName(), nextName(), nextName()],
      ['high', 'first', 'second', 'low', undefined],
    );
  });

  it('heeds a priority that changed while waiting, and forgets what was removed', () => {
    add('a');
    add('b');
    add('c');
    add('b', 7);
    queue.remove('default/a');
    assert.deepEqual([nextName(), nextName(), nextName()], ['b', 'c', undefined]);
  });

  it('keeps a refused pod until an event that may help its filters, then until its back-off is over', async () => {
    add('p');
    refusedBy('NodeResourcesFit');
    await clock.advance(5_000);
    assert.equal(nextName(), undefined);
    queue.note('pod-placed');
    assert.equal(nextName(), undefined);
    queue.note('pod-removed');
    refusedBy('NodeResourcesFit');
    queue.note('pod-removed');
    await clock.advance(1_999);
    assert.equal(nextName(), undefined);
    await clock.advance(1);
    assert.equal(nextName(), 'p');
  });

  it('doubles the back-off up to its limit', async () => {
    add('p');
    for (const expected of [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
      queue.retry(next() as Entry);
      queue.settle();
      assert.equal(queue.nextDueInMs(), expected);
      await clock.advance(expected);
    }
    assert.equal(nextName(), 'p');
  });

  it('wakes what each filter waits for', () => {
    const helped = (event: 'node-changed' | 'pod-removed' | 'pod-placed') =>
      DEFAULT_FILTERS.filter((filter) => filter.helpedBy.includes(event)).map(({ name }) => name);
    assert.equal(helped('node-changed').length, DEFAULT_FILTERS.length);
    assert.deepEqual(helped('pod-removed'), ['NodePorts', 'NodeResourcesFit', 'PodTopologySpread', 'InterPodAffinity']);
    assert.deepEqual(helped('pod-placed'), ['PodTopologySpread', 'InterPodAffinity']);
  });

  it('wakes on the first node what was refused for want of any', async () => {
    add('p');
    refusedBy();
    queue.note('node-changed');
    assert.equal(nextName(), undefined);
    assert.equal(queue.nextDueInMs(), 1_000);
    await clock.advance(1_000);
    assert.equal(nextName(), 'p');
  });

  it('tries a refused pod again after a long time even without an event, and at once when it changed', async () => {
    add('p');
    refusedBy('TaintToleration');
    assert.equal(queue.nextDueInMs(), 300_000);
    await clock.advance(300_000);
    refusedBy('TaintToleration');
    await clock.advance(10_000);
    add('p');
    assert.equal(nextName(), 'p');
  });

  it('takes nothing back that was removed meanwhile', () => {
    add('p');
    const taken = next() as Entry;
    queue.remove('default/p');
    queue.retry(taken);
    queue.refuse(taken, new Set());
    assert.equal(queue.size, 0);
    assert.equal(nextName(), undefined);
  });
});

import assert from 'node:assert/strict';
import { SimClock } from '../../../src/testing/sim-clock.js';

describe('SimClock', () => {
  it('fires timers in order of due time, then of creation, and drains promises in between', async () => {
    const clock = new SimClock();
    const seen: string[] = [];
    clock.timer(20, () => seen.push('c'));
    clock.timer(10, () => {
      seen.push('a');
      void (async () => {
        for (let i = 0; i < 100; i++) await Promise.resolve();
        seen.push('a-later');
      })();
    });
    clock.timer(10, () => seen.push('b'));
    await clock.run(15);
    assert.deepEqual(seen, ['a', 'a-later', 'b']);
    assert.equal(clock.monotonicMs(), 15);
    await clock.run(5);
    assert.deepEqual(seen, ['a', 'a-later', 'b', 'c']);
  });

  it('runs until a condition holds, and says so when it never does', async () => {
    const clock = new SimClock();
    let ticks = 0;
    const cancel = clock.interval(10, () => ticks++);
    await clock.run(() => ticks === 5);
    assert.equal(clock.monotonicMs(), 50);
    await assert.rejects(
      clock.run(() => ticks < 0, { limitMs: 100, what: 'seed 1' }),
      /seed 1: the condition did not hold within 100 ms/,
    );
    cancel();
    await assert.rejects(
      clock.run(() => ticks < 0),
      /nothing left/,
    );
  });

  it('does not fire cancelled timers, however many there are', async () => {
    const clock = new SimClock();
    let fired = 0;
    const cancels = Array.from({ length: 5000 }, (_, i) => clock.timer(i % 97, () => fired++));
    cancels.forEach((cancel, i) => {
      if (i % 5) cancel();
    });
    await clock.run(200);
    assert.equal(fired, 1000);
  });

  it('aborts sleeps and rejects with the reason', async () => {
    const clock = new SimClock();
    const abort = new AbortController();
    const slept = assert.rejects(clock.sleep(1000, abort.signal), /enough/);
    clock.timer(5, () => abort.abort(new Error('enough')));
    await clock.run(10);
    await slept;
  });

  it('gives peers clocks that are off, fast, frozen or halted', async () => {
    const clock = new SimClock(0);
    const fast = clock.skewed(1000, 2);
    const fired: number[] = [];
    fast.timer(100, () => fired.push(clock.monotonicMs()));
    await clock.run(60);
    assert.deepEqual(fired, [50]);
    assert.equal(fast.nowMs(), 1000 + 120);
    fast.timer(20, () => fired.push(clock.monotonicMs()));
    fast.freeze(500);
    await clock.run(1000);
    assert.deepEqual(fired, [50, 560]);
    fast.interval(10, () => fired.push(-1));
    fast.halt();
    await clock.run(1000);
    assert.deepEqual(fired, [50, 560]);
  });

  it('processes at least 50 000 events a second', async () => {
    const clock = new SimClock();
    for (let i = 0; i < 100; i++) clock.interval(10 + i / 100, () => undefined);
    const begun = performance.now();
    await clock.run(5000);
    const perSecond = (clock.eventCount / (performance.now() - begun)) * 1000;
    assert.ok(perSecond > 50_000, `${Math.round(perSecond)} events/s`);
  });
});

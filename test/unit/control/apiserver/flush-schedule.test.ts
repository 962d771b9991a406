import assert from 'node:assert/strict';
import { FlushSchedule } from '../../../../src/control/apiserver/http/flush-schedule.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';

describe('turns of many watches', () => {
  /** Each flush takes so long on this clock. */
  function setUp(costMs: number) {
    const clock = new ManualClock();
    const base = clock.monotonicMs();
    let spentMs = 0;
    const slow = Object.assign(Object.create(clock) as ManualClock, {
      monotonicMs: () => clock.monotonicMs() + spentMs,
      timer: (ms: number, fn: () => void) => clock.timer(ms, fn),
    });
    const schedule = new FlushSchedule(slow, { sliceMs: 8, briefMs: 1, restMs: 10 });
    const flushedAt: number[] = [];
    const reader = () => ({
      flushSome: () => {
        spentMs += costMs;
        flushedAt.push(clock.monotonicMs() - base);
        return false;
      },
    });
    return { clock, schedule, reader, flushedAt };
  }

  it('serve a single reader before anything else happens, once for all that came together', async () => {
    const { schedule, reader, flushedAt } = setUp(0.01);
    const one = reader();
    schedule.add(one);
    schedule.add(one);
    await Promise.resolve();
    assert.equal(flushedAt.length, 1);
  });

  it('let other work in between slices, and serve everybody', async () => {
    const { clock, schedule, reader, flushedAt } = setUp(0.1);
    for (let i = 0; i < 320; i++) schedule.add(reader());
    await Promise.resolve();
    assert.ok(flushedAt.length >= 80 && flushedAt.length < 160, `${flushedAt.length} in the first slice`);
    await clock.advance(50);
    assert.equal(flushedAt.length, 320);
  });

  it('rest after a long pass, so that readers get several events at a time, but not for long', async () => {
    const { clock, schedule, reader, flushedAt } = setUp(0.1);
    for (let i = 0; i < 64; i++) schedule.add(reader());
    await Promise.resolve();
    assert.equal(flushedAt.length, 64);
    const late = reader();
    schedule.add(late);
    await Promise.resolve();
    assert.equal(flushedAt.length, 64);
    await clock.advance(11);
    assert.equal(flushedAt.length, 65);
  });

  it('forget a reader that is gone', async () => {
    const { schedule, reader, flushedAt } = setUp(0.01);
    const gone = reader();
    schedule.add(gone);
    schedule.remove(gone);
    await Promise.resolve();
    assert.equal(flushedAt.length, 0);
  });
});

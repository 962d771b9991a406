import assert from 'node:assert/strict';
import { WorkSlices } from '../../../src/base/work-slices.js';

describe('work in slices', () => {
  let nowMs: number;
  let pauses: number;
  const clock = {
    monotonicMs: () => nowMs,
    sleep: () => {
      pauses += 1;
      return Promise.resolve();
    },
  };
  async function work(steps: number, msEach: number, maxSteps: number): Promise<number> {
    [nowMs, pauses] = [100, 0];
    const slices = new WorkSlices(clock, maxSteps);
    for (let i = 0; i < steps; i++) {
      nowMs += msEach;
      if (slices.isOver()) await slices.pause();
    }
    return pauses;
  }

  it('gives others a turn when one has lasted long, measured anew after each', async () => {
    assert.equal(await work(100, 1, 1_000), Math.floor(100 / 8));
    assert.equal(await work(3, 50, 1_000), 3);
  });

  it('gives others a turn after so many steps, though no time goes by', async () => {
    assert.equal(await work(100, 0, 10), 10);
    assert.equal(await work(9, 0, 10), 0);
  });
});

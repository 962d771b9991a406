/**
 * Long work in slices, so that what waits in between (heartbeats, requests) waits for one of them only. A slice ends by time, or by
 * steps, whichever is first: simulated time stands still while something works.
 *
 * ```
 * for (const thing of things) {
 *   use(thing);
 *   if (slices.isOver()) await slices.pause();
 * }
 * ```
 */
import type { Clock } from './clock.js';

/** How long others wait at most, but for the last step of a slice, in milliseconds. */
const SLICE_MS = 8;

export class WorkSlices {
  private steps = 0;
  private endMs: number;

  constructor(
    private readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>,
    /** Steps of one slice, at most. */
    private readonly maxSteps: number,
  ) {
    this.endMs = clock.monotonicMs() + SLICE_MS;
  }

  /** After each step: whether others should have a turn now. */
  isOver(): boolean {
    this.steps += 1;
    return this.steps >= this.maxSteps || this.clock.monotonicMs() >= this.endMs;
  }

  /** Resolves when they had it: the next slice begins. */
  async pause(): Promise<void> {
    await this.clock.sleep(0);
    this.steps = 0;
    this.endMs = this.clock.monotonicMs() + SLICE_MS;
  }
}

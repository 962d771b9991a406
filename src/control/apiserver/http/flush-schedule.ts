/**
 * When many readers have something to send, they take turns: all that is waiting for one reader goes out in one write, in slices
 * short enough for other work to come in between, and after a long pass the schedule rests as long as it worked. A single
 * reader is served at once; a thousand get several events at a time instead of bringing the server to a stand.
 */
import type { Clock } from '../../../base/clock.js';

/** Readers that get something to send at the same time. */
export interface Flushable {
  /** Sends all that waits for the next `count` readers; false when every reader has had its turn. Must not throw. */
  flushSome(count: number): boolean;
}

export interface FlushOptions {
  /** How long one slice may take, in milliseconds. */
  readonly sliceMs: number;
  /** Passes that took longer than this are followed by a rest of the same length, in milliseconds. */
  readonly briefMs: number;
  /** Longest rest, in milliseconds: what coalescing may cost a reader in time. */
  readonly restMs: number;
}

export const DEFAULT_FLUSH: FlushOptions = Object.freeze({ sliceMs: 2, briefMs: 1, restMs: 4 });

/** Readers served between two looks at the clock. */
const STRIDE = 32;

export class FlushSchedule {
  private waiting = new Set<Flushable>();
  /** Those of the present pass that still have readers to serve. */
  private turn = new Set<Flushable>();
  private scheduled = false;
  private workedMs = 0;

  constructor(
    private readonly clock: Clock,
    private readonly options: FlushOptions = DEFAULT_FLUSH,
  ) {}

  /** Flushes it after the present event has been given to everybody. */
  add(readers: Flushable): void {
    this.waiting.add(readers);
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => this.run());
  }

  /** They have flushed themselves, or are gone. */
  remove(readers: Flushable): void {
    this.waiting.delete(readers);
    this.turn.delete(readers);
  }

  private run(): void {
    if (this.turn.size === 0) [this.turn, this.waiting] = [this.waiting, this.turn];
    const beganMs = this.clock.monotonicMs();
    let sliceMs = 0;
    let served = 0;
    for (const readers of this.turn) {
      while (readers.flushSome(STRIDE)) {
        sliceMs = this.clock.monotonicMs() - beganMs;
        if (sliceMs >= this.options.sliceMs) return this.pause(sliceMs);
      }
      this.turn.delete(readers);
      if (++served % STRIDE === 0) sliceMs = this.clock.monotonicMs() - beganMs;
      if (sliceMs >= this.options.sliceMs && this.turn.size > 0) return this.pause(sliceMs);
    }
    this.rest(this.workedMs + sliceMs);
  }

  private pause(sliceMs: number): void {
    this.workedMs += sliceMs;
    this.clock.timer(0, () => this.run());
  }

  private rest(workedMs: number): void {
    this.workedMs = 0;
    if (workedMs > this.options.briefMs) {
      this.clock.timer(Math.min(workedMs, this.options.restMs), () => this.afterRest());
    } else this.afterRest();
  }

  private afterRest(): void {
    if (this.waiting.size > 0) this.run();
    else this.scheduled = false;
  }
}

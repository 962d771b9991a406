/**
 * When many watches have something to send, they take turns: all that is waiting for one reader goes out in one write, in slices
 * short enough for other work to come in between, and after a long pass the schedule rests as long as it worked. A single
 * reader is served at once; a thousand get several events at a time instead of bringing the server to a stand.
 */
import type { Clock } from '../../../base/clock.js';

export interface Flushable {
  /** Sends everything that waits. Must not throw. */
  flush(): void;
}

export interface FlushOptions {
  /** How long one slice may take, in milliseconds. */
  readonly sliceMs: number;
  /** Passes that took longer than this are followed by a rest of the same length, in milliseconds. */
  readonly briefMs: number;
  /** Longest rest, in milliseconds: what coalescing may cost a reader in time. */
  readonly restMs: number;
}

export const DEFAULT_FLUSH: FlushOptions = Object.freeze({ sliceMs: 8, briefMs: 1, restMs: 10 });

/** Readers served between two looks at the clock. */
const STRIDE = 32;

export class FlushSchedule {
  private readonly waiting = new Set<Flushable>();
  private scheduled = false;
  private workedMs = 0;

  constructor(
    private readonly clock: Clock,
    private readonly options: FlushOptions = DEFAULT_FLUSH,
  ) {}

  /** Flushes it after the present event has been given to everybody. */
  add(reader: Flushable): void {
    this.waiting.add(reader);
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => this.run());
  }

  /** It has flushed itself, or is gone. */
  remove(reader: Flushable): void {
    this.waiting.delete(reader);
  }

  private run(): void {
    const beganMs = this.clock.monotonicMs();
    let served = 0;
    let sliceMs = 0;
    for (const reader of this.waiting) {
      this.waiting.delete(reader);
      reader.flush();
      if (++served % STRIDE !== 0) continue;
      sliceMs = this.clock.monotonicMs() - beganMs;
      if (sliceMs >= this.options.sliceMs) break;
    }
    this.workedMs += sliceMs;
    if (this.waiting.size > 0) {
      this.clock.timer(0, () => this.run());
      return;
    }
    const { workedMs } = this;
    this.workedMs = 0;
    if (workedMs > this.options.briefMs) {
      this.clock.timer(Math.min(workedMs, this.options.restMs), () => this.afterRest());
    } else this.scheduled = false;
  }

  private afterRest(): void {
    if (this.waiting.size > 0) this.run();
    else this.scheduled = false;
  }
}

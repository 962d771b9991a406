/** A clock that moves only when told: timers run in order of their due time, and everything they caused is awaited. */
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { abortReason, type Cancel, type Clock } from '../base/clock.js';

interface Timer {
  dueMs: number;
  readonly order: number;
  readonly everyMs: number | undefined;
  readonly fn: () => void;
}

export class ManualClock implements Clock {
  private elapsedMs = 0;
  private order = 0;
  private readonly timers = new Set<Timer>();

  /** `startMs` is the wall-clock time at the beginning: 2026-01-01T00:00:00Z unless told. */
  constructor(private readonly startMs = 1_767_225_600_000) {}

  nowMs(): number {
    return this.startMs + this.elapsedMs;
  }

  monotonicMs(): number {
    return this.elapsedMs;
  }

  /** Timers that wait. */
  get pending(): number {
    return this.timers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(abortReason(signal));
        return;
      }
      const cancel = this.timer(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      const onAbort = () => {
        cancel();
        reject(abortReason(signal as AbortSignal));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  timer(ms: number, fn: () => void): Cancel {
    return this.schedule(ms, undefined, fn);
  }

  interval(ms: number, fn: () => void): Cancel {
    return this.schedule(ms, ms, fn);
  }

  /** Moves on by `ms`, running due timers at their time; between them, and at the end, pending work settles. */
  async advance(ms: number): Promise<void> {
    const end = this.elapsedMs + ms;
    await settle();
    for (let timer = this.next(end); timer; timer = this.next(end)) {
      this.elapsedMs = Math.max(this.elapsedMs, timer.dueMs);
      if (timer.everyMs === undefined) this.timers.delete(timer);
      else timer.dueMs += Math.max(1, timer.everyMs);
      timer.fn();
      await settle();
    }
    this.elapsedMs = end;
    await settle();
  }

  private schedule(ms: number, everyMs: number | undefined, fn: () => void): Cancel {
    const timer = { dueMs: this.elapsedMs + Math.max(0, ms), order: this.order++, everyMs, fn };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }

  private next(endMs: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.timers) {
      if (timer.dueMs > endMs) continue;
      if (!first || timer.dueMs < first.dueMs || (timer.dueMs === first.dueMs && timer.order < first.order))
        first = timer;
    }
    return first;
  }
}

/** Lets everything that needs no timer and no I/O run to its end: microtasks cannot outlive these turns. */
export async function settle(turns = 3): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await turnOfTheLoop();
}

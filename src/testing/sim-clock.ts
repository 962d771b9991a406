/**
 * Virtual time. One `SimClock` drives a whole simulated cluster: timers wait in a priority queue, time jumps from event
 * to event, and between two events everything that hangs on promises is run to its end. Two events due at the same
 * instant run in the order in which they were made, so that a run depends on nothing but its seed.
 *
 * Between events the clock yields one real turn of the event loop, after which Node has emptied the microtask and
 * `nextTick` queues completely however long the chains are. Code that waits for real I/O, worker threads or
 * `crypto.subtle` is outside of this: such work finishes at no defined virtual time.
 */
import { setImmediate as afterMicrotasks } from 'node:timers';
import { abortReason, type Cancel, type Clock } from '../base/clock.js';
import { deferred } from '../base/deferred.js';

interface Event {
  readonly dueMs: number;
  readonly order: number;
  fn: (() => void) | undefined;
}

export interface RunOptions {
  /** How much virtual time a condition gets before `run` rejects, in milliseconds; 60 000 unless told. */
  readonly limitMs?: number;
  /** How many events one call of `run` may process before it rejects; 50 million unless told. */
  readonly limitEvents?: number;
  /** Said in the rejection, e.g. the seed and what was awaited. */
  readonly what?: string;
}

export class SimClock implements Clock {
  private readonly heap: Event[] = [];
  private cancelled = 0;
  private order = 0;
  private elapsedMs = 0;
  private running = false;
  /** Events processed so far. */
  eventCount = 0;

  /** @param epochMs wall-clock time at virtual time zero. */
  constructor(private readonly epochMs = Date.UTC(2026, 0, 1)) {}

  nowMs(): number {
    return this.epochMs + this.elapsedMs;
  }

  monotonicMs(): number {
    return this.elapsedMs;
  }

  timer(ms: number, fn: () => void): Cancel {
    const event: Event = { dueMs: this.elapsedMs + Math.max(ms, 0), order: this.order++, fn };
    this.push(event);
    return () => {
      if (!event.fn) return;
      event.fn = undefined;
      this.cancelled++;
      if (this.cancelled > 1024 && this.cancelled * 2 > this.heap.length) this.compact();
    };
  }

  interval(ms: number, fn: () => void): Cancel {
    return repeat(this, ms, fn);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  /** The clock of one peer: offset against true time, and running `rate` times as fast. */
  skewed(offsetMs = 0, rate = 1): PeerClock {
    return new PeerClock(this, offsetMs, rate);
  }

  /**
   * Advances virtual time. With a number: processes everything due up to that many milliseconds from now, and ends with
   * the clock exactly there. With a condition: until it holds (it is looked at after every event and everything that hung
   * on it); rejects past the limits or when nothing is left that could make it true. An error thrown by an event rejects.
   */
  async run(until: number | (() => boolean), options: RunOptions = {}): Promise<void> {
    if (this.running) throw new Error('the simulated clock is already running');
    this.running = true;
    const done = deferred();
    const endMs = this.elapsedMs + (typeof until === 'number' ? until : (options.limitMs ?? 60_000));
    const lastEvent = this.eventCount + (options.limitEvents ?? 50_000_000);
    const fail = (why: string) => done.reject(new Error(`${options.what ?? 'simulation'}: ${why}`));
    const turn = (): void => {
      try {
        if (typeof until === 'function' && until()) return done.resolve();
        const next = this.peek();
        if (next && next.dueMs <= endMs) {
          if (this.eventCount >= lastEvent) return fail('too many events; something keeps itself busy');
          this.step();
          afterMicrotasks(turn);
          return;
        }
        if (typeof until === 'function' && !next)
          return fail('nothing left to happen, and the condition does not hold');
        this.elapsedMs = endMs;
        if (typeof until === 'function')
          return fail(`the condition did not hold within ${options.limitMs ?? 60_000} ms`);
        done.resolve();
      } catch (error) {
        done.reject(error);
      }
    };
    afterMicrotasks(turn);
    try {
      await done.promise;
    } finally {
      this.running = false;
    }
  }

  private step(): void {
    const event = this.pop();
    if (!event?.fn) return;
    this.eventCount++;
    this.elapsedMs = Math.max(this.elapsedMs, event.dueMs);
    const { fn } = event;
    event.fn = undefined;
    fn();
  }

  /** The earliest event that is not cancelled. */
  private peek(): Event | undefined {
    while (this.heap[0] && !this.heap[0].fn) {
      this.pop();
      this.cancelled--;
    }
    return this.heap[0];
  }

  private compact(): void {
    const live = this.heap.filter((event) => event.fn).toSorted((a, b) => (before(a, b) ? -1 : 1));
    this.heap.splice(0, this.heap.length, ...live);
    this.cancelled = 0;
  }

  private push(event: Event): void {
    const { heap } = this;
    let at = heap.length;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (!parent || !before(event, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  }

  private pop(): Event | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      const left = heap[down];
      const right = heap[down + 1];
      if (!left) break;
      let child = left;
      if (right && before(right, left)) {
        child = right;
        down++;
      }
      if (!before(child, last)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
    return top;
  }
}

/**
 * What one simulated peer takes for the time. It can be frozen (a stopped process: nothing fires, then everything that
 * was due fires at once) and halted (a crashed process: nothing fires ever again).
 */
export class PeerClock implements Clock {
  private frozenUntilMs = 0;
  private halted = false;

  constructor(
    private readonly clock: SimClock,
    private offsetMs: number,
    private readonly rate: number,
  ) {}

  nowMs(): number {
    return this.clock.nowMs() + this.offsetMs + this.clock.monotonicMs() * (this.rate - 1);
  }

  monotonicMs(): number {
    return this.clock.monotonicMs() * this.rate;
  }

  timer(ms: number, fn: () => void): Cancel {
    if (this.halted) return () => undefined;
    let cancel: Cancel = () => undefined;
    const fire = () => {
      if (this.halted) return;
      const waitMs = this.frozenUntilMs - this.clock.monotonicMs();
      if (waitMs > 0) cancel = this.clock.timer(waitMs, fire);
      else fn();
    };
    cancel = this.clock.timer(Math.max(ms, 0) / this.rate, fire);
    return () => cancel();
  }

  interval(ms: number, fn: () => void): Cancel {
    return repeat(this, ms, fn);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  /** Moves this peer's wall clock by `ms`, as a time daemon or an operator would. */
  jump(ms: number): void {
    this.offsetMs += ms;
  }

  /** Stops this peer's timers for `ms` of true time. */
  freeze(ms: number): void {
    this.frozenUntilMs = Math.max(this.frozenUntilMs, this.clock.monotonicMs() + ms);
  }

  /** Milliseconds of true time this peer stays frozen. */
  get frozenForMs(): number {
    return Math.max(0, this.frozenUntilMs - this.clock.monotonicMs());
  }

  /** The process is gone: no timer of this view fires any more, and sleeps never end. */
  halt(): void {
    this.halted = true;
  }
}

function before(a: Event, b: Event): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

function repeat(clock: Clock, ms: number, fn: () => void): Cancel {
  let cancel: Cancel = () => undefined;
  let stopped = false;
  const fire = () => {
    fn();
    if (!stopped) cancel = clock.timer(Math.max(ms, 1), fire);
  };
  cancel = clock.timer(Math.max(ms, 1), fire);
  return () => {
    stopped = true;
    cancel();
  };
}

function sleepOn(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortReason(signal));
      return;
    }
    const onAbort = () => {
      cancel();
      reject(abortReason(signal as AbortSignal));
    };
    const cancel = clock.timer(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

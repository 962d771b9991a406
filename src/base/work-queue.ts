/**
 * A work queue with client-go's guarantees: a key is processed by one worker at a time; a key added while it is being
 * processed is processed once more afterwards; adding a waiting key again does nothing; failures are re-added with
 * per-key exponential back-off. Its size is bounded by the number of distinct keys.
 */
import { backoffMs, type BackoffOptions } from './backoff.js';
import type { Cancel, Clock } from './clock.js';

export class WorkQueue {
  private readonly waiting = new Set<string>();
  private readonly processing = new Set<string>();
  private readonly dirty = new Set<string>();
  private readonly failures = new Map<string, number>();
  private readonly delayed = new Map<string, { dueMs: number; cancel: Cancel }>();
  private takers: ((key: string | undefined) => void)[] = [];
  private closed = false;

  constructor(
    private readonly clock: Clock,
    private readonly backoff: BackoffOptions = { baseMs: 20, maxMs: 30_000 },
  ) {}

  /** Keys waiting to be taken, without those being processed or delayed. */
  get depth(): number {
    return this.waiting.size;
  }

  /** True when no key is waiting, being processed or delayed. */
  get idle(): boolean {
    return this.waiting.size === 0 && this.processing.size === 0 && this.delayed.size === 0;
  }

  add(key: string): void {
    if (this.closed) return;
    if (this.processing.has(key)) {
      this.dirty.add(key);
      return;
    }
    const taker = this.takers.shift();
    if (taker) {
      this.processing.add(key);
      taker(key);
    } else this.waiting.add(key);
  }

  /** Adds the key after `ms`; an earlier due time for the same key wins. */
  addAfter(key: string, ms: number): void {
    if (this.closed) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const dueMs = this.clock.monotonicMs() + ms;
    const present = this.delayed.get(key);
    if (present && present.dueMs <= dueMs) return;
    present?.cancel();
    const cancel = this.clock.timer(ms, () => {
      this.delayed.delete(key);
      this.add(key);
    });
    this.delayed.set(key, { dueMs, cancel });
  }

  /** Adds the key after its back-off, which grows with every call until {@link forget}. */
  addRateLimited(key: string): void {
    const failures = (this.failures.get(key) ?? 0) + 1;
    this.failures.set(key, failures);
    this.addAfter(key, backoffMs(failures, this.backoff));
  }

  /** How often the key failed since it was last forgotten. */
  failuresOf(key: string): number {
    return this.failures.get(key) ?? 0;
  }

  forget(key: string): void {
    this.failures.delete(key);
  }

  /** The next key, or undefined once the queue is closed. Every taken key must be given back with {@link done}. */
  take(): Promise<string | undefined> {
    if (this.closed) return Promise.resolve(undefined);
    for (const key of this.waiting) {
      this.waiting.delete(key);
      this.processing.add(key);
      return Promise.resolve(key);
    }
    return new Promise((resolve) => this.takers.push(resolve));
  }

  done(key: string): void {
    this.processing.delete(key);
    if (this.dirty.delete(key)) this.add(key);
  }

  /** Wakes all takers with undefined and drops everything that waits. */
  close(): void {
    this.closed = true;
    for (const { cancel } of this.delayed.values()) cancel();
    this.delayed.clear();
    this.waiting.clear();
    this.dirty.clear();
    const takers = this.takers;
    this.takers = [];
    for (const taker of takers) taker(undefined);
  }
}

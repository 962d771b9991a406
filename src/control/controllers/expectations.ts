/**
 * What a controller did but its cache does not show yet. While an owner has unmet expectations, nothing is created or
 * deleted for it, so that a slow cache never makes a controller do the same thing twice.
 *
 * Creations are counted (the informer may show the object before the create call returns); deletions are remembered by
 * uid (a deletion shows twice, as a deletionTimestamp and as the end). Expectations that are not met within `timeoutMs` are
 * given up: the object may have come and gone between two lists.
 */
import type { Clock } from '../../base/clock.js';

interface Expected {
  creations: number;
  readonly deletions: Set<string>;
  sinceMs: number;
}

export class Expectations {
  private readonly expected = new Map<string, Expected>();

  constructor(
    private readonly clock: Clock,
    private readonly timeoutMs: number,
  ) {}

  /** True when the cache shows everything that was done for this owner, or the wait was given up. */
  met(owner: string): boolean {
    return this.remainingMs(owner) === 0;
  }

  /** How long until unmet expectations are given up; 0 when there are none. */
  remainingMs(owner: string): number {
    const expected = this.expected.get(owner);
    if (!expected || (expected.creations <= 0 && expected.deletions.size === 0)) return 0;
    return Math.max(0, expected.sinceMs + this.timeoutMs - this.clock.monotonicMs());
  }

  /** Call before acting: replaces what was expected before. */
  expect(owner: string, creations: number, deletedUids: readonly string[]): void {
    this.expected.set(owner, { creations, deletions: new Set(deletedUids), sinceMs: this.clock.monotonicMs() });
  }

  /** A creation was seen in the cache, or did not happen after all. */
  createdOrFailed(owner: string, count = 1): void {
    const expected = this.expected.get(owner);
    if (expected) expected.creations -= count;
  }

  /** A deletion was seen in the cache, or did not happen after all. */
  deletedOrFailed(owner: string, uid: string): void {
    this.expected.get(owner)?.deletions.delete(uid);
  }

  forget(owner: string): void {
    this.expected.delete(owner);
  }
}

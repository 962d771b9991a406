/**
 * Hybrid logical clock stamps (Kulkarni et al., "Logical Physical Clocks", 2014): close to wall time, never going
 * backwards on a peer, ordered after everything that peer has seen, and unique through the writer's own suffix. A writer is
 * one run of a peer: one that lost its last writes with the power, or whose clock was set back, is another writer.
 *
 * A stamp is 32 hexadecimal digits (12 of milliseconds, 4 of counter, 16 of the writer's id hash): comparing two stamps is
 * comparing two strings, and a stamp serves as Automerge actor id, so that the op id of every conflicting field tells
 * when it was written.
 */
import { createHash } from 'node:crypto';

export type Stamp = string & { readonly __brand: 'Stamp' };

/** Before every real stamp. */
export const NO_STAMP = '0'.repeat(32) as Stamp;

const COUNTER_LIMIT = 0xffff;

/** The wall-clock part in milliseconds. */
export const stampMs = (stamp: Stamp): number => Number.parseInt(stamp.slice(0, 12), 16);

/** The part that names who wrote: one run of one peer's process. */
export const writerOf = (stamp: Stamp): string => stamp.slice(16);

/** The later of two stamps. */
export const laterStamp = (a: Stamp, b: Stamp): Stamp => (a > b ? a : b);

export class StampClock {
  private ms = 0;
  private counter = 0;
  private readonly suffix: string;

  constructor(
    writer: string,
    private readonly nowMs: () => number,
  ) {
    this.suffix = createHash('sha256').update(writer).digest('hex').slice(0, 16);
  }

  /** A stamp later than every one given or observed before. */
  next(): Stamp {
    const now = Math.max(0, Math.floor(this.nowMs()));
    if (now > this.ms) {
      this.ms = now;
      this.counter = 0;
    } else if (this.counter < COUNTER_LIMIT) {
      this.counter += 1;
    } else {
      this.ms += 1;
      this.counter = 0;
    }
    return (this.ms.toString(16).padStart(12, '0') + this.counter.toString(16).padStart(4, '0') + this.suffix) as Stamp;
  }

  /** Makes sure that later stamps are later than this one. */
  observe(stamp: Stamp): void {
    const ms = stampMs(stamp);
    const counter = Number.parseInt(stamp.slice(12, 16), 16);
    if (ms > this.ms) {
      this.ms = ms;
      this.counter = counter;
    } else if (ms === this.ms) this.counter = Math.max(this.counter, counter);
  }
}

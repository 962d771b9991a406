/** Keeps a peer away from all others for a time, as a broken cable would. The transport asks, and drops who is denied. */
import type { Clock } from '../base/clock.js';

export class Isolation {
  private untilMs = 0;

  constructor(private readonly deps: { readonly clock: Clock }) {}

  /** Why nobody is talked to now; undefined when everybody may be. */
  get reason(): string | undefined {
    return this.deps.clock.monotonicMs() < this.untilMs ? 'it is cut off by skein chaos' : undefined;
  }

  begin(seconds: number): void {
    this.untilMs = this.deps.clock.monotonicMs() + seconds * 1000;
  }
}

import type { Random } from './random.js';

export interface BackoffOptions {
  /** First delay in milliseconds. */
  readonly baseMs: number;
  /** No delay is longer than this, in milliseconds (before jitter). */
  readonly maxMs: number;
  /** Growth per failure; 2 unless told. */
  readonly factor?: number;
  /** Share of the delay that is random on top, 0 to 1; 0 unless told. */
  readonly jitter?: number;
}

/** The delay before retry number `failures` (1 is the first retry): exponential, capped, with optional jitter. */
export function backoffMs(failures: number, options: BackoffOptions, random?: Random): number {
  const growth = (options.factor ?? 2) ** Math.min(Math.max(failures - 1, 0), 60);
  const delay = Math.min(options.baseMs * growth, options.maxMs);
  return random && options.jitter ? delay * (1 + options.jitter * random.next()) : delay;
}

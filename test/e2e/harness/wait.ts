/** Waiting for conditions, never for time. */
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 50;

/**
 * Resolves with the first value of `probe` that is not false or undefined, and how long that took. Rejects after
 * `timeoutMs` with `what` and the probe's last error or value.
 */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | false | undefined>,
): Promise<{ value: T; tookMs: number }> {
  const start = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== false && value !== undefined) return { value, tookMs: Math.round(performance.now() - start) };
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() - start > timeoutMs) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`${what}: not within ${timeoutMs} ms${why}`, { cause: last });
    }
    await sleep(POLL_MS);
  }
}

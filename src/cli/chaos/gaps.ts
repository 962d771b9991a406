/** How long clients went without an acknowledged write. Pure. */

/**
 * The longest time without an event that overlaps `[fromMs, toMs]`, in milliseconds. `timesMs` ascend. Before the first event and
 * after the last one the window's own ends count.
 */
export function longestGapMs(timesMs: readonly number[], fromMs: number, toMs: number): number {
  let longest = 0;
  let before = fromMs;
  for (const atMs of timesMs) {
    if (atMs <= fromMs) {
      before = atMs;
      continue;
    }
    longest = Math.max(longest, atMs - before);
    before = atMs;
    if (atMs >= toMs) return longest;
  }
  return Math.max(longest, toMs - before);
}

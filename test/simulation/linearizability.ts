/**
 * Whether what clients saw of one object can be told as if everything had happened one after the other, each operation at some
 * instant between its start and its answer (Herlihy and Wing, 1990). The search is Wing and Gong's with Lowe's memory of
 * what was tried ("Testing for linearizability", 2017), as Knossos and Porcupine have it.
 */
export interface Step {
  readonly startMs: number;
  /** Infinite when the outcome is not known: then it may have taken effect at any time after its start, or never. */
  readonly endMs: number;
  /** What the object is after it, or undefined when it could not have ended as it did on that state. */
  readonly apply: (state: string) => string | undefined;
  /** For people. */
  readonly text: string;
}

/** Configurations looked at before a search is given up, which counts as linearizable: what is not shown is not claimed. */
const MAX_CONFIGURATIONS = 200_000;

/**
 * Undefined when there is an order. Otherwise the longest beginning of one that was found, and what no order could place after
 * it.
 */
export function unexplained(steps: readonly Step[], initial: string): string | undefined {
  const sorted = steps.toSorted((a, b) => a.startMs - b.startMs);
  const answered = sorted.filter(({ endMs }) => endMs !== Infinity).length;
  const tried = new Set<string>();
  let best: readonly Step[] = [];
  let budget = MAX_CONFIGURATIONS;

  const search = (done: bigint, state: string, order: readonly Step[], left: number): boolean => {
    if (left === 0 || --budget < 0) return true;
    const name = `${done} ${state}`;
    if (tried.has(name)) return false;
    tried.add(name);
    if (order.length > best.length) best = order;
    // Whoever was answered first among those left must come before all that started later.
    let firstEndMs = Infinity;
    for (const [i, step] of sorted.entries()) {
      if (step.startMs > firstEndMs) break;
      if (!((done >> BigInt(i)) & 1n)) firstEndMs = Math.min(firstEndMs, step.endMs);
    }
    for (const [i, step] of sorted.entries()) {
      if (step.startMs > firstEndMs) return false;
      if ((done >> BigInt(i)) & 1n) continue;
      const next = step.apply(state);
      if (next === undefined) continue;
      if (search(done | (1n << BigInt(i)), next, [...order, step], left - (step.endMs === Infinity ? 0 : 1)))
        return true;
    }
    return false;
  };

  if (search(0n, initial, [], answered)) return undefined;
  const show = ({ startMs, endMs, text }: Step) => `${text} [${startMs.toFixed(1)}, ${endMs.toFixed(1)}]`;
  const rest = sorted.filter((step) => !best.includes(step));
  return `no order explains it: after ${best.map(({ text }) => text).join('; ')} comes none of ${rest.map(show).join('; ')}`;
}

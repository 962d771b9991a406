/** Runs rows side by side, each in namespaces of its own, and keeps how each ended. */
import type { Cluster } from './clusters/cluster.js';
import { Context, NotRun, type Rows } from './framework/context.js';
import type { Row } from './table.js';

export type Outcome =
  | { readonly kind: 'passed'; readonly tookMs: number }
  | { readonly kind: 'failed'; readonly tookMs: number; readonly error: Error }
  | { readonly kind: 'not run'; readonly why: string };

export interface RunOptions {
  /** How many rows are under way at a time. */
  readonly concurrency: number;
  /** Longest time of one row, in milliseconds; its clean-up not included. */
  readonly rowTimeoutMs: number;
}

/** Starts at once; the outcome of each row can be awaited by its id. Never rejects. */
export function runRows(
  cluster: Cluster,
  rows: readonly Row[],
  tests: Rows,
  { concurrency, rowTimeoutMs }: RunOptions,
): ReadonlyMap<string, Promise<Outcome>> {
  const waiting: (() => void)[] = [];
  let free = concurrency;
  const turn = () => (free > 0 ? (free--, Promise.resolve()) : new Promise<void>((resolve) => waiting.push(resolve)));
  const done = () => {
    const next = waiting.shift();
    if (next) next();
    else free++;
  };
  const outcomes = rows.map(async (row): Promise<Outcome> => {
    await turn();
    try {
      return await runRow(cluster, row, tests, rowTimeoutMs);
    } finally {
      done();
    }
  });
  return new Map(rows.map(({ id }, i) => [id, outcomes[i] as Promise<Outcome>]));
}

async function runRow(cluster: Cluster, { id }: Row, tests: Rows, timeoutMs: number): Promise<Outcome> {
  const test = tests[id];
  if (!test) return { kind: 'not run', why: 'not yet' };
  const context = new Context(cluster);
  const start = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`did not end within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  try {
    await Promise.race([test(context), late]);
    return { kind: 'passed', tookMs: performance.now() - start };
  } catch (error) {
    if (error instanceof NotRun) return { kind: 'not run', why: error.message };
    const fault = error instanceof Error ? error : new Error(String(error));
    return { kind: 'failed', tookMs: performance.now() - start, error: fault };
  } finally {
    clearTimeout(timer);
    await context.end();
  }
}

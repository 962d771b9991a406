/** What a benchmark is: measures skein and, where there is one, a peer in the same run on the same hosts. */
export interface Figure {
  /** What was measured, in a few words; the first column of the table. */
  readonly what: string;
  /** `ms`, `s`, `/s`, `MiB`, `%`, … */
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /** The median where there are several samples; undefined: the measurement failed (see `note`). */
  readonly skein: number | undefined;
  readonly peer?: { readonly name: string; readonly value: number | undefined; readonly samples?: readonly number[] };
  readonly samples?: readonly number[];
  /** What TARGETS ask for, as a bound on the figure or on its ratio to the peer's. */
  readonly goal?: {
    readonly text: string;
    readonly atMost?: number;
    readonly atLeast?: number;
    readonly of: 'value' | 'ratio';
  };
  readonly note?: string;
}

export interface Context {
  /** How often a measurement with few samples is repeated. */
  readonly rounds: number;
  /** How long a steady load lasts, in seconds. */
  readonly seconds: number;
  log(text: string): void;
  /** Runs when the benchmark ends, however it ends, last one first. */
  defer(cleanup: () => Promise<unknown>): void;
}

export interface Bench {
  readonly name: string;
  readonly about: string;
  /** Needs root, Docker and `scripts/lab`. */
  readonly hosts: boolean;
  /** Longest time it may take, in seconds; it is ended (and cleaned up) after that. */
  readonly limitSeconds: number;
  run(context: Context): Promise<Figure[]>;
}

const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);

/** The value below which the share `q` (0 to 1) of all values lies; undefined without values. */
export function quantile(values: readonly number[], q: number): number | undefined {
  return sorted(values)[Math.min(values.length - 1, Math.floor(values.length * q))];
}

export const median = (values: readonly number[]): number | undefined => quantile(values, 0.5);

export const round = (value: number, digits = 0): number => Number(value.toFixed(digits));

/** How skein compares; undefined where there is no peer or no figure. */
export function ratioOf({ skein, peer }: Figure): number | undefined {
  return skein === undefined || !peer?.value ? undefined : skein / peer.value;
}

/** Whether the goal is met; undefined where there is none or it cannot be told. */
export function goalMet(figure: Figure): boolean | undefined {
  const { goal } = figure;
  if (!goal) return undefined;
  const value = goal.of === 'ratio' ? ratioOf(figure) : figure.skein;
  if (value === undefined) return undefined;
  return value <= (goal.atMost ?? Infinity) && value >= (goal.atLeast ?? -Infinity);
}

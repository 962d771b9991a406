/** Metrics as components see them; the Prometheus registry lives in `observability/`. */
export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  inc(labels?: Labels, by?: number): void;
}
export interface Gauge {
  set(value: number, labels?: Labels): void;
}
export interface Histogram {
  /** `value` is in the unit that the metric's name ends with (Prometheus' naming rules: base units, so seconds). */
  observe(value: number, labels?: Labels): void;
}

/** Asking twice for a name returns the same metric. */
export interface Metrics {
  counter(name: string, help: string, labelNames?: readonly string[]): Counter;
  gauge(name: string, help: string, labelNames?: readonly string[]): Gauge;
  histogram(name: string, help: string, options?: { labelNames?: readonly string[]; buckets?: number[] }): Histogram;
}

/** Counts nothing. */
export const noMetrics: Metrics = {
  counter: () => ({ inc: () => undefined }),
  gauge: () => ({ set: () => undefined }),
  histogram: () => ({ observe: () => undefined }),
};

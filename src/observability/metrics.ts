/** The Prometheus registry behind `base/metrics.ts`. One per process part; nothing is shared between two of them. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Metrics } from '../base/metrics.js';

export class PrometheusMetrics implements Metrics {
  private readonly registry = new Registry();

  /** The content type of what {@link render} returns. */
  get contentType(): string {
    return this.registry.contentType;
  }

  /** Adds the process's own figures: RSS, CPU seconds, open files, event loop lag, garbage collection. Call once. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.registry });
  }

  counter(name: string, help: string, labelNames: readonly string[] = []) {
    const metric = this.known(name, Counter) ?? new Counter({ name, help, labelNames, registers: [this.registry] });
    return { inc: (labels: Readonly<Record<string, string>> = {}, by = 1) => metric.inc(labels, by) };
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []) {
    const metric = this.known(name, Gauge) ?? new Gauge({ name, help, labelNames, registers: [this.registry] });
    return { set: (value: number, labels: Readonly<Record<string, string>> = {}) => metric.set(labels, value) };
  }

  histogram(name: string, help: string, options: { labelNames?: readonly string[]; buckets?: number[] } = {}) {
    const { labelNames = [], buckets } = options;
    const metric =
      this.known(name, Histogram) ??
      new Histogram({ name, help, labelNames, ...(buckets ? { buckets } : {}), registers: [this.registry] });
    return { observe: (value: number, labels: Readonly<Record<string, string>> = {}) => metric.observe(labels, value) };
  }

  /** Everything in the Prometheus text format. */
  render(): Promise<string> {
    return this.registry.metrics();
  }

  /** The metric of that name. Throws when the name belongs to another type: a programming error. */
  private known<T>(name: string, type: new (...args: never[]) => T): T | undefined {
    const metric: unknown = this.registry.getSingleMetric(name);
    if (metric === undefined) return undefined;
    if (metric instanceof type) return metric;
    throw new Error(`metric ${name} exists with another type`);
  }
}

/** Loads: at a steady rate whether or not earlier requests were answered, or as fast as a number of connections can. */
import { quantile } from './bench.js';

/** One request of a load; rejects when it failed. */
export type Send = (number: number) => Promise<void>;

export interface SteadyReport {
  readonly sent: number;
  readonly failed: number;
  /** Of the first failures. */
  readonly errors: readonly string[];
  /** Longest time between the ends of two successful requests that follow each other, in milliseconds. */
  readonly longestGapMs: number;
}

export class SteadyLoad {
  private readonly timer: NodeJS.Timeout;
  private readonly open = new Set<Promise<void>>();
  private readonly endsMs: number[] = [];
  private readonly errors: string[] = [];
  private sent = 0;
  private failed = 0;

  constructor(send: Send, perSecond: number) {
    this.timer = setInterval(() => {
      const done = send(this.sent++)
        .then(() => void this.endsMs.push(performance.now()))
        .catch((error: Error) => {
          this.failed++;
          if (this.errors.length < 3) this.errors.push(error.message);
        })
        .finally(() => this.open.delete(done));
      this.open.add(done);
    }, 1000 / perSecond);
  }

  /** How many requests succeeded after a monotonic time. */
  succeededSince(ms: number): number {
    return this.endsMs.filter((end) => end > ms).length;
  }

  async stop(): Promise<SteadyReport> {
    clearInterval(this.timer);
    await Promise.all(this.open);
    const gaps = this.endsMs.slice(1).map((end, i) => end - (this.endsMs[i] ?? end));
    const longestGapMs = gaps.reduce((longest, gap) => Math.max(longest, gap), 0);
    return { sent: this.sent, failed: this.failed, errors: this.errors, longestGapMs };
  }
}

export interface RateReport {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  readonly error: string;
}

/** Each connection sends its next request when the last was answered. What the first second brings is not counted. */
export async function fullSpeed(senders: readonly Send[], seconds: number, next: () => number): Promise<RateReport> {
  const beginMs = performance.now() + 1_000;
  const endMs = beginMs + seconds * 1_000;
  const tookMs: number[] = [];
  let failed = 0;
  let error = '';
  await Promise.all(
    senders.map(async (send) => {
      while (performance.now() < endMs) {
        const startMs = performance.now();
        try {
          await send(next());
        } catch (thrown) {
          failed++;
          error ||= thrown instanceof Error ? thrown.message : String(thrown);
          continue;
        }
        const nowMs = performance.now();
        if (startMs >= beginMs && nowMs <= endMs) tookMs.push(nowMs - startMs);
      }
    }),
  );
  return {
    perSecond: tookMs.length / seconds,
    p50Ms: quantile(tookMs, 0.5) ?? 0,
    p99Ms: quantile(tookMs, 0.99) ?? 0,
    failed,
    error,
  };
}

/** Adds up what histories came to. */
import type { HistorySummary } from './history-pool.js';

/** Failures kept in full; the others are counted. */
const KEPT_FAILURES = 100;

export class Tally {
  histories = 0;
  failed = 0;
  /** The first of them, with their seeds. */
  readonly failures: string[] = [];
  private operations = 0;
  private acknowledged = 0;
  private events = 0;
  private slowest = { ms: 0, seed: 0 };
  private readonly peers = new Map<number, number>();
  private readonly faults = new Map<string, number>();

  add(summary: HistorySummary): void {
    this.histories += 1;
    this.operations += summary.operations;
    this.acknowledged += summary.acknowledged;
    this.events += summary.events;
    this.peers.set(summary.peers, (this.peers.get(summary.peers) ?? 0) + 1);
    for (const [name, n] of Object.entries(summary.faults)) this.faults.set(name, (this.faults.get(name) ?? 0) + n);
    if (summary.convergedMs > this.slowest.ms) this.slowest = { ms: summary.convergedMs, seed: summary.seed };
    if (summary.problems.length === 0) return;
    this.failed += 1;
    if (this.failures.length < KEPT_FAILURES) this.failures.push(failureOf(summary));
  }

  text(): string {
    const listed = <K>(counts: ReadonlyMap<K, number>, name: (key: K) => string) =>
      [...counts]
        .toSorted(([, a], [, b]) => b - a)
        .map(([key, n]) => `${n} ${name(key)}`)
        .join(', ');
    return [
      `${this.histories} histories, ${this.failed} failed; ${this.operations} operations, ${this.acknowledged} acknowledged; ` +
        `${this.events} events; slowest convergence ${this.slowest.ms.toFixed(0)} ms (seed ${this.slowest.seed})`,
      `peers: ${listed(this.peers, (n) => `of ${n}`)}`,
      `faults: ${listed(this.faults, (name) => name)}`,
    ].join('\n');
  }
}

export function failureOf({ seed, peers, whole, problems }: HistorySummary): string {
  const text = problems.slice(0, 3).join('\n    ').slice(0, 1_500);
  return `SEED=${seed} (${peers} peers${whole ? ', whole' : ''}): ${text}`;
}

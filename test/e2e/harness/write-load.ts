/** A steady stream of writes through given peers, each request noted: what failed, and the longest time without a success. */
import type { Api } from './api.js';

export interface WriteNote {
  readonly name: string;
  readonly peer: string;
  readonly startMs: number;
  readonly endMs: number;
  /** HTTP status, or 0 with an error. */
  readonly status: number;
  readonly error: string;
}

export interface WriteReport {
  readonly notes: readonly WriteNote[];
  readonly failed: readonly WriteNote[];
  /** Longest time between the ends of two successful writes that follow each other, in milliseconds. */
  readonly longestGapMs: number;
  readonly slowestMs: number;
}

/** Creates ConfigMaps with names of their own, the peers in turn, on time whether or not earlier ones were answered. */
export class WriteLoad {
  private readonly notes: WriteNote[] = [];
  private readonly open = new Set<Promise<void>>();
  private timer: NodeJS.Timeout | undefined;
  private sent = 0;

  constructor(
    private readonly apis: readonly Api[],
    private readonly namespace: string,
    private readonly perSecond = 10,
    /** Distinguishes loads of one namespace. */
    private readonly prefix = 'write',
  ) {}

  start(): void {
    this.timer = setInterval(() => this.send(), 1000 / this.perSecond);
  }

  get count(): number {
    return this.notes.length;
  }

  private send(): void {
    const number = this.sent++;
    const api = this.apis[number % this.apis.length] as Api;
    const name = `${this.prefix}-${number}`;
    const startMs = performance.now();
    const note = (status: number, error: string) => {
      this.notes.push({ name, peer: api.peer, startMs, endMs: performance.now(), status, error });
    };
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { number: String(number) } };
    const done = api
      .send('POST', `/api/v1/namespaces/${this.namespace}/configmaps`, object)
      .then(({ status, body, text }) => note(status, status === 201 ? '' : (body?.message ?? text)))
      .catch((error: Error) => note(0, error.message))
      .finally(() => this.open.delete(done));
    this.open.add(done);
  }

  /** Ends the load and waits for the last answers. */
  async stop(): Promise<WriteReport> {
    clearInterval(this.timer);
    await Promise.all(this.open);
    const failed = this.notes.filter(({ status }) => status !== 201);
    const ends = this.notes
      .filter(({ status }) => status === 201)
      .map(({ endMs }) => endMs)
      .sort((a, b) => a - b);
    const gaps = ends.slice(1).map((end, i) => end - (ends[i] as number));
    return {
      notes: this.notes,
      failed,
      longestGapMs: Math.round(Math.max(0, ...gaps)),
      slowestMs: Math.round(Math.max(0, ...this.notes.map(({ startMs, endMs }) => endMs - startMs))),
    };
  }
}

/** Failures in a few lines, for assertion messages. */
export function describeFailures({ failed, notes }: WriteReport): string {
  const lines = failed
    .slice(0, 5)
    .map(
      ({ name, peer, status, error, startMs, endMs }) =>
        `${name} at ${peer}: ${status} ${error} (${Math.round(endMs - startMs)} ms)`,
    );
  return `${failed.length} of ${notes.length} writes failed\n  ${lines.join('\n  ')}`;
}

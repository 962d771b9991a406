/**
 * The controller runner: one owner of queue, back-off, cache-sync wait, metrics and logging for every level-triggered
 * loop. A controller only says what wakes it and what one reconcile does.
 *
 * Guarantees: `reconcile` never runs twice at once for one key; a key added during its own reconcile runs again; an error
 * is retried with exponential back-off; nothing is reconciled before all informers have synced.
 */
import type { Clock } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import { errorText, type Logger } from '../base/log.js';
import type { Metrics } from '../base/metrics.js';
import { WorkQueue } from '../base/work-queue.js';
import { isConflict } from '../api/errors.js';

export interface ReconcileResult {
  /** Run this key again after so many milliseconds even if nothing changes. */
  readonly requeueAfterMs?: number;
}

export interface ControllerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface ControllerOptions {
  readonly name: string;
  /** How many different keys may be reconciled at once; 1 unless told. */
  readonly workers?: number;
  /** Nothing runs until these resolve. */
  readonly waitFor: readonly { readonly synced: Promise<void> }[];
  /** Reads everything anew, acts, and returns. Must be idempotent. */
  reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void>;
}

export class Controller implements Service {
  readonly name: string;
  /** Event handlers only ever add keys here. */
  readonly queue: WorkQueue;
  private readonly abort = new AbortController();
  private running: Promise<void> | undefined;

  constructor(
    private readonly deps: ControllerDeps,
    private readonly options: ControllerOptions,
  ) {
    this.name = options.name;
    this.queue = new WorkQueue(deps.clock);
  }

  /** Begins in the background once the informers have synced. */
  async start(): Promise<void> {
    this.running ??= this.run();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error(`controller ${this.name} stopped`));
    this.queue.close();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.abort;
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([Promise.all(this.options.waitFor.map((informer) => informer.synced)), stopped]);
    await Promise.all(Array.from({ length: this.options.workers ?? 1 }, () => this.work()));
  }

  private async work(): Promise<void> {
    const { metrics, clock, log } = this.deps;
    const total = metrics.counter('skein_controller_reconcile_total', 'Reconciles by controller and result', [
      'controller',
      'result',
    ]);
    const seconds = metrics.histogram('skein_controller_reconcile_seconds', 'Duration of one reconcile', {
      labelNames: ['controller'],
    });
    for (let key = await this.queue.take(); key !== undefined; key = await this.queue.take()) {
      const began = clock.monotonicMs();
      try {
        const result = await this.options.reconcile(key, this.abort.signal);
        this.queue.forget(key);
        if (result?.requeueAfterMs !== undefined) this.queue.addAfter(key, result.requeueAfterMs);
        total.inc({ controller: this.name, result: 'success' });
      } catch (error) {
        if (!this.abort.signal.aborted) {
          total.inc({ controller: this.name, result: 'error' });
          // A conflict only says that our cache was behind: ordinary, and cured by trying again.
          const level = isConflict(error) ? 'debug' : 'warn';
          log[level]('reconcile failed, will retry', { controller: this.name, key, error: errorText(error) });
          this.queue.addRateLimited(key);
        }
      } finally {
        seconds.observe((clock.monotonicMs() - began) / 1000, { controller: this.name });
        this.queue.done(key);
      }
    }
  }
}

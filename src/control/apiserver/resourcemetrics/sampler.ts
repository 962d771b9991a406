/**
 * Asks kubelets what their containers use, when somebody wants to know: nothing runs while nobody asks. Answers are kept for
 * a while, so that many who ask cost no more than one; all who ask at the same time wait for the same round.
 */
import type { Clock } from '../../../base/clock.js';
import { sampleOf, usageBetween, type NodeSample, type NodeUsage, type StatsSummary } from './usage.js';

/** Reaches kubelets. Rejects when one cannot be reached or refuses. */
export interface KubeletReader {
  json(node: string, path: string, limits: { readonly bytes: number; readonly signal: AbortSignal }): Promise<unknown>;
}

export interface SamplerOptions {
  /** Milliseconds for which figures are good enough to be shown again. */
  readonly maxAgeMs: number;
  /** Milliseconds between two samples where there is no earlier one to compare with. */
  readonly windowMs: number;
  /** Milliseconds after which a sample is too old to be compared with. */
  readonly forgetMs: number;
  /** Kubelets that are asked at the same time. */
  readonly concurrency: number;
  /** Milliseconds that a kubelet may take. */
  readonly timeoutMs: number;
  /** Bytes of a kubelet's answer. */
  readonly maxBytes: number;
}

export const DEFAULT_SAMPLER: SamplerOptions = Object.freeze({
  maxAgeMs: 15_000,
  windowMs: 1_000,
  forgetMs: 300_000,
  concurrency: 16,
  timeoutMs: 5_000,
  maxBytes: 16 * 1024 * 1024,
});

interface Round {
  readonly takenAtMs: number;
  /** By node. */
  readonly usages: ReadonlyMap<string, NodeUsage>;
}

export class UsageSampler {
  private samples: ReadonlyMap<string, NodeSample> = new Map();
  private latest: Round | undefined;
  private running: Promise<Round> | undefined;

  constructor(
    private readonly deps: { readonly clock: Clock; readonly kubelets: KubeletReader },
    private readonly options: SamplerOptions = DEFAULT_SAMPLER,
  ) {}

  /** The use of each of the nodes that can tell, by name. Never rejects: who cannot be asked is left out. */
  async usages(nodes: readonly string[]): Promise<ReadonlyMap<string, NodeUsage>> {
    const { latest, options } = this;
    if (latest && this.deps.clock.monotonicMs() - latest.takenAtMs < options.maxAgeMs) return latest.usages;
    this.running ??= this.round(nodes).finally(() => {
      this.running = undefined;
    });
    return (await this.running).usages;
  }

  private async round(nodes: readonly string[]): Promise<Round> {
    const { clock } = this.deps;
    let before = this.samples;
    const oldest = clock.monotonicMs() - this.options.forgetMs;
    if (nodes.some((node) => (before.get(node)?.takenAtMs ?? -Infinity) < oldest)) {
      before = await this.sampleAll(nodes);
      await clock.sleep(this.options.windowMs);
    }
    const after = await this.sampleAll(nodes);
    const usages = new Map<string, NodeUsage>();
    for (const [node, sample] of after) {
      const first = before.get(node);
      if (first !== undefined) usages.set(node, usageBetween(first, sample));
    }
    // Nodes that are gone are not remembered.
    this.samples = after;
    this.latest = { takenAtMs: clock.monotonicMs(), usages };
    return this.latest;
  }

  private async sampleAll(nodes: readonly string[]): Promise<ReadonlyMap<string, NodeSample>> {
    const samples = new Map<string, NodeSample>();
    const waiting = [...nodes];
    const worker = async () => {
      for (let node = waiting.shift(); node !== undefined; node = waiting.shift()) {
        const sample = await this.sample(node).catch(() => undefined);
        if (sample !== undefined) samples.set(node, sample);
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.options.concurrency, nodes.length) }, worker));
    return samples;
  }

  private async sample(node: string): Promise<NodeSample> {
    const { maxBytes: bytes, timeoutMs } = this.options;
    const late = new AbortController();
    const cancel = this.deps.clock.timer(timeoutMs, () => late.abort(new Error(`no answer in ${timeoutMs} ms`)));
    const asked = this.deps.kubelets.json(node, '/stats/summary', { bytes, signal: late.signal });
    const summary = await asked.finally(cancel);
    return sampleOf(node, this.deps.clock.monotonicMs(), summary as StatsSummary);
  }
}

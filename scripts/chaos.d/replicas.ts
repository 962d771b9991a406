/** How many containers of the Deployment really run, on all hosts together, sampled: what is too many or too few, times seconds. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../test/e2e/harness/cluster.js';

const SAMPLE_MS = 1_000;
const TIMEOUT_MS = 2_000;
const FILTERS = encodeURIComponent(
  JSON.stringify({ label: ['skein.dev/kind=container', 'skein.dev/pod-namespace=default'], status: ['running'] }),
);

export class Replicas {
  extraSeconds = 0;
  missingSeconds = 0;
  /** When the number was last seen to be wrong; monotonic. */
  wrongAtMs = 0;
  private current: number | undefined;

  constructor(
    private readonly cluster: Cluster,
    private readonly wished: number,
  ) {}

  async run(signal: AbortSignal): Promise<void> {
    let lastMs = performance.now();
    while (!signal.aborted) {
      const count = await this.count();
      const nowMs = performance.now();
      const seconds = (nowMs - lastMs) / 1000;
      lastMs = nowMs;
      this.current = count;
      if (count !== undefined) {
        this.extraSeconds += Math.max(0, count - this.wished) * seconds;
        this.missingSeconds += Math.max(0, this.wished - count) * seconds;
      }
      if (count !== this.wished) this.wrongAtMs = nowMs;
      await sleep(SAMPLE_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Resolves when the number is as wished; rejects after the limit. */
  async settled(limitMs: number): Promise<void> {
    const untilMs = performance.now() + limitMs;
    while (this.current !== this.wished) {
      if (performance.now() > untilMs) throw new Error(`${this.current} of ${this.wished} replicas run`);
      await sleep(SAMPLE_MS / 4);
    }
  }

  /** Undefined when an engine did not answer. */
  private async count(): Promise<number | undefined> {
    try {
      const counts = await Promise.all(this.cluster.agents.map(({ host }) => this.containersOn(host)));
      return counts.reduce((sum, count) => sum + count, 0);
    } catch {
      return undefined;
    }
  }

  private containersOn(host: number): Promise<number> {
    const socketPath = this.cluster.lab.dockerHost(host).replace('unix://', '');
    return new Promise((resolve, reject) => {
      const options = { socketPath, path: `/containers/json?filters=${FILTERS}`, timeout: TIMEOUT_MS };
      const sent = request(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('end', () => {
          if (response.statusCode === 200) resolve((JSON.parse(text) as unknown[]).length);
          else reject(new Error(`the engine answered ${response.statusCode}`));
        });
      });
      sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
      sent.on('error', reject);
      sent.end();
    });
  }
}

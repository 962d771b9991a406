/** The engine's event stream as "look at this pod again". Reconnects for as long as it runs. */
import { backoffMs } from '../../../base/backoff.js';
import type { Clock } from '../../../base/clock.js';
import { errorText, type Logger } from '../../../base/log.js';
import { jsonLines, type DockerEngine } from './engine.js';
import { LABEL } from './labels.js';

/** Changes that alter what `list` says; without the noise of every exec that a probe makes. */
const EVENTS = ['create', 'start', 'die', 'oom', 'destroy'];
const RECONNECT = { baseMs: 100, maxMs: 5_000 };

export class EngineEvents {
  private readonly abort = new AbortController();
  private running: Promise<void> | undefined;

  constructor(
    private readonly engine: DockerEngine,
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly scope: string,
    /** Called for a change of one container of a pod; `ended` when it runs no more. */
    private readonly changed: (podUid: string, containerId: string, ended: boolean) => void,
    /** Called after a connection was made: what happened before it went unseen. */
    private readonly connected: () => void,
  ) {}

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.abort.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.abort;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.follow(signal, () => (failures = 0));
      } catch (error) {
        if (!signal.aborted) this.log.warn('event stream of the engine broke', { error: errorText(error) });
      }
      failures++;
      await this.clock.sleep(backoffMs(failures, RECONNECT), signal).catch(() => undefined);
    }
  }

  private async follow(signal: AbortSignal, onConnected: () => void): Promise<void> {
    const filters = JSON.stringify({ type: ['container'], label: [`${LABEL.scope}=${this.scope}`], event: EVENTS });
    const stream = await this.engine.stream('GET', '/events', { query: { filters }, signal });
    onConnected();
    this.connected();
    try {
      for await (const event of jsonLines(stream)) {
        const actor = actorOf(event);
        if (actor) this.changed(actor.podUid, actor.id, actor.ended);
      }
    } finally {
      stream.destroy();
    }
  }
}

function actorOf(event: unknown): { id: string; podUid: string; ended: boolean } | undefined {
  if (typeof event !== 'object' || event === null || !('Actor' in event)) return undefined;
  const actor = event.Actor as { ID?: string; Attributes?: Record<string, string | undefined> } | undefined;
  const podUid = actor?.Attributes?.[LABEL.podUid];
  if (actor?.ID === undefined || podUid === undefined) return undefined;
  const action = 'Action' in event ? event.Action : undefined;
  return { id: actor.ID, podUid, ended: action === 'die' || action === 'oom' };
}

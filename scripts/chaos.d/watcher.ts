/** A client that lists and watches through one peer, resumes where its connection broke, and lists again when told 410. */
import { setTimeout as sleep } from 'node:timers/promises';
import { StatusError, type Api, type Json } from '../../test/e2e/harness/api.js';
import { WatchLedger } from './watch-ledger.js';
import { CONFIG_MAPS } from './writer.js';

/** A watch that is silent for so long is begun anew, in milliseconds: its peer was cut off. Writers make a sound each second. */
const SILENCE_MS = 5_000;
const PAUSE_MS = 250;
const LIST_TIMEOUT_MS = 3_000;

export class Watcher {
  readonly ledger: WatchLedger;
  readonly counts = { connections: 0, relisted: 0 };
  private stale = true;

  constructor(
    readonly name: string,
    private readonly api: Api,
  ) {
    this.ledger = new WatchLedger(name);
  }

  async run(signal: AbortSignal): Promise<void> {
    let first = true;
    while (!signal.aborted) {
      try {
        if (this.stale) {
          const { body, status } = await this.api.send('GET', CONFIG_MAPS, undefined, { timeoutMs: LIST_TIMEOUT_MS });
          if (status !== 200) throw new Error(`the list ended with ${status}`);
          this.ledger.listed(body.items, body.metadata.resourceVersion);
          this.stale = false;
          if (!first) this.counts.relisted++;
          first = false;
        }
        await this.follow(signal);
      } catch (error) {
        // The peer is out of reach, or the revision is gone: another round.
        if (error instanceof StatusError && error.status === 410) this.stale = true;
      }
      await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One connection's watch; ends when the connection does. */
  private async follow(signal: AbortSignal): Promise<void> {
    const path = `${CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion=${this.ledger.revision}`;
    let counted = false;
    await this.api.stream(path, { signal, silenceMs: SILENCE_MS }, (line) => {
      const { type, object } = JSON.parse(line) as { type: string; object: Json };
      if (type === 'ERROR') {
        throw new StatusError(object.code, 'the watch was told');
      }
      if (!counted) this.counts.connections++;
      counted = true;
      this.ledger.event(type, object);
    });
  }
}

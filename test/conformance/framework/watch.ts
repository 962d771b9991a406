/** One watch: its events in order, waited for with a time limit. */
import type { IncomingMessage } from 'node:http';
import { Refusal, type Api, type Call, type Json } from './http.js';

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: Json;
}

const WAIT_MS = 30_000;

export class Watch {
  /** Everything that came so far. */
  readonly events: WatchEvent[] = [];
  private read = 0;
  private ended = false;
  private wake: () => void = () => undefined;

  private constructor(
    private readonly what: string,
    private readonly response: IncomingMessage,
  ) {
    let rest = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line) this.events.push(JSON.parse(line) as WatchEvent);
      this.wake();
    });
    const end = () => {
      this.ended = true;
      this.wake();
    };
    response.on('error', end).on('close', end);
  }

  static async open(api: Api, path: string, query: NonNullable<Call['query']>): Promise<Watch> {
    const { response, peer } = await api.open('GET', path, { query: { ...query, watch: true } });
    const status = response.statusCode ?? 0;
    if (status !== 200) {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
      throw new Refusal(`watch ${path}`, { status, headers: response.headers, text, body: tryParse(text), peer });
    }
    return new Watch(`watch ${path} at ${peer}`, response);
  }

  /** The next event in order, whatever it is. */
  async next(timeoutMs = WAIT_MS): Promise<WatchEvent> {
    return this.until('any event', () => true, timeoutMs);
  }

  /** The next event of which `holds` is true; those before it are passed over. */
  async until(what: string, holds: (event: WatchEvent) => boolean, timeoutMs = WAIT_MS): Promise<WatchEvent> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const event = this.events[this.read];
      if (event) {
        this.read++;
        if (holds(event)) return event;
        continue;
      }
      const left = deadline - performance.now();
      if (this.ended) throw new Error(`${this.what}: ended before ${what}${this.seen()}`);
      if (left <= 0) throw new Error(`${this.what}: ${what} did not come within ${timeoutMs} ms${this.seen()}`);
      await this.more(left);
    }
  }

  /** The next event of this type about the object of this name. */
  type(type: WatchEvent['type'], name: string, timeoutMs = WAIT_MS): Promise<WatchEvent> {
    const matches = (event: WatchEvent) => event.type === type && event.object.metadata?.name === name;
    return this.until(`${type} of ${name}`, matches, timeoutMs);
  }

  /** Resolves when nothing came for this long; rejects at the first event. */
  async silent(forMs: number): Promise<void> {
    const deadline = performance.now() + forMs;
    for (let left = forMs; left > 0 && this.read === this.events.length; left = deadline - performance.now()) {
      await this.more(left);
    }
    const event = this.events[this.read];
    if (event) throw new Error(`${this.what}: unexpected ${event.type} of ${event.object.metadata?.name}`);
  }

  close(): void {
    this.response.destroy();
  }

  private more(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private seen(): string {
    const last = this.events.slice(-5).map(({ type, object }) => `${type} ${object.metadata?.name ?? object.message}`);
    return `; seen: ${last.join(', ') || 'nothing'}`;
  }
}

function tryParse(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

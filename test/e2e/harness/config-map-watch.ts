/**
 * One watch of the ConfigMaps of a namespace that goes on at another peer where it ended at the last, as clients resume. Where it
 * is told 410 (a peer was taken for dead, and merged) it lists anew, as clients do.
 */
import type { Api } from './api.js';

class Gone extends Error {}

export class ConfigMapWatch {
  private readonly seen = new Map<string, number>();
  private revision = '';
  private abort = new AbortController();
  private reading: Promise<void> = Promise.resolve();
  private failure: Error | undefined;
  /** How often it had to list anew. */
  lists = 0;

  constructor(private readonly namespace: string) {}

  /** How often the creation of that name was shown. Throws what ended the watch. */
  count(name: string): number {
    if (this.failure) throw new Error(`the watch ended: ${this.failure.message}`, { cause: this.failure });
    return this.seen.get(name) ?? 0;
  }

  /** Begins with what is created from now on. */
  async from(api: Api): Promise<void> {
    this.revision = (await api.get(this.path)).metadata.resourceVersion;
    this.open(api);
  }

  /** Ends the watch where it is and resumes at another peer. */
  async moveTo(api: Api): Promise<void> {
    this.stop();
    await this.reading;
    this.open(api);
  }

  stop(): void {
    this.abort.abort();
  }

  private get path(): string {
    return `/api/v1/namespaces/${this.namespace}/configmaps`;
  }

  private async listAnew(api: Api): Promise<void> {
    this.lists++;
    const { metadata, items } = await api.get(this.path);
    for (const item of items) if (!this.seen.has(item.metadata.name)) this.seen.set(item.metadata.name, 1);
    this.revision = metadata.resourceVersion;
    this.open(api);
  }

  private open(api: Api): void {
    const abort = new AbortController();
    this.abort = abort;
    const path = `${this.path}?watch=true&resourceVersion=${this.revision}`;
    this.reading = api
      .lines(path, abort.signal, (line) => {
        const event = JSON.parse(line);
        const { type, object } = event.kind === 'Status' ? { type: 'ERROR', object: event } : event;
        if (type === 'ERROR') throw object.code === 410 ? new Gone() : new Error(object.message);
        this.revision = object.metadata.resourceVersion;
        if (type === 'ADDED') this.seen.set(object.metadata.name, (this.seen.get(object.metadata.name) ?? 0) + 1);
      })
      .catch(async (error: unknown) => {
        if (abort.signal.aborted) return;
        if (error instanceof Gone) await this.listAnew(api);
        else this.failure = error as Error;
      })
      .catch((error: unknown) => {
        this.failure = error as Error;
      });
  }
}

/**
 * Puts a conversion webhook between a watch of stored objects and its sink: events are converted in batches, in order. What waits
 * is bounded; a watch whose webhook cannot keep up, or fails, ends and its client lists again.
 */
import type { RemoteConversion } from '../../../api/conversion/conversion.js';
import { ApiError, expired, internalError } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { Revision, StoreEvent } from '../../../store/object-store.js';

export type Convert = (remote: RemoteConversion, stored: readonly KubeObject[]) => Promise<readonly KubeObject[]>;

export interface ConvertedSink {
  initial(objects: readonly KubeObject[]): void;
  initialEnd(revision: Revision): void;
  event(event: StoreEvent): void;
  failed(error: ApiError): void;
}

/** Events that may wait for the webhook. */
const MAX_WAITING = 10_000;

type Item = { readonly event: StoreEvent } | { readonly objects: readonly KubeObject[]; readonly revision: Revision };

export class ConvertedWatch {
  private waiting: Item[] = [];
  private busy = false;
  private ended = false;

  constructor(
    private readonly remote: RemoteConversion,
    private readonly convert: Convert,
    private readonly sink: ConvertedSink,
  ) {}

  initial(objects: readonly KubeObject[], revision: Revision): void {
    this.push([{ objects, revision }]);
  }

  events(events: readonly StoreEvent[]): void {
    this.push(events.map((event) => ({ event })));
  }

  end(): void {
    this.ended = true;
    this.waiting = [];
  }

  fail(error: ApiError): void {
    if (this.ended) return;
    this.end();
    this.sink.failed(error);
  }

  private push(items: readonly Item[]): void {
    if (this.ended) return;
    if (this.waiting.length + items.length > MAX_WAITING) {
      this.fail(expired('the conversion webhook does not keep up with this watch; list again'));
      return;
    }
    this.waiting.push(...items);
    if (!this.busy) void this.run();
  }

  private async run(): Promise<void> {
    this.busy = true;
    try {
      while (this.waiting.length > 0 && !this.ended) {
        const items = this.waiting;
        this.waiting = [];
        await this.deliver(items);
      }
    } catch (error) {
      this.fail(error instanceof ApiError ? error : internalError(error));
    } finally {
      this.busy = false;
    }
  }

  private async deliver(items: readonly Item[]): Promise<void> {
    const stored = items.flatMap((item) =>
      'event' in item ? [item.event.object, ...(item.event.previous ? [item.event.previous] : [])] : item.objects,
    );
    const all = await this.convert(this.remote, stored);
    const shown = new Map(stored.map((object, index) => [object, all[index] ?? object] as const));
    const of = (object: KubeObject) => shown.get(object) ?? object;
    for (const item of items) {
      if (this.ended) return;
      if ('event' in item) {
        const { object, previous } = item.event;
        this.sink.event({ ...item.event, object: of(object), previous: previous && of(previous) });
      } else {
        this.sink.initial(item.objects.map(of));
        this.sink.initialEnd(item.revision);
      }
    }
  }
}

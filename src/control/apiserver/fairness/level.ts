/** One priority level at run time: its seats, and the queues of those that wait for one. */
import type { Clock } from '../../../base/clock.js';
import type { PriorityLevelConfiguration } from '../../../api/types/flowcontrol-v1.js';
import { QueueSet, type QueueSetOptions, type Waiting } from './queue-set.js';
import type { SeatLimits, SeatUse } from './seats.js';

/** Upstream's defaults of `queuing`. */
const DEFAULT_QUEUING: QueueSetOptions = { queues: 64, handSize: 8, queueLengthLimit: 50 };

export type Rejection = 'queue-full' | 'concurrency-limit' | 'time-out' | 'cancelled';

/** Ends a request's stay: its seats are free again. */
export type Release = () => void;

const sameQueuing = (a: QueueSetOptions | undefined, b: QueueSetOptions | undefined) =>
  a?.queues === b?.queues && a?.handSize === b?.handSize && a?.queueLengthLimit === b?.queueLengthLimit;

function queuingOf({ spec }: PriorityLevelConfiguration): QueueSetOptions | undefined {
  if (spec?.limited?.limitResponse?.type !== 'Queue') return undefined;
  return { ...DEFAULT_QUEUING, ...spec.limited.limitResponse.queuing };
}

export class PriorityLevel implements SeatUse {
  taken = 0;
  limits: SeatLimits = { nominal: 0, guaranteed: 0, maximum: 0 };
  exempt = false;
  uid = '';
  private queuing: QueueSetOptions | undefined;
  private queues: QueueSet | undefined;

  constructor(
    readonly name: string,
    private readonly clock: Clock,
    /** Whether so many seats may be taken now. */
    private readonly fits: (level: PriorityLevel, width: number) => boolean,
  ) {}

  get waiting(): number {
    return this.queues?.length ?? 0;
  }

  /** Takes over a changed configuration; those who wait wait on in the new queues, as far as these reach. */
  configure(config: PriorityLevelConfiguration, limits: SeatLimits): void {
    this.limits = limits;
    this.exempt = config.spec?.type === 'Exempt';
    this.uid = config.metadata.uid ?? '';
    const queuing = queuingOf(config);
    if (sameQueuing(queuing, this.queuing)) return;
    this.queuing = queuing;
    const orphans = this.queues?.drain() ?? [];
    this.queues = queuing && new QueueSet(queuing);
    for (const request of orphans) if (this.queues?.push(request) !== true) this.begin(request, () => undefined);
  }

  /** Takes seats at once; undefined when the request has to wait or go. */
  tryTake(width: number): Release | undefined {
    if (this.exempt) return () => undefined;
    if (this.waiting > 0 || !this.fits(this, width)) return undefined;
    return this.take(width, () => undefined);
  }

  /** Waits for seats. Returns how to withdraw; undefined when there is no room to wait in. */
  enqueue(flow: string, width: number, started: (release: Release) => void): (() => void) | undefined {
    const request: Waiting = { flow, width, start: started };
    if (this.queues?.push(request) !== true) return undefined;
    // From the queues of that moment: they may have been replaced meanwhile.
    return () => this.queues?.withdraw(request);
  }

  get rejection(): Rejection {
    return this.queues ? 'queue-full' : 'concurrency-limit';
  }

  /** Starts what fits now. */
  dispatch(): void {
    for (let next = this.queues?.peek(); next; next = this.queues?.peek()) {
      if (!this.fits(this, next.width)) return;
      const turn = this.queues?.take();
      if (turn) this.begin(turn.request, turn.done);
    }
  }

  private begin(request: Waiting, done: (elapsedMs: number) => void): void {
    request.start(this.take(request.width, done));
  }

  private take(width: number, done: (elapsedMs: number) => void): Release {
    this.taken += width;
    const begunMs = this.clock.monotonicMs();
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.taken -= width;
      done(this.clock.monotonicMs() - begunMs);
    };
  }
}

/**
 * The queues of one priority level: requests of many flows wait apart from each other, so that one flow that floods the level
 * fills its own few queues only (shuffle sharding), and the queues take turns by the seat time they have used (fair queuing).
 */
export interface QueueSetOptions {
  readonly queues: number;
  /** Queues among which a flow chooses the shortest. */
  readonly handSize: number;
  /** Requests in one queue at most; what comes then is rejected. */
  readonly queueLengthLimit: number;
}

export interface Waiting {
  /** Seats that the request takes. */
  readonly width: number;
  readonly flow: string;
  /** The request may run now, and calls `release` when it is done. */
  start(release: () => void): void;
}

interface Queue {
  readonly index: number;
  readonly waiting: Waiting[];
  /** Seat-milliseconds used, as virtual time: the least goes first. */
  used: number;
  executing: number;
}

/** FNV-1a over UTF-16 units, two lanes: enough spread to deal a hand from. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** The hand of queues that a flow always gets: `handSize` different indices below `queues`. */
export function dealHand(flow: string, { queues, handSize }: QueueSetOptions): number[] {
  const hand = new Set<number>();
  for (let round = 0; hand.size < Math.min(handSize, queues); round++) hand.add(hashOf(`${round} ${flow}`) % queues);
  return [...hand];
}

export class QueueSet {
  private readonly queues: Queue[];
  private waitingCount = 0;

  constructor(private readonly options: QueueSetOptions) {
    this.queues = Array.from({ length: options.queues }, (_, index) => ({ index, waiting: [], used: 0, executing: 0 }));
  }

  get length(): number {
    return this.waitingCount;
  }

  /** Puts the request into the shortest queue of the flow's hand; false when that is full. */
  push(request: Waiting): boolean {
    let shortest: Queue | undefined;
    for (const index of dealHand(request.flow, this.options)) {
      const queue = this.queues[index];
      if (
        queue &&
        (!shortest || queue.waiting.length + queue.executing < shortest.waiting.length + shortest.executing)
      ) {
        shortest = queue;
      }
    }
    if (!shortest || shortest.waiting.length >= this.options.queueLengthLimit) return false;
    // A queue that was idle does not save up its turn.
    if (shortest.waiting.length === 0 && shortest.executing === 0) {
      shortest.used = Math.max(shortest.used, this.leastUsed());
    }
    shortest.waiting.push(request);
    this.waitingCount++;
    return true;
  }

  /** Takes out a request that does not wait any longer; nothing when it has started. */
  withdraw(request: Waiting): void {
    for (const { waiting } of this.queues) {
      const at = waiting.indexOf(request);
      if (at < 0) continue;
      waiting.splice(at, 1);
      this.waitingCount--;
      return;
    }
  }

  /** Takes out all that wait, in no particular order: the queues are about to be replaced. */
  drain(): Waiting[] {
    this.waitingCount = 0;
    return this.queues.flatMap(({ waiting }) => waiting.splice(0));
  }

  /** The request whose turn it is, still in its queue. */
  peek(): Waiting | undefined {
    return this.next()?.waiting[0];
  }

  /** Takes the request whose turn it is; returns it with what to call when it is done. */
  take(): { request: Waiting; done: (elapsedMs: number) => void } | undefined {
    const queue = this.next();
    const request = queue?.waiting.shift();
    if (!queue || !request) return undefined;
    this.waitingCount--;
    queue.executing++;
    // Charged in advance, so that a queue does not get all seats of one moment.
    queue.used += request.width;
    return {
      request,
      done: (elapsedMs) => {
        queue.executing--;
        queue.used += request.width * Math.max(0, elapsedMs - 1);
      },
    };
  }

  private next(): Queue | undefined {
    let best: Queue | undefined;
    for (const queue of this.queues) {
      if (queue.waiting.length > 0 && (!best || queue.used < best.used)) best = queue;
    }
    return best;
  }

  private leastUsed(): number {
    let least = Infinity;
    for (const { waiting, executing, used } of this.queues) {
      if (waiting.length > 0 || executing > 0) least = Math.min(least, used);
    }
    return least === Infinity ? 0 : least;
  }
}

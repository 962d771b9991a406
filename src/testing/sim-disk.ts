/**
 * A disk in memory on simulated time: writes take a while and become durable one after the other. A process that dies may
 * have handed its last write over or not; a loss of power takes what was not synced, from any write on, and may leave the
 * write under way torn. A full disk keeps writes waiting. One `SimDisk` outlives its process: open it again after a crash and
 * find what survived.
 */
import type { Clock } from '../base/clock.js';
import { deferred, type Deferred } from '../base/deferred.js';
import type { Random } from '../base/random.js';
import type { Disk, DiskOperation } from '../store/disk.js';

export interface SimDiskOptions {
  /** How long a write takes, in milliseconds, plus up to as much again. */
  readonly writeMs: number;
  /** Whether a loss of power may leave half of a value under that key, as a journal without checksums would; none unless told. */
  readonly tears?: (key: string) => boolean;
  /**
   * A write is reported as durable before it is: what a disk that lies about its cache does. Breaks what a store relies on, to
   * see that a test notices.
   */
  readonly lies?: boolean;
}

export class SimDisk {
  private durable = new Map<string, Uint8Array>();
  /** Written to the operating system, in order, not yet forced to the medium. */
  private cached: DiskOperation[][] = [];
  private handles = 0;
  private broken: Error | undefined;
  /** What the process hands over at present. */
  private underWay: readonly DiskOperation[] | undefined;
  private begun = 0;
  /** Ends when there is room again. */
  private room: Deferred<void> | undefined;
  private onWaiting: ((why: Error | undefined) => void) | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly options: SimDiskOptions = { writeMs: 0.2 },
  ) {}

  /** A handle for one life of the process. Handles of earlier lives do nothing any more. */
  handle(): Disk {
    const life = ++this.handles;
    this.onWaiting = undefined;
    let queue: Promise<void> = Promise.resolve();
    const alive = () => life === this.handles;
    const check = () => {
      if (this.broken) throw this.broken;
    };
    return {
      open: () => Promise.resolve(),
      get: (key) => Promise.resolve(this.view().get(key)),
      scan: (from, to) => this.scan(from, to),
      write: (operations, { sync }) => {
        queue = queue.then(async () => {
          check();
          await this.untilRoom(alive);
          if (alive()) {
            this.underWay = operations;
            this.begun += 1;
          }
          await this.clock.sleep(this.options.writeMs * (1 + this.random.next()));
          // A dead process waits for ever: nobody is left to hear of it.
          if (!alive()) await new Promise(() => undefined);
          check();
          this.underWay = undefined;
          this.cached.push([...operations]);
          if (sync && !this.options.lies) this.sync();
        });
        return queue;
      },
      onWaiting: (listener) => {
        this.onWaiting = listener;
      },
      close: () => queue.then(() => this.sync()),
      setAside: () => {
        this.durable = new Map();
        this.cached = [];
        return Promise.resolve('the bin');
      },
    };
  }

  /** The process is gone; with `powerLoss` so is what was not synced, but for what the system had written by itself. */
  crash(options: { readonly powerLoss: boolean }): void {
    this.handles += 1;
    const { underWay, cached } = this;
    this.underWay = undefined;
    if (underWay) cached.push([...underWay]);
    if (options.powerLoss) this.loseFrom(this.random.int(cached.length + 1));
    else if (underWay && this.random.int(2) === 0) cached.pop();
    this.sync();
  }

  /** Unsynced writes from the nth on are gone; the first of them may be torn. */
  private loseFrom(n: number): void {
    const torn = this.cached[n]?.[0];
    this.cached.length = n;
    if (torn?.type !== 'put' || !this.options.tears?.(torn.key) || this.random.int(2) === 0) return;
    this.cached.push([{ ...torn, value: torn.value.slice(0, this.random.int(torn.value.length)) }]);
  }

  /** All that a process would read now. */
  get contents(): ReadonlyMap<string, Uint8Array> {
    return this.view();
  }

  /** Writes begun so far: one of them may be under way. */
  get writes(): number {
    return this.begun;
  }

  /** What is on the medium. */
  get usage(): { readonly keys: number; readonly bytes: number } {
    let bytes = 0;
    for (const [key, value] of this.durable) bytes += key.length + value.length;
    return { keys: this.durable.size, bytes };
  }

  /** No room is left, from now on: writes wait until {@link free}. */
  fill(): void {
    this.room ??= deferred();
  }

  free(): void {
    this.room?.resolve();
    this.room = undefined;
  }

  get isFull(): boolean {
    return this.room !== undefined;
  }

  private async untilRoom(alive: () => boolean): Promise<void> {
    if (!this.room) return;
    if (alive()) this.onWaiting?.(new Error('no space left on device'));
    while (this.room) await this.room.promise;
    if (alive()) this.onWaiting?.(undefined);
  }

  /** All writes fail from now on (a broken disk); `undefined` repairs it. */
  fail(error: Error | undefined): void {
    this.broken = error;
  }

  /** Flips a bit in the middle of one value that is as good as any; false when the disk is empty. */
  corrupt(): boolean {
    const keys = [...this.durable.keys()].toSorted();
    const key = keys[this.random.int(keys.length || 1)];
    if (key === undefined) return false;
    const copy = new Uint8Array(this.durable.get(key) ?? []);
    const middle = copy.length >> 1;
    copy[middle] = (copy[middle] ?? 0) ^ 1;
    this.durable.set(key, copy);
    return true;
  }

  /** Flips a bit in the middle of every value, as a medium may. */
  damage(): void {
    this.durable = new Map(
      [...this.durable].map(([key, value]) => {
        const copy = new Uint8Array(value);
        const middle = copy.length >> 1;
        copy[middle] = (copy[middle] ?? 0) ^ 1;
        return [key, copy];
      }),
    );
  }

  private sync(): void {
    for (const operations of this.cached) apply(this.durable, operations);
    this.cached = [];
  }

  private view(): Map<string, Uint8Array> {
    const all = new Map(this.durable);
    for (const operations of this.cached) apply(all, operations);
    return all;
  }

  private async *scan(from: string, to: string): AsyncIterable<readonly [string, Uint8Array]> {
    const entries = [...this.view()]
      .filter(([key]) => key >= from && key < to)
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
    for (const entry of entries) yield await Promise.resolve(entry);
  }
}

function apply(target: Map<string, Uint8Array>, operations: readonly DiskOperation[]): void {
  for (const operation of operations) {
    if (operation.type === 'put') target.set(operation.key, operation.value);
    else target.delete(operation.key);
  }
}

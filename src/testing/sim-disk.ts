/**
 * A disk in memory on simulated time: writes take a while and become durable one after the other; a crash loses what
 * was not synced yet (power loss) or not even handed over (process death). One `SimDisk` outlives its process: open it
 * again after a crash and find what survived.
 */
import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import type { Disk, DiskOperation } from '../store/disk.js';

export interface SimDiskOptions {
  /** How long a write takes, in milliseconds, plus up to as much again. */
  readonly writeMs: number;
}

export class SimDisk {
  private durable = new Map<string, Uint8Array>();
  /** Written to the operating system, in order, not yet forced to the medium. */
  private cached: DiskOperation[][] = [];
  private handles = 0;
  private broken: Error | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly options: SimDiskOptions = { writeMs: 0.2 },
  ) {}

  /** A handle for one life of the process. Handles of earlier lives do nothing any more. */
  handle(): Disk {
    const life = ++this.handles;
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
          await this.clock.sleep(this.options.writeMs * (1 + this.random.next()));
          // A dead process waits for ever: nobody is left to hear of it.
          if (!alive()) await new Promise(() => undefined);
          check();
          this.cached.push([...operations]);
          if (sync) this.sync();
        });
        return queue;
      },
      close: () => queue.then(() => this.sync()),
      setAside: () => {
        this.durable = new Map();
        this.cached = [];
        return Promise.resolve('the bin');
      },
    };
  }

  /** The process is gone; with `powerLoss` so is everything that was not synced. */
  crash(options: { readonly powerLoss: boolean }): void {
    this.handles += 1;
    if (options.powerLoss) this.cached = [];
    this.sync();
  }

  /** All writes fail from now on (a full or broken disk); `undefined` repairs it. */
  fail(error: Error | undefined): void {
    this.broken = error;
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

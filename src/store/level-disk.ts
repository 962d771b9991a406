/** {@link Disk} on classic-level (LevelDB): crash-safe by its write-ahead log, checksummed blocks. */
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { ClassicLevel } from 'classic-level';
import { deferred, type Deferred } from '../base/deferred.js';
import { DiskCorrupt, type Disk, type DiskOperation } from './disk.js';

interface Group {
  readonly operations: DiskOperation[];
  sync: boolean;
  readonly done: Deferred<void>;
}

export class LevelDisk implements Disk {
  private readonly db: ClassicLevel<string, Uint8Array>;
  /** What came while a batch was on its way: goes out as one batch after it (group commit). */
  private next: Group | undefined;
  private writing: Promise<void> | undefined;

  constructor(readonly path: string) {
    this.db = new ClassicLevel(path, { keyEncoding: 'utf8', valueEncoding: 'view' });
  }

  /** Throws {@link DiskCorrupt} when LevelDB finds the files damaged, and an ordinary error when another process has them open. */
  async open(): Promise<void> {
    try {
      await this.db.open({ createIfMissing: true, compression: true });
    } catch (error) {
      const cause = (error as { cause?: { code?: string; message?: string } }).cause;
      if (cause?.code === 'LEVEL_LOCKED') {
        throw new Error(`${this.path} is in use by another process`, { cause: error });
      }
      throw new DiskCorrupt(`cannot open the store in ${this.path}: ${cause?.message ?? String(error)}`, {
        cause: error,
      });
    }
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.db.get(key);
  }

  scan(from: string, to: string): AsyncIterable<readonly [string, Uint8Array]> {
    return this.db.iterator({ gte: from, lt: to });
  }

  /** One batch at a time: LevelDB runs batches on a thread pool, where a later one could overtake. */
  write(operations: readonly DiskOperation[], options: { readonly sync: boolean }): Promise<void> {
    this.next ??= { operations: [], sync: false, done: deferred() };
    const group = this.next;
    for (const operation of operations) group.operations.push(operation);
    group.sync ||= options.sync;
    this.writing ??= this.drain();
    return group.done.promise;
  }

  async close(): Promise<void> {
    await this.writing;
    await this.db.close();
  }

  async setAside(): Promise<string> {
    if (this.db.status !== 'closed') await this.close();
    for (let n = 1; ; n++) {
      const aside = `${this.path}.damaged-${n}`;
      if (existsSync(aside)) continue;
      await rename(this.path, aside);
      return aside;
    }
  }

  private async drain(): Promise<void> {
    // Lets the writes of this turn of the event loop gather.
    await Promise.resolve();
    for (let group = this.next; group; group = this.next) {
      this.next = undefined;
      try {
        if (group.operations.length > 0) await this.db.batch(group.operations, { sync: group.sync });
        group.done.resolve();
      } catch (error) {
        group.done.reject(error);
      }
    }
    this.writing = undefined;
  }
}

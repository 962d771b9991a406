/**
 * {@link Disk} on classic-level (LevelDB): crash-safe by its write-ahead log. All its files are checked before they are opened
 * (`level/files.ts`), and every batch is counted: what is on the medium is noted beside the store (`level/mark.ts`), so that a
 * store that was cut off, rolled back or removed is told from a new one.
 *
 * A full disk stops writes until there is room: LevelDB cannot go on after a failed write, so it is opened anew, and what was
 * waiting is written again.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { systemClock, type Clock } from '../base/clock.js';
import { deferred, type Deferred } from '../base/deferred.js';
import { WorkSlices } from '../base/work-slices.js';
import { DiskCorrupt, type Disk, type DiskOperation } from './disk.js';
import { isNoRoom, plainError } from './level/errors.js';
import { checkFiles } from './level/files.js';
import { Mark, markOf, readMark } from './level/mark.js';
import { lockStore, viewPrefix, viewStore } from './level/view.js';

export { markOf } from './level/mark.js';

interface Group {
  readonly operations: DiskOperation[];
  sync: boolean;
  readonly done: Deferred<void>;
}

/** Number of the newest batch: a key that each of them writes. */
export const BATCH_COUNT_KEY = 'd/batches';
export const batchCount = (value: Uint8Array | undefined): number =>
  value ? Number(Buffer.from(value).toString('latin1')) : 0;
/** How often a full disk is tried again, in milliseconds. */
const RETRY_MS = 500;
/** Damaged stores that are kept; the oldest goes first. */
export const MAX_SET_ASIDE = 3;
const PROBLEMS_TOLD = 5;
/** Operations handed over in one go. */
const SLICE_OPERATIONS = 200;

export class LevelDisk implements Disk {
  private level: ClassicLevel<string, Uint8Array> | undefined;
  /** What came while a batch was on its way: goes out as one batch after it (group commit). */
  private next: Group | undefined;
  private writing: Promise<void> | undefined;
  private batches = 0;
  /** Up to here on the medium, as far as is known. */
  private durable = 0;
  private mark: Mark | undefined;
  private closing = false;
  private waiting: (why: Error | undefined) => void = () => undefined;

  constructor(
    readonly path: string,
    private readonly clock: Clock = systemClock,
  ) {}

  /**
   * Throws {@link DiskCorrupt} when files are damaged or something is missing, and an ordinary error when another process has them
   * open or they cannot be reached.
   */
  async open(): Promise<void> {
    const marked = await readMark(this.path);
    await this.check(marked);
    await this.openLevel();
    this.batches = this.durable = await this.readCount();
    if (marked !== undefined && marked > this.batches) {
      throw new DiskCorrupt(
        `the store in ${this.path} lacks its end: ${marked} batches were written, ${this.batches} are there`,
      );
    }
    this.closing = false;
    this.mark = await Mark.open(this.path, this.batches, this.clock);
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    try {
      return await this.db.get(key);
    } catch (error) {
      throw plainError(this.path, error);
    }
  }

  async *scan(from: string, to: string): AsyncGenerator<readonly [string, Uint8Array]> {
    try {
      yield* this.db.iterator({ gte: from, lt: to });
    } catch (error) {
      throw plainError(this.path, error);
    }
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

  onWaiting(listener: (why: Error | undefined) => void): void {
    this.waiting = listener;
  }

  async close(): Promise<void> {
    this.closing = true;
    await this.writing;
    // So that the mark may count what was not forced through one by one.
    if (this.level && this.durable < this.batches) await this.put([], true).catch(() => undefined);
    await this.mark?.close();
    this.mark = undefined;
    await this.closeLevel();
  }

  /** At most {@link MAX_SET_ASIDE} are kept. */
  async setAside(): Promise<string> {
    await this.close();
    const parent = dirname(this.path);
    const prefix = `${basename(this.path)}.damaged-`;
    const numbers = (await readdir(parent))
      .filter((name) => name.startsWith(prefix))
      .map((name) => Number(name.slice(prefix.length)))
      .filter((n) => n > 0)
      .toSorted((a, b) => a - b);
    const aside = join(parent, `${prefix}${(numbers.at(-1) ?? 0) + 1}`);
    if (existsSync(this.path)) await rename(this.path, aside);
    else await mkdir(aside);
    if (existsSync(markOf(this.path))) await rename(markOf(this.path), join(aside, 'mark'));
    for (const n of numbers.slice(0, Math.max(0, numbers.length + 1 - MAX_SET_ASIDE))) {
      await rm(join(parent, `${prefix}${n}`), { recursive: true });
    }
    return aside;
  }

  async *salvage(aside: string): AsyncGenerator<readonly [string, Uint8Array]> {
    const view = await viewStore(aside, { repair: true, within: dirname(aside) });
    try {
      yield* view.scan('', '\uffff');
    } finally {
      await view.close();
    }
  }

  /** LevelDB makes a new store where it finds no `CURRENT`: not where there was one before. */
  private async check(marked: number | undefined): Promise<void> {
    if (!existsSync(join(this.path, 'CURRENT'))) {
      const files = existsSync(this.path) ? await readdir(this.path) : [];
      const left = files.some((name) => /^MANIFEST-|\.(ldb|sst)$/.test(name));
      if (left) throw new DiskCorrupt(`the store in ${this.path} is damaged: CURRENT is missing`);
      if (marked !== undefined && marked > 0) throw new DiskCorrupt(`the store in ${this.path} is gone`);
      return;
    }
    const parent = dirname(this.path);
    for (const name of await readdir(parent)) {
      if (name.startsWith(viewPrefix(this.path))) await rm(join(parent, name), { recursive: true, force: true });
    }
    const unlock = await lockStore(this.path, parent);
    try {
      const problems: string[] = [];
      for await (const { file, problem } of checkFiles(this.path)) problems.push(`${file} ${problem}`);
      if (problems.length === 0) return;
      const more = problems.length > PROBLEMS_TOLD ? `, and ${problems.length - PROBLEMS_TOLD} more` : '';
      const told = problems.slice(0, PROBLEMS_TOLD).join(', ');
      throw new DiskCorrupt(`the store in ${this.path} is damaged: ${told}${more}`);
    } finally {
      await unlock();
    }
  }

  private get db(): ClassicLevel<string, Uint8Array> {
    if (!this.level) throw new Error(`the store in ${this.path} is not open`);
    return this.level;
  }

  private async openLevel(): Promise<void> {
    // Made here: it begins to open by itself.
    const level = new ClassicLevel<string, Uint8Array>(this.path, { keyEncoding: 'utf8', valueEncoding: 'view' });
    try {
      await level.open({ createIfMissing: true, compression: true });
    } catch (error) {
      throw plainError(this.path, error);
    }
    this.level = level;
  }

  private async closeLevel(): Promise<void> {
    const { level } = this;
    this.level = undefined;
    await level?.close();
  }

  private async readCount(): Promise<number> {
    return batchCount(await this.get(BATCH_COUNT_KEY));
  }

  private async drain(): Promise<void> {
    // Lets the writes of this turn of the event loop gather.
    await Promise.resolve();
    for (let group = this.next; group; group = this.next) {
      this.next = undefined;
      try {
        if (group.operations.length > 0) await this.putWhenThereIsRoom(group);
        group.done.resolve();
      } catch (error) {
        group.done.reject(error);
      }
    }
    this.writing = undefined;
  }

  private async putWhenThereIsRoom({ operations, sync }: Group): Promise<void> {
    for (let broken = false; ; broken = true) {
      try {
        if (broken) await this.reopen();
        await this.put(operations, sync);
        if (broken) this.waiting(undefined);
        return;
      } catch (error) {
        if (!isNoRoom(error) || this.closing) throw error;
        if (!broken) this.waiting(new Error('there is no room left on the disk', { cause: error }));
      }
      await this.clock.sleep(RETRY_MS);
    }
  }

  /** After a failed write: the log ends in the middle of a batch, behind which nothing may come. */
  private async reopen(): Promise<void> {
    const { batches } = this;
    await this.closeLevel();
    await this.openLevel();
    this.batches = await this.readCount();
    if (this.batches < batches) throw new DiskCorrupt(`the store in ${this.path} lost batches when the disk was full`);
  }

  /** As one batch all the same. Handing its operations over is what takes time. */
  private async putLarge(operations: readonly DiskOperation[], sync: boolean): Promise<void> {
    const batch = this.db.batch();
    try {
      const slices = new WorkSlices(this.clock, SLICE_OPERATIONS);
      for (const operation of operations) {
        if (operation.type === 'put') batch.put(operation.key, operation.value);
        else batch.del(operation.key);
        if (slices.isOver()) await slices.pause();
      }
      await batch.write({ sync });
    } finally {
      await batch.close();
    }
  }

  private async put(operations: readonly DiskOperation[], sync: boolean): Promise<void> {
    const batches = this.batches + 1;
    const count: DiskOperation = { type: 'put', key: BATCH_COUNT_KEY, value: Buffer.from(String(batches), 'latin1') };
    if (operations.length < SLICE_OPERATIONS) await this.db.batch([...operations, count], { sync });
    else await this.putLarge([...operations, count], sync);
    this.batches = batches;
    if (!sync) return;
    this.durable = batches;
    this.mark?.note(batches);
  }
}

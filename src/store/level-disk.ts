/** {@link Disk} on classic-level (LevelDB): crash-safe by its write-ahead log, checksummed blocks. */
import { ClassicLevel } from 'classic-level';
import { DiskCorrupt, type Disk, type DiskOperation } from './disk.js';

export class LevelDisk implements Disk {
  private readonly db: ClassicLevel<string, Uint8Array>;

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

  write(operations: readonly DiskOperation[], options: { readonly sync: boolean }): Promise<void> {
    return this.db.batch(operations as DiskOperation[], { sync: options.sync });
  }

  close(): Promise<void> {
    return this.db.close();
  }
}

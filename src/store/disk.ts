/** The disk seam: an ordered key-value store with atomic batches. Implemented on classic-level and, for the simulator, in memory. */
export type DiskOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string };

export interface Disk {
  open(): Promise<void>;
  get(key: string): Promise<Uint8Array | undefined>;
  /** Entries with `from <= key < to`, in key order. */
  scan(from: string, to: string): AsyncIterable<readonly [key: string, value: Uint8Array]>;
  /**
   * Applies all operations or none, after those of earlier calls. With `sync` it resolves only once they survive a loss
   * of power. While there is no room it waits (see `onWaiting`) and goes on by itself; a rejection is for good.
   */
  write(operations: readonly DiskOperation[], options: { readonly sync: boolean }): Promise<void>;
  /** Waits for what is under way. */
  close(): Promise<void>;
  /** Called with what keeps writes waiting, a full disk, and with undefined when they go on. One listener. */
  onWaiting?(listener: (why: Error | undefined) => void): void;
  /** Moves all of it away, as it is, and says where to; `open` then begins with an empty disk. For damaged data. */
  setAside(): Promise<string>;
  /** Whatever can still be read of what was set aside there, in key order; values may be damaged. */
  salvage?(aside: string): AsyncIterable<readonly [key: string, value: Uint8Array]>;
}

/** The store on disk cannot be opened or read. */
export class DiskCorrupt extends Error {
  readonly code = 'ERR_DISK_CORRUPT';
}

/** The store on disk cannot be reached at present, for want of rights, room or the like: it may well be whole. */
export class DiskUnavailable extends Error {
  readonly code = 'ERR_DISK_UNAVAILABLE';
}

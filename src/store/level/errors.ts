/** What LevelDB's errors mean. */
import { DiskCorrupt, DiskUnavailable } from '../disk.js';

interface LevelCause {
  readonly code?: string;
  readonly message?: string;
}

const causeOf = (error: unknown): LevelCause =>
  (error as { cause?: LevelCause }).cause ?? (error as LevelCause | undefined) ?? {};

/**
 * A failure to open or to read: {@link DiskCorrupt} only for what LevelDB calls corruption. A store that cannot be read because of
 * permissions, or opened because the disk is full, is whole.
 */
export function plainError(path: string, error: unknown, openedAs = path): Error {
  const { code, message: text = String(error) } = causeOf(error);
  const message = text.replaceAll(openedAs, path);
  if (code === 'LEVEL_LOCKED') return new DiskUnavailable(`${path} is in use by another process`, { cause: error });
  if (code === 'LEVEL_CORRUPTION')
    return new DiskCorrupt(`the store in ${path} is damaged: ${message}`, { cause: error });
  return new DiskUnavailable(`cannot read the store in ${path}: ${message}`, { cause: error });
}

const NO_ROOM = /No space left on device|Disk quota exceeded|ENOSPC|EDQUOT/;

/** Whether a write failed for want of room, which may come back. */
export const isNoRoom = (error: unknown): boolean =>
  NO_ROOM.test(causeOf(error).message ?? '') || NO_ROOM.test(String(error));

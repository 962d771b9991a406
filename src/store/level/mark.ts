/**
 * How many batches of a store are known to be on the medium, noted in a file beside it (`store.mark`): a store that has fewer, or
 * is gone, was cut off or rolled back, however whole it looks. Written some milliseconds after the batch is durable, and never waited
 * for: what the end of a process or a loss of power takes of it makes the check weaker, not wrong.
 */
import { constants } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { Clock } from '../../base/clock.js';

export const markOf = (path: string): string => `${path}.mark`;

const lineOf = (batches: number) => {
  const number = String(batches).padStart(16, '0');
  return `${number} ${crc32(number).toString(16).padStart(8, '0')}\n`;
};

/** Undefined when there was no store; zero when the mark cannot be read. */
export async function readMark(path: string): Promise<number | undefined> {
  let text: string;
  try {
    text = await readFile(markOf(path), 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const batches = Number(/^(\d{16}) /.exec(text)?.[1]);
  return text === lineOf(batches) ? batches : 0;
}

/** At most one note in so many milliseconds: under load each would cost as much as a tenth of a small write. */
const NOTE_MS = 100;

export class Mark {
  private writing: Promise<void> | undefined;
  private noted = -1;
  private readonly closing = new AbortController();

  private constructor(
    private readonly file: FileHandle,
    private wanted: number,
    private readonly clock: Clock,
  ) {}

  static async open(path: string, batches: number, clock: Clock): Promise<Mark> {
    const file = await open(markOf(path), constants.O_RDWR | constants.O_CREAT, 0o600);
    const mark = new Mark(file, batches, clock);
    await mark.write();
    return mark;
  }

  /** Returns at once. Written within {@link NOTE_MS}. */
  note(batches: number): void {
    this.wanted = batches;
    this.writing ??= this.keepUp();
  }

  /** What was noted is written when it resolves. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.writing;
    await this.file.close();
  }

  private async keepUp(): Promise<void> {
    while (this.noted < this.wanted) {
      await this.write();
      await this.clock.sleep(NOTE_MS, this.closing.signal).catch(() => undefined);
    }
    this.writing = undefined;
  }

  private async write(): Promise<void> {
    this.noted = this.wanted;
    try {
      await this.file.write(lineOf(this.noted), 0, 'latin1');
    } catch {
      // The older note still holds; a medium that takes no more writes shows itself in the store.
    }
  }
}

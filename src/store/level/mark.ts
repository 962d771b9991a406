/**
 * How many batches of a store are known to be on the medium, noted in a file beside it (`store.mark`): a store that has fewer, or
 * is gone, was cut off or rolled back, however whole it looks. Written after the batch is durable, and never waited for: what a
 * loss of power takes of it makes the check weaker, not wrong.
 */
import { constants } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

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

export class Mark {
  private writing: Promise<void> | undefined;
  private noted = -1;
  private wanted = -1;

  private constructor(private readonly file: FileHandle) {}

  static async open(path: string, batches: number): Promise<Mark> {
    const mark = new Mark(await open(markOf(path), constants.O_RDWR | constants.O_CREAT, 0o600));
    mark.note(batches);
    await mark.writing;
    return mark;
  }

  /** Returns at once. */
  note(batches: number): void {
    this.wanted = batches;
    this.writing ??= this.write();
  }

  async close(): Promise<void> {
    await this.writing;
    await this.file.close();
  }

  private async write(): Promise<void> {
    while (this.noted < this.wanted) {
      this.noted = this.wanted;
      try {
        await this.file.write(lineOf(this.noted), 0, 'latin1');
      } catch {
        // The older note still holds; a medium that takes no more writes shows itself in the store.
      }
    }
    this.writing = undefined;
  }
}

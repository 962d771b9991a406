/** Reads the log files that supervisors write. */
import { open, stat } from 'node:fs/promises';
import type { Clock } from '../../../base/clock.js';
import type { LogChunk, LogOptions } from '../runtime.js';

/** How often a followed file is looked at, in milliseconds. */
const FOLLOW_MS = 100;
const BLOCK_BYTES = 64 * 1024;
const LINE = /^(\S+) (stdout|stderr) F (.*)$/s;

export async function* readProcessLog(
  clock: Clock,
  path: string,
  running: () => Promise<boolean>,
  options: LogOptions,
): AsyncGenerator<LogChunk> {
  const { signal } = options;
  const reader = new LineReader(path);
  const first: string[] = [...(await new LineReader(`${path}.1`).read()), ...(await reader.read())];
  const chosen = first.filter((line) => timeOf(line) >= (options.sinceMs ?? 0));
  const tail =
    options.tailLines === undefined ? chosen : options.tailLines === 0 ? [] : chosen.slice(-options.tailLines);
  yield* chunks(tail, options);
  while (options.follow && !signal.aborted) {
    // Asked before reading: what was written until the end is then read.
    const goesOn = await running();
    yield* chunks(await reader.read(), options);
    if (!goesOn) return;
    await clock.sleep(FOLLOW_MS, signal).catch(() => undefined);
  }
}

function* chunks(lines: readonly string[], options: LogOptions): Generator<LogChunk> {
  for (const line of lines) {
    const parts = LINE.exec(line);
    if (!parts) continue;
    const [, time = '', stream, text = ''] = parts;
    const data = Buffer.from(`${options.timestamps ? `${time} ` : ''}${text}\n`);
    yield { stream: stream === 'stderr' ? 'stderr' : 'stdout', data };
  }
}

function timeOf(line: string): number {
  return Date.parse(line.slice(0, line.indexOf(' '))) || 0;
}

/** Complete lines of a growing file; starts over when the file was set aside and begun anew. */
class LineReader {
  private offset = 0;
  private rest = Buffer.alloc(0);

  constructor(private readonly path: string) {}

  async read(): Promise<string[]> {
    const size = await stat(this.path).then(
      (found) => found.size,
      () => 0,
    );
    if (size < this.offset) this.offset = 0;
    if (size === this.offset) return [];
    const file = await open(this.path, 'r');
    const lines: string[] = [];
    try {
      const block = Buffer.alloc(BLOCK_BYTES);
      for (;;) {
        const { bytesRead } = await file.read(block, 0, BLOCK_BYTES, this.offset);
        if (bytesRead === 0) return lines;
        this.offset += bytesRead;
        const all = Buffer.concat([this.rest, block.subarray(0, bytesRead)]);
        const end = all.lastIndexOf(10);
        this.rest = all.subarray(end + 1);
        if (end >= 0) lines.push(...all.subarray(0, end).toString().split('\n'));
      }
    } finally {
      await file.close();
    }
  }
}

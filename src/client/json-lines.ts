/** JSON values, one a line, from a stream of bytes: how a watch travels. A line longer than the bound ends it. */
import { ApiError } from '../api/errors.js';

/**
 * Yields the parsed lines; blank lines are skipped, an unfinished last line is dropped (the stream broke within it).
 * Throws an `ApiError` for a line over `maxLineBytes` or one that is not JSON.
 */
export async function* jsonLines(stream: AsyncIterable<Uint8Array>, maxLineBytes: number): AsyncGenerator<unknown> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, from)) {
      parts.push(chunk.subarray(from, at));
      length += at - from;
      from = at + 1;
      if (length > maxLineBytes) throw tooLong(maxLineBytes);
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      length = 0;
      if (line.trim() !== '') yield parse(line);
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from));
      length += chunk.length - from;
    }
    if (length > maxLineBytes) throw tooLong(maxLineBytes);
  }
}

const tooLong = (limit: number) => new ApiError(502, '', `a line of the stream is longer than ${limit} bytes`);

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new ApiError(502, '', 'a line of the stream is not JSON', undefined, { cause });
  }
}

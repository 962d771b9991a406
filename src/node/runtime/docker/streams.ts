/**
 * Docker's multiplexed stream (an 8-byte head with stream number and length before each piece) and what is built on it:
 * logs, exec and attach.
 */
import { once } from 'node:events';
import type { Duplex, Readable } from 'node:stream';
import type { Clock } from '../../../base/clock.js';
import type { ExecOptions, LogChunk, LogOptions } from '../runtime.js';
import { RuntimeError } from '../runtime.js';
import type { DockerEngine } from './engine.js';

/** A piece longer than this means that the stream is out of step; Docker's own are at most 16 KiB plus a time. */
const MAX_PIECE_BYTES = 16 << 20;
const HEAD_BYTES = 8;

/** Splits a multiplexed stream. Reads no faster than the consumer. */
export async function* demultiplex(stream: Readable): AsyncGenerator<LogChunk> {
  let buffer: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    buffer = buffer.length === 0 ? (chunk as Buffer) : Buffer.concat([buffer, chunk as Buffer]);
    while (buffer.length >= HEAD_BYTES) {
      const length = buffer.readUInt32BE(4);
      if (length > MAX_PIECE_BYTES) throw new RuntimeError('ERR_RUNTIME', 'docker sent a malformed stream');
      if (buffer.length < HEAD_BYTES + length) break;
      const data = buffer.subarray(HEAD_BYTES, HEAD_BYTES + length);
      yield { stream: buffer[0] === 2 ? 'stderr' : 'stdout', data };
      buffer = buffer.subarray(HEAD_BYTES + length);
    }
  }
}

async function* plain(stream: Readable): AsyncGenerator<LogChunk> {
  for await (const chunk of stream) yield { stream: 'stdout', data: chunk as Buffer };
}

/** A container's log; ends without an error when the signal aborts. */
export async function* readLogs(
  engine: DockerEngine,
  id: string,
  tty: boolean,
  options: LogOptions,
): AsyncGenerator<LogChunk> {
  const query: Record<string, string | number | boolean> = {
    stdout: true,
    stderr: true,
    follow: options.follow,
    timestamps: options.timestamps,
    tail: options.tailLines === undefined ? 'all' : options.tailLines,
  };
  if (options.sinceMs !== undefined) query['since'] = (options.sinceMs / 1000).toFixed(3);
  let stream: Readable | undefined;
  try {
    stream = await engine.stream('GET', `/containers/${id}/logs`, { query, signal: options.signal });
    yield* tty ? plain(stream) : demultiplex(stream);
  } catch (error) {
    if (!options.signal.aborted) throw error;
  } finally {
    stream?.destroy();
  }
}

/** Times that the engine is asked for an exit code that is not there yet, and the pause between, in milliseconds. */
const EXIT_CODE_TRIES = 50;
const EXIT_CODE_PAUSE_MS = 20;

/** Runs a command in a container and resolves with its exit code. An abort closes the streams; the process stays. */
export async function runExec(engine: DockerEngine, clock: Clock, id: string, options: ExecOptions): Promise<number> {
  const created = await engine.json<{ Id: string }>('POST', `/containers/${id}/exec`, {
    body: {
      AttachStdin: options.stdin !== undefined,
      AttachStdout: true,
      AttachStderr: true,
      Tty: options.tty,
      Cmd: options.command,
    },
    signal: options.signal,
    code: 'ERR_EXEC',
  });
  const connection = await engine.hijack(`/exec/${created.Id}/start`, {
    body: { Detach: false, Tty: options.tty },
    code: 'ERR_EXEC',
  });
  await relay(engine, connection, `/exec/${created.Id}`, options);
  options.signal.throwIfAborted();
  for (let tries = 0; tries < EXIT_CODE_TRIES; tries++) {
    const path = `/exec/${created.Id}/json`;
    const state = await engine.json<{ Running: boolean; ExitCode: number | null }>('GET', path);
    if (!state.Running && state.ExitCode !== null) return state.ExitCode;
    await clock.sleep(EXIT_CODE_PAUSE_MS, options.signal);
  }
  throw new RuntimeError('ERR_EXEC', 'docker did not tell the exit code of the command');
}

/** Connects to the main process of a container until it ends or the signal aborts. */
export async function runAttach(
  engine: DockerEngine,
  id: string,
  tty: boolean,
  options: Omit<ExecOptions, 'command'>,
): Promise<void> {
  const query = { stream: true, stdout: true, stderr: true, stdin: options.stdin !== undefined };
  const connection = await engine.hijack(`/containers/${id}/attach`, { query, code: 'ERR_EXEC' });
  await relay(engine, connection, `/containers/${id}`, { ...options, tty });
}

/** Copies both ways until the engine closes its side. */
async function relay(
  engine: DockerEngine,
  connection: Duplex,
  resizePath: string,
  options: Omit<ExecOptions, 'command'>,
): Promise<void> {
  const close = () => connection.destroy();
  options.signal.addEventListener('abort', close, { once: true });
  if (options.signal.aborted) close();
  // A connection that the far side resets while we still write ends like one that was closed.
  connection.on('error', () => undefined);
  const ended = new AbortController();
  const input = options.stdin ? copyInput(options.stdin, connection, ended.signal) : undefined;
  const sizes = options.resize ? applySizes(engine, resizePath, options.resize, ended.signal) : undefined;
  try {
    for await (const chunk of options.tty ? plain(connection) : demultiplex(connection)) {
      if (chunk.stream === 'stderr') options.onStderr(chunk.data);
      else options.onStdout(chunk.data);
    }
  } catch (error) {
    if (!options.signal.aborted && !isClosed(error)) throw error;
  } finally {
    ended.abort();
    options.signal.removeEventListener('abort', close);
    connection.destroy();
    await input;
    void sizes;
  }
}

/** Node's ways to say that a stream was closed before its end: the exit code tells the rest. */
function isClosed(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET' || code === 'EPIPE';
}

async function copyInput(source: Readable, connection: Duplex, ended: AbortSignal): Promise<void> {
  const stop = () => {
    if (!source.destroyed) source.destroy();
  };
  ended.addEventListener('abort', stop, { once: true });
  try {
    for await (const chunk of source) {
      if (ended.aborted || connection.destroyed) return;
      if (!connection.write(chunk)) await once(connection, 'drain', { signal: ended });
    }
    connection.end();
  } catch {
    // The reader went away or the command ended: both end the copying.
  } finally {
    ended.removeEventListener('abort', stop);
  }
}

async function applySizes(
  engine: DockerEngine,
  path: string,
  sizes: NonNullable<ExecOptions['resize']>,
  ended: AbortSignal,
): Promise<void> {
  for await (const size of sizes) {
    if (ended.aborted) return;
    // A terminal that is gone already cannot be resized, which nobody misses.
    await engine.json('POST', `${path}/resize`, { query: { h: size.rows, w: size.columns } }).catch(() => undefined);
  }
}

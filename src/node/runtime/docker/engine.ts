/**
 * The Docker Engine's HTTP API through dockerode's modem: every call has a time limit, every failure becomes a
 * {@link RuntimeError} with the engine's own text, and answers come as `unknown` or as a given wire shape.
 *
 * A refused, reset or missing socket and an overdue answer are `ERR_RUNTIME_UNREACHABLE`; 404 is `ERR_NOT_FOUND`.
 * Safe for concurrent use.
 */
import type { Duplex, Readable } from 'node:stream';
import Docker from 'dockerode';
import type { Clock } from '../../../base/clock.js';
import { RuntimeError, type RuntimeErrorCode } from '../runtime.js';

export interface EngineOptions {
  /** `unix:///var/run/docker.sock` or `tcp://host:port`. */
  readonly host: string;
  /** Longest wait for an answer in milliseconds, streams excepted; 30 000 unless told. */
  readonly callTimeoutMs?: number;
}

export interface EngineCall {
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly body?: unknown;
  /** Sent as the request's body instead of JSON. */
  readonly file?: Readable;
  readonly registryAuth?: { readonly username: string; readonly password: string; readonly serveraddress: string };
  /** Added to the general time limit, in milliseconds. */
  readonly extraTimeMs?: number;
  readonly signal?: AbortSignal;
  /** The code of a failure that is neither "unreachable" nor "not found"; `ERR_RUNTIME` unless told. */
  readonly code?: RuntimeErrorCode;
}

type Kind = 'json' | 'stream' | 'hijack';
type Method = 'GET' | 'POST' | 'DELETE';

/** What answers without a body stand for. */
const ACCEPTED: Record<number, true> = { 200: true, 201: true, 204: true, 304: true };

export class DockerEngine {
  private readonly docker: Docker;
  private readonly timeoutMs: number;

  constructor(
    private readonly clock: Clock,
    private readonly options: EngineOptions,
  ) {
    this.docker = new Docker(connection(options.host));
    this.timeoutMs = options.callTimeoutMs ?? 30_000;
  }

  /** A call whose whole answer is JSON. The caller states the wire shape: the engine is trusted to keep its API. */
  async json<T>(method: Method, path: string, call: EngineCall = {}): Promise<T> {
    return (await this.dial('json', method, path, call)) as T;
  }

  /** A call whose answer is read as it comes. The time limit ends with the answer's head. */
  async stream(method: Method, path: string, call: EngineCall = {}): Promise<Readable> {
    return (await this.dial('stream', method, path, call)) as Readable;
  }

  /** A call that turns the connection into a two-way stream (exec, attach). */
  async hijack(path: string, call: EngineCall = {}): Promise<Duplex> {
    return (await this.dial('hijack', 'POST', path, call)) as Duplex;
  }

  private dial(kind: Kind, method: Method, path: string, call: EngineCall): Promise<unknown> {
    const abort = new AbortController();
    let overdue = false;
    const limitMs = this.timeoutMs + (call.extraTimeMs ?? 0);
    const cancel = this.clock.timer(limitMs, () => {
      overdue = true;
      abort.abort();
    });
    const onAbort = () => abort.abort();
    call.signal?.addEventListener('abort', onAbort, { once: true });
    if (call.signal?.aborted) abort.abort();
    // Without a body the modem would hold back the head of a call that becomes a stream, waiting for what is written first;
    // and an end of a chunked body would be read as input of the container.
    const bare = kind === 'hijack' && call.body === undefined;
    const request = {
      path: `${path}?`,
      method,
      options: { _query: call.query ?? {}, _body: call.body ?? {} },
      isStream: kind !== 'json',
      hijack: kind === 'hijack',
      openStdin: kind === 'hijack' && !bare,
      statusCodes: ACCEPTED,
      abortSignal: abort.signal,
      ...(call.file ? { file: call.file } : {}),
      ...(bare ? { file: Buffer.alloc(0), headers: { 'Content-Type': 'text/plain' } } : {}),
      ...(call.registryAuth ? { authconfig: call.registryAuth } : {}),
    };
    return new Promise((resolve, reject) => {
      (this.docker.modem as Modem).dial(request, (error, answer) => {
        cancel();
        if (kind === 'json' || error) call.signal?.removeEventListener('abort', onAbort);
        if (error) reject(this.failure(error, overdue ? limitMs : undefined, call.code ?? 'ERR_RUNTIME'));
        else resolve(answer);
      });
    });
  }

  private failure(error: EngineError, overdueMs: number | undefined, code: RuntimeErrorCode): RuntimeError {
    if (overdueMs !== undefined) {
      return new RuntimeError(
        'ERR_RUNTIME_UNREACHABLE',
        `docker at ${this.options.host} did not answer in ${overdueMs} ms`,
        { cause: error },
      );
    }
    if (error.statusCode === undefined) {
      const text = `Cannot connect to the Docker daemon at ${this.options.host}. Is the docker daemon running?`;
      return new RuntimeError('ERR_RUNTIME_UNREACHABLE', text, { cause: error });
    }
    const text = textOf(error);
    // Not the modem's error: it has the same text once more, in its own decoration.
    const cause = new EngineRefusal(text, error.statusCode);
    if (error.statusCode !== 404) return new RuntimeError(code, text, { cause });
    return new RuntimeError(/^no such image/i.test(text) ? 'ERR_IMAGE_MISSING' : 'ERR_NOT_FOUND', text, { cause });
  }
}

class EngineRefusal extends Error {
  constructor(
    message: string,
    readonly statusCode: number,
  ) {
    super(message);
  }
}

interface EngineError extends Error {
  readonly statusCode?: number;
  readonly json?: unknown;
}

interface Modem {
  dial(options: object, callback: (error: EngineError | null, answer: unknown) => void): void;
}

/** The engine's message without the decoration that the modem puts around it. */
function textOf(error: EngineError): string {
  if (typeof error.json === 'object' && error.json !== null && 'message' in error.json)
    return String(error.json.message);
  return error.message.replace(/^\(HTTP code \d+\) [^-]*- /, '').trim();
}

/** The HTTP status of the answer that an error stands for; undefined when there was no answer. */
export function statusOf(error: unknown): number | undefined {
  const cause = error instanceof RuntimeError ? error.cause : error;
  return cause instanceof Error && 'statusCode' in cause ? Number(cause.statusCode) : undefined;
}

function connection(host: string): Docker.DockerOptions {
  if (host.startsWith('unix://'))
    return { socketPath: host.slice('unix://'.length), host: undefined, protocol: 'http' };
  const url = new URL(host.replace(/^tcp:/, 'http:'));
  return { host: url.hostname, port: url.port === '' ? 2375 : url.port, protocol: 'http' };
}

/** Longest line of a JSON stream in characters: a message of the engine is far below. */
const MAX_LINE = 1 << 20;

/** The JSON values of a stream that holds one a line (events, progress of pulls). Lines that are no JSON are skipped. */
export async function* jsonLines(stream: Readable): AsyncGenerator<unknown> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    rest += decoder.decode(chunk as Uint8Array, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) rest = '';
    for (const line of lines) {
      const value = parseJson(line);
      if (value !== undefined) yield value;
    }
  }
  const last = parseJson(rest);
  if (last !== undefined) yield last;
}

function parseJson(line: string): unknown {
  if (line.trim() === '') return undefined;
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

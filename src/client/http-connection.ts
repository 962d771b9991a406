/**
 * One API server over HTTP(S): keep-alive connections, TLS with the cluster's CA, deadlines and bounds on everything
 * that is read. Failures of the server are `ApiError`s made from its `Status`; a server that cannot be reached is an
 * `UnreachableError`. Safe for concurrent use. Writes are never
 * retried here: they may have been done.
 */
import { request as httpRequest, Agent as HttpAgent, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest, Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { abortReason, type Clock } from '../base/clock.js';
import { ApiError, timeout, type Status, type StatusReason } from '../api/errors.js';

export interface HttpConnectionOptions {
  /** `https://host:port`, with a path prefix if need be. */
  readonly server: string;
  /** PEM of the authority the server's certificate must descend from; the system's authorities unless told. */
  readonly ca?: string | undefined;
  /** PEM of the client certificate, with {@link key}. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Bearer token. */
  readonly token?: string | undefined;
  /** The name the server's certificate must carry, when it is not the URL's host. */
  readonly serverName?: string | undefined;
  /** Takes any certificate. For tests by hand only. */
  readonly insecureSkipTlsVerify?: boolean | undefined;
  /** Until the connection stands, in milliseconds; 10 000 unless told. */
  readonly connectTimeoutMs?: number;
  /** For a whole answer, in milliseconds; 60 000 unless told. Streams only have it until their headers. */
  readonly requestTimeoutMs?: number;
  /** Bytes of one answer; 256 MiB unless told. Streams are not counted. */
  readonly maxResponseBytes?: number;
  /** Connections at once; 64 unless told. Watches take one each. */
  readonly maxSockets?: number;
  readonly userAgent?: string;
  /** Gets the text of every `Warning:` header. */
  readonly onWarning?: (text: string) => void;
}

export interface HttpCall {
  readonly method?: string;
  /** Absolute path: `/api/v1/pods`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: string | Uint8Array | Readable;
  /** Of the body; `application/json` unless told. */
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Instead of the connection's; 0 for none. In milliseconds. */
  readonly timeoutMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

/** The server could not be reached, or the connection broke. `cause` is the socket's error. */
export class UnreachableError extends ApiError {
  constructor(
    readonly host: string,
    /** `ECONNREFUSED`, `CERT_HAS_EXPIRED`, …; empty when the socket gave none. */
    readonly socketCode: string,
    message: string,
    cause: unknown,
  ) {
    super(503, 'ServiceUnavailable', message, undefined, { cause });
    this.name = 'UnreachableError';
  }
}

export const isUnreachable = (error: unknown): error is UnreachableError => error instanceof UnreachableError;

const DEFAULTS = {
  connectTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  maxResponseBytes: 256 * 1024 * 1024,
  maxSockets: 64,
};
/** An error answer is no longer than this in bytes; the rest is dropped. */
const MAX_ERROR_BYTES = 1024 * 1024;

const REASONS: Readonly<Record<number, StatusReason>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  406: 'NotAcceptable',
  409: 'Conflict',
  410: 'Gone',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

export class HttpConnection {
  private readonly url: URL;
  private readonly agent: HttpAgent;
  private readonly limits: typeof DEFAULTS;
  /** Failures of connections that had been idle. */
  private readonly stale = new WeakSet<UnreachableError>();

  /** Throws a `TypeError` for a server that is no http(s) URL. Opens nothing. */
  constructor(
    private readonly deps: { readonly clock: Clock },
    private readonly options: HttpConnectionOptions,
  ) {
    this.url = new URL(options.server);
    if (this.url.protocol !== 'https:' && this.url.protocol !== 'http:') {
      throw new TypeError(`${options.server} is not an http(s) URL`);
    }
    this.limits = {
      connectTimeoutMs: options.connectTimeoutMs ?? DEFAULTS.connectTimeoutMs,
      requestTimeoutMs: options.requestTimeoutMs ?? DEFAULTS.requestTimeoutMs,
      maxResponseBytes: options.maxResponseBytes ?? DEFAULTS.maxResponseBytes,
      maxSockets: options.maxSockets ?? DEFAULTS.maxSockets,
    };
    const pool = { keepAlive: true, keepAliveMsecs: 30_000, maxSockets: this.limits.maxSockets };
    this.agent =
      this.url.protocol === 'http:' ? new HttpAgent(pool) : new HttpsAgent({ ...pool, ...tlsOptions(options) });
  }

  /** `host:port` as messages show it. */
  get host(): string {
    return this.url.port ? this.url.host : `${this.url.hostname}:${this.url.protocol === 'https:' ? 443 : 80}`;
  }

  /** Sends and reads the whole answer. Throws `ApiError` for every status of 400 and more. */
  async request(call: HttpCall): Promise<HttpAnswer> {
    const ms = call.timeoutMs ?? this.limits.requestTimeoutMs;
    return this.within(ms, call.signal, async (signal) => {
      const response = await this.send(call, signal);
      const body = await this.read(response, this.limits.maxResponseBytes, signal);
      return { status: response.statusCode ?? 0, contentType: response.headers['content-type'] ?? '', body };
    });
  }

  /** {@link request}, with the answer taken as JSON. */
  async json<T = unknown>(call: HttpCall): Promise<T> {
    const { body } = await this.request({ accept: 'application/json', ...call });
    try {
      return JSON.parse(body.toString('utf8')) as T;
    } catch (cause) {
      throw new ApiError(502, '', `the answer of ${this.host} to ${call.path} is not JSON`, undefined, { cause });
    }
  }

  /**
   * Sends, and hands over the answer as it comes. The deadline covers the headers only. Destroy the stream to give it
   * up; the signal does so too.
   */
  async stream(call: HttpCall): Promise<IncomingMessage> {
    const whole = new AbortController();
    const onAbort = () => whole.abort(call.signal?.reason);
    if (call.signal?.aborted) throw abortReason(call.signal);
    call.signal?.addEventListener('abort', onAbort, { once: true });
    const stopTimer = this.deadline(call.timeoutMs ?? this.limits.requestTimeoutMs, whole);
    try {
      const response = await this.send(call, whole.signal);
      response.once('close', () => call.signal?.removeEventListener('abort', onAbort));
      return response;
    } catch (error) {
      call.signal?.removeEventListener('abort', onAbort);
      throw error;
    } finally {
      stopTimer();
    }
  }

  /** Closes idle connections and breaks those in use. */
  close(): void {
    this.agent.destroy();
  }

  private deadline(ms: number, abort: AbortController): () => void {
    if (ms <= 0) return () => undefined;
    const message = `the request to ${this.host} did not complete within ${ms} ms`;
    return this.deps.clock.timer(ms, () => abort.abort(timeout(message)));
  }

  private async within<T>(
    ms: number,
    outer: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (outer?.aborted) throw abortReason(outer);
    const abort = new AbortController();
    const onAbort = () => abort.abort(outer?.reason);
    outer?.addEventListener('abort', onAbort, { once: true });
    const stopTimer = this.deadline(ms, abort);
    try {
      return await work(abort.signal);
    } finally {
      stopTimer();
      outer?.removeEventListener('abort', onAbort);
    }
  }

  private requestOptions(call: HttpCall): RequestOptions {
    const { token, userAgent } = this.options;
    const headers: Record<string, string | number> = {
      Accept: call.accept ?? 'application/json',
      'User-Agent': userAgent ?? 'skein',
    };
    if (token !== undefined) headers['Authorization'] = `Bearer ${token}`;
    if (call.body !== undefined) headers['Content-Type'] = call.contentType ?? 'application/json';
    if (typeof call.body === 'string' || call.body instanceof Uint8Array) {
      headers['Content-Length'] = Buffer.byteLength(call.body);
    }
    const prefix = this.url.pathname.replace(/\/$/, '');
    return {
      host: this.url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: this.url.port || (this.url.protocol === 'https:' ? 443 : 80),
      method: call.method ?? 'GET',
      path: `${prefix}${call.path}${queryText(call.query)}`,
      headers,
      agent: this.agent,
    };
  }

  /** Resolves with the answer once its headers are there and say success. */
  private async send(call: HttpCall, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.exchange(call, signal);
    for (const text of warningsOf(response)) this.options.onWarning?.(text);
    if ((response.statusCode ?? 0) < 400) return response;
    const body = await this.read(response, MAX_ERROR_BYTES, signal, true);
    throw errorOf(response.statusCode ?? 500, body, call);
  }

  private async exchange(call: HttpCall, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      return await this.attempt(call, signal);
    } catch (error) {
      // The server closed an idle connection just as it was taken up again. A read that did not happen happens now.
      const isRead = (call.method ?? 'GET') === 'GET' && call.body === undefined;
      if (!isRead || !isUnreachable(error) || !this.stale.delete(error)) throw error;
      return this.attempt(call, signal);
    }
  }

  private attempt(call: HttpCall, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const open = this.url.protocol === 'https:' ? httpsRequest : httpRequest;
      const request = open(this.requestOptions(call));
      const onAbort = () => request.destroy(abortReason(signal));
      signal.addEventListener('abort', onAbort, { once: true });
      request.once('close', () => signal.removeEventListener('abort', onAbort));
      if (signal.aborted) onAbort();
      let stopConnecting: () => void = () => undefined;
      request.once('socket', (socket) => {
        if (!socket.connecting) return;
        const { connectTimeoutMs } = this.limits;
        stopConnecting = this.deps.clock.timer(connectTimeoutMs, () => {
          request.destroy(
            Object.assign(new Error(`no connection within ${connectTimeoutMs} ms`), { code: 'ETIMEDOUT' }),
          );
        });
        socket.once('connect', () => stopConnecting());
      });
      let answered = false;
      request.once('response', (response) => {
        answered = true;
        // A break after this point reaches whoever reads; unheard it must not end the process.
        response.on('error', () => undefined);
        resolve(response);
      });
      request.on('error', (error) => {
        stopConnecting();
        if (answered) return;
        const unreachable = this.unreachable(error);
        if (request.reusedSocket) this.stale.add(unreachable);
        reject(signal.aborted ? abortReason(signal) : unreachable);
      });
      const { body } = call;
      if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) request.end(body);
      else {
        // The server may answer (and close) before it has read everything: then the answer counts.
        pipeline(body, request).catch((error: unknown) => {
          if (!answered) reject(signal.aborted ? abortReason(signal) : this.unreachable(error));
        });
      }
    });
  }

  private async read(response: IncomingMessage, limit: number, signal: AbortSignal, truncate = false): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let length = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > limit) {
          if (truncate) break;
          throw new ApiError(502, '', `the answer of ${this.host} is larger than ${limit} bytes`);
        }
        chunks.push(chunk);
      }
    } catch (error) {
      if (signal.aborted) throw abortReason(signal);
      throw error instanceof ApiError ? error : this.unreachable(error);
    }
    return Buffer.concat(chunks);
  }

  /** The error for a broken connection to this server. */
  unreachable(error: unknown): UnreachableError {
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
    // Happy eyeballs fail with an error of errors that has no text of its own.
    const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
    const text = first instanceof Error ? first.message : String(first);
    return new UnreachableError(this.host, code, `${this.host}: ${text || code || 'connection failed'}`, error);
  }
}

function tlsOptions(options: HttpConnectionOptions) {
  const { ca, cert, key, serverName, insecureSkipTlsVerify } = options;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(insecureSkipTlsVerify ? { rejectUnauthorized: false } : {}),
    minVersion: 'TLSv1.2' as const,
  };
}

function queryText(query: HttpCall['query']): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) search.append(name, String(value));
  const text = search.toString();
  return text ? `?${text}` : '';
}

/** The texts of `Warning: 299 - "text"` (RFC 7234). */
function warningsOf(response: IncomingMessage): string[] {
  const header = response.headers['warning'];
  if (header === undefined) return [];
  return [...header.matchAll(/\b299 \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => text.replaceAll(/\\(.)/g, '$1'));
}

function errorOf(code: number, body: Buffer, { method = 'GET', path }: HttpCall): ApiError {
  const text = body.toString('utf8');
  try {
    const status = JSON.parse(text) as Partial<Status>;
    if (status !== null && status.kind === 'Status') return ApiError.fromStatus({ code, ...status });
  } catch {
    // Not of this API: a proxy's page, or plain text.
  }
  const detail = text.trim().split('\n')[0]?.slice(0, 200);
  return new ApiError(code, REASONS[code] ?? '', detail || `the server answered ${code} to ${method} ${path}`);
}

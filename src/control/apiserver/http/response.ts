/** Writing answers. */
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { ApiError, internalError, PageNotFound } from '../../../api/errors.js';
import { FORMATS, type Format } from '../reads/formats.js';
import { isGone, sendWhole, type ApiRequest, type ApiResponse } from './exchange.js';
import { observerOf } from './exchange-observer.js';
import { plainFormat } from './negotiation.js';

const compress = promisify(gzip);

/** Upstream compresses answers from this size on. */
const GZIP_FROM_BYTES = 128 * 1024;

/** `Warning` header values (RFC 7234): code 299, no agent, quoted text. */
export function warningHeader(text: string): string {
  const clean = text.replace(/\p{Cc}/gu, ' ').replace(/["\\]/g, '\\$&');
  return `299 - "${Buffer.from(clean, 'utf8').toString('latin1')}"`;
}

export interface SendOptions {
  readonly contentType?: string;
  readonly warnings?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

export async function sendBytes(
  request: ApiRequest,
  response: ApiResponse,
  code: number,
  bytes: Buffer,
  options: SendOptions = {},
): Promise<void> {
  if (response.headersSent || isGone(response)) return;
  const contentType = options.contentType ?? 'application/json';
  observerOf(request)?.answer?.(code, bytes, contentType);
  const headers: Record<string, string | number | string[]> = {
    'Content-Type': contentType,
    'Cache-Control': 'no-cache, private',
    ...options.headers,
  };
  if (options.warnings && options.warnings.length > 0) headers['Warning'] = options.warnings.map(warningHeader);
  let body = bytes;
  if (bytes.length >= GZIP_FROM_BYTES && /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))) {
    body = await compress(bytes, { level: constants.Z_BEST_SPEED });
    headers['Content-Encoding'] = 'gzip';
    headers['Vary'] = 'Accept-Encoding';
    if (response.headersSent || isGone(response)) return;
  }
  headers['Content-Length'] = body.length;
  if (request.method === 'HEAD') {
    response.writeHead(code, headers);
    response.end();
  } else sendWhole(response, code, headers, body);
}

export function sendJson(
  request: ApiRequest,
  response: ApiResponse,
  code: number,
  value: unknown,
  options: SendOptions = {},
): Promise<void> {
  return sendBytes(request, response, code, Buffer.from(JSON.stringify(value)), options);
}

/** An object with its `apiVersion` and `kind` in the format that has been agreed upon. */
export function sendObject(
  request: ApiRequest,
  response: ApiResponse,
  code: number,
  object: object,
  format: Format,
  options: SendOptions = {},
): Promise<void> {
  const { contentType, object: encode } = FORMATS[format];
  return sendBytes(request, response, code, encode(object), { contentType, ...options });
}

/** A failure in the format that the client accepts, without regard to how it wanted an object to be shown. */
export function sendStatus(
  request: ApiRequest,
  response: ApiResponse,
  code: number,
  status: object,
  options: SendOptions = {},
): Promise<void> {
  return sendObject(request, response, code, status, plainFormat(request.headers.accept), options);
}

export function sendText(
  request: ApiRequest,
  response: ApiResponse,
  code: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): Promise<void> {
  return sendBytes(request, response, code, Buffer.from(text), {
    contentType,
    headers: { 'X-Content-Type-Options': 'nosniff' },
  });
}

/** Any failure as the `Status` that a Kubernetes server sends; a path where nothing is, as text. */
export function sendError(
  request: ApiRequest,
  response: ApiResponse,
  error: unknown,
  warnings: readonly string[] = [],
): Promise<void> {
  if (error instanceof PageNotFound) return sendText(request, response, error.code, `${error.message}\n`);
  const failure = error instanceof ApiError ? error : internalError(error);
  const retry = failure.details?.retryAfterSeconds ?? (failure.code === 503 || failure.code === 429 ? 1 : undefined);
  return sendStatus(request, response, failure.code, failure.toStatus(), {
    warnings,
    ...(retry === undefined ? {} : { headers: { 'Retry-After': String(retry) } }),
  });
}

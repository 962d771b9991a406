/**
 * Requests and answers as handlers see them, the same over HTTP/1.1 and HTTP/2, and whether this thread or another holds the connection;
 * what differs is known here.
 */
import { ServerResponse, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { constants, Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { subjectOf, type Credentials } from '../../../security/authn/authenticator.js';
import { RelayedRequest, RelayedResponse } from '../front/relayed-exchange.js';

export interface ApiRequest extends Readable {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** Over HTTP/2 with the pseudo-headers, whose names begin with a colon. */
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: string[];
  /** Whether all of the body has arrived. */
  readonly complete: boolean;
}

/** Where requests come from. */
export interface Connection {
  readonly remoteAddress?: string;
  readonly localAddress?: string;
  readonly localPort?: number;
  /** Whom its client certificate names, when the TLS layer has verified it. */
  readonly certificate?: Credentials['certificate'];
}

/** Headers that only concern an HTTP/1.1 connection are not to be set: what is sent over HTTP/2 may have none (RFC 9113, 8.2.2). */
export interface ApiResponse {
  statusCode: number;
  readonly headersSent: boolean;
  setHeader(name: string, value: number | string | readonly string[]): unknown;
  writeHead(code: number, headers?: OutgoingHttpHeaders): { end(body: string | Uint8Array): unknown };
  flushHeaders(): void;
  write(bytes: Uint8Array): boolean;
  end(bytes?: Uint8Array): unknown;
  cork(): void;
  uncork(): void;
  /** Breaks the answer off: over HTTP/1.1 with its connection, over HTTP/2 with its stream. */
  destroy(error?: Error): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  once(event: 'close', listener: () => void): unknown;
}

function lowerCase(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** Nobody waits for the answer any more. */
export function isGone(response: ApiResponse): boolean {
  if (response instanceof RelayedResponse) return response.closed;
  if (response instanceof Http2ServerResponse) return response.stream.destroyed || response.stream.closed;
  return response instanceof ServerResponse && response.destroyed;
}

/** Sends an answer to anything but HEAD, with the headers that have been set and these. */
export function sendWhole(response: ApiResponse, code: number, headers: OutgoingHttpHeaders, body: Buffer): void {
  if (response instanceof Http2ServerResponse) {
    response.statusCode = code;
    // The answer itself would wait for trailers, and end with a frame and a TLS write of their own.
    response.stream.respond({ ...response.getHeaders(), ...lowerCase(headers), ':status': code });
    response.stream.end(body);
    return;
  }
  if (response instanceof RelayedResponse) {
    response.answer(code, headers, body);
    return;
  }
  response.writeHead(code, headers);
  response.end(body);
}

/** Where an answer's body can be piped to once its head has been written. */
export function bodyOf(response: ApiResponse): Writable {
  // The answer itself tells of a client that goes away as if all had been sent.
  if (response instanceof Http2ServerResponse) return response.stream;
  if (response instanceof RelayedResponse) return response.stream();
  return response as ApiResponse & Writable;
}

/** What identifies a connection in this thread, for as long as it lasts. */
export function connectionKeyOf(request: ApiRequest): object & { once(event: 'close', listener: () => void): unknown } {
  // The socket of an HTTP/2 request is a proxy of its own.
  if (request instanceof Http2ServerRequest) return request.stream.session ?? request;
  return socketOf(request);
}

/** Over HTTP/2 only to be asked, and only until the answer has ended. */
const socketOf = (request: ApiRequest) => (request as ApiRequest & { readonly socket: Socket }).socket;

/** It does not change, and reading a certificate costs more than a small request. */
const connections = new WeakMap<object, Connection>();

/** The same object for all requests of one connection. To be asked before the answer has ended. */
export function connectionOf(request: ApiRequest): Connection {
  if (request instanceof RelayedRequest) return request.connection;
  const key = connectionKeyOf(request);
  const known = connections.get(key);
  if (known) return known;
  const socket = socketOf(request) as Socket & Partial<TLSSocket>;
  const { remoteAddress, localAddress, localPort } = socket;
  const certificate = socket.authorized === true ? subjectOf(socket.getPeerCertificate?.()) : undefined;
  const connection = {
    ...(remoteAddress === undefined ? {} : { remoteAddress }),
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(localPort === undefined ? {} : { localPort }),
    ...(certificate ? { certificate } : {}),
  };
  connections.set(key, connection);
  return connection;
}

/** A body follows that does not say how long it is. */
export function hasUnsizedBody(request: ApiRequest): boolean {
  if (request instanceof RelayedRequest) return request.unsized;
  if (!(request instanceof Http2ServerRequest)) return request.headers['transfer-encoding'] !== undefined;
  return request.headers['content-length'] === undefined && !request.stream.endAfterHeaders;
}

/** No body follows. */
export function hasNoBody(request: ApiRequest): boolean {
  if (request instanceof Http2ServerRequest) return request.stream.endAfterHeaders;
  const { headers } = request;
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
}

/** Lets go of a body that nobody reads, when the answer does not wait for it. */
export function dropBody(request: ApiRequest): void {
  if (request.complete) return;
  if (request instanceof RelayedRequest) {
    request.dropRest();
    return;
  }
  if (!(request instanceof Http2ServerRequest)) {
    request.resume();
    return;
  }
  const { stream } = request;
  if (stream.endAfterHeaders) return;
  // Once the answer is out, the client is told to stop sending (RFC 9113, 8.1).
  const stop = () => stream.close(constants.NGHTTP2_NO_ERROR);
  if (stream.writableFinished) stop();
  else stream.once('finish', stop);
}

/** Over HTTP/1.1 the connection ends with this answer, as what follows of the request would be taken for another one. */
export function endWithAnswer(response: ApiResponse): void {
  if (response instanceof ServerResponse) response.shouldKeepAlive = false;
  else if (response instanceof RelayedResponse) response.endWithAnswer();
}

/**
 * An HTTP/2 connection takes no more requests and ends with those it has. For clients who have not said who they are: streams cost
 * a server more than their senders (CVE-2023-44487), as upstream's `UnauthenticatedHTTP2DOSMitigation`.
 */
export function refuseMore(request: ApiRequest): void {
  if (request instanceof Http2ServerRequest) request.stream.session?.close();
  else if (request instanceof RelayedRequest) request.refuseMore();
}

/** Pieces as they are sent, made once for all readers that get the same ones. */
class Joined {
  private readonly known = new WeakMap<readonly Buffer[], Buffer>();

  constructor(private readonly join: (pieces: readonly Buffer[]) => Buffer) {}

  of(pieces: readonly Buffer[]): Buffer {
    let bytes = this.known.get(pieces);
    if (!bytes) this.known.set(pieces, (bytes = this.join(pieces)));
    return bytes;
  }
}

const LINE = Buffer.from('\r\n');
const whole = new Joined((pieces) => (pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces)));
/** One chunk of a chunked body (RFC 9112, 7.1). */
const chunk = new Joined((pieces) => {
  const size = pieces.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([Buffer.from(`${size.toString(16)}\r\n`), ...pieces, LINE]);
});

/** Sends pieces of an answer whose head has been sent, and returns how many bytes wait for its reader now. */
export function sendPieces(response: ApiResponse, pieces: readonly Buffer[]): number {
  if (response instanceof Http2ServerResponse) {
    // What the streams of one connection write in one turn of the event loop goes out in one TLS write.
    const { stream } = response;
    stream.write(whole.of(pieces));
    return stream.writableLength;
  }
  if (!(response instanceof ServerResponse)) {
    response.write(whole.of(pieces));
    return response instanceof RelayedResponse ? response.writableLength : 0;
  }
  const { socket } = response;
  // What `response.write` does with chunks costs several times as much, and every reader of the same events gets the same bytes.
  if (socket && response.chunkedEncoding) socket.write(chunk.of(pieces));
  else response.write(whole.of(pieces));
  return response.writableLength + (socket?.writableLength ?? 0);
}

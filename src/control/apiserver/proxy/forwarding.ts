/**
 * Passes a request on to another server and its answer back, streaming both. Either side going away ends the other. Upgraded
 * connections (SPDY or WebSocket) are tunnelled byte for byte; nothing of them is interpreted.
 */
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { pipeline, type Duplex } from 'node:stream';
import { ApiError } from '../../../api/errors.js';
import { errorText } from '../../../base/log.js';
import { bodyOf, hasUnsizedBody, isGone, type ApiRequest, type ApiResponse } from '../http/exchange.js';

export interface Forwarding {
  /** Begins the request to the other server; it is sent and ended here. */
  readonly open: () => ClientRequest;
  /** What is thrown when there is no answer. */
  readonly failure: (error: Error) => Error;
  /** What is thrown in place of an answer that clients could not read; undefined: it is passed on. */
  readonly refusal?: (answer: IncomingMessage) => Promise<Error> | undefined;
}

const MAX_LISTENERS = 30;

/** Headers about one connection (RFC 9110, 7.6.1); HTTP/2 has none of them. */
const HOP_BY_HOP = [
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
];
/** Credentials are for this server. */
const WITHHELD = new Set([...HOP_BY_HOP, 'authorization', 'host']);

export function forwardedHeaders(request: ApiRequest, upgrade: boolean): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (!WITHHELD.has(name) && !name.startsWith(':')) headers[name] = value;
  }
  if (upgrade) {
    headers['connection'] = 'Upgrade';
    headers['upgrade'] = request.headers.upgrade;
  } else if (hasUnsizedBody(request)) headers['transfer-encoding'] = 'chunked';
  return headers;
}

/** Sending it twice changes nothing. */
const isRepeatable = (request: ApiRequest): boolean =>
  (request.method === 'GET' || request.method === 'HEAD') &&
  (request.headers['content-length'] ?? '0') === '0' &&
  !hasUnsizedBody(request);

/** Resolves when the answer has ended, on whichever side. */
export function forwardExchange(request: ApiRequest, response: ApiResponse, forwarding: Forwarding): Promise<void> {
  const { open, failure, refusal } = forwarding;
  return new Promise<void>((resolve, reject) => {
    const answered = (answer: IncomingMessage) => {
      const refused = refusal?.(answer);
      if (refused) {
        void refused.then(reject);
        return;
      }
      try {
        response.writeHead(answer.statusCode ?? 502, withoutHopHeaders(answer));
      } catch (error) {
        answer.destroy();
        reject(new ApiError(502, 'InternalError', `the answer's head cannot be passed on: ${errorText(error)}`));
        return;
      }
      response.flushHeaders();
      // Either side going away ends the other; a cut stream has no better answer than its end.
      pipeline(answer, bodyOf(response), () => resolve());
    };
    const repeatable = isRepeatable(request);
    let current: ClientRequest | undefined;
    response.once('close', () => current?.destroy());
    const attempt = () => {
      const outgoing = (current = open());
      outgoing.once('response', answered);
      outgoing.on('error', (error) => {
        // A kept connection that the other side has closed; after all of those a new one is made.
        if (repeatable && outgoing.reusedSocket && !response.headersSent && !isGone(response)) attempt();
        else reject(failure(error));
      });
      if (repeatable) outgoing.end();
      else request.pipe(outgoing);
    };
    attempt();
  });
}

/** Resolves when the connection has ended. `head` is what came after the request's head. */
export function tunnelExchange(socket: Duplex, head: Buffer, { open, failure }: Forwarding): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const outgoing = open();
    socket.once('close', () => outgoing.destroy());
    outgoing.once('upgrade', (answer, upstream, first) => {
      socket.write(rawHead(answer, 101));
      if (first.length > 0) socket.write(first);
      if (head.length > 0) upstream.write(head);
      for (const side of [socket, upstream]) side.setMaxListeners(MAX_LISTENERS);
      // What was on its way when the other side went ends with it.
      upstream.on('error', () => upstream.destroy());
      // No pipeline: as soon as the other side had ended, it would destroy this one, with what has not left yet.
      socket.pipe(upstream);
      socket.once('end', () => {
        if (upstream.writableFinished) upstream.destroy();
        else upstream.once('finish', () => upstream.destroy());
      });
      socket.once('close', () => upstream.destroy());
      pipeline(upstream, socket, () => {
        socket.destroy();
        upstream.destroy();
        resolve();
      });
    });
    outgoing.once('response', (answer) => {
      socket.write(rawHead(answer, answer.statusCode ?? 502));
      pipeline(answer, socket, () => resolve());
    });
    outgoing.once('error', (error) => reject(failure(error)));
    outgoing.end();
  });
}

function withoutHopHeaders(answer: IncomingMessage): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { ...answer.headers };
  for (const name of HOP_BY_HOP) delete headers[name];
  return headers;
}

function rawHead(answer: IncomingMessage, code: number): string {
  const lines = [`HTTP/1.1 ${code} ${answer.statusMessage ?? ''}`];
  for (let i = 0; i < answer.rawHeaders.length; i += 2) {
    const name = answer.rawHeaders[i] ?? '';
    if (code !== 101 && /^(?:transfer-encoding|connection|keep-alive)$/i.test(name)) continue;
    lines.push(`${name}: ${answer.rawHeaders[i + 1] ?? ''}`);
  }
  if (code !== 101) lines.push('Connection: close');
  return `${lines.join('\r\n')}\r\n\r\n`;
}

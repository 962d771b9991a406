/**
 * One probe, one answer: HTTP GET, TCP connect and gRPC health (grpc.health.v1) from this node. Exec goes through the
 * runtime. Every check ends within its time limit, whatever the peer does.
 */
import { connect as connectHttp2 } from 'node:http2';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Clock } from '../../base/clock.js';
import type { Container, HTTPGetAction, Pod } from '../../api/types/core-v1.js';

export type ProbeAnswer =
  | { readonly outcome: 'success'; readonly output: string }
  | { readonly outcome: 'failure'; readonly output: string }
  /** It could not be found out. */
  | { readonly outcome: 'unknown'; readonly output: string };

/** Bytes of a body that are read and shown. */
const MAX_BODY = 10 * 1024;

export const success = (output = ''): ProbeAnswer => ({ outcome: 'success', output });
export const failure = (output: string): ProbeAnswer => ({ outcome: 'failure', output });

/** A port by number or by the name of one of the container's ports. */
export function portOf(container: Container, port: string | number): number | undefined {
  if (typeof port === 'number') return port;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  return named ?? (/^\d+$/.test(port) ? Number(port) : undefined);
}

export interface HttpTarget {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly secure: boolean;
  readonly headers: readonly (readonly [string, string])[];
}

export function httpTarget(
  action: HTTPGetAction,
  container: Container,
  pod: Pod,
  podIp: string,
): HttpTarget | undefined {
  const port = portOf(container, action.port);
  if (port === undefined) return undefined;
  const loop = pod.spec?.hostNetwork ? '127.0.0.1' : podIp;
  return {
    host: action.host || podIp || loop,
    port,
    path: action.path?.startsWith('/') ? action.path : `/${action.path ?? ''}`,
    secure: action.scheme === 'HTTPS',
    headers: (action.httpHeaders ?? []).map(({ name, value }) => [name, value] as const),
  };
}

/** GET with the kubelet's headers; any status from 200 to 399 is a success. Redirects to other hosts are not followed. */
export function checkHttp(target: HttpTarget, timeoutMs: number, clock: Clock): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const headers: Record<string, string> = { 'User-Agent': 'kube-probe/1.32', Accept: '*/*', Connection: 'close' };
    for (const [name, value] of target.headers) {
      const present = Object.keys(headers).find((key) => key.toLowerCase() === name.toLowerCase());
      if (present !== undefined) delete headers[present];
      if (value !== '') headers[name] = value;
    }
    const { host, port, path } = target;
    const url = `${target.secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}${path}`;
    const make = target.secure ? httpsRequest : httpRequest;
    const request = make(
      {
        host,
        port,
        path,
        method: 'GET',
        headers,
        agent: false,
        ...(target.secure ? { rejectUnauthorized: false } : {}),
      },
      (response) => {
        void bodyOf(response).then((body) => {
          const status = response.statusCode ?? 0;
          end(status >= 200 && status < 400 ? success(body) : failure(`HTTP probe failed with statuscode: ${status}`));
        });
      },
    );
    const cancel = clock.timer(timeoutMs, () => {
      end(failure(`Get "${url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`));
      request.destroy();
    });
    const end = (answer: ProbeAnswer) => {
      cancel();
      resolve(answer);
    };
    request.on('error', (error) => end(failure(`Get "${url}": ${dialText(error, host, port)}`)));
    request.end();
  });
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of response) {
      parts.push(part as Buffer);
      size += (part as Buffer).length;
      if (size >= MAX_BODY) break;
    }
  } catch {
    // The status was enough.
  }
  response.destroy();
  return Buffer.concat(parts).subarray(0, MAX_BODY).toString('utf8');
}

export function checkTcp(host: string, port: number, timeoutMs: number, clock: Clock): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (answer: ProbeAnswer) => {
      cancel();
      socket.destroy();
      resolve(answer);
    };
    const cancel = clock.timer(timeoutMs, () => end(failure(`dial tcp ${host}:${port}: i/o timeout`)));
    socket.once('connect', () => end(success()));
    socket.once('error', (error) => end(failure(dialText(error, host, port))));
  });
}

function dialText(error: NodeJS.ErrnoException, host: string, port: number): string {
  const why =
    error.code === 'ECONNREFUSED'
      ? 'connect: connection refused'
      : error.code === 'EHOSTUNREACH'
        ? 'connect: no route to host'
        : undefined;
  if (why !== undefined) return `dial tcp ${host}:${port}: ${why}`;
  return error.code === 'ECONNRESET' ? 'read: connection reset by peer' : error.message;
}

/** `grpc.health.v1.Health/Check`: success when the service answers SERVING. */
export function checkGrpc(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
  clock: Clock,
): Promise<ProbeAnswer> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${host.includes(':') ? `[${host}]` : host}:${port}`);
    const end = (answer: ProbeAnswer) => {
      cancel();
      session.destroy();
      resolve(answer);
    };
    const late = `timeout: failed to connect service "${host}:${port}" within ${timeoutMs / 1000}s: context deadline exceeded`;
    const cancel = clock.timer(timeoutMs, () => end(failure(late)));
    session.on('error', (error) => end(failure(`error: ${dialText(error, host, port)}`)));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'kube-probe/1.32',
    });
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', (error) => end(failure(`error: ${dialText(error, host, port)}`)));
    stream.on('end', () => end(servingAnswer(Buffer.concat(parts))));
    const name = Buffer.from(service, 'utf8').subarray(0, 127);
    const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([frame, message]));
  });
}

/** The reply is one frame around `{1: status}`, where 1 is SERVING; an empty message is UNKNOWN. */
function servingAnswer(reply: Buffer): ProbeAnswer {
  const status = reply.length >= 7 && reply[5] === 0x08 ? (reply[6] ?? 0) : 0;
  if (status === 1) return success('service healthy');
  const names = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
  return failure(`service unhealthy (responded with "${names[status] ?? status}")`);
}

/**
 * Connections to aggregated API servers: HTTP/1.1 over TLS to a ready endpoint of the Service, verified for `NAME.NAMESPACE.svc`
 * unless the APIService says otherwise, with the front proxy's certificate. They are kept and used again for the same address,
 * name and trust.
 */
import { Agent, request as httpsRequest } from 'node:https';
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Clock } from '../../../base/clock.js';
import type { UserInfo } from '../../../security/authn/user.js';
import { resolveService, type ResolverDeps } from '../proxy/service-resolver.js';
import { frontProxyHeaders } from './front-proxy-headers.js';
import type { RemoteApi } from './remote-apis.js';

/** Who skein is where it asks for itself, as kube-aggregator. */
export const AGGREGATOR: UserInfo = { name: 'system:kube-aggregator', groups: ['system:masters'] };

export interface RemoteServersDeps extends ResolverDeps {
  readonly clock: Clock;
  readonly frontProxy: { credentials(): Promise<{ readonly certPem: string; readonly keyPem: string }> };
}

export interface RemoteServersOptions {
  /** Connections to one server at most; each open watch takes one. More requests wait for one. */
  readonly socketsPerServer: number;
  /** After how many milliseconds an unused connection is closed. */
  readonly idleMs: number;
  /** Bytes of an answer that is read here at most. */
  readonly answerBytes: number;
}

export const DEFAULT_REMOTE_SERVERS: RemoteServersOptions = Object.freeze({
  socketsPerServer: 1_024,
  idleMs: 30_000,
  answerBytes: 16 * 1024 * 1024,
});

export interface RemoteRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
}

/** A request of skein itself. */
export interface OwnRequest {
  /** GET unless told. */
  readonly method?: string;
  /** Path and query. */
  readonly path: string;
  /** JSON. */
  readonly body?: unknown;
}

export interface RemoteAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export class RemoteServers {
  private readonly agent: Agent;

  constructor(
    private readonly deps: RemoteServersDeps,
    private readonly options: RemoteServersOptions = DEFAULT_REMOTE_SERVERS,
  ) {
    const { socketsPerServer, idleMs } = options;
    this.agent = new Agent({ keepAlive: true, maxSockets: socketsPerServer, timeout: idleMs });
  }

  /** Ends all connections. */
  close(): void {
    this.agent.destroy();
  }

  /** What begins requests to a server; the caller sends and ends them. Rejects with an `UnresolvedService`. */
  async opener({
    service,
    ca,
    insecureSkipTlsVerify,
  }: RemoteApi): Promise<{ readonly url: string; readonly open: (request: RemoteRequest) => ClientRequest }> {
    const { certPem, keyPem } = await this.deps.frontProxy.credentials();
    const { host, port } = resolveService(this.deps, service);
    const servername = `${service.name}.${service.namespace}.svc`;
    const trust = insecureSkipTlsVerify ? { rejectUnauthorized: false } : ca === undefined ? {} : { ca };
    const common = { host, port, servername, agent: this.agent, cert: certPem, key: keyPem, ...trust };
    return {
      url: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
      open: ({ headers, ...request }) =>
        httpsRequest({ ...common, ...request, headers: { ...headers, host: servername } }),
    };
  }

  /** What a server answers to skein itself. Rejects when there is no answer in time, or a larger one than is read. */
  async ask(api: RemoteApi, { method = 'GET', path, body }: OwnRequest, timeoutMs: number): Promise<RemoteAnswer> {
    const { open, url } = await this.opener(api);
    return new Promise((resolve, reject) => {
      const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      const about = bytes ? { 'content-type': 'application/json', 'content-length': bytes.length } : {};
      const headers = { accept: 'application/json', ...about, ...frontProxyHeaders(AGGREGATOR) };
      const outgoing = open({ method, path, headers });
      const cancel = this.deps.clock.timer(timeoutMs, () =>
        outgoing.destroy(new Error(`timed out waiting for ${url}${path}`)),
      );
      const fail = (error: unknown) => {
        cancel();
        reject(error instanceof Error ? error : new Error(String(error)));
      };
      outgoing.on('error', fail);
      outgoing.once('response', (answer) => {
        readAll(answer, this.options.answerBytes).then((read) => {
          cancel();
          resolve({ status: answer.statusCode ?? 0, body: read });
        }, fail);
      });
      outgoing.end(bytes);
    });
  }
}

async function readAll(answer: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer) {
    size += (part as Buffer).length;
    if (size > limitBytes) throw new Error(`the answer has more than ${limitBytes} bytes`);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts);
}

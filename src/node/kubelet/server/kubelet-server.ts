/**
 * The kubelet's HTTP endpoints: HTTPS on 10250 for the API server (logs, exec, attach, port-forward, pods, stats), where
 * every request passes `authorize`; and plain, read-only HTTP on 10255.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../../base/clock.js';
import type { Service } from '../../../base/lifecycle.js';
import { errorText, type Logger } from '../../../base/log.js';
import type { TlsRenewals } from '../../../base/tls.js';
import type { Pod } from '../../../api/types/core-v1.js';
import type { Runtime } from '../../runtime/runtime.js';
import { instancesOf, newestSandbox, podContainers, type Observed } from '../pod-model.js';
import { serveRemoteCommand } from '../streaming/remote-command.js';
import { servePortForward } from '../streaming/port-forward.js';
import { sendLogs } from './container-logs.js';
import { resourceMetrics, statsSummary } from './stats.js';

/** What the server shows: the kubelet. */
export interface PodView {
  list(): Pod[];
  find(namespace: string, name: string): { readonly pod: Pod; readonly observed: Observed } | undefined;
}

export interface KubeletServerDeps {
  readonly pods: PodView;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  /** cAdvisor's machine facts, for `/spec`. */
  readonly machineSpec?: () => object;
}

/** Answers a request it knows; false leaves it to others. */
export type ExtraHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface KubeletServerOptions {
  readonly host: string;
  /** 10250; 0 for any. */
  readonly port: number;
  /** Key, certificate and the CA of clients. */
  readonly tls: Pick<ServerOptions, 'key' | 'cert' | 'ca' | 'requestCert' | 'rejectUnauthorized' | 'SNICallback'>;
  /** Tells of certificates that take the place of `tls`. */
  readonly renewals?: TlsRenewals;
  /** Says whether the caller may do this: false for a stranger (401), a text for somebody who may not (403). */
  readonly authorize: (request: IncomingMessage) => boolean | string | Promise<boolean | string>;
  /** Absent for none; 10255; 0 for any. */
  readonly readOnlyPort?: number;
  readonly extra?: readonly ExtraHandler[];
}

export class KubeletServer implements Service {
  readonly name = 'kubelet/server';
  private readonly servers: Server[] = [];
  private readonly sockets = new Set<Duplex>();
  private stopRenewals: () => void = () => undefined;

  constructor(
    private readonly deps: KubeletServerDeps,
    private readonly options: KubeletServerOptions,
  ) {}

  /** The ports in use: secure first. */
  get ports(): number[] {
    return this.servers.map((server) => (server.address() as AddressInfo | null)?.port ?? 0);
  }

  async start(): Promise<void> {
    const { host, port, tls, readOnlyPort } = this.options;
    const secure = createSecureServer({ requestCert: true, rejectUnauthorized: false, ...tls }, this.listener(true));
    this.stopRenewals = this.options.renewals?.onRenewal((next) => secure.setSecureContext(next)) ?? this.stopRenewals;
    secure.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      void this.upgrade(request, socket, head);
    });
    try {
      await this.listen(secure, port, host);
      if (readOnlyPort !== undefined) await this.listen(createServer(this.listener(false)), readOnlyPort, host);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.stopRenewals();
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(
      this.servers.splice(0).map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  private listen(server: Server, port: number, host: string): Promise<void> {
    this.servers.push(server);
    const track = (socket: Duplex) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    };
    server.on('connection', track);
    server.on('secureConnection', track);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
  }

  private listener(secure: boolean): RequestListener {
    return (request, response) => {
      this.answer(request, response, secure).catch((error: unknown) => {
        this.deps.log.debug('kubelet request failed', { url: request.url, error: errorText(error) });
        if (response.headersSent) response.destroy();
        else text(response, 500, errorText(error));
      });
    };
  }

  private async answer(request: IncomingMessage, response: ServerResponse, secure: boolean): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://kubelet');
    if (url.pathname === '/healthz') return text(response, 200, 'ok');
    const allowed = !secure || (await this.options.authorize(request));
    if (allowed !== true) {
      return allowed === false ? text(response, 401, 'Unauthorized') : text(response, 403, allowed);
    }
    const { pods, runtime, clock, nodeName } = this.deps;
    if (url.pathname === '/pods' || url.pathname === '/pods/') {
      return json(response, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: pods.list() });
    }
    if (url.pathname === '/stats/summary') return json(response, await statsSummary(pods, runtime, clock, nodeName));
    if (url.pathname === '/spec' || url.pathname === '/spec/') return json(response, this.deps.machineSpec?.() ?? {});
    if (secure && url.pathname === '/metrics/resource') {
      return text(response, 200, await resourceMetrics(pods, runtime, clock));
    }
    const [kind, namespace = '', pod = '', container = ''] = url.pathname.split('/').slice(1).map(decodeURIComponent);
    if (secure && kind === 'containerLogs') {
      const found = pods.find(namespace, pod);
      if (!found) return text(response, 404, `pod "${pod}" does not exist\n`);
      return sendLogs(found, container, url.searchParams, response, this.deps);
    }
    if (this.options.extra?.some((handler) => secure && handler(request, response))) return undefined;
    return text(response, 404, '404 page not found\n');
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    try {
      const allowed = await this.options.authorize(request);
      if (allowed === false) return refuse(socket, '401 Unauthorized', 'Unauthorized');
      if (allowed !== true) return refuse(socket, '403 Forbidden', allowed);
      const url = new URL(request.url ?? '/', 'http://kubelet');
      const [kind, namespace = '', name = '', third = '', fourth] = url.pathname
        .split('/')
        .slice(1)
        .map(decodeURIComponent);
      const found = this.deps.pods.find(namespace, name);
      if (!found) return refuse(socket, '404 Not Found', `pod does not exist`);
      if (kind === 'portForward') return this.portForward(request, socket, head, found.observed);
      if (kind !== 'exec' && kind !== 'attach') return refuse(socket, '404 Not Found', 'not found');
      // `/exec/{namespace}/{pod}/{uid}/{container}` is known too.
      return this.command(request, socket, head, kind, found, fourth ?? third, url.searchParams);
    } catch (error) {
      return refuse(socket, '500 Internal Server Error', errorText(error));
    }
  }

  private portForward(request: IncomingMessage, socket: Duplex, head: Buffer, observed: Observed): void {
    const sandbox = newestSandbox(observed);
    if (!sandbox || sandbox.state !== 'ready') return refuse(socket, '500 Internal Server Error', 'pod is not running');
    return servePortForward(request, socket, head, (port) => this.deps.runtime.portForward(sandbox.id, port));
  }

  private command(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    kind: 'exec' | 'attach',
    { pod, observed }: { readonly pod: Pod; readonly observed: Observed },
    name: string,
    query: URLSearchParams,
  ): void {
    const [container] = instancesOf(observed, name);
    const spec = podContainers(pod).find((one) => one.spec.name === name)?.spec;
    if (container?.state !== 'running') {
      return refuse(socket, '500 Internal Server Error', `container not found ("${name}")`);
    }
    const flag = (...names: string[]) => names.some((one) => ['1', 'true'].includes(query.get(one) ?? ''));
    const tty = kind === 'attach' ? (spec?.tty ?? flag('tty')) : flag('tty');
    const options = {
      stdin: flag('input', 'stdin'),
      stdout: flag('output', 'stdout'),
      stderr: flag('error', 'stderr') && !tty,
      tty,
    };
    const { runtime } = this.deps;
    const { id } = container;
    return serveRemoteCommand(
      request,
      socket,
      head,
      options,
      async (streams) => {
        const shared = { tty, ...streams };
        if (kind === 'exec') return runtime.exec(id, { command: query.getAll('command'), ...shared });
        await runtime.attach(id, shared);
        return 0;
      },
      this.deps.clock,
    );
  }
}

function text(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(body);
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(socket: Duplex, status: string, why: string): void {
  const body = Buffer.from(why);
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${why}`,
  );
}

/**
 * Where the API server listens: TLS with HTTP/2 and HTTP/1.1 on one port, as the client asks for by ALPN. Connections that change their
 * protocol (exec, attach, port-forward) come by HTTP/1.1. Limits of HTTP/2 are upstream's; floods of reset streams and of control
 * frames (CVE-2023-44487, CVE-2019-9512 and its like) end their connection by nghttp2's own limits.
 */
import { createServer as createHttp, type Server } from 'node:http';
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../../base/clock.js';
import type { Service } from '../../../base/lifecycle.js';
import type { TlsMaterial, TlsRenewals } from '../../../base/tls.js';
import type { ApiRequest, ApiResponse } from './exchange.js';
import { LocalFanOut, sendWithin, type FanOut } from './fan-out.js';
import { FlushSchedule } from './flush-schedule.js';

export interface ListenerOptions {
  /** 0 takes any free port. */
  readonly port: number;
  readonly host: string;
  /** PEM; absent: plain HTTP/1.1 (tests only). */
  readonly tls?: TlsMaterial;
  /** Tells of certificates that take the place of `tls`. */
  readonly renewals?: TlsRenewals;
  /** Bytes that may wait for one reader of shared frames before it is cut off. */
  readonly feedBytes: number;
  /** After how many milliseconds without a stream an HTTP/2 connection is closed; 90,000 unless told. */
  readonly idleMs?: number;
}

export interface ListenerHandlers {
  /** Must not throw. */
  readonly request: (request: ApiRequest, response: ApiResponse) => void;
  /** Must not throw. */
  readonly upgrade: (request: ApiRequest, socket: Duplex, head: Buffer) => void;
}

/** What takes requests in. */
export interface Front extends Service {
  /** Throws before it has started. */
  readonly address: AddressInfo;
  /** Makes what sends the same frames to several answers. */
  fanOut(): FanOut<ApiResponse>;
}

const KIB = 1024;

/** What upstream's server tells its clients (`http2-max-streams-per-connection` is 100 by default there). */
const SETTINGS = {
  maxConcurrentStreams: 100,
  // Most bodies fit into one frame and need no word back.
  initialWindowSize: 256 * KIB,
  maxFrameSize: 256 * KIB,
};
/** Bytes that all streams of a connection may have under way to the server. */
const CONNECTION_WINDOW = SETTINGS.maxConcurrentStreams * SETTINGS.initialWindowSize;
/** Upstream's time, too. */
const IDLE_MS = 90_000;
/**
 * Megabytes of a connection's answers under way from which its new streams are refused. Large, as a list may be: each answer is bounded
 * where it is made, and over HTTP/1.1 nobody is refused for the answers he has not read.
 */
const SESSION_MEMORY_MB = 4_096;

/** How long what has been answered may take to leave when the server stops, in milliseconds. */
const LEAVE_MS = 500;

/** Watches and uploads outlive any fixed request timeout; slow headers do not. */
const HTTP1 = { requestTimeout: 0, keepAliveTimeout: 120_000, requireHostHeader: true };

export class Listener implements Front {
  readonly name = 'apiserver-listener';
  private readonly sockets = new Set<Socket>();
  private readonly sessions = new Set<ServerHttp2Session>();
  private readonly flushes: FlushSchedule;
  private server: Server | Http2SecureServer | undefined;
  private stopRenewals: () => void = () => undefined;

  constructor(
    private readonly clock: Clock,
    private readonly options: ListenerOptions,
    private readonly handlers: ListenerHandlers,
  ) {
    this.flushes = new FlushSchedule(clock);
  }

  get address(): AddressInfo {
    const address = this.server?.address();
    if (typeof address !== 'object' || address === null) throw new Error('the API server is not listening');
    return address;
  }

  async start(): Promise<void> {
    const { tls, port, host } = this.options;
    const server: Server | Http2SecureServer = tls ? this.createSecure(tls) : createHttp();
    Object.assign(server, HTTP1);
    const { request, upgrade } = this.handlers;
    server.on('request', request);
    server.on('upgrade', upgrade);
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    this.server = server;
  }

  fanOut(): FanOut<ApiResponse> {
    return new LocalFanOut(this.flushes, (response, frames) => sendWithin(response, frames, this.options.feedBytes));
  }

  /** Nothing new is accepted; HTTP/2 clients are told so (GOAWAY). What is still open after a moment is cut. */
  async stop(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    this.stopRenewals();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const session of this.sessions) session.close();
    const cancel = this.clock.timer(LEAVE_MS, () => {
      for (const socket of this.sockets) socket.destroy();
    });
    await closed;
    cancel();
  }

  private createSecure(tls: TlsMaterial): Http2SecureServer {
    const server = createSecureServer({
      ...tls,
      requestCert: true,
      rejectUnauthorized: false,
      allowHTTP1: true,
      noDelay: true,
      settings: SETTINGS,
      maxSessionMemory: SESSION_MEMORY_MB,
    });
    server.on('tlsClientError', (_error: Error, socket: TLSSocket) => socket.destroy());
    server.on('session', (session: ServerHttp2Session) => this.follow(session));
    this.stopRenewals = this.options.renewals?.onRenewal((next) => server.setSecureContext(next)) ?? this.stopRenewals;
    return server;
  }

  private follow(session: ServerHttp2Session): void {
    this.sessions.add(session);
    session.once('close', () => this.sessions.delete(session));
    session.setLocalWindowSize(CONNECTION_WINDOW);
    const { idleMs = IDLE_MS } = this.options;
    // Whoever does not read does not see a farewell either.
    const unused = () => this.clock.timer(idleMs, () => session.destroy());
    let streams = 0;
    let cancel = unused();
    session.on('stream', (stream) => {
      streams++;
      cancel();
      stream.once('close', () => {
        if (--streams === 0 && !session.destroyed) cancel = unused();
      });
    });
    session.once('close', () => cancel());
  }
}

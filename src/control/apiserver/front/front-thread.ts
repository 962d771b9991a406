/**
 * Keeps the API server's connections in a thread of their own: however many watchers there are, and whatever TLS costs, what decides in
 * this thread (requests, consensus, controllers) only pays once for each event and answer. Should that thread end by a fault, its clients
 * are cut off and another one takes its place.
 */
import { Worker, type WorkerOptions } from 'node:worker_threads';
import type { AddressInfo } from 'node:net';
import { systemClock, type Cancel, type Clock } from '../../../base/clock.js';
import { errorText, type Logger } from '../../../base/log.js';
import type { TlsMaterial, TlsRenewals } from '../../../base/tls.js';
import type { ApiResponse, Connection } from '../http/exchange.js';
import type { FanOut } from '../http/fan-out.js';
import type { Front, ListenerHandlers } from '../http/listener.js';
import {
  bufferOf,
  Mailbox,
  type Arrival,
  type FromFront,
  type FrontOptions,
  type Progress,
  type RequestHead,
  type ToFront,
} from './protocol.js';
import { RelayedRequest, RelayedResponse, RelayedSocket, type FrontLine } from './relayed-exchange.js';

export interface FrontThreadOptions extends Omit<FrontOptions, 'exchangesBefore'> {
  readonly renewals?: TlsRenewals;
}

/** Starts a thread with `front-worker.js`. */
export type SpawnFront = (options: WorkerOptions) => Worker;

export const spawnFront: SpawnFront = (options) => new Worker(new URL('./front-worker.js', import.meta.url), options);

export interface FrontThreadDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** As the built program does it, unless told. */
  readonly spawn?: SpawnFront;
}

/** Bytes of frames that may be on their way to the thread; readers who join a feed that is further behind are cut off. */
const FRAMES_WINDOW = 64 * 1024 * 1024;
const RESTART_MS = 1_000;
/** More than one thread can ever have. */
const EXCHANGES_OF_ONE = 2 ** 40;
/** The heap of the thread, in MiB. Most of what it holds are buffers, which are bounded by connection. */
const HEAP = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 512 };

interface Exchange {
  readonly request?: RelayedRequest;
  readonly answered: RelayedResponse | RelayedSocket;
}

export class FrontThread implements Front, FrontLine {
  readonly name = 'apiserver-front';
  mailbox: Mailbox<ToFront>;
  private worker: Worker | undefined;
  private stopping = false;
  private listening: AddressInfo | undefined;
  private tls: TlsMaterial;
  private readonly exchanges = new Map<number, Exchange>();
  private readonly connections = new Map<number, Connection>();
  private launches = 0;
  private lastFeed = 0;
  private frameBytes = 0;
  private stopRenewals: () => void = () => undefined;
  private cancelRestart: Cancel = () => undefined;

  constructor(
    private readonly deps: FrontThreadDeps,
    private readonly options: FrontThreadOptions,
    private readonly handlers: ListenerHandlers,
  ) {
    this.tls = options.tls;
    this.mailbox = new Mailbox(systemClock, { postMessage: () => undefined });
  }

  get address(): AddressInfo {
    if (!this.listening) throw new Error('the API server is not listening');
    return this.listening;
  }

  async start(): Promise<void> {
    this.stopRenewals =
      this.options.renewals?.onRenewal((tls) => {
        this.tls = tls;
        this.mailbox.post(['renew', tls]);
      }) ?? this.stopRenewals;
    await this.launch(this.options.port);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.stopRenewals();
    this.cancelRestart();
    const { worker } = this;
    if (!worker) return;
    this.mailbox.post(['stop']);
    await new Promise<void>((resolve) => {
      worker.once('exit', () => resolve());
    });
  }

  fanOut(): FanOut<ApiResponse> {
    return new RelayedFeed(this, ++this.lastFeed);
  }

  forget(exchange: number): void {
    this.exchanges.delete(exchange);
  }

  /** Sends a frame to the readers of a feed; false when too much is on its way already. */
  feed(feed: number, frame: Buffer): boolean {
    if (this.frameBytes > FRAMES_WINDOW) return false;
    this.frameBytes += frame.length;
    this.mailbox.post(['frame', feed, this.mailbox.bytes(frame)]);
    return true;
  }

  /** Resolves when the thread listens; rejects when it cannot. */
  private launch(port: number): Promise<void> {
    const { host, idleMs, feedBytes } = this.options;
    const data: FrontOptions = {
      port,
      host,
      tls: this.tls,
      feedBytes,
      exchangesBefore: this.launches++ * EXCHANGES_OF_ONE,
      ...(idleMs === undefined ? {} : { idleMs }),
    };
    const { spawn = spawnFront } = this.deps;
    const worker = spawn({ workerData: data, name: this.name, resourceLimits: HEAP });
    this.worker = worker;
    // Threads talk in real time, whatever clock the server has.
    this.mailbox = new Mailbox(systemClock, worker);
    return new Promise((resolve, reject) => {
      worker.on('message', (messages: readonly FromFront[]) => {
        for (const message of messages) {
          if (message[0] === 'listening') {
            this.listening = message[1];
            resolve();
          } else if (message[0] === 'refused') {
            reject(Object.assign(new Error(message[1].message), message[1]));
            void worker.terminate();
          } else if (message[0] === 'stopped') void worker.terminate();
          else this.receive(message);
        }
      });
      worker.on('error', (error) => {
        this.deps.log.error('the thread of the API server failed', { error: errorText(error) });
        reject(error);
      });
      worker.once('exit', () => {
        reject(new Error('the thread of the API server ended'));
        this.onExit();
      });
    });
  }

  private onExit(): void {
    this.worker = undefined;
    for (const { request, answered } of this.exchanges.values()) {
      request?.broken();
      answered.finished();
    }
    this.exchanges.clear();
    this.connections.clear();
    this.frameBytes = 0;
    const { listening } = this;
    if (this.stopping || !listening) return;
    this.cancelRestart = this.deps.clock.timer(RESTART_MS, () => {
      this.launch(listening.port).catch((error: unknown) => {
        this.deps.log.error('the API server does not listen', { error: errorText(error) });
      });
    });
  }

  private receive(message: Arrival | Progress): void {
    switch (message[0]) {
      case 'connection':
        this.connections.set(message[1], message[2]);
        break;
      case 'disconnected':
        this.connections.delete(message[1]);
        break;
      case 'request':
        this.begin(message[1], message[2]);
        break;
      case 'upgrade':
        this.beginUpgraded(message[1], message[2], message[3]);
        break;
      case 'fed':
        this.frameBytes -= message[1];
        break;
      case 'body':
      case 'bodyEnd':
      case 'bodyBroken':
      case 'taken':
      case 'closed':
        this.tell(message);
        break;
    }
  }

  private begin(exchange: number, head: RequestHead): void {
    const request = new RelayedRequest(this, exchange, this.connections.get(head.connection) ?? {}, head);
    const response = new RelayedResponse(this, exchange);
    this.exchanges.set(exchange, { request, answered: response });
    this.handlers.request(request, response);
  }

  private beginUpgraded(exchange: number, head: RequestHead, first: Uint8Array): void {
    const request = new RelayedRequest(this, exchange, this.connections.get(head.connection) ?? {}, head);
    const socket = new RelayedSocket(this, exchange);
    this.exchanges.set(exchange, { answered: socket });
    this.handlers.upgrade(request, socket, bufferOf(first));
  }

  private tell(message: Progress): void {
    const exchange = this.exchanges.get(message[1]);
    if (!exchange) return;
    const { request, answered } = exchange;
    const incoming = answered instanceof RelayedSocket ? answered : request;
    switch (message[0]) {
      case 'body':
        incoming?.arrived(message[2]);
        break;
      case 'bodyEnd':
        incoming?.ended();
        break;
      case 'bodyBroken':
        incoming?.broken();
        break;
      case 'taken':
        answered.taken(message[2]);
        break;
      case 'closed':
        request?.broken();
        answered.finished();
        break;
    }
  }
}

/** A feed's frames go to the thread once, and from there to its readers. */
class RelayedFeed implements FanOut<ApiResponse> {
  private readonly readers = new Set<RelayedResponse>();

  constructor(
    private readonly front: FrontThread,
    private readonly feed: number,
  ) {}

  push(frame: Buffer): void {
    if (this.readers.size === 0 || this.front.feed(this.feed, frame)) return;
    for (const reader of this.readers) reader.destroy();
  }

  join(reader: ApiResponse): void {
    if (!(reader instanceof RelayedResponse)) throw new Error('the reader is not of this front');
    this.readers.add(reader);
    this.front.mailbox.post(['join', this.feed, reader.exchange]);
  }

  catchUp(reader: ApiResponse): void {
    if (reader instanceof RelayedResponse) this.front.mailbox.post(['catchUp', this.feed, reader.exchange]);
  }

  leave(reader: ApiResponse): void {
    if (!(reader instanceof RelayedResponse) || !this.readers.delete(reader)) return;
    this.front.mailbox.post(['leave', this.feed, reader.exchange]);
  }
}

/**
 * What the API server's two threads tell each other: the front holds connections, TLS and HTTP; the other decides what is answered.
 * Exchanges (a request with its answer, or an upgraded connection) and feeds (frames that several answers share) have numbers,
 * given by the side that begins them. Messages about one that has ended are ignored: both ends may end it at the same time.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { MessagePort } from 'node:worker_threads';
import type { Clock } from '../../../base/clock.js';
import type { TlsMaterial } from '../../../base/tls.js';
import type { Connection } from '../http/exchange.js';

/** A request without what of its body comes later. */
export interface RequestHead {
  /** The number of its connection. */
  readonly connection: number;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  /** A body follows that does not say how long it is. */
  readonly unsized: boolean;
  /** What has arrived of the body. */
  body?: Uint8Array;
  /** That was all of it. */
  complete: boolean;
}

/** Why it cannot listen: an error's own fields do not travel between threads. */
export interface ListenFailure {
  readonly message: string;
  readonly code?: string;
  readonly address?: string;
  readonly port?: number;
}

/** How the thread that holds the connections is. */
export type ThreadState =
  readonly ['listening', AddressInfo] | readonly ['refused', ListenFailure] | readonly ['stopped'];

/** What begins at it, and what has arrived there. */
export type Arrival =
  | readonly ['connection', connection: number, Connection]
  | readonly ['disconnected', connection: number]
  | readonly ['request', exchange: number, RequestHead]
  | readonly ['upgrade', exchange: number, RequestHead, first: Uint8Array]
  /** So many bytes of frames are with their readers, or wait for each within his limit. */
  | readonly ['fed', bytes: number];

/** How an exchange goes on. */
export type Progress =
  | readonly ['body', exchange: number, Uint8Array]
  | readonly ['bodyEnd', exchange: number]
  | readonly ['bodyBroken', exchange: number]
  /** So many bytes of the answer have left. */
  | readonly ['taken', exchange: number, bytes: number]
  | readonly ['closed', exchange: number];

/** From the thread that holds the connections. */
export type FromFront = ThreadState | Arrival | Progress;

/** What is to be done with an exchange. */
export type Answer =
  | readonly ['answer', exchange: number, code: number, OutgoingHttpHeaders, Uint8Array]
  | readonly ['head', exchange: number, code: number, OutgoingHttpHeaders]
  /** The head leaves without waiting for the body. */
  | readonly ['flush', exchange: number]
  | readonly ['write', exchange: number, Uint8Array]
  | readonly ['end', exchange: number]
  | readonly ['destroy', exchange: number]
  /** So many bytes of the body have been used: as many more may come. */
  | readonly ['used', exchange: number, bytes: number]
  | readonly ['dropBody', exchange: number]
  | readonly ['endWithAnswer', exchange: number]
  | readonly ['refuseMore', exchange: number];

/** Who reads a feed. */
export type Reading =
  | readonly ['join', feed: number, exchange: number]
  | readonly ['catchUp', feed: number, exchange: number]
  | readonly ['leave', feed: number, exchange: number];

/** To the thread that holds the connections. */
export type ToFront =
  Answer | Reading | readonly ['frame', feed: number, Uint8Array] | readonly ['renew', TlsMaterial] | readonly ['stop'];

/** What the thread of the front begins with. */
export interface FrontOptions {
  readonly port: number;
  readonly host: string;
  readonly tls: TlsMaterial;
  readonly idleMs?: number;
  /** Bytes that may wait for one reader of a feed before it is cut off. */
  readonly feedBytes: number;
  /** The number before that of its first exchange: no thread gives one that another has given. */
  readonly exchangesBefore: number;
}

/** Bytes of a body that may be under way between the threads. */
export const BODY_WINDOW = 256 * 1024;
/** How many of them are used before the other side is told. */
export const BODY_STEP = BODY_WINDOW / 2;

/** Bytes of frames that are used before the other side is told. */
export const FED_STEP = 1024 * 1024;

/** Larger ones change their owner instead of being copied once more. */
const TRANSFER_FROM = 16 * 1024;

/** Sends messages in order, together those of one turn of the event loop: waking a thread costs more than telling it something. */
export class Mailbox<Message extends readonly unknown[]> {
  /** What has been posted in the present batch may still be changed. */
  batch = 0;
  private waiting: Message[] = [];
  private transfers: ArrayBuffer[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly port: Pick<MessagePort, 'postMessage'>,
  ) {}

  post(message: Message): void {
    this.waiting.push(message);
    if (this.waiting.length === 1) this.clock.timer(0, () => this.flush());
  }

  /** Bytes for a message: a copy, as what they are part of may be a large pool, and is not to be shared. */
  bytes(bytes: Uint8Array): Uint8Array {
    const copy = new Uint8Array(bytes);
    if (copy.length >= TRANSFER_FROM) this.transfers.push(copy.buffer);
    return copy;
  }

  private flush(): void {
    this.batch += 1;
    const { waiting, transfers } = this;
    this.waiting = [];
    this.transfers = [];
    this.port.postMessage(waiting, transfers);
  }
}

/** The same bytes as they are read here. */
export const bufferOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

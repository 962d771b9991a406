/** The front's side of the exchanges: what arrives on its connections becomes messages, and messages become answers. */
import type { Duplex } from 'node:stream';
import type { Clock } from '../../../base/clock.js';
import {
  connectionKeyOf,
  connectionOf,
  dropBody,
  endWithAnswer,
  hasNoBody,
  hasUnsizedBody,
  refuseMore,
  sendWhole,
  type ApiRequest,
  type ApiResponse,
} from '../http/exchange.js';
import { LocalFanOut, sendWithin } from '../http/fan-out.js';
import { FlushSchedule } from '../http/flush-schedule.js';
import {
  BODY_WINDOW,
  bufferOf,
  FED_STEP,
  type Answer,
  type FromFront,
  type FrontOptions,
  type Mailbox,
  type Reading,
  type RequestHead,
  type ToFront,
} from './protocol.js';

/** A body, or what comes over an upgraded connection: read no further ahead than its window. */
class IncomingBytes {
  private underWay = 0;
  private ended = false;
  private dropped = false;
  /** The batch that still holds the request itself. */
  private readonly batch: number;

  constructor(
    private readonly mailbox: Mailbox<FromFront>,
    private readonly exchange: number,
    private readonly source: ApiRequest | Duplex,
    /** Takes what arrives before it has been sent. */
    private readonly head: RequestHead | undefined,
  ) {
    this.batch = mailbox.batch;
    source.on('data', this.onData);
    source.once('end', () => this.onEnd());
    source.once('close', () => this.onClose());
    source.on('error', () => this.onClose());
  }

  used(bytes: number): void {
    this.underWay -= bytes;
    if (this.underWay < BODY_WINDOW && !this.dropped) this.source.resume();
  }

  /** Nobody reads what still comes. */
  drop(): void {
    this.dropped = true;
    this.source.off('data', this.onData);
  }

  private readonly onData = (bytes: Buffer): void => {
    this.underWay += bytes.length;
    if (this.underWay >= BODY_WINDOW) this.source.pause();
    const { head } = this;
    if (head && this.batch === this.mailbox.batch && head.body === undefined) head.body = this.mailbox.bytes(bytes);
    else this.mailbox.post(['body', this.exchange, this.mailbox.bytes(bytes)]);
  };

  private onEnd(): void {
    this.ended = true;
    if (this.dropped) return;
    const { head } = this;
    // What has come since the head would be before its end.
    if (head && this.batch === this.mailbox.batch && head.body?.length === this.underWay) head.complete = true;
    else this.mailbox.post(['bodyEnd', this.exchange]);
  }

  private onClose(): void {
    if (this.ended || this.dropped) return;
    this.ended = true;
    this.mailbox.post(['bodyBroken', this.exchange]);
  }
}

/** What an exchange is answered on. */
interface Outgoing {
  write(bytes: Uint8Array, callback: () => void): unknown;
  end(): unknown;
  destroy(): unknown;
}

interface Exchange {
  /** The answer is all there: the other thread has forgotten it, and is not woken to hear how it went. */
  answered: boolean;
  readonly outgoing: Outgoing;
  readonly incoming: IncomingBytes | undefined;
  /** Absent once the protocol has changed. */
  readonly http?: { readonly request: ApiRequest; readonly response: ApiResponse };
}

export class Relay {
  private readonly exchanges = new Map<number, Exchange>();
  private readonly feeds = new Map<number, { readonly fanOut: LocalFanOut<ApiResponse>; readers: number }>();
  private readonly connections = new WeakMap<object, number>();
  private readonly flushes: FlushSchedule;
  private lastExchange: number;
  private lastConnection = 0;
  /** Of the feeds, since the other thread was told. */
  private fedBytes = 0;

  constructor(
    clock: Clock,
    private readonly mailbox: Mailbox<FromFront>,
    private readonly options: Pick<FrontOptions, 'feedBytes' | 'exchangesBefore'>,
  ) {
    this.flushes = new FlushSchedule(clock);
    this.lastExchange = options.exchangesBefore;
  }

  request(request: ApiRequest, response: ApiResponse): void {
    const exchange = ++this.lastExchange;
    const head = this.headOf(request);
    response.on('error', () => undefined);
    response.once('close', () => this.close(exchange));
    this.mailbox.post(['request', exchange, head]);
    const incoming = head.complete ? undefined : new IncomingBytes(this.mailbox, exchange, request, head);
    const outgoing = response as ApiResponse & Outgoing;
    this.exchanges.set(exchange, { answered: false, outgoing, incoming, http: { request, response } });
  }

  upgrade(request: ApiRequest, socket: Duplex, first: Buffer): void {
    const exchange = ++this.lastExchange;
    socket.once('close', () => this.close(exchange));
    this.mailbox.post(['upgrade', exchange, { ...this.headOf(request), complete: true }, this.mailbox.bytes(first)]);
    const incoming = new IncomingBytes(this.mailbox, exchange, socket, undefined);
    this.exchanges.set(exchange, { answered: false, outgoing: socket, incoming });
  }

  /** Does what the messages say, in order. */
  receive(messages: readonly ToFront[]): void {
    for (const message of messages) {
      const [what] = message;
      if (what === 'frame') {
        this.fedBytes += message[2].length;
        this.feeds.get(message[1])?.fanOut.push(bufferOf(message[2]));
      } else if (what === 'join' || what === 'catchUp' || what === 'leave') this.feed(message);
      // The others are about the thread itself.
      else if (what !== 'renew' && what !== 'stop') this.act(message);
    }
    if (this.fedBytes < FED_STEP) return;
    this.mailbox.post(['fed', this.fedBytes]);
    this.fedBytes = 0;
  }

  private headOf(request: ApiRequest): RequestHead {
    const { method = 'GET', url = '/', headers, rawHeaders } = request;
    return {
      connection: this.connectionOf(request),
      method,
      url,
      headers: { ...headers },
      rawHeaders,
      unsized: hasUnsizedBody(request),
      complete: hasNoBody(request),
    };
  }

  private connectionOf(request: ApiRequest): number {
    const key = connectionKeyOf(request);
    const known = this.connections.get(key);
    if (known !== undefined) return known;
    const connection = ++this.lastConnection;
    this.connections.set(key, connection);
    this.mailbox.post(['connection', connection, connectionOf(request)]);
    key.once('close', () => this.mailbox.post(['disconnected', connection]));
    return connection;
  }

  private close(exchange: number): void {
    const ended = this.exchanges.get(exchange);
    if (!ended) return;
    this.exchanges.delete(exchange);
    if (!ended.answered) this.mailbox.post(['closed', exchange]);
    // The rest of the body would keep the connection from its next request.
    ended.incoming?.drop();
    if (ended.http) dropBody(ended.http.request);
  }

  private act(message: Answer): void {
    const exchange = this.exchanges.get(message[1]);
    if (!exchange) return;
    const [what] = message;
    // An upgraded connection is not over when the server has said all.
    if (exchange.http && (what === 'answer' || what === 'end' || what === 'destroy')) exchange.answered = true;
    try {
      this.answer(exchange, message);
    } catch {
      // An answer that HTTP does not allow.
      exchange.outgoing.destroy();
    }
  }

  private answer({ outgoing, incoming, http }: Exchange, message: Answer): void {
    switch (message[0]) {
      case 'answer':
        if (http) sendWhole(http.response, message[2], message[3], bufferOf(message[4]));
        break;
      case 'head':
        http?.response.writeHead(message[2], message[3]);
        break;
      case 'flush':
        http?.response.flushHeaders();
        break;
      case 'write': {
        const [, exchange, bytes] = message;
        outgoing.write(bytes, () => {
          const known = this.exchanges.get(exchange);
          if (known && !known.answered) this.mailbox.post(['taken', exchange, bytes.length]);
        });
        break;
      }
      case 'end':
        outgoing.end();
        break;
      case 'destroy':
        outgoing.destroy();
        break;
      case 'used':
        incoming?.used(message[2]);
        break;
      case 'dropBody':
        incoming?.drop();
        if (http) dropBody(http.request);
        break;
      case 'endWithAnswer':
        if (http) endWithAnswer(http.response);
        break;
      case 'refuseMore':
        if (http) refuseMore(http.request);
        break;
    }
  }

  private feed([what, number, exchange]: Reading): void {
    const response = this.exchanges.get(exchange)?.http?.response;
    const known = this.feeds.get(number);
    if (what === 'join') {
      const feed = known ?? { fanOut: this.fanOut(), readers: 0 };
      this.feeds.set(number, feed);
      feed.readers += 1;
      if (response) feed.fanOut.join(response);
      return;
    }
    if (!known) return;
    if (what === 'catchUp') {
      if (response) known.fanOut.catchUp(response);
      return;
    }
    known.readers -= 1;
    if (response) known.fanOut.leave(response);
    if (known.readers === 0) this.feeds.delete(number);
  }

  private fanOut(): LocalFanOut<ApiResponse> {
    return new LocalFanOut(this.flushes, (response, frames) => sendWithin(response, frames, this.options.feedBytes));
  }
}

/**
 * Requests, answers and upgraded connections whose sockets another thread holds. They are used as those of Node's own servers are; what
 * they say and hear goes through the mailbox of the front.
 */
import { EventEmitter } from 'node:events';
import { validateHeaderName, validateHeaderValue, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { Duplex, Readable, Writable } from 'node:stream';
import type { ApiRequest, ApiResponse, Connection } from '../http/exchange.js';
import { BODY_STEP, bufferOf, type Mailbox, type RequestHead, type ToFront } from './protocol.js';

/** Bytes of one answer that may wait for their reader before whoever makes them is asked to wait. */
const ANSWER_WINDOW = 1024 * 1024;

/** How a relayed exchange reaches the front. */
export interface FrontLine {
  readonly mailbox: Mailbox<ToFront>;
  /** Nothing more is to be told to the exchange. */
  forget(exchange: number): void;
}

/** Tells the front what has been used of a body, in steps. */
class BodyCredit {
  private used = 0;

  constructor(
    private readonly line: FrontLine,
    private readonly exchange: number,
  ) {}

  /** So many bytes have come in. */
  add(bytes: number): void {
    this.used += bytes;
  }

  /** The reader wants more. */
  give(): void {
    if (this.used < BODY_STEP) return;
    this.line.mailbox.post(['used', this.exchange, this.used]);
    this.used = 0;
  }
}

export class RelayedRequest extends Readable implements ApiRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  readonly unsized: boolean;
  complete = false;
  private readonly credit: BodyCredit;

  constructor(
    private readonly line: FrontLine,
    private readonly exchange: number,
    readonly connection: Connection,
    { method, url, headers, rawHeaders, unsized, body, complete }: RequestHead,
  ) {
    super();
    this.method = method;
    this.url = url;
    this.headers = headers;
    this.rawHeaders = rawHeaders;
    this.unsized = unsized;
    this.credit = new BodyCredit(line, exchange);
    if (body) this.arrived(body);
    if (complete) this.ended();
  }

  arrived(bytes: Uint8Array): void {
    this.credit.add(bytes.length);
    this.push(bufferOf(bytes));
  }

  ended(): void {
    this.complete = true;
    this.push(null);
  }

  /** The client is gone before the end of the body. */
  broken(): void {
    if (!this.complete) this.destroy();
  }

  dropRest(): void {
    this.line.mailbox.post(['dropBody', this.exchange]);
  }

  refuseMore(): void {
    this.line.mailbox.post(['refuseMore', this.exchange]);
  }

  override _read(): void {
    this.credit.give();
  }
}

/** The bytes of an answer on their way to its reader. */
class AnswerFlow {
  /** Bytes that have not left yet. */
  waiting = 0;
  private onRoom: (() => void) | undefined;
  private onEmpty: (() => void) | undefined;

  constructor(
    private readonly line: FrontLine,
    private readonly exchange: number,
  ) {}

  write(bytes: Uint8Array): void {
    const { mailbox } = this.line;
    this.waiting += bytes.length;
    mailbox.post(['write', this.exchange, mailbox.bytes(bytes)]);
  }

  /** As {@link write}; calls back when there is room for more. */
  writeInTurn(bytes: Uint8Array, callback: () => void): void {
    this.write(bytes);
    if (this.waiting < ANSWER_WINDOW) callback();
    else this.onRoom = callback;
  }

  taken(bytes: number): void {
    this.waiting -= bytes;
    if (this.waiting < ANSWER_WINDOW) this.tellOfRoom();
    if (this.waiting <= 0) this.tellOfEmptiness();
  }

  /** Calls back when everything has left. */
  whenEmpty(callback: () => void): void {
    if (this.waiting <= 0) callback();
    else this.onEmpty = callback;
  }

  /** Whoever waits for room waits no more. */
  release(): void {
    this.tellOfRoom();
    this.tellOfEmptiness();
  }

  /** Whoever is told may write at once, and wait again. */
  private tellOfRoom(): void {
    const { onRoom } = this;
    this.onRoom = undefined;
    onRoom?.();
  }

  private tellOfEmptiness(): void {
    const { onEmpty } = this;
    this.onEmpty = undefined;
    onEmpty?.();
  }
}

export class RelayedResponse extends EventEmitter implements ApiResponse {
  statusCode = 200;
  headersSent = false;
  /** Nobody waits for the answer any more, or it has been given. */
  closed = false;
  private headers: OutgoingHttpHeaders = {};
  private corked: Uint8Array[] | undefined;
  private readonly flow: AnswerFlow;

  constructor(
    private readonly line: FrontLine,
    readonly exchange: number,
  ) {
    super();
    this.flow = new AnswerFlow(line, exchange);
  }

  /** Bytes that wait for the reader. */
  get writableLength(): number {
    return this.flow.waiting;
  }

  setHeader(name: string, value: number | string | readonly string[]): this {
    validateHeaderName(name);
    for (const one of [value].flat()) validateHeaderValue(name, String(one));
    const known = Object.keys(this.headers).find((other) => other.toLowerCase() === name.toLowerCase());
    if (known !== undefined && known !== name) delete this.headers[known];
    this.headers[name] = value as number | string | string[];
    return this;
  }

  writeHead(code: number, headers: OutgoingHttpHeaders = {}): this {
    if (this.headersSent) throw new Error('the head has been sent');
    this.take(code, headers);
    if (!this.closed) this.line.mailbox.post(['head', this.exchange, code, this.headers]);
    this.headersSent = true;
    return this;
  }

  /** The whole answer at once. */
  answer(code: number, headers: OutgoingHttpHeaders, body: Uint8Array): void {
    this.take(code, headers);
    const { mailbox } = this.line;
    if (!this.closed) mailbox.post(['answer', this.exchange, code, this.headers, mailbox.bytes(body)]);
    this.headersSent = true;
    this.finished();
  }

  flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
    if (!this.closed) this.line.mailbox.post(['flush', this.exchange]);
  }

  write(bytes: Uint8Array): boolean {
    if (!this.headersSent) this.writeHead(this.statusCode);
    if (this.corked) this.corked.push(bytes);
    else if (!this.closed) this.flow.write(bytes);
    return this.flow.waiting < ANSWER_WINDOW;
  }

  end(bytes?: string | Uint8Array): this {
    this.uncork();
    if (bytes !== undefined) this.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    else if (!this.headersSent) this.writeHead(this.statusCode);
    if (!this.closed) this.line.mailbox.post(['end', this.exchange]);
    this.finished();
    return this;
  }

  cork(): void {
    this.corked ??= [];
  }

  uncork(): void {
    const { corked } = this;
    this.corked = undefined;
    if (corked && corked.length > 0) this.write(Buffer.concat(corked));
  }

  destroy(): this {
    if (!this.closed) this.line.mailbox.post(['destroy', this.exchange]);
    this.finished();
    return this;
  }

  /** The rest of the request is not waited for. */
  endWithAnswer(): void {
    this.line.mailbox.post(['endWithAnswer', this.exchange]);
  }

  taken(bytes: number): void {
    this.flow.taken(bytes);
  }

  /** The answer has ended, here or at the other end. */
  finished(): void {
    if (this.closed) return;
    this.closed = true;
    this.line.forget(this.exchange);
    this.flow.release();
    queueMicrotask(() => this.emit('close'));
  }

  /** Where the body can be piped to: takes as much as its reader does. */
  stream(): Writable {
    let ended = false;
    const stream: Writable = new Writable({
      write: (bytes: Uint8Array, _encoding, callback) => {
        if (!this.headersSent) this.writeHead(this.statusCode);
        if (!this.closed) this.flow.writeInTurn(bytes, callback);
      },
      final: (callback) => {
        ended = true;
        this.end();
        callback();
      },
      destroy: (error, callback) => {
        if (!this.closed) this.destroy();
        callback(error);
      },
    });
    this.once('close', () => {
      if (!ended) stream.destroy();
    });
    return stream;
  }

  private take(code: number, headers: OutgoingHttpHeaders): void {
    if (!Number.isInteger(code) || code < 100 || code > 999) throw new RangeError(`Invalid status code: ${code}`);
    this.statusCode = code;
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) this.setHeader(name, value);
  }
}

/** A connection that has left HTTP. */
export class RelayedSocket extends Duplex {
  private readonly credit: BodyCredit;
  private readonly flow: AnswerFlow;

  constructor(
    private readonly line: FrontLine,
    private readonly exchange: number,
  ) {
    super();
    this.credit = new BodyCredit(line, exchange);
    this.flow = new AnswerFlow(line, exchange);
  }

  arrived(bytes: Uint8Array): void {
    this.credit.add(bytes.length);
    this.push(bufferOf(bytes));
  }

  ended(): void {
    this.push(null);
  }

  broken(): void {
    this.destroy();
  }

  taken(bytes: number): void {
    this.flow.taken(bytes);
  }

  finished(): void {
    this.destroy();
  }

  override _read(): void {
    this.credit.give();
  }

  override _write(bytes: Uint8Array, _encoding: string, callback: () => void): void {
    this.flow.writeInTurn(bytes, callback);
  }

  override _final(callback: () => void): void {
    this.line.mailbox.post(['end', this.exchange]);
    // Whoever sees it finish destroys it, and what has not left would be lost.
    this.flow.whenEmpty(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.line.mailbox.post(['destroy', this.exchange]);
    this.line.forget(this.exchange);
    this.flow.release();
    callback(error);
  }
}

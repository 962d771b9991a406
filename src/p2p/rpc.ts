/**
 * Requests and responses over a transport. A call fails at once when the connection goes; it is never retried here, and
 * may have been carried out although it failed. One `Rpc` for each channel and transport.
 */
import { Packr } from 'msgpackr';
import type { Cancel, Clock } from '../base/clock.js';
import { abortReason } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import { errorText } from '../base/log.js';
import type { PeerId, Transport } from './transport.js';

export type RpcErrorCode = 'timeout' | 'disconnected' | 'busy' | 'unknown-method' | 'remote';

/** Why a call failed. */
export class RpcError extends Error {
  /**
   * @param code what happened, as seen by the transport.
   * @param remoteCode with `remote`: the `code` of the error that the handler threw, if it had one.
   */
  constructor(
    readonly code: RpcErrorCode,
    message: string,
    readonly remoteCode?: string,
  ) {
    super(message);
    this.name = 'RpcError';
  }
}

export interface CallOptions {
  /** Milliseconds; 10 000 unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface RpcOptions {
  /** The transport channel; `rpc` unless told. */
  readonly channel?: string;
  /** Calls to one peer that may wait for an answer; 4096 unless told. Above that a call fails with `busy`. */
  readonly maxInFlight?: number;
  /** Calls of one peer that may be worked on here; 1024 unless told. Above that they are answered with `busy`. */
  readonly maxServing?: number;
}

export type RpcHandler = (from: PeerId, payload: Uint8Array) => Promise<Uint8Array> | Uint8Array;

/** On the wire: requests are `[0, id, method, payload]`, results `[1, id, payload]`, errors `[2, id, code, message, remoteCode]`. */
type Message =
  | readonly [0, number, string, Uint8Array]
  | readonly [1, number, Uint8Array]
  | readonly [2, number, RpcErrorCode, string, string | null];

interface Call {
  readonly to: PeerId;
  settle(result: Uint8Array | Error): void;
}

const DEFAULT_TIMEOUT_MS = 10_000;

export class Rpc implements Service {
  readonly name = 'rpc';
  private readonly packr = new Packr({ useRecords: false, variableMapSize: true });
  private readonly handlers = new Map<string, RpcHandler>();
  private readonly calls = new Map<number, Call>();
  private readonly inFlight = new Map<PeerId, number>();
  private readonly serving = new Map<PeerId, number>();
  private nextId = 1;
  private detach: (() => void)[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly transport: Transport,
    private readonly options: RpcOptions = {},
  ) {}

  start(): Promise<void> {
    this.detach = [
      this.transport.onMessage(this.channel, (from, message) => this.receive(from, message)),
      this.transport.subscribe({
        onConnected: () => undefined,
        onDisconnected: (peer) => this.disconnected(peer.id),
      }),
    ];
    return Promise.resolve();
  }

  stop(): Promise<void> {
    for (const detach of this.detach.splice(0)) detach();
    for (const call of this.calls.values()) call.settle(new RpcError('disconnected', 'this peer is stopping'));
    return Promise.resolve();
  }

  /** Registers what answers a method; one handler each. An error's `code` (a string) reaches the caller. */
  handle(method: string, handler: RpcHandler): () => void {
    if (this.handlers.has(method)) throw new Error(`method ${method} already has a handler`);
    this.handlers.set(method, handler);
    return () => {
      if (this.handlers.get(method) === handler) this.handlers.delete(method);
    };
  }

  /** Calls a method of a peer. Rejects with an {@link RpcError}, or with the signal's reason. */
  call(to: PeerId, method: string, payload: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    const waiting = this.inFlight.get(to) ?? 0;
    if (waiting >= (this.options.maxInFlight ?? 4096))
      return Promise.reject(new RpcError('busy', `too many calls wait for an answer of ${to}`));
    const id = this.nextId;
    this.nextId = id >= 0xffff_ffff ? 1 : id + 1;
    return new Promise((resolve, reject) => {
      const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
      const onAbort = () => settle(abortReason(signal as AbortSignal));
      let cancel: Cancel = () => undefined;
      const settle = (result: Uint8Array | Error) => {
        if (!this.calls.delete(id)) return;
        cancel();
        signal?.removeEventListener('abort', onAbort);
        count(this.inFlight, to, -1);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      this.calls.set(id, { to, settle });
      count(this.inFlight, to, 1);
      signal?.addEventListener('abort', onAbort, { once: true });
      cancel = this.clock.timer(timeoutMs, () =>
        settle(new RpcError('timeout', `${method} got no answer within ${timeoutMs} ms`)),
      );
      if (!this.post(to, [0, id, method, payload]))
        settle(
          new RpcError('disconnected', `${method} could not be sent to ${to}: not connected, or its buffer is full`),
        );
    });
  }

  private get channel(): string {
    return this.options.channel ?? 'rpc';
  }

  private post(to: PeerId, message: Message): boolean {
    return this.transport.send(to, this.channel, this.packr.pack(message));
  }

  private receive(from: PeerId, bytes: Uint8Array): void {
    const message = this.packr.unpack(bytes) as Message;
    switch (message[0]) {
      case 0:
        void this.serve(from, message[1], message[2], message[3]);
        return;
      case 1:
        this.answered(from, message[1], message[2]);
        return;
      case 2:
        this.answered(from, message[1], new RpcError(message[2], message[3], message[4] ?? undefined));
        return;
      default:
        throw new Error('a message of an unknown kind');
    }
  }

  private answered(from: PeerId, id: number, result: Uint8Array | Error): void {
    const call = this.calls.get(id);
    if (call?.to === from) call.settle(result);
  }

  /** Never rejects. */
  private async serve(from: PeerId, id: number, method: string, payload: Uint8Array): Promise<void> {
    const handler = this.handlers.get(method);
    if (!handler) {
      this.post(from, [2, id, 'unknown-method', `there is no method ${method}`, null]);
      return;
    }
    if ((this.serving.get(from) ?? 0) >= (this.options.maxServing ?? 1024)) {
      this.post(from, [2, id, 'busy', 'the peer is working on too many calls', null]);
      return;
    }
    count(this.serving, from, 1);
    try {
      this.post(from, [1, id, await handler(from, payload)]);
    } catch (error) {
      this.post(from, [2, id, 'remote', errorText(error), codeOf(error)]);
    } finally {
      count(this.serving, from, -1);
    }
  }

  private disconnected(peer: PeerId): void {
    for (const call of this.calls.values())
      if (call.to === peer) call.settle(new RpcError('disconnected', `the connection to ${peer} ended`));
  }
}

function count(counts: Map<PeerId, number>, peer: PeerId, by: number): void {
  const value = (counts.get(peer) ?? 0) + by;
  if (value > 0) counts.set(peer, value);
  else counts.delete(peer);
}

function codeOf(error: unknown): string | null {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : null;
}

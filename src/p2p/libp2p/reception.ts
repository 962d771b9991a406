/**
 * The first words on a connection: each side says hello and judges the other's; a connection without a good one in time ends.
 * Whoever dialled begins. Who is denied gets the reason in place of a hello.
 */
import type { Connection, Stream } from '@libp2p/interface';
import type { Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import type { PeerId, PeerInfo } from '../transport.js';
import { hostPortOf } from './address.js';
import type { Admission } from './admission.js';
import { frame } from './frames.js';
import { readFrames } from './link.js';
import { Refusals, type Refusal } from './refusals.js';

export const HELLO_PROTOCOL = '/skein/hello/1';
const MAX_HELLO_BYTES = 64 * 1024;
/** Begins what is sent instead of a hello: the reason of a refusal follows. No hello begins so. */
const REFUSED = 0;
/** How long a connection is kept for the other side to read why it is refused, in milliseconds. */
const REFUSAL_MS = 500;

export class Reception {
  /** Connections that have not finished their hello, with the end of their patience. */
  private readonly pending = new Map<string, () => void>();
  private readonly refused: Refusals;

  /** @param onAdmitted called once the other side's hello was found good. */
  constructor(
    private readonly deps: { readonly clock: Clock; readonly log: Logger },
    private readonly options: { readonly admission: Admission; readonly helloTimeoutMs: number },
    private readonly self: () => PeerInfo,
    private readonly onAdmitted: (connection: Connection, peer: PeerInfo) => void,
  ) {
    this.refused = new Refusals(deps);
  }

  /** Peers that refuse this one, or are refused by it, lately. */
  refusals(): readonly Refusal[] {
    return this.refused.list();
  }

  stop(): void {
    for (const patience of this.pending.values()) patience();
    this.pending.clear();
  }

  /** A connection exists. Whoever dialled says hello first. */
  opened(connection: Connection): void {
    const { clock } = this.deps;
    const patience = clock.timer(this.options.helloTimeoutMs, () =>
      this.refuse(connection, new Error('no hello within the time allowed')),
    );
    this.pending.set(connection.id, patience);
    if (connection.direction === 'outbound')
      this.sayHello(connection).catch((error: unknown) => this.refuse(connection, error));
  }

  /** The connection is gone. */
  closed(connection: Connection): void {
    this.pending.get(connection.id)?.();
    this.pending.delete(connection.id);
  }

  private async sayHello(connection: Connection): Promise<void> {
    const stream = await connection.newStream(HELLO_PROTOCOL);
    readFrames(stream, MAX_HELLO_BYTES, (hello) => {
      if (hello[0] !== REFUSED) this.judge(connection, hello);
      else this.end(connection, { reason: textOf(hello), by: 'peer' });
    });
    stream.send(frame(this.options.admission.hello(this.self())));
  }

  answerHello(stream: Stream, connection: Connection): void {
    readFrames(stream, MAX_HELLO_BYTES, (hello) => {
      if (!this.pending.has(connection.id)) return;
      const denied = this.options.admission.denied?.({ id: connection.remotePeer.toString() as PeerId });
      if (denied !== undefined) {
        stream.send(frame(Buffer.concat([Uint8Array.of(REFUSED), Buffer.from(denied)])));
        this.end(connection, { reason: denied, by: 'self', lingerMs: REFUSAL_MS });
        return;
      }
      // Answered before judged: once this peer counts the other one as admitted, it may send to it.
      stream.send(frame(this.options.admission.hello(this.self())));
      this.judge(connection, hello);
    });
  }

  private judge(connection: Connection, hello: Uint8Array): void {
    const patience = this.pending.get(connection.id);
    if (!patience || connection.status !== 'open') return;
    const peerId = connection.remotePeer.toString();
    const result = this.options.admission.admit(peerId, hello);
    if (!result.ok) return this.end(connection, { ...result, by: 'self' });
    if (result.peer.id !== peerId) return this.refuse(connection, new Error('its hello is for another peer id'));
    patience();
    this.pending.delete(connection.id);
    this.refused.clear(peerId);
    this.onAdmitted(connection, result.peer);
  }

  private refuse(connection: Connection, error: unknown): void {
    this.end(connection, { reason: errorText(error), by: 'self' });
  }

  /** Ends a connection that does not become one of peers. */
  private end(
    connection: Connection,
    why: Pick<Refusal, 'reason' | 'name' | 'by'> & { readonly lingerMs?: number },
  ): void {
    this.pending.get(connection.id)?.();
    if (!this.pending.delete(connection.id)) return;
    const peer = connection.remotePeer.toString();
    const address = hostPortOf(connection.remoteAddr) ?? connection.remoteAddr.toString();
    const { reason, name, by, lingerMs } = why;
    this.refused.note({ peer, address, reason, by, ...(name === undefined ? {} : { name }) });
    const abort = () => abortConnection(connection, new Error('not admitted'));
    if (lingerMs === undefined) abort();
    else this.deps.clock.timer(lingerMs, abort);
  }
}

const textOf = (refusal: Uint8Array): string => Buffer.from(refusal.subarray(1)).toString();

/**
 * Ends a connection at once. The muxer throws when it cannot say goodbye any more, before the socket is closed; it counts
 * as closed from then on, and a second call reaches the socket.
 */
export function abortConnection(connection: Connection, error: Error): void {
  try {
    connection.abort(error);
  } catch {
    connection.abort(error);
  }
}

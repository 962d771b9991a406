/**
 * Fewer and larger writes on a connection between peers. libp2p's noise hands the socket each message's length, header, body
 * and tag as writes of their own, and yamux answers every message with a window update: some 22 writes on the peer that
 * orders a write and 11 on each that stores it, each of which wakes the process at the other end twice. Here everything
 * that one turn of the event loop sends is one noise message and one write, and windows are announced when half is used, as
 * the yamux specification suggests. The bytes on the wire are those of the protocols; peers without this understand them.
 */
import type { ConnectionEncrypter, SecuredConnection, Stream } from '@libp2p/interface';

/** What is used of the `Uint8ArrayList` that libp2p passes. */
interface ByteList {
  readonly byteLength: number;
  subarray(): Uint8Array;
  consume(bytes: number): void;
  append(bytes: Uint8Array | ByteList): void;
}

interface SendResult {
  readonly sentBytes: number;
  readonly canSendMore: boolean;
}

/** The extension point of libp2p's streams (`AbstractMessageStream.sendData`), which its interfaces leave out. */
interface Sending extends EventTarget {
  sendData(data: ByteList): SendResult;
  abort(error: Error): void;
}

const sends = (stream: object): stream is Sending => typeof (stream as Partial<Sending>).sendData === 'function';

/** Gives the bytes to the system in one piece. */
function joinSends(stream: object): void {
  if (!sends(stream)) return;
  const send = stream.sendData.bind(stream);
  stream.sendData = (data) => {
    const bytes = data.subarray();
    data.consume(bytes.length);
    data.append(bytes);
    return send(data);
  };
}

/** Collects what is sent until the code that runs now, and all that it has set off, has ended. */
function batchSends(stream: object): void {
  if (!sends(stream)) return;
  const send = stream.sendData.bind(stream);
  let batch: ByteList | undefined;
  let full = false;
  stream.addEventListener('drain', () => {
    full = false;
  });
  const flush = () => {
    const bytes = batch;
    batch = undefined;
    if (!bytes) return;
    try {
      full = !send(bytes).canSendMore;
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)));
    }
  };
  stream.sendData = (data) => {
    const sentBytes = data.byteLength;
    if (batch) batch.append(data);
    else {
      batch = data;
      process.nextTick(flush);
    }
    return { sentBytes, canSendMore: !full };
  };
}

/** The encrypter, with batched sends on what it has secured. */
export function batchedSends<Components>(
  encrypter: (components: Components) => ConnectionEncrypter,
): (components: Components) => ConnectionEncrypter {
  return (components) => {
    const inner = encrypter(components);
    const secureInbound = inner.secureInbound.bind(inner);
    const secureOutbound = inner.secureOutbound.bind(inner);
    const batched = (raw: object, secured: SecuredConnection): SecuredConnection => {
      joinSends(raw);
      batchSends(secured.connection);
      return secured;
    };
    inner.secureInbound = async (raw, options) => batched(raw, await secureInbound(raw, options));
    inner.secureOutbound = async (raw, options) => batched(raw, await secureOutbound(raw, options));
    return inner;
  };
}

/** Half of yamux' first window (256 KiB): the sender is never stopped by an announcement that waits. */
const ANNOUNCE_BYTES = 128 * 1024;

/** Announces this stream's window when half of it is used, not after each message. */
export function announceHalfWindows(stream: Stream): void {
  const muxed = stream as Stream & { sendWindowUpdate?: () => void };
  const announce = muxed.sendWindowUpdate?.bind(muxed);
  if (!announce) return;
  // The first one also accepts the stream.
  let unannounced = ANNOUNCE_BYTES;
  stream.addEventListener('message', ({ data }) => {
    unannounced += data.byteLength;
  });
  muxed.sendWindowUpdate = () => {
    if (unannounced < ANNOUNCE_BYTES) return;
    unannounced = 0;
    announce();
  };
}

/**
 * Messages on a byte stream: a 4-byte big-endian length, then that many bytes. Large messages are handed to the stream in
 * slices, and only while it takes them, so that the streams of other channels get their turn in between.
 */
import type { Stream } from '@libp2p/interface';

const HEADER_BYTES = 4;
/** How much is handed to the stream at a time. */
const SLICE_BYTES = 128 * 1024;
/** Small messages are joined into one write up to this size. */
const JOIN_BYTES = 32 * 1024;

/** Cuts a stream of bytes into messages. */
export class FrameReader {
  private readonly pieces: Uint8Array[] = [];
  private have = 0;
  private want = HEADER_BYTES;
  private inBody = false;

  constructor(
    private readonly maxBytes: number,
    private readonly onFrame: (frame: Uint8Array) => void,
  ) {}

  /** Takes the next bytes. Throws when a message is longer than allowed; the stream is then of no use any more. */
  push(bytes: Uint8Array): void {
    let rest = bytes;
    while (this.have + rest.length >= this.want) {
      const missing = this.want - this.have;
      const whole = this.take(rest.subarray(0, missing));
      rest = rest.subarray(missing);
      if (this.inBody) {
        this.expect(false, HEADER_BYTES);
        this.onFrame(whole);
        continue;
      }
      const length = new DataView(whole.buffer, whole.byteOffset, HEADER_BYTES).getUint32(0);
      if (length > this.maxBytes) throw new Error(`a message of ${length} bytes is longer than ${this.maxBytes}`);
      this.expect(true, length);
    }
    if (rest.length > 0) {
      this.pieces.push(rest);
      this.have += rest.length;
    }
  }

  private expect(body: boolean, bytes: number): void {
    this.inBody = body;
    this.want = bytes;
  }

  private take(last: Uint8Array): Uint8Array {
    if (this.pieces.length === 0) return last;
    const whole = Buffer.concat([...this.pieces, last]);
    this.pieces.length = 0;
    this.have = 0;
    return new Uint8Array(whole.buffer, whole.byteOffset, whole.length);
  }
}

/** One message with its header. */
export function frame(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + message.length);
  new DataView(out.buffer).setUint32(0, message.length);
  out.set(message, HEADER_BYTES);
  return out;
}

/** Queues messages for a stream and feeds it at the pace it takes them. Owns the stream's writable end. */
export class FrameWriter {
  private readonly queue: Uint8Array[] = [];
  private stream: Stream | undefined;
  private pumping = false;
  private due = false;

  /** @param onSent called with the bytes of messages (without headers) as they leave the queue. */
  constructor(private readonly onSent: (bytes: number) => void) {}

  /** Starts to send what is queued and what follows. */
  attach(stream: Stream): void {
    this.stream = stream;
    stream.addEventListener('drain', () => this.pump());
    this.pump();
  }

  /** Goes out when the code that runs now has ended: each write costs far more than its bytes, so its messages share one. */
  push(message: Uint8Array): void {
    this.queue.push(message);
    if (this.due) return;
    this.due = true;
    queueMicrotask(() => {
      this.due = false;
      this.pump();
    });
  }

  private pump(): void {
    const { stream, queue } = this;
    if (!stream || this.pumping) return;
    this.pumping = true;
    try {
      while (queue.length > 0 && !stream.writableNeedsDrain && stream.writeStatus === 'writable') {
        const { bytes, left } = nextSlice(queue);
        stream.send(bytes);
        if (left > 0) this.onSent(left);
      }
    } finally {
      this.pumping = false;
    }
  }
}

/** A part of a long message that still has to be sent, without a header of its own. */
class Remainder extends Uint8Array {}

/** Takes the next write from the queue: several small messages joined, or a slice of a long one. */
function nextSlice(queue: Uint8Array[]): { bytes: Uint8Array; left: number } {
  const first = queue[0];
  if (!first) return { bytes: new Uint8Array(0), left: 0 };
  if (first instanceof Remainder || first.length + HEADER_BYTES > JOIN_BYTES) return sliceOf(queue, first);
  let count = 0;
  let total = 0;
  for (const message of queue) {
    if (count > 0 && total + HEADER_BYTES + message.length > JOIN_BYTES) break;
    total += HEADER_BYTES + message.length;
    count++;
  }
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const message of queue.splice(0, count)) {
    view.setUint32(at, message.length);
    bytes.set(message, at + HEADER_BYTES);
    at += HEADER_BYTES + message.length;
  }
  return { bytes, left: total - count * HEADER_BYTES };
}

function sliceOf(queue: Uint8Array[], message: Uint8Array): { bytes: Uint8Array; left: number } {
  const slice = message.subarray(0, SLICE_BYTES);
  const rest = message.subarray(slice.length);
  if (rest.length > 0) queue[0] = new Remainder(rest.buffer as ArrayBuffer, rest.byteOffset, rest.length);
  else queue.shift();
  if (message instanceof Remainder) {
    return { bytes: new Uint8Array(slice.buffer, slice.byteOffset, slice.length), left: slice.length };
  }
  const bytes = new Uint8Array(HEADER_BYTES + slice.length);
  new DataView(bytes.buffer).setUint32(0, message.length);
  bytes.set(slice, HEADER_BYTES);
  return { bytes, left: slice.length };
}

/**
 * One admitted connection: a stream for each channel and direction, opened when it is first needed. A stream that breaks
 * takes its connection along, so there are no gaps in a channel while the connection lasts.
 */
import type { Connection, Stream } from '@libp2p/interface';
import type { Clock } from '../../base/clock.js';
import type { PeerInfo } from '../transport.js';
import { announceHalfWindows } from './batched-sends.js';
import { frame, FrameReader, FrameWriter } from './frames.js';

export const CHANNEL_PROTOCOL = '/skein/channel/1';
const MAX_CHANNEL_NAME_BYTES = 256;

export interface LinkOptions {
  readonly sendBufferBytes: number;
  readonly maxMessageBytes: number;
  readonly openTimeoutMs: number;
}

export class Link {
  private readonly writers = new Map<string, FrameWriter>();
  private queuedBytes = 0;
  readonly sinceMs: number;

  constructor(
    readonly peer: PeerInfo,
    readonly connection: Connection,
    private readonly clock: Clock,
    private readonly options: LinkOptions,
    private readonly onBroken: (error: unknown) => void,
  ) {
    this.sinceMs = clock.monotonicMs();
  }

  /** Queues a message; false when the connection is closing or too much is queued for this peer already. */
  send(channel: string, message: Uint8Array): boolean {
    if (this.connection.status !== 'open' || message.length > this.options.maxMessageBytes) return false;
    // One message longer than the whole buffer passes when nothing else is queued.
    if (this.queuedBytes > 0 && this.queuedBytes + message.length > this.options.sendBufferBytes) return false;
    this.queuedBytes += message.length;
    this.writer(channel).push(message);
    return true;
  }

  private writer(channel: string): FrameWriter {
    const present = this.writers.get(channel);
    if (present) return present;
    const writer = new FrameWriter((bytes) => {
      this.queuedBytes -= bytes;
    });
    this.writers.set(channel, writer);
    this.open(channel, writer).catch(this.onBroken);
    return writer;
  }

  private async open(channel: string, writer: FrameWriter): Promise<void> {
    const abort = new AbortController();
    const cancel = this.clock.timer(this.options.openTimeoutMs, () => abort.abort(new Error('timed out')));
    try {
      const stream = await this.connection.newStream(CHANNEL_PROTOCOL, {
        signal: abort.signal,
        maxOutboundStreams: 256,
      });
      stream.addEventListener('close', () => {
        if (this.connection.status === 'open') this.onBroken(new Error(`the stream of channel ${channel} ended`));
      });
      stream.send(frame(Buffer.from(channel)));
      writer.attach(stream);
    } finally {
      cancel();
    }
  }
}

/** Reads a channel stream that the other side opened: its name first, then its messages. */
export function readChannel(
  stream: Stream,
  maxMessageBytes: number,
  onMessage: (channel: string, message: Uint8Array) => void,
): void {
  announceHalfWindows(stream);
  let channel: string | undefined;
  readFrames(stream, maxMessageBytes, (message) => {
    if (channel !== undefined) onMessage(channel, message);
    else if (message.length > MAX_CHANNEL_NAME_BYTES) throw new Error('the name of a channel is too long');
    else channel = Buffer.from(message).toString();
  });
}

/** Calls `onFrame` for every message of a stream; resets the stream when the framing is broken. */
export function readFrames(stream: Stream, maxBytes: number, onFrame: (message: Uint8Array) => void): void {
  const reader = new FrameReader(maxBytes, onFrame);
  stream.addEventListener('message', (event) => {
    try {
      reader.push(event.data instanceof Uint8Array ? event.data : event.data.subarray());
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)));
    }
  });
}

/**
 * The serving side of a SPDY/3.1 connection as kubectl and client-go make them: `spdy-transport` with two repairs.
 * Their SYN_STREAM frames have no `:method` and `:path`, which the library insists on; and they never send WINDOW_UPDATE,
 * so its send windows would close after 64 KiB. Back-pressure comes from the socket instead.
 */
import { createRequire } from 'node:module';
import { PassThrough, type Duplex, type Readable, type Writable } from 'node:stream';

export interface SpdyStream extends Duplex {
  readonly headers: Readonly<Record<string, string | undefined>>;
  respond(status: number, headers: Readonly<Record<string, string>>, callback?: (error?: Error) => void): void;
  abort(callback?: () => void): void;
}

type Update = (size: number, callback?: () => void) => void;

interface Internals {
  readonly framer: { readonly readableLength: number };
  readonly parser: Writable & {
    parseKVs(buffer: unknown, callback: (error: Error | null, headers: Record<string, string>) => void): void;
  };
  readonly window: { readonly send: { update: Update } };
}

interface SpdyConnection {
  readonly _spdyState: Internals;
  start(version: number): void;
  end(): void;
  destroySoon?(): void;
  on(event: 'stream', listener: (stream: SpdyStream & { readonly _spdyState: Internals }) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'close', listener: () => void): void;
}

interface Library {
  readonly connection: {
    create(socket: Duplex, options: { protocol: 'spdy'; isServer: boolean; windowSize: number }): SpdyConnection;
  };
}

const library = createRequire(import.meta.url)('spdy-transport') as Library;
const VERSION = 3.1;
const RECEIVE_WINDOW = 1 << 20;
/** Bytes of one stream that wait for their reader before the connection is held. */
const INPUT_BUFFER = 1 << 20;

export interface SpdySession {
  /** True when everything written has been handed to the kernel, or nobody is there to take it. */
  readonly drained: boolean;
  /**
   * What the client sends on a stream. The library's streams are of an old make: iterating one does not end while its
   * writing side is open, and clients that ignore windows could fill it without limit; so it is copied, and the whole
   * connection is not read while a reader is far behind.
   */
  input(stream: SpdyStream): Readable;
  /** Ends all streams and the connection. */
  close(): void;
}

/** Serves streams on an upgraded connection until either side closes it; `onClose` is called once. */
export function serveSpdy(socket: Duplex, onStream: (stream: SpdyStream) => void, onClose: () => void): SpdySession {
  const connection = library.connection.create(socket, {
    protocol: 'spdy',
    isServer: true,
    windowSize: RECEIVE_WINDOW,
  });
  const { parser, window } = connection._spdyState;
  const parse = parser.parseKVs.bind(parser);
  parser.parseKVs = (buffer, callback) =>
    parse(buffer, (error, headers) =>
      error ? callback(error, headers) : callback(null, { ':method': 'POST', ':path': '/', ...headers }),
    );
  const unlimited: Update = (_size, callback) => {
    if (callback) process.nextTick(callback);
  };
  window.send.update = unlimited;
  let closed = false;
  const end = () => {
    if (closed) return;
    closed = true;
    onClose();
  };
  connection.on('stream', (stream) => {
    stream._spdyState.window.send.update = unlimited;
    stream.on('error', () => undefined);
    stream.respond(200, {});
    onStream(stream);
  });
  connection.on('error', () => socket.destroy());
  connection.on('close', end);
  socket.on('close', end);
  socket.on('error', end);
  connection.start(VERSION);
  const { framer } = connection._spdyState;
  const held = new Set<Readable>();
  const input = (stream: SpdyStream): Readable => {
    const copy = new PassThrough({ highWaterMark: INPUT_BUFFER });
    const release = () => {
      if (held.delete(copy) && held.size === 0 && !socket.destroyed) socket.pipe(parser);
    };
    stream.on('data', (data: Buffer) => {
      if (copy.writableEnded || copy.destroyed || copy.write(data)) return;
      if (held.size === 0) socket.unpipe(parser);
      held.add(copy);
    });
    copy.on('drain', release).on('close', release);
    stream.once('end', () => copy.end()).once('close', () => copy.end());
    return copy;
  };
  return {
    get drained() {
      return closed || (framer.readableLength === 0 && socket.writableLength === 0);
    },
    input,
    close: () => socket.end(),
  };
}

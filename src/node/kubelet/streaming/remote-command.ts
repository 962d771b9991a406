/**
 * exec and attach on the wire: `v4.channel.k8s.io` and older over SPDY/3.1, and `v5`/`v4.channel.k8s.io` over WebSocket.
 * Channels: 0 stdin, 1 stdout, 2 stderr, 3 the outcome as a Status, 4 terminal sizes; in v5, `[255, n]` closes channel n.
 */
import type { IncomingMessage } from 'node:http';
import { PassThrough, type Duplex, type Readable, type Writable } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Clock } from '../../../base/clock.js';
import { serveSpdy, type SpdyStream } from './spdy-session.js';

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** What one remote command is run with. */
export interface RemoteStreams {
  readonly stdin: Readable | undefined;
  readonly onStdout: (data: Uint8Array) => void;
  readonly onStderr: (data: Uint8Array) => void;
  readonly resize: AsyncIterable<TerminalSize>;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface RemoteOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Runs the command; the result is its exit code. A rejection becomes a failure Status. */
export type RemoteRun = (streams: RemoteStreams) => Promise<number>;

const STREAM_WAIT_MS = 30_000;
/** The client's time to close by itself. */
const LEAVE_MS = 2_000;
const SPDY_PROTOCOLS = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'];
const WS_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
/** Bytes of output that may wait for a slow client before it is cut off. */
const MAX_BUFFERED = 64 * 1024 * 1024;
/** Bytes of one message about the terminal's size; a longer one is none. */
const MAX_SIZE_MESSAGE = 1024;

export function isWebSocket(request: IncomingMessage): boolean {
  return (request.headers.upgrade ?? '').toLowerCase() === 'websocket';
}

export function serveRemoteCommand(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: RemoteOptions,
  run: RemoteRun,
  clock: Clock,
): void {
  if (isWebSocket(request)) serveOnWebSocket(request, socket, head, options, run);
  else serveOnSpdy(request, socket, head, options, run, clock);
}

/** The outcome as kubectl reads it: Success, or NonZeroExitCode with the code as its cause. */
export function outcome(result: number | Error): object {
  if (result === 0) return { metadata: {}, status: 'Success' };
  if (typeof result === 'number') {
    return {
      metadata: {},
      status: 'Failure',
      message: `command terminated with non-zero exit code: exit status ${result}`,
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: String(result) }] },
    };
  }
  return { metadata: {}, status: 'Failure', message: result.message, reason: 'InternalError', code: 500 };
}

async function settle(run: RemoteRun, streams: RemoteStreams): Promise<number | Error> {
  try {
    return await run(streams);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

async function* sizesOf(source: Readable): AsyncGenerator<TerminalSize> {
  let text = '';
  try {
    for await (const part of source) {
      text += String(part);
      for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}')) {
        const { Width, Height } = JSON.parse(text.slice(0, end + 1)) as { Width: number; Height: number };
        text = text.slice(end + 1).trimStart();
        yield { columns: Width, rows: Height };
      }
      if (text.length > MAX_SIZE_MESSAGE) return;
    }
  } catch {
    // The terminal is gone or speaks nonsense: no more sizes.
  }
}

export function acceptSpdy(socket: Duplex, protocol: string | undefined): void {
  const version = protocol === undefined ? '' : `X-Stream-Protocol-Version: ${protocol}\r\n`;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${version}\r\n`);
}

/** The newest protocol both know; undefined when there is none. */
export function spdyProtocol(request: IncomingMessage, known: readonly string[]): string | undefined {
  const header = request.headers['x-stream-protocol-version'];
  const asked = String(header ?? '')
    .split(',')
    .map((one) => one.trim());
  return known.find((one) => asked.includes(one)) ?? (header === undefined ? known.at(-1) : undefined);
}

function serveOnSpdy(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: RemoteOptions,
  run: RemoteRun,
  clock: Clock,
): void {
  const protocol = spdyProtocol(request, SPDY_PROTOCOLS);
  if (protocol === undefined) {
    socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  acceptSpdy(socket, protocol);
  if (head.length > 0) socket.unshift(head);
  const abort = new AbortController();
  const streams = new Map<string, SpdyStream>();
  const wanted = new Set(['error']);
  if (options.stdin) wanted.add('stdin');
  if (options.stdout) wanted.add('stdout');
  if (options.stderr && !options.tty) wanted.add('stderr');
  if (options.tty && ['v3.channel.k8s.io', 'v4.channel.k8s.io'].includes(protocol)) wanted.add('resize');
  const late = clock.timer(STREAM_WAIT_MS, () => socket.destroy());
  const begin = async () => {
    late();
    const [stdin, resize] = [streams.get('stdin'), streams.get('resize')];
    const result = await settle(run, {
      stdin: stdin && session.input(stdin),
      onStdout: (data) => write(streams.get('stdout'), data),
      onStderr: (data) => write(streams.get('stderr'), data),
      resize: resize ? sizesOf(session.input(resize)) : none(),
      signal: abort.signal,
    });
    const text =
      protocol === 'v4.channel.k8s.io'
        ? JSON.stringify(outcome(result))
        : result === 0
          ? ''
          : typeof result === 'number'
            ? `error executing command in container: Error executing in Docker Container: ${result}`
            : result.message;
    for (const name of ['stdout', 'stderr']) streams.get(name)?.end();
    const error = streams.get('error');
    if (!error) return socket.end();
    error.end(text);
    // The client closes when it has read everything; one that does not is left after all was sent.
    const leave = () => clock.timer(LEAVE_MS, () => (session.drained ? session.close() : leave()));
    leave();
    return undefined;
  };
  const session = serveSpdy(
    socket,
    (stream) => {
      const type = stream.headers['streamtype'] ?? '';
      if (!wanted.has(type) || streams.has(type)) {
        stream.abort();
        return;
      }
      streams.set(type, stream);
      if (streams.size === wanted.size) void begin();
    },
    () => {
      late();
      abort.abort(new Error('the client is gone'));
    },
  );
}

function write(stream: Writable | undefined, data: Uint8Array): void {
  if (!stream || stream.destroyed || stream.writableEnded) return;
  if (stream.writableLength > MAX_BUFFERED) stream.destroy(new Error('the client reads too slowly'));
  else stream.write(data);
}

async function* none(): AsyncGenerator<TerminalSize> {
  // No terminal, no sizes.
}

function serveOnWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: RemoteOptions,
  run: RemoteRun,
): void {
  const server = new WebSocketServer({
    noServer: true,
    handleProtocols: (asked) => WS_PROTOCOLS.find((one) => asked.has(one)) ?? false,
  });
  server.handleUpgrade(request, socket, head, (client) => void commandOnWebSocket(client, options, run));
}

async function commandOnWebSocket(client: WebSocket, options: RemoteOptions, run: RemoteRun): Promise<void> {
  const abort = new AbortController();
  const stdin = new PassThrough();
  const resize = new PassThrough();
  const send = (channel: number, data: Uint8Array) => {
    if (client.readyState !== client.OPEN) return;
    if (client.bufferedAmount > MAX_BUFFERED) client.terminate();
    else client.send(Buffer.concat([Buffer.from([channel]), data]));
  };
  client.on('message', (message: Buffer) => {
    const [channel, second] = message;
    if (channel === 0 && !stdin.writableEnded) {
      // The client is slowed down when the command does not read.
      if (!stdin.write(message.subarray(1))) {
        client.pause();
        stdin.once('drain', () => client.resume());
      }
    } else if (channel === 4) resize.write(message.subarray(1));
    else if (channel === 255 && second === 0) stdin.end();
  });
  client.on('error', () => client.terminate());
  client.on('close', () => {
    abort.abort(new Error('the client is gone'));
    stdin.end();
    resize.end();
  });
  const result = await settle(run, {
    stdin: options.stdin ? stdin : undefined,
    onStdout: (data) => options.stdout && send(1, data),
    onStderr: (data) => options.stderr && send(2, data),
    resize: sizesOf(resize),
    signal: abort.signal,
  });
  send(3, Buffer.from(JSON.stringify(outcome(result))));
  client.close(1000);
}

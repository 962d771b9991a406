/**
 * port-forward over WebSocket channels (`v4.channel.k8s.io`), as client libraries without SPDY speak it: the ports are named in the
 * query, port i has channel 2i for data and 2i + 1 for errors, and each channel begins with its port as two bytes, low byte first.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { errorText } from '../../../base/log.js';
import type { ConnectPort } from './port-forward.js';

export const CHANNEL_PROTOCOL = 'v4.channel.k8s.io';
/** Bytes that may wait for a slow client, or for a slow program in the pod, before the connection is cut. */
const MAX_BUFFERED = 16 * 1024 * 1024;
/** Ports of one connection. */
const MAX_PORTS = 64;

/** The ports of `?ports=80&ports=81,82`; undefined when there are none or one is no port. */
export function portsOf(url: string): number[] | undefined {
  const { searchParams } = new URL(url, 'http://localhost');
  const texts = searchParams.getAll('ports').flatMap((text) => text.split(','));
  const ports = texts.map((text) => (/^\d{1,5}$/.test(text) ? Number(text) : 0));
  const usable = ports.length > 0 && ports.length <= MAX_PORTS && ports.every((port) => port > 0 && port < 65_536);
  return usable ? ports : undefined;
}

/** Serves a connection whose client speaks {@link CHANNEL_PROTOCOL}. */
export function servePortChannels(request: IncomingMessage, socket: Duplex, head: Buffer, connect: ConnectPort): void {
  const ports = portsOf(request.url ?? '/');
  if (!ports) {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  const server = new WebSocketServer({ noServer: true, handleProtocols: () => CHANNEL_PROTOCOL });
  server.handleUpgrade(request, socket, head, (client) => serveChannels(client, ports, connect));
}

function serveChannels(client: WebSocket, ports: readonly number[], connect: ConnectPort): void {
  const targets = ports.map((port, index) => new ForwardedPort(client, index, port));
  client.on('message', (message: RawData) => {
    const bytes = Array.isArray(message) ? Buffer.concat(message) : Buffer.from(message as Buffer);
    const channel = bytes[0] ?? 0;
    // Only data channels carry something from the client.
    if (channel % 2 === 0) targets[channel / 2]?.receive(bytes.subarray(1));
  });
  client.on('error', () => client.terminate());
  client.on('close', () => {
    for (const target of targets) target.close();
  });
  for (const target of targets) void target.open(connect);
}

class ForwardedPort {
  private target: Duplex | undefined;
  private waiting: Buffer[] | undefined = [];
  private waitingBytes = 0;
  private closed = false;

  constructor(
    private readonly client: WebSocket,
    private readonly index: number,
    private readonly port: number,
  ) {}

  async open(connect: ConnectPort): Promise<void> {
    const number = Buffer.from([this.port & 0xff, this.port >> 8]);
    this.send(2 * this.index, number);
    this.send(2 * this.index + 1, number);
    try {
      this.attach(await connect(this.port));
    } catch (error) {
      this.fail(error);
    }
  }

  receive(bytes: Buffer): void {
    if (this.target) {
      this.target.write(bytes);
      if (this.target.writableLength > MAX_BUFFERED) this.client.terminate();
      return;
    }
    this.waitingBytes += bytes.length;
    if (this.waitingBytes > MAX_BUFFERED) this.client.terminate();
    else this.waiting?.push(bytes);
  }

  close(): void {
    this.closed = true;
    this.waiting = undefined;
    this.target?.destroy();
  }

  private attach(target: Duplex): void {
    if (this.closed) {
      target.destroy();
      return;
    }
    this.target = target;
    target.on('data', (bytes: Buffer) => this.send(2 * this.index, bytes));
    target.on('error', (error) => this.fail(error));
    target.on('close', () => this.client.close(1000));
    for (const bytes of this.waiting ?? []) target.write(bytes);
    this.waiting = undefined;
  }

  private fail(error: unknown): void {
    this.send(2 * this.index + 1, Buffer.from(`error forwarding port ${this.port} to pod: ${errorText(error)}`));
    this.client.close(1000);
  }

  private send(channel: number, bytes: Buffer): void {
    if (this.client.readyState !== this.client.OPEN) return;
    this.client.send(Buffer.concat([Buffer.from([channel]), bytes]));
    if (this.client.bufferedAmount > MAX_BUFFERED) this.client.terminate();
  }
}

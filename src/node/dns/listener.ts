/** One address's UDP and TCP sockets: takes messages, hands them to `respond`, sends what it returns. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Clock } from '../../base/clock.js';
import type { Address } from './forwarder.js';
import { FrameReader, framed } from './tcp-frame.js';

export interface ListenerOptions {
  /** Most TCP connections at once; further ones are closed. */
  readonly maxConnections: number;
  /** A TCP connection without a question for so long is closed, in milliseconds. */
  readonly idleMs: number;
  /** Most questions of one TCP connection that wait for their answer; more close it. */
  readonly maxPipelined: number;
}

/**
 * What may wait in the kernel while this process does something else, in bytes; the kernel counts about 750 for a small
 * datagram and takes no more than `net.core.rmem_max`. Its default holds some 270: a burst beyond that loses questions,
 * which askers repeat only after seconds.
 */
const RECEIVE_BUFFER_BYTES = 4 * 2 ** 20;

/** Undefined: no reply. Never rejects. */
export type Respond = (message: Buffer, transport: 'udp' | 'tcp') => Promise<Buffer | undefined>;

export class Listener {
  private udp: UdpSocket | undefined;
  private tcp: Server | undefined;
  private readonly connections = new Set<Socket>();
  private port = 0;

  constructor(
    private readonly wanted: Address,
    private readonly clock: Clock,
    private readonly respond: Respond,
    private readonly options: ListenerOptions,
  ) {}

  /** Where it listens: differs from what was asked for when that was port 0. */
  get address(): Address {
    return { ip: this.wanted.ip, port: this.port };
  }

  /** Rejects when either socket cannot be bound; nothing is left open then. */
  async open(): Promise<void> {
    try {
      const tcp = (this.tcp = createServer((socket) => this.accept(socket)));
      tcp.listen(this.wanted.port, this.wanted.ip);
      await once(tcp, 'listening');
      const bound = tcp.address();
      this.port = typeof bound === 'object' && bound ? bound.port : this.wanted.port;
      const udp = (this.udp = createSocket({
        type: this.wanted.ip.includes(':') ? 'udp6' : 'udp4',
        recvBufferSize: RECEIVE_BUFFER_BYTES,
      }));
      udp.bind(this.port, this.wanted.ip);
      await once(udp, 'listening');
      // What goes wrong later concerns single datagrams or connections.
      udp.on('error', () => undefined);
      tcp.on('error', () => undefined);
      udp.on('message', (message, { address, port }) => void this.answerDatagram(udp, message, { ip: address, port }));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const { udp, tcp } = this;
    this.udp = undefined;
    this.tcp = undefined;
    for (const socket of this.connections) socket.destroy();
    if (udp) await new Promise<void>((resolve) => udp.close(() => resolve()));
    if (tcp?.listening) await new Promise<void>((resolve) => tcp.close(() => resolve()));
  }

  private async answerDatagram(socket: UdpSocket, message: Buffer, from: Address): Promise<void> {
    const reply = await this.respond(message, 'udp');
    // A reply that cannot be sent is a lost datagram: the asker asks again.
    if (reply && this.udp === socket) socket.send(reply, from.port, from.ip, () => undefined);
  }

  private accept(socket: Socket): void {
    if (this.connections.size >= this.options.maxConnections) {
      socket.destroy();
      return;
    }
    this.connections.add(socket);
    const reader = new FrameReader();
    let waiting = 0;
    let cancel = this.clock.timer(this.options.idleMs, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('close', () => {
      cancel();
      this.connections.delete(socket);
    });
    socket.on('data', (chunk: Buffer) => {
      cancel();
      cancel = this.clock.timer(this.options.idleMs, () => socket.destroy());
      for (const message of reader.push(chunk)) {
        waiting += 1;
        if (waiting > this.options.maxPipelined) {
          socket.destroy();
          return;
        }
        void this.respond(message, 'tcp').then((reply) => {
          waiting -= 1;
          if (reply && socket.writable) socket.write(framed(reply));
          return undefined;
        });
      }
    });
  }
}

/**
 * Hands questions about other zones to the machine's resolvers, as they came and over the same transport. Each question gets a
 * socket (so a port) and an id of its own, which is what makes forged replies hard (RFC 5452). Bounded in number and time.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Clock } from '../../base/clock.js';
import { deferred } from '../../base/deferred.js';
import type { Random } from '../../base/random.js';
import { FrameReader, framed } from './tcp-frame.js';

export interface Address {
  readonly ip: string;
  readonly port: number;
}

export interface ForwarderOptions {
  readonly upstream: readonly Address[];
  /** How long one resolver may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Most questions under way; further ones are refused at once. */
  readonly maxInFlight: number;
}

export class Forwarder {
  private inFlight = 0;
  private readonly open = new Set<() => void>();

  constructor(
    private readonly deps: { readonly clock: Clock; readonly random: Random },
    private readonly options: ForwarderOptions,
  ) {}

  get usable(): boolean {
    return this.options.upstream.length > 0;
  }

  /** The first reply of any resolver, asked one after the other; undefined when none replies or too much is under way. */
  async ask(query: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    if (this.inFlight >= this.options.maxInFlight) return undefined;
    this.inFlight += 1;
    try {
      for (const address of this.options.upstream) {
        const reply = await this.askOne(query, transport, address);
        if (reply) return reply;
      }
      return undefined;
    } finally {
      this.inFlight -= 1;
    }
  }

  /** Gives up everything under way. */
  stop(): void {
    for (const close of this.open) close();
  }

  private async askOne(query: Buffer, transport: 'udp' | 'tcp', address: Address): Promise<Buffer | undefined> {
    const asked = Buffer.from(query);
    asked.writeUInt16BE(this.deps.random.int(65_536), 0);
    const result = deferred<Buffer | undefined>();
    const finish = (reply?: Buffer) => result.resolve(reply);
    const judge = (reply: Buffer) => {
      if (answers(reply, asked)) finish(reply);
    };
    const close =
      transport === 'udp' ? exchangeUdp(asked, address, judge, finish) : exchangeTcp(asked, address, judge, finish);
    const giveUp = () => finish();
    const cancel = this.deps.clock.timer(this.options.timeoutMs, giveUp);
    this.open.add(giveUp);
    const reply = await result.promise;
    this.open.delete(giveUp);
    cancel();
    close();
    if (!reply) return undefined;
    const out = Buffer.from(reply);
    query.copy(out, 0, 0, 2);
    return out;
  }
}

/** Whether this is a response to that very question. */
function answers(reply: Buffer, query: Buffer): boolean {
  if (reply.length < 12 || reply.readUInt16BE(0) !== query.readUInt16BE(0) || (reply.readUInt8(2) & 0x80) === 0) {
    return false;
  }
  // A refusal may leave the question out.
  if (reply.readUInt16BE(4) === 0) return true;
  let end = 12;
  while (end < query.length && query[end] !== 0) end += (query[end] as number) + 1;
  const question = (bytes: Buffer) =>
    bytes
      .subarray(12, end + 5)
      .toString('latin1')
      .toLowerCase();
  return question(reply) === question(query);
}

function exchangeUdp(query: Buffer, { ip, port }: Address, judge: (reply: Buffer) => void, finish: () => void) {
  const socket = createSocket(ip.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', finish);
  socket.on('message', judge);
  // Connected: the kernel drops datagrams from anybody else, and tells about an unreachable port.
  socket.connect(port, ip, () => {
    socket.send(query, (error) => {
      if (error) finish();
    });
  });
  return () => socket.close();
}

function exchangeTcp(query: Buffer, { ip, port }: Address, judge: (reply: Buffer) => void, finish: () => void) {
  const socket = connect(port, ip);
  const reader = new FrameReader();
  socket.on('error', finish);
  socket.on('close', finish);
  socket.on('data', (chunk: Buffer) => {
    for (const frame of reader.push(chunk)) judge(frame);
  });
  socket.write(framed(query));
  return () => socket.destroy();
}

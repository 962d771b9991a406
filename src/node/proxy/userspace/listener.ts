/** One listening address of the userspace proxy. Opening fails when the address is not on this machine or is taken. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock, Cancel } from '../../../base/clock.js';
import type { EndpointState } from '../model.js';

export interface ListenerDeps {
  readonly clock: Clock;
  /** The endpoint for a new flow of this client, or undefined to refuse it. */
  pick(client: string): EndpointState | undefined;
  /** Takes one of the bounded places for connections; false when there is none. */
  acquire(): boolean;
  release(): void;
  readonly udpIdleMs: number;
}

export interface Listener {
  /** Ends UDP flows to endpoints that are no more wanted. TCP connections go on to their own end, as in the kernel. */
  retain(isWanted: (endpoint: EndpointState) => boolean): void;
  close(): Promise<void>;
}

export async function listenTcp(address: string, port: number, deps: ListenerDeps): Promise<Listener> {
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    client.on('error', () => undefined);
    const target = deps.pick(client.remoteAddress ?? '');
    if (!target || !deps.acquire()) {
      // A reset tells the client at once that nobody answers.
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: target.ip, port: target.port, allowHalfOpen: true });
    // Whoever fails resets the other; one that ended properly leaves the other to send what it still holds.
    upstream.on('error', () => client.resetAndDestroy());
    let sockets = 2;
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket);
      socket.on('close', () => {
        open.delete(socket);
        if (!socket.readableEnded || !socket.writableFinished) other.destroy();
        if (--sockets === 0) deps.release();
      });
    }
    client.pipe(upstream);
    upstream.pipe(client);
  });
  server.listen({ host: address, port });
  await once(server, 'listening');
  // A connection that cannot be accepted (no file descriptor left) concerns nobody else.
  server.on('error', () => undefined);
  return {
    retain: () => undefined,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

export async function listenUdp(address: string, port: number, deps: ListenerDeps): Promise<Listener> {
  const flows = new Map<string, { target: EndpointState; send(data: Uint8Array): void; end(): void }>();
  const server = createSocket('udp4');
  const openFlow = (key: string, from: { address: string; port: number }) => {
    const target = deps.pick(from.address);
    if (!target || !deps.acquire()) return undefined;
    const socket = createSocket('udp4');
    let cancel: Cancel = () => undefined;
    const end = () => {
      if (!flows.delete(key)) return;
      cancel();
      socket.close();
      deps.release();
    };
    const touch = () => {
      cancel();
      cancel = deps.clock.timer(deps.udpIdleMs, end);
    };
    const send = (data: Uint8Array) => {
      touch();
      socket.send(data, target.port, target.ip);
    };
    socket.on('message', (data) => {
      touch();
      server.send(data, from.port, from.address);
    });
    socket.on('error', end);
    const flow = { target, end, send };
    flows.set(key, flow);
    return flow;
  };
  server.on('message', (data, from) => {
    const key = `${from.address}:${from.port}`;
    (flows.get(key) ?? openFlow(key, from))?.send(data);
  });
  server.bind({ address, port });
  try {
    await once(server, 'listening');
  } catch (error) {
    server.close();
    throw error;
  }
  server.on('error', () => undefined);
  return {
    retain(isWanted) {
      for (const flow of flows.values()) if (!isWanted(flow.target)) flow.end();
    },
    async close() {
      for (const flow of flows.values()) flow.end();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

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
  close(): Promise<void>;
}

export async function listenTcp(address: string, port: number, deps: ListenerDeps): Promise<Listener> {
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    const target = deps.pick(client.remoteAddress ?? '');
    if (!target || !deps.acquire()) {
      // A reset tells the client at once that nobody answers.
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: target.ip, port: target.port, allowHalfOpen: true });
    open.add(client).add(upstream);
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      client.destroy();
      upstream.destroy();
      open.delete(client);
      open.delete(upstream);
      deps.release();
    };
    client.on('error', end).on('close', end);
    upstream.on('error', end).on('close', end);
    client.pipe(upstream);
    upstream.pipe(client);
  });
  server.listen({ host: address, port });
  await once(server, 'listening');
  return {
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

export async function listenUdp(address: string, port: number, deps: ListenerDeps): Promise<Listener> {
  const flows = new Map<string, { send(data: Uint8Array): void; end(): void }>();
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
    const flow = { end, send };
    flows.set(key, flow);
    return flow;
  };
  server.on('message', (data, from) => {
    const key = `${from.address}:${from.port}`;
    (flows.get(key) ?? openFlow(key, from))?.send(data);
  });
  server.bind({ address, port });
  await once(server, 'listening');
  server.on('error', () => undefined);
  return {
    async close() {
      for (const flow of flows.values()) flow.end();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

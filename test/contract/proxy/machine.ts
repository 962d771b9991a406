/**
 * A machine of its own for a proxier: a process in a network namespace that nobody else sees and that is gone with it. It
 * has two "pods" (addresses 10.244.1.2 and 10.244.1.3 with a TCP and a UDP server on port 8080 that answer with their
 * address), and does what it is told over IPC. Run as `unshare --net`; needs root.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { systemClock } from '../../../src/base/clock.js';
import { runOrThrow, systemCommand } from '../../../src/base/command.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { IptablesProxier } from '../../../src/node/proxy/iptables-proxier.js';
import type { ProxyState } from '../../../src/node/proxy/model.js';
import type { Proxier } from '../../../src/node/proxy/proxier.js';
import { UserspaceProxier } from '../../../src/node/proxy/userspace/proxier.js';

export type Mode = 'iptables' | 'userspace';
export type Order =
  | { readonly do: 'make'; readonly mode: Mode }
  | { readonly do: 'sync'; readonly state: ProxyState; readonly full: boolean }
  | { readonly do: 'cleanup' }
  /** Resolves with what the server says first, or with the error's code. */
  | { readonly do: 'tcp' | 'udp'; readonly ip: string; readonly port: number }
  /** Keeps the connection open; `echo` speaks over it. */
  | { readonly do: 'open'; readonly ip: string; readonly port: number }
  | { readonly do: 'echo'; readonly text: string }
  | { readonly do: 'run'; readonly line: readonly string[] };
export interface Request {
  readonly id: number;
  readonly order: Order;
}
export interface Response {
  readonly id: number;
  readonly value?: string;
  readonly error?: string;
}

const ANSWER_TIMEOUT_MS = 2_000;
let proxier: Proxier | undefined;
let kept: Socket | undefined;

function make(mode: Mode): Proxier {
  const deps = { command: systemCommand, clock: systemClock, log: silentLogger, metrics: noMetrics };
  if (mode === 'userspace') return new UserspaceProxier(deps, { maxConnections: 100, udpIdleMs: 30_000 });
  // No cluster CIDR: masquerading needs pods behind a bridge.
  const masquerade = { clusterCidr: '', masqueradeMark: 0x4000, masqueradeAll: false };
  return new IptablesProxier(deps, { ...masquerade, localhostNodePorts: false });
}

async function setUp(): Promise<void> {
  const ip = (line: string) => runOrThrow(systemCommand, 'ip', line.split(' '));
  await ip('link set lo up');
  await ip('link add outside type veth peer name cable');
  await ip('link set cable up');
  await ip('addr add 192.0.2.1/24 dev outside');
  await ip('link set outside up');
  await ip('route add default dev outside');
  for (const address of ['10.244.1.2', '10.244.1.3']) {
    await ip(`addr add ${address}/32 dev lo`);
    const tcp = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(address);
      socket.pipe(socket);
    });
    tcp.listen(8080, address);
    await once(tcp, 'listening');
    const udp = createSocket('udp4');
    udp.on('message', (_, from) => udp.send(address, from.port, from.address));
    udp.bind(8080, address);
    await once(udp, 'listening');
  }
}

const codeOf = (error: unknown) => (error as { code?: string }).code ?? String(error);

async function tcp(ip: string, port: number): Promise<string> {
  const socket = connect({ host: ip, port });
  try {
    const [data] = (await once(socket, 'data', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })) as [Buffer];
    return data.toString();
  } catch (error) {
    return codeOf(error);
  } finally {
    socket.destroy();
  }
}

async function udp(ip: string, port: number): Promise<string> {
  const socket = createSocket('udp4');
  try {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    socket.send('hi', port, ip);
    const [data] = (await answer) as [Buffer];
    return data.toString();
  } catch (error) {
    return codeOf(error);
  } finally {
    socket.close();
  }
}

async function obey(order: Order): Promise<string> {
  switch (order.do) {
    case 'make':
      proxier = make(order.mode);
      return '';
    case 'sync':
      await proxier?.sync(order.state, order.full);
      return '';
    case 'cleanup':
      await proxier?.stop();
      await proxier?.cleanup();
      return '';
    case 'tcp':
      return tcp(order.ip, order.port);
    case 'udp':
      return udp(order.ip, order.port);
    case 'open': {
      kept = connect({ host: order.ip, port: order.port });
      kept.on('error', () => undefined);
      const [data] = (await once(kept, 'data')) as [Buffer];
      return data.toString();
    }
    case 'echo': {
      kept?.write(order.text);
      if (!kept) return '';
      const [data] = (await once(kept, 'data', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })) as [Buffer];
      return data.toString();
    }
    case 'run': {
      const [program = '', ...args] = order.line;
      return runOrThrow(systemCommand, program, args);
    }
  }
}

const reply = (response: Response) => void process.send?.(response);
process.on('message', ({ id, order }: Request) => {
  obey(order).then(
    (value) => reply({ id, value }),
    (error: unknown) => reply({ id, error: String(error) }),
  );
});
// Without its master there is nothing to do: the namespace goes with the process.
process.on('disconnect', () => process.exit(0));
await setUp();
reply({ id: 0 });

import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock } from '../../../../../src/base/clock.js';
import type { Command } from '../../../../../src/base/command.js';
import { silentLogger } from '../../../../../src/base/log.js';
import { UserspaceProxier } from '../../../../../src/node/proxy/userspace/proxier.js';
import { endpoint, servicePort, stateOf } from '../states.js';

/** Addresses of 127.0.0.0/8 are all on the machine already: only the calls are noted. */
const IP = '127.96.0.10';

describe('the userspace proxy', () => {
  let calls: string[];
  let proxier: UserspaceProxier;
  let closing: (() => void)[];
  let port: number;

  const command: Command = {
    run(program, args) {
      calls.push([program, ...args].join(' '));
      return Promise.resolve({ code: 0, stdout: '', stderr: '' });
    },
  };
  const make = (maxConnections = 100, udpIdleMs = 30_000) =>
    new UserspaceProxier({ command, clock: systemClock, log: silentLogger }, { maxConnections, udpIdleMs });

  beforeEach(async () => {
    calls = [];
    closing = [];
    proxier = make();
    port = await freePort();
  });
  afterEach(async () => {
    await proxier.stop();
    for (const close of closing.reverse()) close();
  });

  /** A server that answers every connection or datagram with its name, and the data. */
  async function tcpServer(name: string, onConnection?: (socket: Socket) => void): Promise<number> {
    const sockets = new Set<Socket>();
    const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      if (onConnection) onConnection(socket);
      else {
        socket.write(`${name}:`);
        socket.pipe(socket);
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  }
  async function udpServer(name: string): Promise<number> {
    const socket = createSocket('udp4');
    socket.on('message', (data, from) => socket.send(`${name}:${data.toString()}`, from.port, from.address));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    closing.push(() => socket.close());
    return socket.address().port;
  }
  async function freePort(): Promise<number> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port: free } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return free;
  }
  function dial(to = IP, at = port): Socket {
    const socket = connect({ host: to, port: at });
    socket.on('error', () => undefined);
    closing.push(() => socket.destroy());
    return socket;
  }
  /** All that comes back for one message; rejects when the connection is reset or refused. */
  async function askTcp(text = 'hi', to = IP, at = port): Promise<string> {
    const socket = dial(to, at);
    socket.end(text);
    let all = '';
    for await (const chunk of socket) all += String(chunk);
    return all;
  }
  function client(): UdpSocket {
    const socket = createSocket('udp4');
    closing.push(() => socket.close());
    return socket;
  }
  async function askUdp(socket: UdpSocket, text = 'hi'): Promise<string> {
    const reply = once(socket, 'message', { signal: AbortSignal.timeout(3_000) });
    socket.send(text, port, IP);
    const [data] = (await reply) as [Buffer];
    return data.toString();
  }
  const service = (...ports: number[]) =>
    servicePort({ clusterIp: IP, port, cluster: ports.map((at) => endpoint('127.0.0.1', at)) });

  it('forwards TCP, turn by turn, with half-closed connections', async () => {
    const ports = [await tcpServer('a'), await tcpServer('b')];
    await proxier.sync(stateOf(service(...ports)), true);
    assert.deepEqual(calls, [`ip addr replace ${IP}/32 dev lo`]);
    assert.deepEqual([await askTcp(), await askTcp(), await askTcp()].sort(), ['a:hi', 'a:hi', 'b:hi']);
  });

  it('gives all of a long answer to a slow reader, though the endpoint is done long before', async () => {
    const whole = Buffer.alloc(8 * 2 ** 20, 'x');
    const at = await tcpServer('a', (socket) => {
      socket.resume().on('end', () => socket.end(whole));
    });
    await proxier.sync(stateOf(service(at)), true);
    const socket = dial();
    socket.end('request');
    let got = 0;
    for await (const chunk of socket) {
      got += (chunk as Buffer).length;
      if (got < 2 ** 20) await systemClock.sleep(5);
    }
    assert.equal(got, whole.length);
  });

  it('resets clients when nobody is there, and when the endpoint refuses', async () => {
    await proxier.sync(stateOf(service()), true);
    await assert.rejects(askTcp(), { code: 'ECONNRESET' });
    await proxier.sync(stateOf(service(await freePort())), false);
    await assert.rejects(askTcp(), { code: 'ECONNRESET' });
  });

  it('stays with the endpoint that a client had, as long as it is there', async () => {
    const ports = [await tcpServer('a'), await tcpServer('b'), await tcpServer('c')];
    const sticky = { ...service(...ports), affinitySeconds: 60 };
    await proxier.sync(stateOf(sticky), true);
    const first = await askTcp();
    for (let i = 0; i < 5; i++) assert.equal(await askTcp(), first);
    const gone = 'abc'.indexOf(first[0] ?? '');
    const others = ports.filter((_, i) => i !== gone);
    await proxier.sync(stateOf({ ...service(...others), affinitySeconds: 60 }), false);
    const second = await askTcp();
    assert.notEqual(second, first);
    for (let i = 0; i < 3; i++) assert.equal(await askTcp(), second);
  });

  it('leaves open connections alone when their endpoint leaves, and sends new ones elsewhere', async () => {
    const [a, b] = [await tcpServer('a'), await tcpServer('b')];
    await proxier.sync(stateOf(service(a)), true);
    const open = dial();
    await once(open, 'data');
    await proxier.sync(stateOf(service(b)), false);
    open.write('still here');
    const [echo] = (await once(open, 'data')) as [Buffer];
    assert.equal(echo.toString(), 'still here');
    assert.equal(await askTcp(), 'b:hi');
  });

  it('ends connections and stops listening when the Service goes', async () => {
    await proxier.sync(stateOf(service(await tcpServer('a'))), true);
    const open = dial();
    await once(open, 'data');
    const closed = once(open, 'close');
    await proxier.sync(stateOf(), false);
    await closed;
    await assert.rejects(askTcp(), { code: 'ECONNREFUSED' });
    assert.equal(calls.at(-1), `ip addr del ${IP}/32 dev lo`);
  });

  it('takes no more connections than it may, and again after one ended', async () => {
    await proxier.stop();
    proxier = make(2);
    await proxier.sync(stateOf(service(await tcpServer('a'))), true);
    const open = [dial(), dial()];
    await Promise.all(open.map((socket) => once(socket, 'data')));
    await assert.rejects(askTcp(), { code: 'ECONNRESET' });
    open[0]?.destroy();
    for (let answer = ''; answer === '';) answer = await askTcp().catch(() => '');
    for (let i = 0; i < 5; i++) {
      let answer = '';
      while (answer === '') answer = await askTcp().catch(() => '');
    }
  });

  it('answers NodePorts on every address, for endpoints of its policy', async () => {
    const [a, b] = [await tcpServer('a'), await tcpServer('b')];
    const nodePort = await freePort();
    const cluster = [endpoint('127.0.0.1', a, true), endpoint('127.0.0.1', b)];
    await proxier.sync(stateOf(servicePort({ clusterIp: IP, port, nodePort, cluster, externalLocal: true })), true);
    for (let i = 0; i < 4; i++) assert.equal(await askTcp('hi', '127.0.0.1', nodePort), 'a:hi');
    assert.deepEqual([await askTcp(), await askTcp()].sort(), ['a:hi', 'b:hi']);
  });

  it('tries again at each sync where it could not listen', async () => {
    const blocker = createServer().listen(port, IP);
    await once(blocker, 'listening');
    const at = await tcpServer('a');
    const state = stateOf(service(at));
    await proxier.sync(state, true);
    blocker.close();
    await once(blocker, 'close');
    await proxier.sync(state, false);
    assert.equal(await askTcp(), 'a:hi');
  });

  describe('for UDP', () => {
    const udp = (...ports: number[]) => ({ ...service(...ports), protocol: 'UDP' as const });

    it('keeps a client with one endpoint, and each client with its own', async () => {
      await proxier.sync(stateOf(udp(await udpServer('a'), await udpServer('b'))), true);
      const [one, other] = [client(), client()];
      const first = await askUdp(one);
      assert.equal(await askUdp(one), first);
      assert.notEqual(await askUdp(other), first);
    });

    it('moves a busy client on when its endpoint leaves', async () => {
      const [a, b] = [await udpServer('a'), await udpServer('b')];
      await proxier.sync(stateOf(udp(a)), true);
      const one = client();
      assert.equal(await askUdp(one), 'a:hi');
      await proxier.sync(stateOf(udp(b)), false);
      assert.equal(await askUdp(one), 'b:hi');
    });

    it('forgets idle flows, which makes room for others', async () => {
      await proxier.stop();
      proxier = make(1, 20);
      await proxier.sync(stateOf(udp(await udpServer('a'))), true);
      assert.equal(await askUdp(client()), 'a:hi');
      const late = client();
      const answered = once(late, 'message', { signal: AbortSignal.timeout(3_000) });
      const again = setInterval(() => late.send('hi', port, IP), 10);
      try {
        await answered;
      } finally {
        clearInterval(again);
      }
    });

    it('leaves nothing open where it could not listen', async () => {
      const blocker = createSocket('udp4');
      closing.push(() => blocker.close());
      blocker.bind(port, IP);
      await once(blocker, 'listening');
      await proxier.sync(stateOf(udp(await udpServer('a'))), true);
      await proxier.sync(stateOf(), false);
    });
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { PassThrough, type Readable } from 'node:stream';
import { WebSocket } from 'ws';
import { systemClock } from '../../../../../src/base/clock.js';
import { servePortForward } from '../../../../../src/node/kubelet/streaming/port-forward.js';
import { serveRemoteCommand, type RemoteRun } from '../../../../../src/node/kubelet/streaming/remote-command.js';

interface ClientConnection {
  start(version: number): void;
  request(
    options: { method: string; path: string; headers: Record<string, string> },
    callback: (error: Error | null, stream: Duplex) => void,
  ): void;
}
const spdy = createRequire(import.meta.url)('spdy-transport') as {
  connection: { create(socket: Duplex, options: object): ClientConnection };
};

/** The streams of spdy-transport are not Node's own, and `stream/consumers` never ends on them. */
const text = (stream: Readable) =>
  new Promise<string>((resolve) => {
    let all = '';
    stream.on('data', (part: Buffer) => (all += part.toString()));
    stream.on('end', () => resolve(all));
  });

const OPTIONS = { stdin: true, stdout: true, stderr: true, tty: false };
const echo: RemoteRun = async ({ stdin, onStdout, onStderr }) => {
  onStdout(Buffer.from(`out:${stdin ? await text(stdin) : ''}`));
  onStderr(Buffer.from('err'));
  return 3;
};

describe('streaming', () => {
  let server: Server;
  let url: string;

  beforeEach(async () => {
    server = createServer();
    server.on('upgrade', (incoming, socket, head) => {
      if (incoming.url === '/exec') serveRemoteCommand(incoming, socket, head, OPTIONS, echo, systemClock);
      else {
        servePortForward(incoming, socket, head, (port) => {
          if (port !== 80) return Promise.reject(new Error('refused'));
          return Promise.resolve(new PassThrough());
        });
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  async function upgraded(path: string, protocol: string): Promise<ClientConnection> {
    const [host, port] = url.split(':');
    const headers = { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': protocol };
    const asking = request({ host, port, path, method: 'POST', headers });
    asking.end();
    const [answer, socket] = (await once(asking, 'upgrade')) as [{ headers: Record<string, string> }, Duplex];
    assert.equal(answer.headers['x-stream-protocol-version'], protocol);
    const connection = spdy.connection.create(socket, { protocol: 'spdy', isServer: false });
    connection.start(3.1);
    return connection;
  }
  const open = (connection: ClientConnection, headers: Record<string, string>) =>
    new Promise<Duplex>((resolve, reject) =>
      connection.request({ method: 'POST', path: '/', headers }, (error, stream) =>
        error ? reject(error) : resolve(stream),
      ),
    );

  it('runs a command over SPDY and tells its exit code', async () => {
    const connection = await upgraded('/exec', 'v4.channel.k8s.io');
    const [error, stdin, stdout, stderr] = await Promise.all(
      ['error', 'stdin', 'stdout', 'stderr'].map((streamtype) => open(connection, { streamtype })),
    );
    stdin!.end('hello');
    const [out, err, status] = await Promise.all([text(stdout!), text(stderr!), text(error!)]);
    assert.deepEqual([out, err], ['out:hello', 'err']);
    assert.equal(
      (JSON.parse(status) as { details: { causes: { message: string }[] } }).details.causes[0]?.message,
      '3',
    );
  });

  it('runs a command over WebSocket v5, where stdin can be closed', async () => {
    const client = new WebSocket(`ws://${url}/exec`, 'v5.channel.k8s.io');
    const got = new Map<number, string>();
    client.on('message', (message: Buffer) => {
      const channel = message[0] ?? -1;
      got.set(channel, (got.get(channel) ?? '') + message.subarray(1).toString());
    });
    await once(client, 'open');
    client.send(Buffer.from('\0hello'));
    client.send(Buffer.from([255, 0]));
    await once(client, 'close');
    assert.deepEqual([got.get(1), got.get(2)], ['out:hello', 'err']);
    assert.match(got.get(3) ?? '', /NonZeroExitCode/);
  });

  it('forwards a port over SPDY, past 64 KiB without window updates', async () => {
    const connection = await upgraded('/forward', 'portforward.k8s.io');
    const pair = { port: '80', requestid: '1' };
    const error = await open(connection, { ...pair, streamtype: 'error' });
    const data = await open(connection, { ...pair, streamtype: 'data' });
    error.resume();
    // As kubectl: no regard for windows.
    for (const side of [data, connection]) {
      const { window } = (side as unknown as { _spdyState: { window: { send: { update: unknown } } } })._spdyState;
      window.send.update = (_size: number, sent?: () => void) => sent && process.nextTick(sent);
    }
    data.end(Buffer.alloc(300_000, 'x'));
    assert.equal((await text(data)).length, 300_000);
  });

  it('says on the error stream why a port cannot be reached', async () => {
    const connection = await upgraded('/forward', 'portforward.k8s.io');
    const pair = { port: '81', requestid: '1' };
    const error = await open(connection, { ...pair, streamtype: 'error' });
    await open(connection, { ...pair, streamtype: 'data' });
    assert.equal(await text(error), 'error forwarding port 81 to pod: refused');
  });

  const channels = async (query: string) => {
    const client = new WebSocket(`ws://${url}/forward?${query}`, ['v5.channel.k8s.io', 'v4.channel.k8s.io']);
    const got = new Map<number, string>();
    client.on('message', (message: Buffer) => {
      const channel = message[0] ?? -1;
      got.set(channel, (got.get(channel) ?? '') + message.subarray(1).toString('latin1'));
    });
    await once(client, 'open');
    return { client, got };
  };

  it('forwards ports over WebSocket channels to clients without SPDY', async () => {
    const { client, got } = await channels('ports=80');
    assert.equal(client.protocol, 'v4.channel.k8s.io');
    client.send(Buffer.from('\0ping'));
    while (!got.get(0)?.endsWith('ping')) await once(client, 'message');
    assert.deepEqual([got.get(0), got.get(1)], ['P\0ping', 'P\0']);
    client.close();
  });

  it('says on the error channel why a port cannot be reached, and hangs up', async () => {
    const { client, got } = await channels('ports=81');
    await once(client, 'close');
    assert.equal(got.get(1), 'Q\0error forwarding port 81 to pod: refused');
  });

  it('refuses ports that are none', async () => {
    const client = new WebSocket(`ws://${url}/forward?ports=0`, 'v4.channel.k8s.io');
    const [error] = (await once(client, 'error')) as [Error];
    assert.match(error.message, /400/);
  });
});

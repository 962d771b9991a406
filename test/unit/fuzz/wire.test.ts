import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import { connect, type AddressInfo } from 'node:net';
import { Duplex, PassThrough } from 'node:stream';
import type fc from 'fast-check';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { seededRandom } from '../../../src/base/random.js';
import { ApiServer } from '../../../src/control/apiserver/http/server.js';
import { SYSTEM_USER } from '../../../src/control/apiserver/writes/executor.js';
import { servePortForward } from '../../../src/node/kubelet/streaming/port-forward.js';
import { serveRemoteCommand } from '../../../src/node/kubelet/streaming/remote-command.js';
import { Authenticator } from '../../../src/security/authn/authenticator.js';
import { baseAuthorizer } from '../../../src/security/authz/authorizer.js';
import { registry, setUp } from '../control/apiserver/setup.js';
import { fuzzAsync, mutated } from './fuzz.js';

/** Connections to one server; each costs a few milliseconds. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 150);
/** How long a connection that says nothing more is listened to, in milliseconds. */
const QUIET_MS = 10;

/** How long an answer that has to come may take. */
const ANSWER_MS = 20_000;

/**
 * Sends bytes to a port and resolves with what came back by the time the server has fallen silent or hung up. `firstMs`: how
 * long its first byte is waited for.
 */
function exchange(port: number, bytes: Uint8Array, firstMs = QUIET_MS): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const parts: Buffer[] = [];
    socket.on('data', (part: Buffer) => {
      parts.push(part);
      socket.setTimeout(QUIET_MS);
    });
    socket.on('error', () => undefined);
    socket.setTimeout(firstMs, () => socket.destroy());
    socket.on('close', () => resolve(Buffer.concat(parts).toString('latin1')));
    socket.write(bytes);
  });
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

interface SpdyClient {
  start(version: number): void;
  request(
    options: { method: string; path: string; headers: Record<string, string> },
    callback: (error: Error | null, stream: Duplex) => void,
  ): void;
}
const spdy = createRequire(import.meta.url)('spdy-transport') as {
  connection: { create(socket: Duplex, options: object): SpdyClient };
};

/** What a client that opens streams sends after the upgrade. */
async function recordedSpdy(headers: readonly Record<string, string>[]): Promise<Buffer> {
  const sent: Buffer[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      sent.push(chunk);
      done();
    },
  });
  const client = spdy.connection.create(socket, { protocol: 'spdy', isServer: false });
  client.start(3.1);
  // The headers are compressed on another thread: what a stream has written is known when it has finished.
  const finished = headers.map(
    (each) =>
      new Promise<void>((resolve) => {
        client.request({ method: 'POST', path: '/', headers: each }, (_error, stream) => {
          stream.on('error', () => undefined);
          stream.end('some input\n', resolve);
        });
      }),
  );
  await Promise.all(finished);
  socket.destroy();
  return Buffer.concat(sent);
}

/** A masked client frame (RFC 6455, 5.2). */
function webSocketFrame(opcode: number, payload: Buffer): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const masked = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, masked]);
}

describe('streaming under garbage', () => {
  let server: Server;

  before(async () => {
    server = createServer();
    server.on('upgrade', (incoming, socket, head) => {
      const options = { stdin: true, stdout: true, stderr: true, tty: true };
      if (incoming.url === '/exec') {
        const run = async ({ stdin }: { stdin: AsyncIterable<unknown> | undefined }) => {
          for await (const _ of stdin ?? []);
          return 0;
        };
        serveRemoteCommand(incoming, socket, head, options, run, systemClock);
      } else servePortForward(incoming, socket, head, () => Promise.resolve(new PassThrough()));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const upgrade = (path: string, headers: string) =>
    Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n${headers}\r\n\r\n`);
  const survives = async (head: Buffer, frames: fc.Arbitrary<Buffer>) => {
    await fuzzAsync(
      frames,
      async (bytes) => {
        await exchange(portOf(server), Buffer.concat([head, bytes]));
      },
      RUNS,
    );
    const answer = await exchange(portOf(server), head, ANSWER_MS);
    assert.match(answer, /^HTTP\/1\.1 101 /, 'the server goes on serving');
  };

  for (const [path, version, headers] of [
    ['/exec', 'v4.channel.k8s.io', [{ streamtype: 'error' }, { streamtype: 'stdin' }, { streamtype: 'resize' }]],
    [
      '/portforward',
      'portforward.k8s.io',
      [
        { streamtype: 'error', port: '80', requestid: '0' },
        { streamtype: 'data', port: '80', requestid: '0' },
      ],
    ],
  ] as const) {
    it(`survive any SPDY frames (${path})`, async function () {
      this.timeout(120_000);
      const frames = await recordedSpdy(headers);
      assert.ok(frames.length > 50, 'the client has sent something');
      await survives(upgrade(path, `Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${version}`), mutated([frames]));
    });
  }

  it('survive any WebSocket frames', async function () {
    this.timeout(120_000);
    const frames = Buffer.concat([
      webSocketFrame(2, Buffer.from('\0some input')),
      webSocketFrame(2, Buffer.from('\u{4}{"Width":80,"Height":24}')),
      webSocketFrame(9, Buffer.from('ping')),
      webSocketFrame(2, Buffer.from([255, 0])),
      webSocketFrame(8, Buffer.from([3, 232])),
    ]);
    const headers =
      'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
      'Sec-WebSocket-Protocol: v5.channel.k8s.io';
    await survives(upgrade('/exec', headers), mutated([frames]));
  });
});

describe('the API server under garbage', () => {
  it('answers any request with a status below 500, or hangs up, and goes on serving', async function () {
    this.timeout(120_000);
    const { store, reads, clock } = await setUp();
    const server = new ApiServer(
      {
        store,
        reads,
        registry,
        authenticator: new Authenticator(),
        authorizer: baseAuthorizer,
        clock,
        random: seededRandom(3),
        log: silentLogger,
      },
      { port: 0, host: '127.0.0.1', insecureUser: SYSTEM_USER },
    );
    await server.start();
    const send = (line: string, headers: string, body = '') =>
      `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
    const configMaps = '/api/v1/namespaces/default/configmaps';
    const token = Buffer.from('{"rv":1,"start":"default/a"}').toString('base64url');
    const seeds = [
      send('GET /api/v1/pods?limit=1', 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n'),
      send(`GET ${configMaps}?limit=2&continue=${token}`, ''),
      send(`GET ${configMaps}?resourceVersion=1&resourceVersionMatch=NotOlderThan&labelSelector=a%20in%20(b)`, ''),
      send(`GET ${configMaps}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true`, ''),
      send(
        `POST ${configMaps}`,
        'Content-Type: application/json\r\n',
        '{"metadata":{"generateName":"f"},"data":{"a":"b"}}',
      ),
      send(`POST ${configMaps}`, 'Content-Type: application/yaml\r\n', 'metadata: {generateName: y}\n'),
      send(
        `PATCH ${configMaps}/one?fieldManager=f`,
        'Content-Type: application/apply-patch+yaml\r\n',
        '{"apiVersion":"v1","kind":"ConfigMap"}',
      ),
      send(`DELETE ${configMaps}/none`, 'Content-Type: application/json\r\n', '{"propagationPolicy":"Foreground"}'),
      send('GET /openapi/v3/api/v1?hash=1', 'Accept-Encoding: gzip\r\n'),
      send('GET /apis/apps/v1/namespaces/default/deployments/x/scale', ''),
    ];
    try {
      await fuzzAsync(
        mutated(seeds),
        async (bytes) => {
          const answer = await exchange(server.address.port, bytes);
          const code = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1];
          assert.ok(
            code === undefined || Number(code) < 500,
            `${answer.slice(0, 600)}\nto ${bytes.toString('latin1')}`,
          );
        },
        RUNS * 3,
      );
      assert.match(await exchange(server.address.port, Buffer.from(seeds[0] ?? ''), ANSWER_MS), /^HTTP\/1\.1 200 /);
    } finally {
      await server.stop();
    }
  });
});

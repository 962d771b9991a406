/** The thread that holds the API's connections: what passes through it whole, at whose pace, and what happens when it fails. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import type { Worker } from 'node:worker_threads';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { NODES } from '../../../src/api/resource.js';
import {
  FrontThread,
  spawnFront as spawnAsBuilt,
  type SpawnFront,
} from '../../../src/control/apiserver/front/front-thread.js';
import { ADMIN, type ClusterCa } from '../../../src/security/ca/authority.js';
import { startCluster, type TestCluster } from './cluster.js';

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const PROXY = '/api/v1/nodes/n1/proxy/through';
/** More than the buffers of all sockets on the way. */
const MUCH = randomBytes(48 * 1024 * 1024);

const PIECE = 64 * 1024;

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** All of it in pieces, as fast as they are taken; tells how much that was so far. */
function source() {
  let taken = 0;
  const pieces = function* () {
    for (; taken < MUCH.length; taken += PIECE) yield MUCH.subarray(taken, taken + PIECE);
  };
  return { stream: Readable.from(pieces()), taken: () => taken };
}

async function readAll(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = systemClock.monotonicMs() + 20_000;
  while (!(await condition())) {
    assert.ok(systemClock.monotonicMs() < deadline, `in vain: ${what}`);
    await systemClock.sleep(20);
  }
}

/** Resolves with a figure once it has stopped growing. */
async function settled(figure: () => number): Promise<number> {
  let last = figure();
  let same = 0;
  await until(() => {
    const now = figure();
    same = now === last && now > 0 ? same + 1 : 0;
    last = now;
    return same >= 15;
  }, 'a figure that stops growing');
  return last;
}

describe("the thread of the API's connections", function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  let backend: Server;
  const workers: Worker[] = [];
  const spawnFront: SpawnFront = (options) => {
    const worker = spawnAsBuilt(options);
    workers.push(worker);
    return worker;
  };
  let options: RequestOptions;

  beforeEach(async () => {
    workers.length = 0;
    backend = createServer().listen(0, '127.0.0.1');
    await once(backend, 'listening');
    const { port } = backend.address() as AddressInfo;
    const dialer = {
      request: (asked: object) => httpRequest({ ...asked, host: '127.0.0.1', port, agent: false }),
    };
    cluster = await startCluster({ tls: true, spawnFront, dialer });
    await cluster.client.create(NODES, { metadata: { name: 'n1' } });
    const status = { addresses: [{ type: 'InternalIP', address: '127.0.0.1' }] };
    await cluster.client.update(NODES, { metadata: { name: 'n1' }, status }, { subresource: 'status' });
    const admin = await cluster.ca?.issueClient(ADMIN);
    options = { ca: cluster.ca?.certPem, cert: admin?.certPem, key: admin?.keyPem, agent: false };
  });

  afterEach(async () => {
    backend.closeAllConnections();
    backend.close();
    await cluster.stop();
  });

  const ask = (path: string, more: RequestOptions = {}) => {
    const request = httpsRequest(`${cluster.url}${path}`, { ...options, ...more });
    request.on('error', () => undefined);
    return request;
  };
  const answerTo = async (path: string): Promise<IncomingMessage> => {
    const request = ask(path);
    const answered = once(request, 'response');
    request.end();
    const [answer] = (await answered) as [IncomingMessage];
    return answer;
  };
  const statusOf = (path: string) =>
    new Promise<number>((resolve) => {
      const request = ask(path, { method: 'GET' });
      request.once('response', (answer) => resolve(answer.resume().statusCode ?? 0));
      request.once('error', () => resolve(0));
      request.end();
    });

  it('is replaced when it fails: its clients are cut off, and served when they come again', async () => {
    const watch = await answerTo(`${CONFIG_MAPS}?watch=1&resourceVersion=0`);
    assert.equal(watch.statusCode, 200);
    watch.on('error', () => undefined).resume();
    const cut = new Promise<void>((resolve) => watch.once('close', resolve));
    await workers[0]?.terminate();
    await cut;
    await until(async () => (await statusOf(CONFIG_MAPS)) === 200, 'another thread that serves');
    assert.equal(workers.length, 2);
  });

  it('says which port is taken', async () => {
    const { port } = cluster.server.address;
    const handlers = { request: () => undefined, upgrade: () => undefined };
    const ca = cluster.ca as ClusterCa;
    const { keyPem, certPem } = await ca.issueServing({ nodeName: 'other', addresses: [] });
    const tls = { key: keyPem, cert: certPem, ca: ca.certPem };
    const other = new FrontThread(
      { clock: systemClock, log: silentLogger },
      { port, host: '127.0.0.1', tls, feedBytes: 1 },
      handlers,
    );
    await assert.rejects(other.start(), { code: 'EADDRINUSE', address: '127.0.0.1', port });
  });

  it('takes a body at the pace of who reads it, and passes all of it on', async () => {
    let takeBody: () => void = () => undefined;
    const received = new Promise<string>((resolve) => {
      backend.on('request', (request, response) => {
        takeBody = () =>
          void readAll(request).then((body) => {
            response.end('thanks');
            resolve(hashOf(body));
          });
      });
    });
    const upload = ask(PROXY, { method: 'POST', headers: { 'content-length': MUCH.length } });
    const answered = once(upload, 'response');
    const { stream, taken } = source();
    stream.pipe(upload);
    await once(backend, 'request');
    const ahead = await settled(taken);
    assert.ok(ahead < MUCH.length, `all ${ahead} bytes were taken from the client, though nobody reads them`);
    takeBody();
    assert.equal(await received, hashOf(MUCH));
    const [answer] = (await answered) as [IncomingMessage];
    assert.equal(String(await readAll(answer)), 'thanks');
  });

  it('takes an answer at the pace of its reader, and passes all of it on', async () => {
    const { stream, taken } = source();
    backend.on('request', (_request, response) => void stream.pipe(response));
    const answer = await answerTo(PROXY);
    await once(answer, 'readable');
    const ahead = await settled(taken);
    assert.ok(ahead < MUCH.length, `${ahead} bytes were taken for a client that does not read`);
    assert.equal(hashOf(await readAll(answer)), hashOf(MUCH));
  });

  it('carries what follows an upgrade both ways, to the last byte before it ends', async () => {
    const bytes = MUCH.subarray(0, 5_000_000);
    backend.on('upgrade', (_request, socket: Duplex) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      const parts: Buffer[] = [];
      socket.on('error', () => undefined);
      socket.on('data', (part: Buffer) => {
        parts.push(part);
        const whole = Buffer.concat(parts);
        if (whole.length === bytes.length) socket.end(whole);
      });
    });
    const upgrade = ask(PROXY, { headers: { connection: 'Upgrade', upgrade: 'echo' } });
    const upgraded = once(upgrade, 'upgrade');
    upgrade.end();
    const [, socket, first] = (await upgraded) as [IncomingMessage, Duplex, Buffer];
    const back = readAll(socket);
    socket.write(bytes);
    const all = Buffer.concat([first, await back]);
    assert.equal(all.length, bytes.length);
    assert.equal(hashOf(all), hashOf(bytes));
  });

  it('tells who answers when a client goes away', async () => {
    const gone = new Promise<void>((resolve) => {
      backend.on('request', (_request, response) => {
        response.write('a beginning');
        response.once('close', resolve);
      });
    });
    const answer = await answerTo(PROXY);
    answer.on('error', () => undefined);
    answer.destroy();
    await gone;
  });
});

/** HTTP/2 over real TLS: Node's own client, for what it lets a test see of frames, and the real kubectl. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { systemClock } from '../../../src/base/clock.js';
import { CONFIGMAPS, NODES, PODS } from '../../../src/api/resource.js';
import type { KubeObject } from '../../../src/api/object.js';
import { DEFAULT_WATCH_LIMITS } from '../../../src/control/apiserver/http/watch-stream.js';
import { ADMIN } from '../../../src/security/ca/authority.js';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const WHO_AM_I = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
const REVIEW = { kind: 'SelfSubjectReview', apiVersion: 'authentication.k8s.io/v1' };
const JSON_TYPE = { 'content-type': 'application/json' };

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
  /** The error code by which the stream ended; 0 without an error. */
  readonly rst: number;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = systemClock.monotonicMs() + 20_000;
  while (!condition()) {
    assert.ok(systemClock.monotonicMs() < deadline, `in vain: ${what}`);
    await systemClock.sleep(5);
  }
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const parts: Buffer[] = [];
  let headers: Record<string, unknown> = {};
  stream.on('response', (got) => (headers = got));
  stream.on('data', (part: Buffer) => parts.push(part));
  stream.on('error', () => undefined);
  await once(stream, 'close');
  return { status: Number(headers[':status']), headers, body: Buffer.concat(parts), rst: stream.rstCode ?? -1 };
}

const parsed = ({ body }: Answer) => JSON.parse(body.toString()) as Record<string, unknown>;

describe('the API over HTTP/2', function () {
  this.timeout(30_000);
  let cluster: TestCluster;
  let credentials: { readonly cert: string; readonly key: string };
  const sessions: ClientHttp2Session[] = [];

  type Options = Parameters<typeof startCluster>[0];
  const start = async (options: Options = {}) => {
    cluster = await startCluster({ tls: true, ...options });
    const admin = await cluster.ca?.issueClient(ADMIN);
    credentials = { cert: admin?.certPem ?? '', key: admin?.keyPem ?? '' };
  };
  const trusted = () => ({ ca: cluster.ca?.certPem ?? '' });
  const open = async (options: Parameters<typeof connect>[1] = credentials) => {
    const session = connect(cluster.url, { ...trusted(), ...options });
    session.on('error', () => undefined);
    sessions.push(session);
    await once(session, 'remoteSettings');
    return session;
  };
  const ask = (session: ClientHttp2Session, path: string, method = 'GET', body?: string | Buffer, headers = {}) => {
    const stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    return answerOf(stream);
  };
  const post = (session: ClientHttp2Session, path: string, object: unknown, headers = {}) =>
    ask(session, path, 'POST', JSON.stringify(object), { ...JSON_TYPE, ...headers });
  const userOf = async (session: ClientHttp2Session, headers = {}) => {
    const review = parsed(await post(session, WHO_AM_I, REVIEW, headers)) as {
      status: { userInfo: { username: string; groups: string[] } };
    };
    return review.status.userInfo;
  };
  const make = (name: string, data: Record<string, string>) =>
    cluster.client.create(CONFIGMAPS, { metadata: { name, namespace: 'default' }, data } as KubeObject);

  afterEach(async () => {
    for (const session of sessions.splice(0)) session.destroy();
    await cluster.stop();
  });

  it("is offered beside HTTP/1.1 with upstream's limits", async () => {
    await start();
    const { port } = cluster.server.address;
    const chosen = async (protocols?: string[]) => {
      const options = { ...trusted(), ...(protocols ? { ALPNProtocols: protocols } : {}) };
      const socket = connectTls({ host: '127.0.0.1', port, ...options });
      await once(socket, 'secureConnect');
      const { alpnProtocol } = socket;
      if (alpnProtocol !== 'h2') socket.write('GET /version HTTP/1.1\r\n\r\n');
      const [first] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return [alpnProtocol, alpnProtocol === 'h2' ? '' : first.toString('latin1').split('\r\n')[0]];
    };
    assert.deepEqual(await chosen(['h2', 'http/1.1']), ['h2', '']);
    // A request of HTTP/1.1 must say which host it is for.
    assert.deepEqual(await chosen(['http/1.1']), ['http/1.1', 'HTTP/1.1 400 Bad Request']);
    assert.deepEqual(await chosen(), [false, 'HTTP/1.1 400 Bad Request']);
    const { remoteSettings } = await open();
    const { maxConcurrentStreams, initialWindowSize, maxFrameSize } = remoteSettings;
    assert.deepEqual([maxConcurrentStreams, initialWindowSize, maxFrameSize], [100, 262_144, 262_144]);
    const version = await new Promise<number | undefined>((resolve, reject) => {
      const options = { ...trusted(), ...credentials, agent: false };
      httpsRequest(`${cluster.url}/version`, options, (answer) => resolve(answer.resume().statusCode))
        .on('error', reject)
        .end();
    });
    assert.equal(version, 200);
  });

  it('knows each connection by its certificate, and takes repeated headers one by one', async () => {
    await start();
    const ours = await open();
    const theirs = await open({});
    const [first, second] = await Promise.all([userOf(ours), userOf(ours)]);
    assert.deepEqual([first?.username, second?.username], [ADMIN.commonName, ADMIN.commonName]);
    assert.equal((await post(theirs, WHO_AM_I, REVIEW)).status, 403);
    const acting = await userOf(ours, { 'impersonate-user': 'joe', 'impersonate-group': ['a', 'system:masters'] });
    assert.deepEqual([acting.username, acting.groups], ['joe', ['a', 'system:masters', 'system:authenticated']]);
  });

  it('takes no more requests on a connection whose client does not say who it is', async () => {
    await start();
    for (const headers of [{}, { authorization: 'Bearer nonsense' }]) {
      const session = await open({});
      const goaway = once(session, 'goaway');
      const { status } = await ask(session, '/version', 'GET', undefined, headers);
      assert.equal(status, 'authorization' in headers ? 401 : 200);
      await goaway;
      await until(() => session.closed, 'the end of the connection');
    }
  });

  it('answers errors whole, and goes on with the connection', async () => {
    await start({ limits: { bodyBytes: 200_000, bodyMs: 50 } });
    const session = await open();
    const missing = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(session, `${CONFIG_MAPS}/no-${i}`)));
    for (const answer of missing) {
      assert.deepEqual([answer.status, answer.rst, parsed(answer)['reason']], [404, 0, 'NotFound']);
      assert.equal(answer.headers['connection'], undefined);
    }
    const large = await ask(session, CONFIG_MAPS, 'POST', Buffer.alloc(2_000_000, ' '), JSON_TYPE);
    assert.deepEqual([large.status, parsed(large)['reason']], [413, 'RequestEntityTooLarge']);
    const unsaid = session.request({ ':method': 'POST', ':path': CONFIG_MAPS, ...JSON_TYPE });
    unsaid.write('{');
    const slow = await answerOf(unsaid);
    assert.deepEqual([slow.status, parsed(slow)['reason']], [504, 'Timeout']);
    const { status } = await post(session, CONFIG_MAPS, { metadata: { name: 'after' } });
    assert.equal(status, 201);
    const { status: known, headers } = await post(session, `${CONFIG_MAPS}?fieldValidation=Warn`, {
      metadata: { name: 'odd' },
      größe: 1,
      other: 2,
    });
    const warnings = ['unknown field "größe"', 'unknown field "other"'];
    const quoted = warnings.map((text) => `299 - "${Buffer.from(text.replaceAll('"', '\\"')).toString('latin1')}"`);
    assert.deepEqual([known, headers['warning']], [201, quoted.join(', ')]);
    const head = await ask(session, '/version', 'HEAD');
    assert.deepEqual([head.status, head.body.length, head.rst], [200, 0, 0]);
  });

  it('serves other requests while a long list waits for its reader', async () => {
    await start();
    await Promise.all(Array.from({ length: 12 }, (_, i) => make(`big-${i}`, { value: 'x'.repeat(1_000_000) })));
    const session = await open();
    const list = session.request({ ':path': CONFIG_MAPS });
    list.pause();
    await once(list, 'response');
    assert.equal((await ask(session, `${CONFIG_MAPS}/big-3`)).body.length > 1_000_000, true);
    const read = answerOf(list);
    list.resume();
    const whole = await read;
    assert.equal((parsed(whole)['items'] as unknown[]).length, 12);
    const packed = await ask(session, CONFIG_MAPS, 'GET', undefined, { 'accept-encoding': 'gzip' });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.equal(gunzipSync(packed.body).length, whole.body.length);
  });

  it('carries a hundred watches over one connection, each with every event in order', async () => {
    await start();
    const session = await open();
    const texts = Array.from({ length: 100 }, () => '');
    const streams = texts.map((_, i) => {
      const stream = session.request({ ':path': `${CONFIG_MAPS}?watch=1&resourceVersion=0` });
      stream.setEncoding('utf8').on('data', (part: string) => (texts[i] += part));
      return stream;
    });
    await Promise.all(streams.map((stream) => once(stream, 'response')));
    for (let i = 0; i < 20; i++) await make(`seen-${i}`, {});
    const lines = (text: string) => text.split('\n').slice(0, -1);
    await until(() => texts.every((text) => lines(text).length === 20), 'twenty events for everyone');
    const names = lines(texts[0] ?? '').map(
      (line) => (JSON.parse(line) as { object: KubeObject }).object.metadata.name,
    );
    assert.deepEqual(
      names,
      Array.from({ length: 20 }, (_, i) => `seen-${i}`),
    );
    assert.equal(new Set(texts).size, 1);
  });

  it('cuts off a watcher that does not read, and nobody else', async () => {
    const watch = { ...DEFAULT_WATCH_LIMITS, bufferBytes: 300_000 };
    await start({ limits: { watch } });
    const session = await open();
    const path = `${CONFIG_MAPS}?watch=1&resourceVersion=0`;
    const [slow, quick] = [session.request({ ':path': path }), session.request({ ':path': path })];
    slow.on('error', () => undefined);
    slow.pause();
    let bytes = 0;
    quick.on('data', (part: Buffer) => (bytes += part.length));
    await Promise.all([once(slow, 'response'), once(quick, 'response')]);
    for (let i = 1; i <= 8; i++) {
      await make(`large-${i}`, { value: 'x'.repeat(100_000) });
      await until(() => bytes > i * 100_000, 'the quick one sees everything');
    }
    await until(() => slow.closed, 'the slow watcher is cut off');
    assert.equal(slow.rstCode, constants.NGHTTP2_INTERNAL_ERROR);
    assert.equal(quick.closed, false);
  });

  it('closes a connection that nobody uses, but not one with a silent watch', async () => {
    await start({ limits: { idleMs: 200 } });
    const [idle, busy] = [await open(), await open()];
    const stream = busy.request({ ':path': `${CONFIG_MAPS}?watch=1` });
    stream.on('error', () => undefined);
    await once(stream, 'response');
    await until(() => idle.destroyed, 'the end of the idle one');
    await systemClock.sleep(500);
    assert.equal(busy.destroyed, false);
    stream.close(constants.NGHTTP2_CANCEL);
    await until(() => busy.destroyed, 'the end of the other, without its watch');
  });

  it('hangs up on who opens streams only to reset them', async () => {
    await start();
    const session = await open();
    for (let i = 0; i < 200 && !session.destroyed; i++) {
      for (let j = 0; j < 50 && !session.destroyed; j++) {
        const stream = session.request({ ':path': `${CONFIG_MAPS}?watch=1` });
        stream.on('error', () => undefined);
        stream.close(constants.NGHTTP2_CANCEL);
      }
      await systemClock.sleep(1);
    }
    await until(() => session.destroyed, 'the end of the connection');
    assert.equal((await ask(await open(), '/version')).status, 200);
  });

  it('says goodbye when the server stops, and ends watches without an error', async () => {
    await start();
    const idle = await open();
    const busy = await open();
    const goaways = [once(idle, 'goaway'), once(busy, 'goaway')];
    const stream = busy.request({ ':path': `${CONFIG_MAPS}?watch=1` });
    await once(stream, 'response');
    const ended = answerOf(stream);
    await cluster.server.stop();
    await Promise.all(goaways);
    assert.equal((await ended).rst, 0);
  });

  it("forwards logs as they come without the kubelet's connection headers, and stops when the client does", async () => {
    let left = false;
    const kubelet = createServer((incoming, answer) => {
      answer.writeHead(200, { 'keep-alive': 'timeout=5', 'x-from': 'kubelet' });
      answer.write(`${incoming.headers[':path'] === undefined ? 'first' : 'pseudo'}\n`);
      answer.once('close', () => (left = true));
    }).listen(0, '127.0.0.1');
    await once(kubelet, 'listening');
    try {
      await start({ dialer: { request: (options) => httpRequest({ ...options, agent: false }) } });
      const { port: Port } = kubelet.address() as AddressInfo;
      const addresses = [{ type: 'InternalIP', address: '127.0.0.1' }];
      const status = { addresses, daemonEndpoints: { kubeletEndpoint: { Port } } };
      await cluster.client.create(NODES, { metadata: { name: 'n1' }, status } as KubeObject);
      const spec = { containers: [{ name: 'c', image: 'i' }], nodeName: 'n1' };
      await cluster.client.create(PODS, { metadata: { name: 'p', namespace: 'default' }, spec } as KubeObject);
      const stream = (await open()).request({ ':path': '/api/v1/namespaces/default/pods/p/log?follow=true' });
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      assert.deepEqual([headers[':status'], headers['x-from'], headers['keep-alive']], [200, 'kubelet', undefined]);
      const [data] = (await once(stream, 'data')) as [Buffer];
      assert.equal(data.toString(), 'first\n');
      stream.close(constants.NGHTTP2_CANCEL);
      await until(() => left, 'the kubelet is let go');
    } finally {
      kubelet.closeAllConnections();
      kubelet.close();
    }
  });

  for (const { version, path } of KUBECTLS) {
    it(`is what kubectl ${version} speaks`, async function () {
      if (!isPresent(path)) {
        process.stderr.write(`      SKIPPED: ${path} is not installed\n`);
        this.skip();
      }
      await start();
      await make('shown', {});
      const { code, stderr, stdout } = await cluster.kubectl(path, ['get', 'cm'], '', { GODEBUG: 'http2debug=1' });
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^NAME +DATA +AGE\nshown /);
      assert.match(stderr, /http2: Transport received SETTINGS .*MAX_CONCURRENT_STREAMS=100/);
    });
  }
});

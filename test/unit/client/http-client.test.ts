import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { ApiError, isExpired, isNotFound } from '../../../src/api/errors.js';
import { CONFIGMAPS, DEPLOYMENTS, NODES, PODS } from '../../../src/api/resource.js';
import { systemClock } from '../../../src/base/clock.js';
import { systemRandom } from '../../../src/base/random.js';
import type { WatchEvent } from '../../../src/client/client.js';
import { HttpClient, pathOf, type HttpClientOptions } from '../../../src/client/http-client.js';
import { isUnreachable } from '../../../src/client/http-connection.js';
import { ADMIN, ClusterCa, type CertificatePem } from '../../../src/security/ca/authority.js';

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

describe('HttpClient over HTTPS', () => {
  let ca: ClusterCa;
  let stranger: ClusterCa;
  let admin: CertificatePem;
  let server: Server;
  let handler: Handler;
  let clients: HttpClient[];
  let url: string;

  before(async () => {
    const deps = { clock: systemClock, random: systemRandom };
    ca = await ClusterCa.create(deps, 'test');
    stranger = await ClusterCa.create(deps, 'another');
    admin = await ca.issueClient(ADMIN);
    const serving = await ca.issueServing({ nodeName: 'n1', addresses: ['127.0.0.1'] });
    server = createServer(
      { cert: serving.certPem, key: serving.keyPem, ca: ca.certPem, requestCert: true, rejectUnauthorized: false },
      (request, response) => handler(request, response),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    clients = [];
  });
  afterEach(() => clients.forEach((client) => client.close()));

  const connect = (options: Partial<HttpClientOptions> = {}) => {
    const client = new HttpClient(
      { clock: systemClock },
      { server: url, ca: ca.certPem, cert: admin.certPem, key: admin.keyPem, watchPauseMs: 1, ...options },
    );
    clients.push(client);
    return client;
  };
  const answer = (response: ServerResponse, body: unknown, status = 200) =>
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  const bodyOf = async (request: IncomingMessage) => Buffer.concat(await request.toArray()).toString();

  it('shows its certificate and trusts only the given authority', async () => {
    let name: string | undefined;
    handler = (request, response) => {
      name = String((request.socket as TLSSocket).getPeerCertificate().subject.CN);
      answer(response, { metadata: { name: 'a' } });
    };
    await connect().get(NODES, '', 'a');
    assert.equal(name, 'kubernetes-admin');
    await assert.rejects(connect({ ca: stranger.certPem }).get(NODES, '', 'a'), isUnreachable);
  });

  it('sends a bearer token and reuses its connection', async () => {
    const sockets = new Set<unknown>();
    handler = (request, response) => {
      sockets.add(request.socket);
      answer(response, { metadata: { name: request.headers.authorization } });
    };
    const client = connect({ token: 'secret' });
    for (let i = 0; i < 3; i++) {
      assert.equal((await client.get(NODES, '', 'a')).metadata.name, 'Bearer secret');
    }
    assert.equal(sockets.size, 1);
  });

  it('asks for the paths of the API', async () => {
    const seen: string[] = [];
    handler = (request, response) => {
      request.resume();
      seen.push(`${request.method} ${request.url} ${request.headers['content-type'] ?? ''}`.trim());
      answer(response, { metadata: { resourceVersion: '7' }, items: [] });
    };
    const client = connect();
    const object = { metadata: { name: 'a', namespace: 'ns' } };
    await client.list(DEPLOYMENTS, { namespace: 'ns', labelSelector: 'a=b', resourceVersion: '0' });
    await client.create(PODS, object, { fieldManager: 'me' });
    await client.updateStatus(PODS, object);
    await client.patch(PODS, 'ns', 'a', 'strategic', {});
    await client.delete(PODS, 'ns', 'a');
    await client.createSubresource(PODS, 'ns', 'a', 'binding', {});
    assert.deepEqual(seen, [
      'GET /apis/apps/v1/namespaces/ns/deployments?labelSelector=a%3Db&resourceVersion=0',
      'POST /api/v1/namespaces/ns/pods?fieldManager=me application/json',
      'PUT /api/v1/namespaces/ns/pods/a/status application/json',
      'PATCH /api/v1/namespaces/ns/pods/a application/strategic-merge-patch+json',
      'DELETE /api/v1/namespaces/ns/pods/a application/json',
      'POST /api/v1/namespaces/ns/pods/a/binding application/json',
    ]);
    assert.equal(pathOf(PODS, 'a/b', '..%'), '/api/v1/namespaces/a%2Fb/pods/..%25');
  });

  it('fills in the kind of listed objects', async () => {
    handler = (_, response) =>
      answer(response, { metadata: { resourceVersion: '9' }, items: [{ metadata: { name: 'x' } }] });
    const { items, resourceVersion } = await connect().list(DEPLOYMENTS);
    assert.deepEqual([items[0]?.kind, items[0]?.apiVersion, resourceVersion], ['Deployment', 'apps/v1', '9']);
  });

  it('turns a Status into the ApiError it stands for, and any other failure into one too', async () => {
    handler = (_, response) =>
      answer(
        response,
        { kind: 'Status', reason: 'NotFound', message: 'pods "a" not found', code: 404, details: { name: 'a' } },
        404,
      );
    await assert.rejects(
      connect().get(PODS, 'ns', 'a'),
      (error: Error) => isNotFound(error) && error.message === 'pods "a" not found',
    );
    handler = (_, response) => response.writeHead(503).end('<html>busy\n</html>');
    await assert.rejects(connect().get(PODS, 'ns', 'a'), (error) => {
      assert.ok(error instanceof ApiError);
      return error.code === 503 && error.reason === 'ServiceUnavailable' && error.message === '<html>busy';
    });
    handler = (_, response) => response.end('not json');
    await assert.rejects(connect().get(PODS, 'ns', 'a'), /is not JSON/);
  });

  it('says that a server is unreachable, with the code of the socket', async () => {
    const client = connect({ server: 'https://127.0.0.1:1' });
    await assert.rejects(client.get(PODS, 'ns', 'a'), (error) => {
      assert.ok(isUnreachable(error));
      return error.socketCode === 'ECONNREFUSED' && error.host === '127.0.0.1:1';
    });
    handler = (request) => request.socket.destroy();
    await assert.rejects(connect().get(PODS, 'ns', 'a'), isUnreachable);
  });

  it('repeats a read, but no write, on an idle connection that the server has closed', async () => {
    let calls = 0;
    handler = (request, response) => {
      calls += 1;
      if (calls % 2 === 0) request.socket.destroy();
      else answer(response, { metadata: {} });
    };
    const client = connect();
    await client.get(NODES, '', 'a');
    await client.get(NODES, '', 'a');
    assert.equal(calls, 3);
    await assert.rejects(client.create(NODES, { metadata: { name: 'a' } }), isUnreachable);
    assert.equal(calls, 4);
  });

  it('gives up after its deadline, before and within the answer', async () => {
    handler = () => undefined;
    const client = connect({ requestTimeoutMs: 30 });
    await assert.rejects(client.get(PODS, 'ns', 'a'), { reason: 'Timeout' });
    handler = (_, response) => void response.write('{"metadata":');
    await assert.rejects(client.get(PODS, 'ns', 'a'), { reason: 'Timeout' });
  });

  it('stops when its caller does', async () => {
    const abort = new AbortController();
    handler = () => abort.abort(new Error('enough'));
    await assert.rejects(connect().connection.request({ path: '/x', signal: abort.signal }), /enough/);
    await assert.rejects(connect().connection.stream({ path: '/x', signal: abort.signal }), /enough/);
  });

  it('does not read more than its limit', async () => {
    handler = (_, response) => response.end(`"${'x'.repeat(5000)}"`);
    await assert.rejects(connect({ maxResponseBytes: 1000 }).get(PODS, 'ns', 'a'), /larger than 1000 bytes/);
  });

  it('hands over the texts of warnings', async () => {
    const warnings: string[] = [];
    handler = (_, response) => {
      response.setHeader('Warning', '299 - "this peer is \\"alone\\"", 299 - "b"');
      answer(response, { metadata: {} });
    };
    await connect({ onWarning: (text) => warnings.push(text) }).get(PODS, 'ns', 'a');
    assert.deepEqual(warnings, ['this peer is "alone"', 'b']);
  });

  it('uploads a stream, and takes an answer that comes before its end', async () => {
    handler = async (request, response) => answer(response, { got: (await bodyOf(request)).length });
    const body = Readable.from([Buffer.alloc(70_000), Buffer.alloc(30_000)]);
    assert.deepEqual(await connect().connection.json({ method: 'POST', path: '/x', body }), { got: 100_000 });
    handler = (_, response) => answer(response, { kind: 'Status', code: 403, reason: 'Forbidden', message: 'no' }, 403);
    const endless = new Readable({ read: () => undefined });
    endless.push('x');
    await assert.rejects(connect().connection.json({ method: 'POST', path: '/x', body: endless }), {
      reason: 'Forbidden',
    });
    endless.destroy();
  });

  describe('watch', () => {
    const event = (type: string, name: string, resourceVersion: string) =>
      `${JSON.stringify({ type, object: { metadata: { name, resourceVersion } } })}\n`;
    const collect = async (client: HttpClient, count: number, resourceVersion?: string) => {
      const abort = new AbortController();
      const events: WatchEvent<{ metadata: object }>[] = [];
      const options = { signal: abort.signal, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
      for await (const each of client.watch(CONFIGMAPS, options)) {
        if (events.push(each) === count) abort.abort();
      }
      return events.map((each) =>
        each.type === 'BOOKMARK'
          ? `BOOKMARK ${each.resourceVersion}`
          : `${each.type} ${(each.object.metadata as { name: string }).name}`,
      );
    };

    it('yields events however the bytes are cut, and ends with its signal', async () => {
      handler = (_, response) => {
        const text = event('ADDED', 'ä', '5') + event('DELETED', 'b', '6') + event('BOOKMARK', '', '9');
        const bytes = Buffer.from(text);
        response.write(bytes.subarray(0, 46));
        setTimeout(() => response.write(bytes.subarray(46)), 5);
      };
      assert.deepEqual(await collect(connect(), 3, '4'), ['ADDED ä', 'DELETED b', 'BOOKMARK 9']);
    });

    it('goes on behind the last revision seen when the server ends it or the connection breaks', async () => {
      const asked: (string | null)[] = [];
      handler = (request, response) => {
        asked.push(new URL(request.url ?? '', url).searchParams.get('resourceVersion'));
        if (asked.length === 1) response.end(event('ADDED', 'a', '5'));
        else if (asked.length === 2) response.write(event('BOOKMARK', '', '8'), () => request.socket.destroy());
        else response.write(event('ADDED', 'c', '9'));
      };
      assert.deepEqual(await collect(connect(), 3, '4'), ['ADDED a', 'BOOKMARK 8', 'ADDED c']);
      assert.deepEqual(asked, ['4', '5', '8']);
    });

    it('does not resume within the initial objects, whose order says nothing', async () => {
      handler = (_, response) => response.end(event('ADDED', 'a', '5'));
      await assert.rejects(collect(connect(), 3), isExpired);
    });

    it('throws what the server says: at once and within the stream', async () => {
      const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' };
      handler = (_, response) => answer(response, gone, 410);
      await assert.rejects(collect(connect(), 1, '4'), isExpired);
      handler = (_, response) => response.write(`${JSON.stringify({ type: 'ERROR', object: gone })}\n`);
      await assert.rejects(collect(connect(), 1, '4'), isExpired);
    });

    it('refuses a line over its limit and one that is not JSON', async () => {
      handler = (_, response) => response.write('x'.repeat(3000));
      await assert.rejects(collect(connect({ maxLineBytes: 2000 }), 1, '4'), /longer than 2000 bytes/);
      handler = (_, response) => response.write('nonsense\n');
      await assert.rejects(collect(connect(), 1, '4'), /not JSON/);
    });

    it('takes a silent connection for dead', async () => {
      handler = (_, response) => response.flushHeaders();
      await assert.rejects(collect(connect({ watchIdleMs: 20 }), 1, '4'), isUnreachable);
    });

    it('ends quietly when it is aborted while it waits', async () => {
      const abort = new AbortController();
      handler = (_, response) => {
        response.flushHeaders();
        abort.abort();
      };
      for await (const each of connect().watch(PODS, { resourceVersion: '1', signal: abort.signal }))
        assert.fail(each.type);
    });

    it('lets go of the connection when its reader leaves', async () => {
      const closed = new Promise<void>((resolve) => {
        handler = (_, response) => {
          response.once('close', resolve);
          response.write(event('ADDED', 'a', '5'));
        };
      });
      for await (const each of connect().watch(PODS, { resourceVersion: '1', signal: new AbortController().signal })) {
        assert.equal(each.type, 'ADDED');
        break;
      }
      await closed;
    });
  });
});

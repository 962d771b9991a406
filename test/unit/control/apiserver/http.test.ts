import assert from 'node:assert/strict';
import { createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { silentLogger } from '../../../../src/base/log.js';
import { systemClock } from '../../../../src/base/clock.js';
import { seededRandom } from '../../../../src/base/random.js';
import { CONFIGMAPS, NODES, PODS } from '../../../../src/api/resource.js';
import type { KubeObject } from '../../../../src/api/object.js';
import { ApiServer } from '../../../../src/control/apiserver/http/server.js';
import { NodeProxy } from '../../../../src/control/apiserver/proxy/node-proxy.js';
import { MAX_COLLECTION_PIECE } from '../../../../src/control/apiserver/writes/delete.js';
import { SYSTEM_USER } from '../../../../src/control/apiserver/writes/executor.js';
import { Authenticator } from '../../../../src/security/authn/authenticator.js';
import { baseAuthorizer } from '../../../../src/security/authz/authorizer.js';
import { registry, setUp } from './setup.js';

interface Listed {
  metadata: { continue?: string; remainingItemCount?: number; resourceVersion: string };
  items: KubeObject[];
}

describe('the HTTP surface', () => {
  let parts: Awaited<ReturnType<typeof setUp>>;
  let server: ApiServer;
  let url: string;

  const start = async (insecure = true, more: { bodyMs?: number } = {}) => {
    parts = await setUp();
    const { store, reads } = parts;
    const nodes = new NodeProxy({
      store,
      reads,
      dialer: { request: (options) => request({ ...options, agent: false }) },
    });
    server = new ApiServer(
      {
        store,
        registry,
        authenticator: new Authenticator(),
        authorizer: baseAuthorizer,
        clock: systemClock,
        random: seededRandom(1),
        log: silentLogger,
        nodes,
      },
      { port: 0, host: '127.0.0.1', ...(insecure ? { insecureUser: SYSTEM_USER } : {}), ...more },
    );
    await server.start();
    url = `http://127.0.0.1:${server.address.port}`;
  };
  const make = async (count: number) => {
    for (let i = 0; i < count; i++)
      await parts.client.create(CONFIGMAPS, { metadata: { name: `c${i}`, namespace: 'default' } });
  };
  const list = async (query: string) => (await (await fetch(`${url}/api/v1/configmaps?${query}`)).json()) as Listed;
  afterEach(async () => server.stop());

  it('says with text that there is no such page, and with a Status below built-in groups', async () => {
    const widgets = { group: 'example.com', version: 'v1', resource: 'widgets', kind: 'Widget', namespaced: true };
    registry.register({ ...widgets, schema: { type: 'object' } });
    await start();
    const text = '404 page not found\n';
    const status = 'the server could not find the requested resource';
    const expected: readonly (readonly [path: string, answer: string])[] = [
      ['/nonsense', text],
      ['/healthz/nonsense', text],
      ['/openapi/v3/apis/nonsense/v1', text],
      ['/apis/nonsense', text],
      ['/apis/nonsense/v1', text],
      ['/apis/nonsense/v1/things', text],
      ['/apis/example.com/v1/gadgets', text],
      ['/apis/example.com/v2/widgets', text],
      ['/apis/example.com/v1/widgets/w', text],
      ['/apis/example.com/v1/namespaces/default/widgets/w/status', 'widgets.example.com "w" not found'],
      ['/api/v2', status],
      ['/api/v1/things', status],
      ['/api/v1/namespaces/default/pods/p/nonsense', status],
      ['/apis/apps/v2', status],
      ['/apis/apps/v1/things', status],
    ];
    for (const [path, answer] of expected) {
      const response = await fetch(`${url}${path}`);
      const type = response.headers.get('content-type');
      const body = await response.text();
      assert.equal(response.status, 404, path);
      if (answer === text) assert.deepEqual([type, body], ['text/plain; charset=utf-8', text], path);
      else
        assert.deepEqual([type, (JSON.parse(body) as { message: string }).message], ['application/json', answer], path);
    }
    const posted = await fetch(`${url}/nonsense`, { method: 'POST' });
    assert.deepEqual([posted.status, await posted.text()], [404, text]);
    registry.unregister('example.com', 'v1', 'widgets');
  });

  it('does not wait for ever for the body of a write', async () => {
    await start(true, { bodyMs: 20 });
    const headers = { 'content-type': 'application/json', 'content-length': 100 };
    const sent = request(`${url}/api/v1/namespaces/default/configmaps`, { method: 'POST', headers, agent: false });
    sent.write('{');
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve).on('error', reject);
    });
    assert.deepEqual([answer.statusCode, answer.headers.connection], [504, 'close']);
    answer.resume();
    await new Promise((resolve) => answer.socket.once('close', resolve));
  });

  it('lists in chunks that do not change under way', async () => {
    await start();
    await make(5);
    const first = await list('limit=2');
    assert.equal(first.items.length, 2);
    assert.equal(first.metadata.remainingItemCount, 3);
    await parts.client.delete(CONFIGMAPS, 'default', 'c3');
    const rest = await list(`limit=5&continue=${first.metadata.continue}`);
    assert.deepEqual(
      rest.items.map(({ metadata }) => metadata.name),
      ['c2', 'c3', 'c4'],
    );
    assert.equal(rest.metadata.resourceVersion, first.metadata.resourceVersion);
  });

  it('knows of a list what the last one went through', async () => {
    await start();
    await make(7);
    const configMaps = (namespace?: string) => server.reads.sizes.of(CONFIGMAPS, namespace);
    assert.equal(configMaps(), 0);
    await list('limit=2');
    assert.equal(configMaps(), 7);
    await fetch(`${url}/api/v1/namespaces/default/configmaps?labelSelector=a%3Db`);
    assert.deepEqual([configMaps('default'), configMaps('other')], [7, 0]);
  });

  it('lists exactly what there was at a revision, as long as the history knows', async () => {
    await start();
    await make(2);
    const { metadata } = await list('');
    await parts.client.delete(CONFIGMAPS, 'default', 'c0');
    await make(1);
    await parts.client.create(CONFIGMAPS, { metadata: { name: 'later', namespace: 'default' } });
    const then = await list(`resourceVersionMatch=Exact&resourceVersion=${metadata.resourceVersion}`);
    assert.deepEqual(
      then.items.map(({ metadata: { name } }) => name),
      ['c0', 'c1'],
    );
    assert.equal(then.metadata.resourceVersion, metadata.resourceVersion);
  });

  it('deletes a large collection in several writes, and answers with all of it', async () => {
    await start();
    const count = 2 * MAX_COLLECTION_PIECE + 1;
    await make(count);
    let writes = 0;
    const write = parts.store.write.bind(parts.store);
    parts.store.write = (id, submitted) => {
      writes++;
      return write(id, submitted);
    };
    const path = `${url}/api/v1/namespaces/default/configmaps`;
    const dry = (await (await fetch(`${path}?dryRun=All`, { method: 'DELETE' })).json()) as Listed;
    assert.equal(dry.items.length, count);
    writes = 0;
    const deleted = (await (await fetch(path, { method: 'DELETE' })).json()) as Listed;
    assert.deepEqual([deleted.items.length, deleted.metadata.continue, writes], [count, undefined, 3]);
    assert.deepEqual((await list('')).items, []);
  });

  it('refuses a body that turns out too large while it comes, and goes on serving', async () => {
    await start();
    const sent = request(`${url}/api/v1/namespaces/default/configmaps`, { method: 'POST' });
    const answered = new Promise<number>((resolve, reject) => {
      sent.on('response', (response) => resolve(response.resume().statusCode ?? 0)).on('error', reject);
    });
    for (let mebibyte = 0; mebibyte < 4; mebibyte++) sent.write(Buffer.alloc(1 << 20, ' '));
    sent.end();
    assert.equal(await answered, 413);
    await make(1);
    assert.equal((await list('')).items.length, 1);
  });

  it('survives a client that goes away in the middle of its body', async () => {
    await start();
    const sent = request(`${url}/api/v1/namespaces/default/configmaps`, { method: 'POST' });
    const gone = new Promise((resolve) => sent.on('error', resolve));
    sent.write('{"metadata":');
    await systemClock.sleep(20);
    sent.destroy(new Error('changed my mind'));
    await gone;
    await make(1);
    assert.equal((await list('')).items.length, 1);
  });

  it('streams a watch: history, entering and leaving a selection, then ends with the server', async () => {
    await start();
    await make(1);
    const { metadata } = await list('');
    const response = await fetch(
      `${url}/api/v1/configmaps?watch=1&labelSelector=on=1&resourceVersion=${metadata.resourceVersion}`,
    );
    await parts.client.patch(CONFIGMAPS, 'default', 'c0', 'merge', { metadata: { labels: { on: '1' } } });
    await parts.client.patch(CONFIGMAPS, 'default', 'c0', 'merge', { metadata: { labels: { on: null } } });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    while (text.split('\n').length < 3) text += Buffer.from((await reader.read()).value ?? []).toString();
    const types = text
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    assert.deepEqual(types, ['ADDED', 'DELETED']);
    const end = reader.read();
    await server.stop();
    assert.equal((await end).done, true);
  });

  it('ends the initial state of a watch-list with an annotated bookmark', async () => {
    await start();
    await make(1);
    const query =
      'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1';
    const lines = (await (await fetch(`${url}/api/v1/configmaps?${query}`)).text()).trim().split('\n');
    const last = JSON.parse(lines.at(-1) ?? '') as { type: string; object: KubeObject };
    assert.equal(last.type, 'BOOKMARK');
    assert.equal(last.object.metadata.annotations?.['k8s.io/initial-events-end'], 'true');
  });

  it('answers 410 to a watch from before the history', async () => {
    await start();
    await make(3);
    parts.store.compact();
    assert.equal((await fetch(`${url}/api/v1/configmaps?watch=1&resourceVersion=2`)).status, 410);
  });

  it('refuses strangers and bad tokens', async () => {
    await start(false);
    const refused = await fetch(`${url}/api/v1/namespaces/default/pods`);
    assert.equal(refused.status, 403);
    const { message } = (await refused.json()) as { message: string };
    assert.equal(
      message,
      'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default"',
    );
    assert.equal((await fetch(`${url}/api`, { headers: { authorization: 'Bearer nonsense' } })).status, 401);
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    assert.equal((await fetch(`${url}/apis`)).status, 403);
  });

  describe('with a kubelet', () => {
    const seen: string[] = [];
    const kubelet = createServer((incoming, answer) => {
      seen.push(incoming.url ?? '');
      answer.end('a line\n');
    });
    kubelet.on('upgrade', (incoming: IncomingMessage, socket) => {
      seen.push(incoming.url ?? '');
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
      socket.on('data', (data: Buffer) => socket.write(data.toString().toUpperCase()));
      socket.on('end', () => socket.end());
    });
    before((done) => void kubelet.listen(0, '127.0.0.1', done));
    after(() => void kubelet.close());

    beforeEach(async () => {
      await start();
      const { port } = kubelet.address() as AddressInfo;
      const status = {
        addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
        daemonEndpoints: { kubeletEndpoint: { Port: port } },
      };
      await parts.client.create(NODES, { metadata: { name: 'n1' }, status } as KubeObject);
      const containers = ['a', 'b'].map((name) => ({ name, image: 'i' }));
      await parts.client.create(PODS, {
        metadata: { name: 'p', namespace: 'default' },
        spec: { containers, nodeName: 'n1' },
      } as KubeObject);
      seen.length = 0;
    });

    it('forwards logs, and asks for the container where there are several', async () => {
      const logs = await fetch(`${url}/api/v1/namespaces/default/pods/p/log?container=b&tailLines=3`);
      assert.equal(await logs.text(), 'a line\n');
      assert.deepEqual(seen, ['/containerLogs/default/p/b?tailLines=3']);
      const unclear = await fetch(`${url}/api/v1/namespaces/default/pods/p/log`);
      const { message } = (await unclear.json()) as { message: string };
      assert.equal(message, 'a container name must be specified for pod p, choose one of: [a b]');
    });

    it('tunnels an upgraded exec byte for byte', async () => {
      const path = '/api/v1/namespaces/default/pods/p/exec?container=a&command=ls&command=-l&stdout=true';
      const outgoing = request(`${url}${path}`, {
        method: 'POST',
        headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1' },
      });
      const echoed = new Promise<string>((resolve, reject) => {
        outgoing.once('upgrade', (_answer, socket) => {
          socket.once('data', (data: Buffer) => {
            resolve(data.toString());
            socket.destroy();
          });
          socket.write('hello');
        });
        outgoing.once('error', reject);
      });
      outgoing.end();
      assert.equal(await echoed, 'HELLO');
      assert.deepEqual(seen, ['/exec/default/p/a?command=ls&command=-l&output=1']);
    });
  });
});

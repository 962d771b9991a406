/** A real extension server behind a Service, asked through a peer over HTTP/1.1 and HTTP/2 and by the real kubectl. */
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { get as httpsGet, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { systemClock } from '../../../src/base/clock.js';
import type { KubeObject } from '../../../src/api/object.js';
import { APISERVICES, ENDPOINTSLICES, NAMESPACES, SERVICES, type ResourceRef } from '../../../src/api/resource.js';
import type { APIService } from '../../../src/api/types/apiregistration-v1.js';
import { ADMIN } from '../../../src/security/ca/authority.js';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { API_VERSION, ExtensionServer, GROUP, VERSION } from './extension-server.js';

const ROOT = `/apis/${API_VERSION}`;
const NAME = `${VERSION}.${GROUP}`;
const DEADLINE_MS = 30_000;

async function eventually<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const end = systemClock.monotonicMs() + DEADLINE_MS;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (systemClock.monotonicMs() > end) assert.fail(`in vain: ${what}`);
    await systemClock.sleep(20);
  }
}

describe('aggregated API servers', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  let extension: ExtensionServer;
  let credentials: { ca: string; cert: string; key: string };

  interface Answer {
    readonly code: number;
    readonly text: string;
    readonly headers: IncomingMessage['headers'];
  }
  function send(method: string, path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest(`${cluster.url}${path}`, { method, headers, ...credentials }, (answer) => {
        let text = '';
        answer.on('data', (part: Buffer) => (text += part.toString()));
        answer.on('end', () => resolve({ code: answer.statusCode ?? 0, text, headers: answer.headers }));
      });
      request.on('error', reject);
      request.end(body);
    });
  }
  const json = async (path: string, headers: Record<string, string> = {}) =>
    JSON.parse((await send('GET', path, headers)).text) as Record<string, never>;
  const flunder = (name: string) => JSON.stringify({ kind: 'Flunder', apiVersion: API_VERSION, metadata: { name } });

  async function setAvailable(available: boolean): Promise<void> {
    const live = await cluster.client.get<APIService>(APISERVICES, '', NAME);
    const status = available ? 'True' : 'False';
    const conditions = [{ type: 'Available', status, reason: available ? 'Passed' : 'MissingEndpoints' }];
    await cluster.client.updateStatus<APIService>(APISERVICES, { ...live, status: { conditions } });
  }

  before(async () => {
    cluster = await startCluster({
      tls: true,
      kubelets: { json: () => Promise.reject(new Error('no kubelets here')) },
    });
    const { ca } = cluster;
    assert.ok(ca);
    const admin = await ca.issueClient(ADMIN);
    credentials = { ca: ca.certPem, cert: admin.certPem, key: admin.keyPem };
    extension = await ExtensionServer.open(
      { namespace: 'wardle', name: 'sample' },
      await cluster.frontProxy.authorityPem(),
    );
    await cluster.client.create(NAMESPACES, { metadata: { name: 'wardle' } });
    const { service, slice, apiService } = extension.registration('wardle', 'sample');
    const create = (resource: ResourceRef, object: object) => cluster.client.create(resource, object as KubeObject);
    await create(SERVICES, service);
    await create(ENDPOINTSLICES, slice);
    await create(APISERVICES, apiService);
  });
  after(async () => {
    extension.close();
    await cluster.stop();
  });

  it('are not asked before they are available', async () => {
    const { code, text, headers } = await send('GET', `${ROOT}/flunders`);
    assert.deepEqual([code, text], [503, 'service unavailable\n']);
    assert.match(headers['content-type'] ?? '', /^text\/plain/);
    assert.equal(
      await cluster.aggregation.check(await cluster.client.get<APIService>(APISERVICES, '', NAME)),
      undefined,
    );
    await setAvailable(true);
    assert.equal((await send('GET', `${ROOT}/flunders`)).code, 200);
  });

  it('are told by the front proxy who asks, and never by the client', async () => {
    const answer = await send('GET', `${ROOT}/namespaces/wardle/flunders?limit=7`, {
      'Impersonate-User': 'zoë',
      'Impersonate-Group': 'system:masters',
      'Impersonate-Extra-example.com%2Fscope': 'all',
      'X-Remote-User': 'mallory',
      'X-Remote-Uid': '0',
      'X-Remote-Extra-Rank': 'king',
      'Audit-Id': 'mine',
      Authorization: 'Basic bWFsbG9yeTp4',
    });
    assert.equal(answer.code, 200);
    const seen = extension.seen.findLast(({ path }) => path === `${ROOT}/namespaces/wardle/flunders?limit=7`);
    assert.ok(seen);
    const { headers } = seen;
    assert.equal(Buffer.from(headers['x-remote-user'] as string, 'latin1').toString(), 'zoë');
    assert.equal(headers['x-remote-group'], 'system:masters, system:authenticated');
    assert.equal(headers['x-remote-extra-example.com%2fscope'], 'all');
    assert.equal(headers['audit-id'], 'mine');
    assert.equal(headers.host, 'sample.wardle.svc');
    for (const name of Object.keys(headers)) {
      assert.ok(!/^(?:impersonate|authorization|x-remote-(?:uid|extra-rank))/.test(name), name);
    }
  });

  it('are not asked for what a user may not do', async () => {
    const before = extension.seen.length;
    const refused = await send('GET', `${ROOT}/namespaces/wardle/flunders`, { 'Impersonate-User': 'jane' });
    assert.equal(refused.code, 403);
    assert.match(refused.text, /flunders\.wardle\.example\.com is forbidden: User \\"jane\\" cannot list resource/);
    assert.equal(extension.seen.length, before);
  });

  it('answer writes, with the codes that they give', async () => {
    const path = `${ROOT}/namespaces/wardle/flunders`;
    const type = { 'Content-Type': 'application/json' };
    assert.equal((await send('POST', path, type, flunder('one'))).code, 201);
    assert.equal(
      (
        await send(
          'PUT',
          `${path}/one`,
          type,
          JSON.stringify({ ...JSON.parse(flunder('one')), metadata: { name: 'one', namespace: 'wardle' }, more: true }),
        )
      ).code,
      200,
    );
    assert.equal((await json(`${path}/one`))['more'], true);
    assert.equal((await send('DELETE', `${path}/one`)).code, 200);
    const missing = await send('GET', `${path}/one`);
    assert.deepEqual([missing.code, JSON.parse(missing.text).reason], [404, 'NotFound']);
  });

  it('stream watches, which end with either side', async () => {
    const path = `${ROOT}/namespaces/wardle/flunders`;
    const watching = await new Promise<IncomingMessage>((resolve, reject) => {
      httpsGet(`${cluster.url}${path}?watch=true`, credentials, resolve).on('error', reject);
    });
    let text = '';
    watching.on('data', (part: Buffer) => (text += part.toString()));
    watching.on('error', () => undefined);
    await send('POST', path, { 'Content-Type': 'application/json' }, flunder('seen'));
    await eventually('the event', () => text.includes('"ADDED"') && text.includes('"seen"'));
    assert.equal(extension.watching, 1);
    watching.destroy();
    await eventually('the end of the watch at the server', () => extension.watching === 0);
    await send('DELETE', `${path}/seen`);
  });

  it('are reached over HTTP/2, too', async () => {
    const { port } = cluster.server.address;
    const session = connectHttp2(`https://127.0.0.1:${port}`, credentials);
    const stream = session.request({ ':path': `${ROOT}/namespaces/wardle/flunders`, accept: 'application/json' });
    let text = '';
    let status = 0;
    stream.on('response', (headers) => (status = headers[':status'] ?? 0));
    stream.setEncoding('utf8');
    for await (const part of stream) text += String(part);
    session.close();
    assert.equal(status, 200);
    assert.equal(JSON.parse(text).kind, 'FlunderList');
  });

  it('are asked once more when they close a kept connection', async () => {
    extension.breaksKept = true;
    for (let i = 0; i < 3; i++) assert.equal((await send('GET', `${ROOT}/flunders`)).code, 200);
    extension.breaksKept = false;
  });

  it('may change the protocol of a connection', async () => {
    const request = httpsRequest(`${cluster.url}${ROOT}/namespaces/wardle/flunders/x/proxy`, {
      headers: { Connection: 'Upgrade', Upgrade: 'echo' },
      ...credentials,
    });
    const socket = await new Promise<Duplex>((resolve, reject) => {
      request.on('upgrade', (_answer, upgraded) => resolve(upgraded));
      request.on('response', (answer) => reject(new Error(`answered ${answer.statusCode}`)));
      request.on('error', reject);
      request.end();
    });
    let text = '';
    socket.on('data', (part: Buffer) => (text += part.toString()));
    socket.write('hello');
    await eventually('the echo', () => text === 'hello');
    socket.destroy();
  });

  it('are part of discovery and of the OpenAPI index, in the order of priorities', async () => {
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    interface Version {
      version: string;
      freshness: string;
      resources: { resource: string; scope: string; subresources: unknown }[];
    }
    interface Groups {
      items: { metadata: { name: string }; versions: Version[] }[];
    }
    const { items } = await eventually('current discovery', async () => {
      const found = (await json('/apis', { Accept: accept })) as unknown as Groups;
      const group = found.items.find(({ metadata }) => metadata.name === GROUP);
      return group?.versions[0]?.freshness === 'Current' && found;
    });
    // 2000 against the 1000 of what nobody tells of: this cluster has no other APIServices.
    const [first] = items;
    assert.equal(first?.metadata.name, GROUP);
    assert.deepEqual(
      first.versions[0]?.resources.map(({ resource, scope }) => [resource, scope]),
      [['flunders', 'Namespaced']],
    );
    assert.deepEqual(first.versions[0]?.resources[0]?.subresources, [
      {
        subresource: 'status',
        responseKind: { group: GROUP, version: VERSION, kind: 'Flunder' },
        verbs: ['get', 'update'],
      },
    ]);
    const { groups } = (await json('/apis')) as unknown as { groups: { name: string }[] };
    assert.equal(groups[0]?.name, GROUP);
    assert.equal((await json(`/apis/${GROUP}`))['kind'], 'APIGroup');
    assert.equal((await json(ROOT))['kind'], 'APIResourceList');
    const { paths } = (await json('/openapi/v3')) as unknown as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    const document = paths[ROOT.slice(1)]?.serverRelativeURL;
    assert.equal(document, `/openapi/v3${ROOT}?hash=F`);
    assert.match((await send('GET', document)).text, /a thing that flunds/);
  });

  for (const { path, version } of KUBECTLS.filter((one) => isPresent(one.path))) {
    it(`are used by kubectl ${version} as if they were this server`, async () => {
      const resources = await cluster.kubectl(path, ['api-resources', `--api-group=${GROUP}`]);
      assert.match(
        resources.stdout,
        /^flunders +fl +wardle\.example\.com\/v1alpha1 +true +Flunder$/m,
        resources.stderr,
      );
      const explained = await cluster.kubectl(path, ['explain', 'flunder']);
      assert.match(explained.stdout, /KIND: +Flunder[^]*a thing that flunds/, explained.stderr);
      const made = await cluster.kubectl(path, ['create', '-f', '-', '-n', 'wardle'], flunder('mine'));
      assert.equal(made.code, 0, made.stderr);
      const got = await cluster.kubectl(path, ['get', 'fl', '-n', 'wardle', '-o', 'name']);
      assert.equal(got.stdout.trim(), `flunder.${GROUP}/mine`, got.stderr);
      const gone = await cluster.kubectl(path, ['delete', 'flunder', 'mine', '-n', 'wardle', '--wait=false']);
      assert.equal(gone.code, 0, gone.stderr);
    });
  }

  it('delete what they have in a namespace with it', async () => {
    const path = (namespace: string) => `${ROOT}/namespaces/${namespace}/flunders`;
    const type = { 'Content-Type': 'application/json' };
    for (const namespace of ['wardle', 'other']) await send('POST', path(namespace), type, flunder('here'));
    const emptied = await cluster.aggregation.namespaces.empty('wardle');
    assert.deepEqual(emptied, { undiscovered: [], failures: [], remaining: new Map() });
    assert.deepEqual((await json(path('wardle')))['items'], []);
    assert.equal(((await json(path('other'))) as unknown as { items: unknown[] }).items.length, 1);
    await setAvailable(false);
    const { undiscovered } = await cluster.aggregation.namespaces.empty('wardle');
    assert.deepEqual(undiscovered, [`${API_VERSION}: the server is currently unable to handle the request`]);
    await setAvailable(true);
    await eventually(
      'current discovery',
      () => cluster.aggregation.groups.remote?.(GROUP, VERSION)?.freshness === 'Current',
    );
  });

  it('that do not answer are 503, and stay in discovery as stale once they were asked', async () => {
    const live = await cluster.client.get<APIService>(APISERVICES, '', NAME);
    const { caBundle: _bundle, ...spec } = live.spec ?? { groupPriorityMinimum: 1, versionPriority: 1 };
    // Nobody on this machine vouches for it now.
    await cluster.client.update<APIService>(APISERVICES, { ...live, spec });
    const { code, text } = await send('GET', `${ROOT}/flunders`);
    assert.equal(code, 503);
    assert.match(
      text,
      /^error trying to reach service: tls: failed to verify certificate: x509: certificate signed by unknown authority$/m,
    );
    assert.match(
      (await cluster.aggregation.check({ ...live, spec })) ?? '',
      /^failing or missing response from https:\/\/sample\.wardle\.svc:443\/apis\/wardle\.example\.com\/v1alpha1: /,
    );
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    await eventually('stale discovery', async () => {
      const { text: found } = await send('GET', '/apis', { Accept: accept });
      return /"resource":"flunders".*?"freshness":"Stale"/.test(found);
    });
    const again = await cluster.client.get<APIService>(APISERVICES, '', NAME);
    await cluster.client.update<APIService>(APISERVICES, { ...again, spec: { ...spec, insecureSkipTLSVerify: true } });
    assert.equal((await send('GET', `${ROOT}/flunders`)).code, 200);
  });

  it('answer for metrics.k8s.io in place of the cluster while they are registered for it', async () => {
    const path = '/apis/metrics.k8s.io/v1beta1/nodes';
    assert.equal((await json(path))['kind'], 'NodeMetricsList');
    const { apiService } = extension.registration('wardle', 'sample');
    const name = 'v1beta1.metrics.k8s.io';
    const spec = { ...apiService.spec, group: 'metrics.k8s.io', version: 'v1beta1', groupPriorityMinimum: 100 };
    const made = await cluster.client.create<APIService>(APISERVICES, { metadata: { name }, spec });
    const conditions = [{ type: 'Available', status: 'True' }];
    await cluster.client.updateStatus<APIService>(APISERVICES, { ...made, status: { conditions } });
    assert.equal((await send('GET', path)).code, 404);
    assert.ok(extension.seen.some((seen) => seen.path === path));
    await cluster.client.delete(APISERVICES, '', name);
    assert.equal((await json(path))['kind'], 'NodeMetricsList');
  });

  it('are forgotten with their APIService, and cannot have a group of Kubernetes', async () => {
    await cluster.client.delete(APISERVICES, '', NAME);
    assert.equal((await send('GET', `${ROOT}/flunders`)).code, 404);
    const { groups } = (await json('/apis')) as unknown as { groups: { name: string }[] };
    assert.ok(!groups.some(({ name }) => name === GROUP));
    const { apiService } = extension.registration('wardle', 'sample');
    const spec = { ...apiService.spec, group: 'apps', version: 'v1' };
    await cluster.client.create<APIService>(APISERVICES, { metadata: { name: 'v1.apps' }, spec });
    assert.equal((await json('/apis/apps/v1/deployments'))['kind'], 'DeploymentList');
  });
});

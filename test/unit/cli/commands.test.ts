/** The commands against the real API server on a memory store. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONFIGMAPS, DEPLOYMENTS, EVENTS, SERVICES } from '../../../src/api/resource.js';
import type { Deployment } from '../../../src/api/types/apps-v1.js';
import type { ConfigMap, Event, Service } from '../../../src/api/types/core-v1.js';
import { systemClock } from '../../../src/base/clock.js';
import { HttpClient } from '../../../src/client/http-client.js';
import { startCluster, type TestCluster } from '../../integration/apiserver/cluster.js';
import { skein } from './terminal.js';

const WEB = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "nginx:1", env: [{name: A, value: "1"}, {name: B, value: "2"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, clusterIP: 10.96.7.7, ports: [{port: 80}]}
`;

describe('commands on an API server', () => {
  let cluster: TestCluster;
  let dir: string;
  before(async () => {
    cluster = await startCluster();
    dir = mkdtempSync(join(tmpdir(), 'skein-commands-'));
    writeFileSync(join(dir, 'admin.kubeconfig'), kubeconfig(cluster.url));
  });
  after(async () => {
    await cluster.stop();
    rmSync(dir, { recursive: true });
  });
  const kubeconfig = (server: string) =>
    `clusters: [{name: c, cluster: {server: "${server}"}}]\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n`;
  const cli = (line: string, stdin = '') => skein(line.split(' '), { env: { SKEIN_DATA_DIR: dir }, stdin });
  const ok = async (line: string, stdin?: string) => {
    const { code, out, err } = await cli(line, stdin);
    assert.deepEqual({ line, code, err }, { line, code: 0, err: '' });
    return out;
  };
  const withoutAges = (text: string) => text.replaceAll(/\b\d+s\b/g, '0s');

  it('apply creates, changes and leaves alone', async () => {
    assert.equal(await ok('apply -f -', WEB), 'deployment.apps/web created\nservice/web created\n');
    assert.equal(await ok('apply -f -', WEB), 'deployment.apps/web unchanged\nservice/web unchanged\n');
    const changed = WEB.replace('nginx:1', 'nginx:2').replace(', {name: B, value: "2"}', '');
    assert.equal(await ok('apply -f -', changed), 'deployment.apps/web configured\nservice/web unchanged\n');
    const { spec } = await cluster.client.get<Deployment>(DEPLOYMENTS, 'default', 'web');
    assert.deepEqual(
      spec?.template.spec?.containers.map(({ image, env }) => [image, env]),
      [['nginx:2', [{ name: 'A', value: '1' }]]],
    );
    const { spec: service } = await cluster.client.get<Service>(SERVICES, 'default', 'web');
    assert.ok(service?.clusterIP);
  });

  it('apply warns about what was not made by apply, and takes it over', async () => {
    await cluster.client.create<ConfigMap>(CONFIGMAPS, {
      metadata: { name: 'made', namespace: 'default' },
      data: { a: '1' },
    });
    const manifest = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {b: "2"}\n';
    const { code, out, err } = await cli('apply -f -', manifest);
    assert.deepEqual([code, out], [0, 'configmap/made configured\n']);
    assert.match(
      err,
      /^Warning: resource configmaps\/made is missing the kubectl\.kubernetes\.io\/last-applied-configuration annotation/,
    );
    assert.equal(await ok('apply -f -', manifest), 'configmap/made unchanged\n');
    assert.deepEqual(JSON.parse(await ok('get cm made -o json')).data, { a: '1', b: '2' });
  });

  it('apply goes on after a bad object and fails in the end', async () => {
    const bad = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndate: {}\n';
    const unknown = 'apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\n';
    const elsewhere = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: other}\n';
    const { code, out, err } = await cli('apply -n default -f -', [bad, unknown, elsewhere, WEB].join('---\n'));
    assert.equal(code, 1);
    assert.match(out, /^deployment\.apps\/web configured\nservice\/web unchanged\n$/);
    const lines = err.split('\n');
    assert.match(
      lines[0] ?? '',
      /^Error from server \(BadRequest\): error when creating "STDIN": .*unknown field "date"/,
    );
    assert.equal(
      lines[1],
      'error: resource mapping not found for name: "x" namespace: "" from "STDIN": no matches for kind "Thing" in version "example.com/v1"',
    );
    assert.match(
      lines[2] ?? '',
      /^error: the namespace from the provided object "other" does not match the namespace "default"/,
    );
  });

  it('words an invalid object as kubectl does', async () => {
    const { code, err } = await cli('apply -f -', WEB.replace('replicas: 2', 'replicas: -1'));
    assert.equal(code, 1);
    assert.match(
      err,
      /^The Deployment "web" is invalid: spec\.replicas: Invalid value: -1: must be greater than or equal to 0\n$/,
    );
  });

  it('get prints the tables of the server', async () => {
    assert.equal(
      withoutAges(await ok('get deploy,svc -l app!=x')),
      `NAME                  READY   UP-TO-DATE   AVAILABLE   AGE
deployment.apps/web   0/2     0            0           0s

NAME          TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE
service/web   ClusterIP   10.96.7.7    <none>        80/TCP    0s
`,
    );
    assert.match(await ok('get Deployments.apps web --no-headers -o wide'), /^web +0\/2 .* nginx:1 +app=web\n$/);
    assert.match(await ok('get deployment/web'), /^NAME +READY/);
    assert.match(await ok('get ns -o name'), /^namespace\/default\nnamespace\/kube-system\n$/);
    assert.match(await ok('get deploy.v1.apps -A'), /^NAMESPACE +NAME/);
  });

  it('get prints whole objects', async () => {
    assert.match(await ok('get svc web -o yaml'), /^apiVersion: v1\nkind: Service\nmetadata:\n {2}annotations:\n/);
    const list = JSON.parse(await ok('get svc,deploy -o json')) as { kind: string; items: { kind: string }[] };
    assert.deepEqual([list.kind, ...list.items.map(({ kind }) => kind)], ['List', 'Service', 'Deployment']);
  });

  it('get says what is not there', async () => {
    assert.deepEqual(await cli('get pods'), { code: 0, out: '', err: 'No resources found in default namespace.\n' });
    assert.deepEqual(await cli('get nodes'), { code: 0, out: '', err: 'No resources found\n' });
    assert.deepEqual(await cli('get pods x --ignore-not-found'), { code: 0, out: '', err: '' });
    assert.deepEqual(await cli('get pods x'), {
      code: 1,
      out: '',
      err: 'Error from server (NotFound): pods "x" not found\n',
    });
    assert.deepEqual(await cli('get frobs'), {
      code: 1,
      out: '',
      err: `error: the server doesn't have a resource type "frobs"\n`,
    });
  });

  it('describe shows an object with its events', async () => {
    const { metadata } = await cluster.client.get(DEPLOYMENTS, 'default', 'web');
    await cluster.client.create<Event>(EVENTS, {
      metadata: { name: 'web.1', namespace: 'default' },
      involvedObject: { kind: 'Deployment', name: 'web', namespace: 'default', uid: metadata.uid ?? '' },
      type: 'Normal',
      reason: 'ScalingReplicaSet',
      message: 'Scaled up',
      source: { component: 'deployment-controller' },
    });
    const text = await ok('describe deploy we');
    assert.match(text, /^Name: +web\nNamespace: +default\nLabels: +app=web\nAnnotations: +<none>\n/);
    assert.match(text, /\n {2}Replicas: +2\n/);
    assert.match(text, / Normal +ScalingReplicaSet +\S+ +deployment-controller +Scaled up\n$/);
    assert.deepEqual(await cli('describe deploy nope'), {
      code: 1,
      out: '',
      err: 'Error from server (NotFound): deployments.apps "nope" not found\n',
    });
  });

  it('delete removes by name, by label and by manifest', async () => {
    const map = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, labels: {x: z}}\n`;
    await ok('apply -f -', [map('a'), map('b'), map('c'), map('d')].join('---\n'));
    assert.equal(await ok('delete cm a'), 'configmap "a" deleted\n');
    assert.equal(await ok('delete cm/b'), 'configmap "b" deleted\n');
    assert.equal(await ok('delete -f -', map('c')), 'configmap "c" deleted\n');
    assert.equal(await ok('delete configmaps -l x=z -o name'), 'configmap/d\n');
    assert.deepEqual(await cli('delete cm a'), {
      code: 1,
      out: '',
      err: 'Error from server (NotFound): configmaps "a" not found\n',
    });
    assert.equal(await ok('delete cm a --ignore-not-found'), '');
  });

  it('delete waits until finalizers let the object go, or its patience ends', async () => {
    const manifest = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/x]}\n';
    await ok('apply -f -', manifest);
    const impatient = await cli('delete cm held --timeout 100ms');
    assert.deepEqual(impatient, {
      code: 1,
      out: 'configmap "held" deleted\n',
      err: 'error: timed out waiting for the condition on configmaps/held\n',
    });
    await cluster.client.create(CONFIGMAPS, {
      metadata: { name: 'waiting', namespace: 'default', finalizers: ['example.com/x'] },
    });
    const waiting = cli('delete cm waiting');
    const signal = new AbortController().signal;
    for await (const event of cluster.client.watch(CONFIGMAPS, { namespace: 'default', signal })) {
      if (event.type === 'BOOKMARK' || event.object.metadata.name !== 'waiting') continue;
      if (event.object.metadata.deletionTimestamp) break;
    }
    await cluster.client.patch(CONFIGMAPS, 'default', 'waiting', 'merge', { metadata: { finalizers: null } });
    assert.deepEqual(await waiting, { code: 0, out: 'configmap "waiting" deleted\n', err: '' });
    assert.equal((await cli('get cm waiting')).code, 1);
  });

  it('version shows both sides', async () => {
    assert.match(await ok('version'), /^Client Version: v\S+\nServer Version: v1\.32\S*\n$/);
  });

  it('HttpClient follows the server: list, watch from there, conflicts, 410', async () => {
    const client = new HttpClient({ clock: systemClock }, { server: cluster.url });
    const { resourceVersion } = await client.list(CONFIGMAPS, { namespace: 'default' });
    const abort = new AbortController();
    const made = await client.create<ConfigMap>(CONFIGMAPS, { metadata: { name: 'w', namespace: 'default' } });
    await client.update(CONFIGMAPS, { ...made, data: { a: '1' } });
    await assert.rejects(client.update(CONFIGMAPS, { ...made, data: { a: '2' } }), { reason: 'Conflict' });
    await client.patch(CONFIGMAPS, 'default', 'w', 'merge', { data: { b: '1' } });
    await client.delete(CONFIGMAPS, 'default', 'w', { preconditions: { uid: made.metadata.uid ?? '' } });
    const types: string[] = [];
    for await (const event of client.watch(CONFIGMAPS, {
      namespace: 'default',
      resourceVersion,
      signal: abort.signal,
    })) {
      types.push(event.type);
      if (event.type === 'DELETED') abort.abort();
    }
    assert.deepEqual(types, ['ADDED', 'MODIFIED', 'MODIFIED', 'DELETED']);
    client.close();
  });

  describe("with skein's own endpoints", () => {
    let server: Server;
    let calls: string[];
    let answers: Record<string, unknown>;
    let endpoint: string;
    before(async () => {
      server = createServer((request, response) => {
        void request.toArray().then((parts) => {
          const key = `${request.method} ${request.url}`;
          calls.push(
            `${key} ${Buffer.concat(parts as Buffer[]).length > 300 ? '<archive>' : Buffer.concat(parts as Buffer[]).toString()}`.trim(),
          );
          const answer = answers[key];
          if (answer === 'BREAK') {
            response.write('half a', () => request.socket.destroy());
            return;
          }
          const status = {
            kind: 'Status',
            code: 404,
            reason: 'NotFound',
            message: 'the server could not find the requested resource',
          };
          response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? status));
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    after(() => {
      server.closeAllConnections();
      server.close();
    });
    beforeEach(() => {
      calls = [];
      answers = {};
    });

    it('token create prints the token alone; list and revoke manage them', async () => {
      const expires = new Date(systemClock.nowMs() + 3_600_500).toISOString();
      answers = {
        'POST /skein/v1/tokens': { token: 'skein1.abc', id: 'a1', expires },
        'GET /skein/v1/tokens': { items: [{ id: 'a1', expires }] },
        'DELETE /skein/v1/tokens/a1': { id: 'a1' },
      };
      assert.equal(await ok(`token create --ttl 90m -s ${endpoint}`), 'skein1.abc\n');
      assert.equal(await ok(`token list -s ${endpoint}`), `ID   TTL   EXPIRES\na1   60m   ${expires}\n`);
      assert.equal(await ok(`token revoke a1 -s ${endpoint}`), 'token "a1" revoked\n');
      assert.deepEqual(await cli(`token revoke b2 -s ${endpoint}`), {
        code: 1,
        out: '',
        err: 'error: there is no token "b2"\n',
      });
      assert.equal(calls[0], 'POST /skein/v1/tokens {"ttlSeconds":5400}');
    });

    it('image import sends the archive and prints the tags', async () => {
      const file = join(dir, 'image.tar');
      const header = Buffer.alloc(512);
      header.write('ustar', 257);
      writeFileSync(file, header);
      answers = { 'POST /skein/v1/images': { tags: ['app:1', 'app:2'] } };
      assert.equal(await ok(`image import ${file} -s ${endpoint}`), 'app:1\napp:2\n');
      assert.deepEqual(calls, ['POST /skein/v1/images <archive>']);
    });

    it('logs say that the connection broke', async () => {
      answers = {
        'GET /api/v1/namespaces/default/pods/p': { metadata: { name: 'p' }, spec: { containers: [{ name: 'a' }] } },
        'GET /api/v1/namespaces/default/pods/p/log?follow=true&container=a': 'BREAK',
      };
      const broken = { code: 1, out: 'half a', err: 'error: the connection to the server broke\n' };
      assert.deepEqual(await cli(`logs -f p -s ${endpoint}`), broken);
    });

    it('logs take the first running pod of a workload', async () => {
      const pod = (name: string, phase: string) => ({
        metadata: { name },
        spec: { containers: [{ name: 'a' }, { name: 'b' }] },
        status: { phase },
      });
      const resource = {
        resource: 'deployments',
        scope: 'Namespaced',
        singularResource: 'deployment',
        shortNames: ['deploy'],
      };
      answers = {
        'GET /api': { items: [] },
        'GET /apis': { items: [{ metadata: { name: 'apps' }, versions: [{ version: 'v1', resources: [resource] }] }] },
        'GET /apis/apps/v1/namespaces/default/deployments/web': {
          metadata: {},
          spec: { selector: { matchLabels: { app: 'web' } } },
        },
        'GET /api/v1/namespaces/default/pods?labelSelector=app%3Dweb': {
          items: [pod('w1', 'Pending'), pod('w2', 'Running')],
        },
        'GET /api/v1/namespaces/default/pods/w2/log?tailLines=3&sinceSeconds=60&container=a': 'hello',
      };
      const { code, out, err } = await cli(`logs deploy/web --tail 3 --since 1m -s ${endpoint}`);
      assert.equal(err, 'Found 2 pods, using pod/w2\nDefaulted container "a" out of: a, b\n');
      assert.deepEqual([code, out], [0, '"hello"']);
    });
  });
});

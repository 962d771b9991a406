/** Answers in protobuf over HTTP, and to the clients that ask for them: kubectl's typed commands. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import protobuf from 'protobufjs';
import { decodeProtobufBody } from '../../../src/api/protobuf/decode.js';
import { encodeProtobuf } from '../../../src/api/protobuf/encode.js';
import { loadData } from '../../../src/api/schema/data.js';
import { KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { kubectlRuns, skipWithout } from './kubectl-runs.js';

// Answers of all shapes are looked into.
// oxlint-disable-next-line typescript/no-explicit-any
type Loose = any;

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const PARTIAL = 'as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
const PARTIAL_LIST = 'as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
const TABLE = 'as=Table;g=meta.k8s.io;v=v1';
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const WIDGETS = '/apis/example.com/v1/namespaces/default/widgets';

const eventType = protobuf.Root.fromJSON(loadData('protobuf') as protobuf.INamespace).lookupType(
  'k8s.io.apimachinery.pkg.apis.meta.v1.WatchEvent',
);

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: { type: 'object', additionalProperties: { type: 'integer', default: 0, minimum: -1.5 } },
            },
          },
        },
      },
    ],
  },
};

interface Answer {
  readonly code: number;
  readonly type: string;
  readonly bytes: Buffer;
  /** What was answered, in whatever format. */
  readonly body: Loose;
}

describe('protobuf over HTTP', function () {
  this.timeout(60_000);
  let cluster: TestCluster;

  async function call(accept: string, path: string, method = 'GET', sent?: object | Buffer): Promise<Answer> {
    const type = Buffer.isBuffer(sent) ? PROTOBUF : 'application/json';
    const response = await fetch(`${cluster.url}${path}`, {
      method,
      headers: { accept, ...(sent ? { 'content-type': type } : {}) },
      ...(sent ? { body: Buffer.isBuffer(sent) ? new Uint8Array(sent) : JSON.stringify(sent) } : {}),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const answered = response.headers.get('content-type') ?? '';
    const body = answered === PROTOBUF ? decodeProtobufBody(bytes) : (JSON.parse(bytes.toString()) as Loose);
    return { code: response.status, type: answered, bytes, body };
  }

  before(async () => {
    cluster = await startCluster();
    const made = await call('', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', 'POST', definition);
    assert.equal(made.code, 201, made.bytes.toString());
    const widget = { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w' }, spec: { a: 1 } };
    assert.equal((await call('', WIDGETS, 'POST', widget)).code, 201);
  });
  after(() => cluster.stop());

  it('answers a write with what was written', async () => {
    const sent = encodeProtobuf({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { k: 'v' } });
    assert.ok(sent);
    const made = await call(`${PROTOBUF},application/json`, CONFIG_MAPS, 'POST', sent);
    assert.deepEqual([made.code, made.type, made.body.kind], [201, PROTOBUF, 'ConfigMap']);
    assert.deepEqual(made.body.data, { k: 'v' });
    assert.ok(made.body.metadata.uid);
    const got = await call('', `${CONFIG_MAPS}/a`);
    assert.equal(got.type, 'application/json');
    assert.deepEqual(made.bytes, encodeProtobuf(got.body));
    // Protobuf is answered to who asks for it, not to who sends it.
    const other = encodeProtobuf({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'b' } });
    assert.equal((await call('*/*', CONFIG_MAPS, 'POST', other)).type, 'application/json');
  });

  it('answers failures and deletions with a Status', async () => {
    const missing = await call(PROTOBUF, `${CONFIG_MAPS}/none`);
    assert.deepEqual([missing.code, missing.type, missing.body.kind], [404, PROTOBUF, 'Status']);
    assert.equal(missing.body.message, 'configmaps "none" not found');
    assert.deepEqual(missing.body.details, { name: 'none', kind: 'configmaps' });
    const refused = await call(PROTOBUF, CONFIG_MAPS, 'POST', { metadata: { name: 'Not_Ok' } });
    assert.deepEqual([refused.code, refused.type, refused.body.reason], [422, PROTOBUF, 'Invalid']);
    assert.equal(refused.body.details.causes[0].field, 'metadata.name');
    const gone = await call(PROTOBUF, `${CONFIG_MAPS}/b`, 'DELETE');
    assert.deepEqual([gone.code, gone.type, gone.body.status], [200, PROTOBUF, 'Success']);
  });

  it('shows metadata alone, of custom resources too', async () => {
    for (const [path, list] of [
      [`${CONFIG_MAPS}/a`, CONFIG_MAPS],
      [`${WIDGETS}/w`, WIDGETS],
    ] as const) {
      const one = await call(`${PROTOBUF};${PARTIAL},application/json;${PARTIAL},application/json`, path);
      assert.deepEqual([one.type, one.body.kind], [PROTOBUF, 'PartialObjectMetadata']);
      assert.equal(`${list}/${one.body.metadata.name}`, path);
      const all = await call(`${PROTOBUF};${PARTIAL_LIST}`, list);
      assert.deepEqual([all.type, all.body.kind], [PROTOBUF, 'PartialObjectMetadataList']);
      assert.ok(all.body.metadata.resourceVersion);
      assert.ok(all.body.items.some(({ metadata }: Loose) => metadata.uid === one.body.metadata.uid));
    }
  });

  it('chooses what the client likes best of what there is', async () => {
    const chosen = async (accept: string, path = `${CONFIG_MAPS}/a`) => (await call(accept, path)).type;
    assert.equal(await chosen(`${PROTOBUF}, */*`), PROTOBUF);
    assert.equal(await chosen(`*/*, ${PROTOBUF}`), PROTOBUF);
    assert.equal(await chosen(`application/json, ${PROTOBUF}`), 'application/json');
    assert.equal(await chosen(`application/json;q=0.5, ${PROTOBUF};q=0.9`), PROTOBUF);
    assert.equal(await chosen(`${PROTOBUF};${TABLE}, application/json`), 'application/json');
    assert.equal(await chosen(`${PROTOBUF}, application/json`, `${WIDGETS}/w`), 'application/json');
    const none = await call(PROTOBUF, `${WIDGETS}/w`);
    assert.deepEqual([none.code, none.body.reason], [406, 'NotAcceptable']);
    assert.equal(
      none.body.message,
      `only the following media types are accepted: application/json, application/yaml, ${PROTOBUF}`,
    );
    assert.equal((await call(`${PROTOBUF};${TABLE}`, CONFIG_MAPS)).code, 406);
  });

  it('describes itself', async () => {
    const groups = await call(PROTOBUF, '/apis');
    assert.deepEqual([groups.type, groups.body.kind], [PROTOBUF, 'APIGroupList']);
    assert.ok(groups.body.groups.some(({ name }: Loose) => name === 'apps'));
    const { body } = await call(PROTOBUF, '/api/v1');
    const pods = body.resources.find(({ name }: Loose) => name === 'pods');
    assert.ok(pods.namespaced && pods.verbs.includes('watch'));
  });

  it('shows definitions, whose schemas take several forms', async () => {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com';
    const { body } = await call(PROTOBUF, path);
    assert.deepEqual(body.spec.versions[0].schema, definition.spec.versions[0]?.schema);
  });

  it('streams a watch in frames', async () => {
    const stop = new AbortController();
    const { resourceVersion } = (await call('', CONFIG_MAPS)).body.metadata;
    const query = `watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`;
    const { body, headers } = await fetch(`${cluster.url}${CONFIG_MAPS}?${query}&resourceVersion=${resourceVersion}`, {
      headers: { accept: `${PROTOBUF},application/json` },
      signal: stop.signal,
    });
    assert.equal(headers.get('content-type'), `${PROTOBUF};stream=watch`);
    assert.ok(body);
    const frames = framesOf(body);
    const next = async () => {
      const { value } = await frames.next();
      assert.ok(value);
      return value;
    };
    const first = await next();
    assert.deepEqual([first.type, first.object.metadata.name], ['ADDED', 'a']);
    const mark = await next();
    assert.equal(mark.type, 'BOOKMARK');
    assert.deepEqual(mark.object.metadata.annotations, { 'k8s.io/initial-events-end': 'true' });
    await call('', CONFIG_MAPS, 'POST', { metadata: { name: 'late' } });
    await call('', `${CONFIG_MAPS}/late`, 'DELETE');
    assert.deepEqual([(await next()).type, (await next()).type], ['ADDED', 'DELETED']);
    stop.abort();
  });

  it('watches metadata alone, of custom resources too', async () => {
    const stop = new AbortController();
    const { body } = await fetch(`${cluster.url}${WIDGETS}?watch=1`, {
      headers: { accept: `${PROTOBUF};${PARTIAL}` },
      signal: stop.signal,
    });
    assert.ok(body);
    const { value } = await framesOf(body).next();
    assert.deepEqual([value?.object.kind, value?.object.metadata.name], ['PartialObjectMetadata', 'w']);
    stop.abort();
  });

  for (const { version, path } of KUBECTLS) {
    it(`is what kubectl ${version} reads after its typed commands`, async function () {
      skipWithout(this, path);
      const { ok, refused } = kubectlRuns(() => cluster, path);
      const name = `typed-${version.replace('.', '-')}`;
      const made = JSON.parse(
        await ok(['create', 'deployment', name, '--image=nginx', '--replicas=0', '--port=80', '-o', 'json']),
      ) as Loose;
      assert.equal(made.spec.replicas, 0);
      assert.equal(made.spec.template.spec.containers[0].ports[0].containerPort, 80);
      assert.equal(made.spec.strategy.rollingUpdate.maxSurge, '25%');
      assert.match(made.metadata.creationTimestamp, /^20\d\d-/);
      assert.equal(made.metadata.managedFields, undefined);
      const secret = JSON.parse(
        await ok(['create', 'secret', 'generic', name, '--from-literal=k=ü', '-o', 'json']),
      ) as Loose;
      assert.equal(Buffer.from(secret.data.k as string, 'base64').toString(), 'ü');
      assert.match(await ok(['auth', 'can-i', 'get', 'pods']), /^yes/);
      await ok(['create', 'quota', name, '--hard=cpu=500m,pods=2']);
      await refused(/already exists/, ['create', 'quota', name, '--hard=cpu=1']);
    });
  }
});

/** What kubectl creates with typed clients, without asking the server for anything before. */
const CREATED: readonly (readonly string[])[] = [
  ['deployment', 'd', '--image=nginx', '--port=80', '--replicas=3'],
  ['cronjob', 'c', '--image=busybox', '--schedule=*/5 * * * *'],
  ['quota', 'q', '--hard=cpu=500m,pods=3', '--scopes=BestEffort'],
  ['secret', 'generic', 's', '--from-literal=b=1', '--from-literal=a='],
  ['service', 'nodeport', 'n', '--tcp=80:8080'],
  ['service', 'clusterip', 'c', '--clusterip=None'],
  ['ingress', 'i', '--rule=foo.com/bar*=svc1:8080,tls=cert', '--class=x', '--annotation=z=1', '--annotation=a=2'],
  ['rolebinding', 'rb', '--clusterrole=view', '--user=ü', '--serviceaccount=default:x'],
  ['poddisruptionbudget', 'p', '--selector=app=x', '--min-available=50%'],
  ['priorityclass', 'pc', '--value=-5'],
  ['token', 'default', '--duration=1h', '--audience=a'],
];

describe('protobuf messages', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  let server: Server;
  const bodies: Buffer[] = [];

  before(async () => {
    cluster = await startCluster();
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        bodies.push(Buffer.concat(chunks));
        response.writeHead(409).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(async () => {
    await new Promise((resolve) => server.close(resolve));
    await cluster.stop();
  });

  it('are byte for byte what Go makes of the same objects', async function () {
    const path = KUBECTLS.at(-1)?.path ?? '';
    skipWithout(this, path);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const args of CREATED) {
      bodies.length = 0;
      const { stderr } = await cluster.kubectl(path, ['-s', url, 'create', ...args]);
      const [sent] = bodies;
      assert.ok(sent, stderr);
      assert.deepEqual(encodeProtobuf(decodeProtobufBody(sent) as object), sent, args.join(' '));
    }
  });
});

/** Events as a Go client reads them: a length of four bytes, then so many bytes. */
async function* framesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<{ type: string; object: Loose }> {
  let rest = Buffer.alloc(0);
  for await (const chunk of body) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const end = 4 + rest.readUInt32BE(0);
      const { type, object } = eventType.decode(rest.subarray(4, end)) as unknown as {
        type: string;
        object: { raw: Uint8Array };
      };
      yield { type, object: decodeProtobufBody(object.raw) };
      rest = rest.subarray(end);
    }
  }
}

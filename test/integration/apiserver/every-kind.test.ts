/** Every kind that can be created, through every verb of its resource, over HTTP. */
import assert from 'node:assert/strict';
import { decodeProtobufBody } from '../../../src/api/protobuf/decode.js';
import { encodeProtobuf } from '../../../src/api/protobuf/encode.js';
import { KindRegistry, type ResourceInfo } from '../../../src/api/schema/registry.js';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { FIXTURES, type KindFixture } from './kind-fixtures.js';

// The kinds' shapes are all different.
// oxlint-disable-next-line typescript/no-explicit-any
type Loose = any;

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
const resources = KindRegistry.load()
  .all()
  .filter(({ verbs, resource }) => verbs.includes('create') && verbs.includes('get') && resource !== 'bindings');
const keyOf = ({ group, version, resource }: ResourceInfo) => `${group}/${version}/${resource}`;

describe('every kind', function () {
  this.timeout(60_000);
  let cluster: TestCluster;

  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster.stop());

  async function call(method: string, path: string, body?: unknown, type = 'application/json', accept = '') {
    const response = await fetch(`${cluster.url}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': type }), ...(accept === '' ? {} : { accept }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { code: response.status, text, body: JSON.parse(text) as Loose };
  }

  async function binary(path: string): Promise<Buffer> {
    const accept = 'application/vnd.kubernetes.protobuf';
    const response = await fetch(`${cluster.url}${path}`, { headers: { accept } });
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, accept]);
    return Buffer.from(await response.arrayBuffer());
  }

  async function firstEvent(path: string): Promise<Loose> {
    const stop = new AbortController();
    const { body } = await fetch(`${cluster.url}${path}`, { signal: stop.signal });
    assert.ok(body);
    let text = '';
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes('\n')) break;
    }
    stop.abort();
    return JSON.parse(text.slice(0, text.indexOf('\n')));
  }

  const pathOf = ({ group, version, resource, namespaced }: ResourceInfo) =>
    `${group === '' ? '/api' : `/apis/${group}`}/${version}${namespaced ? '/namespaces/default' : ''}/${resource}`;

  const objectOf = ({ group, version, kind }: ResourceInfo, { body }: KindFixture, name: string) => ({
    apiVersion: group === '' ? version : `${group}/${version}`,
    kind,
    metadata: { name, labels: { made: 'here' } },
    ...body,
  });

  it('has a fixture', () => {
    assert.deepEqual(resources.map(keyOf).toSorted(), Object.keys(FIXTURES).toSorted());
  });

  for (const info of resources) {
    const fixture = FIXTURES[keyOf(info)];
    if (fixture === undefined) continue;
    it(`${keyOf(info)} goes through all its verbs`, async () => {
      const collection = pathOf(info);
      const name = fixture.name ?? `every-${info.version}`;
      const item = `${collection}/${name}`;

      const made = await call('POST', collection, objectOf(info, fixture, name));
      assert.equal(made.code, 201, made.text);
      assert.equal(made.body.kind, info.kind);
      assert.ok(made.body.metadata.uid && made.body.metadata.creationTimestamp && made.body.metadata.resourceVersion);
      assert.equal((await call('POST', collection, objectOf(info, fixture, name))).body.reason, 'AlreadyExists');

      const got = await call('GET', item);
      assert.deepEqual(got.body, made.body);
      assert.deepEqual(await binary(item), encodeProtobuf(got.body));
      const list = await call('GET', `${collection}?labelSelector=made%3Dhere`);
      assert.equal(list.body.kind, `${info.kind}List`);
      assert.ok(list.body.items.some((entry: Loose) => entry.metadata.name === name));
      const binaryList = decodeProtobufBody(await binary(`${collection}?labelSelector=made%3Dhere`)) as Loose;
      assert.equal(binaryList.kind, list.body.kind);
      assert.deepEqual(
        binaryList.items.map((entry: Loose) => entry.metadata.name),
        list.body.items.map((entry: Loose) => entry.metadata.name),
      );
      const table = await call('GET', collection, undefined, '', TABLE);
      assert.equal(table.body.kind, 'Table', table.text);
      const width = table.body.columnDefinitions.length;
      for (const row of table.body.rows) assert.equal(row.cells.length, width);

      const changed = { ...got.body, metadata: { ...got.body.metadata, annotations: { a: '1' } } };
      const put = await call('PUT', item, changed);
      assert.equal(put.code, 200, put.text);
      assert.equal(put.body.metadata.annotations.a, '1');
      const again = await call('PUT', item, put.body);
      assert.equal(again.body.metadata.resourceVersion, put.body.metadata.resourceVersion, 'a no-op is not written');

      const patches: readonly [type: string, patch: unknown, label: string][] = [
        ['application/merge-patch+json', { metadata: { labels: { x: 'merge' } } }, 'merge'],
        ['application/strategic-merge-patch+json', { metadata: { labels: { x: 'strategic' } } }, 'strategic'],
        ['application/json-patch+json', [{ op: 'replace', path: '/metadata/labels/x', value: 'json' }], 'json'],
      ];
      for (const [type, patch, label] of patches) {
        const patched = await call('PATCH', item, patch, type);
        assert.equal(patched.code, 200, patched.text);
        assert.equal(patched.body.metadata.labels.x, label);
      }

      if (info.subresources.has('status')) {
        const present = (await call('GET', `${item}/status`)).body;
        const status = { ...present.status, ...fixture.status };
        const written = await call('PUT', `${item}/status`, { ...present, status });
        assert.equal(written.code, 200, written.text);
        for (const [field, value] of Object.entries(fixture.status ?? {})) {
          assert.deepEqual(written.body.status[field], value, field);
        }
        // What was asked for is not touched by the status, and the other way round.
        const { metadata: _a, status: _b, ...asked } = written.body;
        const { metadata: _c, status: _d, ...before } = present;
        assert.deepEqual(asked, before);
        const whole = await call('PUT', item, { ...written.body, status: {} });
        assert.equal(whole.code, 200, whole.text);
        assert.deepEqual(whole.body.status, written.body.status);
        assert.equal(whole.body.metadata.generation, written.body.metadata.generation);
      }

      const first = await firstEvent(
        `${collection}?watch=1&resourceVersion=${made.body.metadata.resourceVersion}&fieldSelector=metadata.name%3D${name}`,
      );
      assert.equal(first.type, 'MODIFIED', JSON.stringify(first));
      assert.equal(first.object.kind, info.kind);

      if (info.verbs.includes('deletecollection')) {
        const gone = await call('DELETE', `${collection}?labelSelector=x%3Djson`);
        assert.equal(gone.code, 200, gone.text);
      } else {
        const gone = await call('DELETE', item);
        assert.ok(gone.code === 200 || gone.code === 202, gone.text);
        return;
      }
      const left = await call('GET', item);
      const held = left.body.metadata?.finalizers?.length > 0;
      assert.ok(left.code === 404 || held, left.text);
      if (left.code === 404) {
        await call('POST', collection, objectOf(info, fixture, name));
        const single = await call('DELETE', item);
        assert.equal(single.code, 200, single.text);
      }
    });
  }

  for (const { path, version } of KUBECTLS.filter((one) => isPresent(one.path))) {
    it(`is shown, wide, described and explained by kubectl ${version}`, async () => {
      for (const info of resources) {
        const fixture = FIXTURES[keyOf(info)];
        if (fixture) await call('POST', pathOf(info), objectOf(info, fixture, fixture.name ?? 'shown'));
      }
      const names = resources
        .filter(({ group, version: of }) => !(group === 'autoscaling' && of === 'v1'))
        .map(({ resource, version: of, group }) => (group === '' ? resource : `${resource}.${of}.${group}`));
      for (const args of [
        ['get', names.join(',')],
        ['get', names.join(','), '-o', 'wide'],
        ['get', 'all', '-A'],
        ['describe', names.join(',')],
      ]) {
        const result = await cluster.kubectl(path, args);
        assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
      }
    });
  }
});

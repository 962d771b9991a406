import assert from 'node:assert/strict';
import type { Status } from '../../../src/api/errors.js';
import type { KubeObject } from '../../../src/api/object.js';
import { startCluster, type TestCluster } from './cluster.js';

interface Answer {
  readonly code: number;
  readonly body: KubeObject & Partial<Status>;
}

describe('apply patches over HTTP', function () {
  this.timeout(20_000);
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(async () => cluster?.stop());

  const send = async (method: string, path: string, contentType: string, body: unknown): Promise<Answer> => {
    const response = await fetch(`${cluster.url}${path}`, {
      method,
      headers: { 'content-type': contentType, 'user-agent': 'prog/v1 (linux)' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { code: response.status, body: (await response.json()) as Answer['body'] };
  };
  const maps = '/api/v1/namespaces/default/configmaps';
  const map = (name: string, data?: Record<string, string>, metadata: object = {}) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, ...metadata },
    ...(data ? { data } : {}),
  });
  const apply = (name: string, body: unknown, query = 'fieldManager=me') =>
    send('PATCH', `${maps}/${name}?${query}`, 'application/apply-patch+yaml', body);
  const merge = (name: string, body: unknown, query = '') =>
    send('PATCH', `${maps}/${name}?${query}`, 'application/merge-patch+json', body);
  const managers = ({ body }: Answer) => (body.metadata.managedFields ?? []).map((entry) => entry.manager);

  it('creates what is absent and answers 201, then 200', async () => {
    assert.equal((await apply('a', map('a', { k: '1' }))).code, 201);
    assert.equal((await apply('a', map('a', { k: '2' }))).code, 200);
    const dry = await apply('ghost', map('ghost'), 'fieldManager=me&dryRun=All');
    assert.equal(dry.code, 201);
    assert.equal((await fetch(`${cluster.url}${maps}/ghost`)).status, 404);
  });

  const refusals: [string, () => Promise<Answer>, number, string][] = [
    [
      'no field manager',
      () => apply('a', map('a'), ''),
      422,
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    ],
    [
      'force elsewhere',
      () => merge('a', {}, 'force=true'),
      422,
      'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
    ],
    [
      'a manager that is too long',
      () => apply('a', map('a'), `fieldManager=${'x'.repeat(129)}`),
      422,
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
    ],
    [
      'managed fields in the configuration',
      () => apply('a', map('a', {}, { managedFields: [] })),
      400,
      'metadata.managedFields must be nil',
    ],
    ['another kind', () => apply('a', { ...map('a'), kind: 'Secret' }), 400, 'invalid object type: /v1, Kind=Secret'],
    [
      'a uid of nobody',
      () => apply('none', map('none', {}, { uid: 'u' })),
      409,
      'Operation cannot be fulfilled on configmaps "none": uid mismatch: the provided object specified uid u, and no existing object was found',
    ],
    [
      'values of other types',
      () => apply('a', map('a', { k: 1 as never })),
      500,
      'failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, got &value.valueUnstructured{Value:1}',
    ],
  ];
  for (const [what, request, code, message] of refusals) {
    it(`refuses ${what}`, async () => {
      const answer = await request();
      assert.deepEqual([answer.code, answer.body.message], [code, message]);
    });
  }

  it('refuses bodies that are not YAML, and CBOR', async () => {
    const broken = await apply('a', 'a: [');
    assert.equal(broken.code, 400);
    assert.match(broken.body.message ?? '', /^error decoding YAML: /);
    assert.equal((await send('PATCH', `${maps}/a?fieldManager=me`, 'application/apply-patch+cbor', '')).code, 415);
  });

  it('reports conflicts with a cause for each field', async () => {
    await send('POST', maps, 'application/json', map('c', { k: '1' }));
    const { code, body } = await apply('c', map('c', { k: '2' }));
    assert.equal(code, 409);
    assert.equal(body.reason, 'Conflict');
    assert.equal(body.message, 'Apply failed with 1 conflict: conflict with "prog" using v1: .data.k');
    assert.deepEqual(body.details, {
      causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "prog" using v1', field: '.data.k' }],
    });
    const forced = await apply('c', map('c', { k: '2' }), 'fieldManager=me&force=true');
    assert.deepEqual(managers(forced), ['me', 'prog']);
  });

  it('names a manager after the User-Agent, and lets users reset the owners but not by an empty list', async () => {
    const made = await send('POST', maps, 'application/json', map('r', { k: '1' }));
    assert.deepEqual(managers(made), ['prog']);
    assert.deepEqual(managers(await merge('r', { metadata: { managedFields: [] } })), ['prog']);
    assert.deepEqual(managers(await merge('r', { metadata: { managedFields: [{ operation: 'Bad' }] } })), ['prog']);
    assert.deepEqual(managers(await merge('r', { metadata: { managedFields: [{}] } })), []);
    // From then on nobody is known, until somebody applies.
    assert.deepEqual(managers(await merge('r', { data: { l: '1' } })), []);
    assert.deepEqual(managers(await apply('r', map('r', { l: '1' }))), ['me', 'before-first-apply']);
  });

  it('does not write when nothing but times would change', async () => {
    const made = await apply('n', map('n', { k: '1' }));
    const again = await send('PUT', `${maps}/n`, 'application/json', made.body);
    assert.equal(again.body.metadata.resourceVersion, made.body.metadata.resourceVersion);
    assert.deepEqual(managers(again), ['me']);
  });

  it('applies through scale, and is in conflict there as well', async () => {
    const deployments = '/apis/apps/v1/namespaces/default/deployments';
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const spec = { replicas: 1, selector: { matchLabels: { a: 'b' } }, template };
    await send('POST', deployments, 'application/json', { metadata: { name: 'd' }, spec });
    const scale = (replicas: number, query: string) =>
      send('PATCH', `${deployments}/d/scale?${query}`, 'application/apply-patch+yaml', {
        apiVersion: 'autoscaling/v1',
        kind: 'Scale',
        metadata: { name: 'd' },
        spec: { replicas },
      });
    const refused = await scale(3, 'fieldManager=me');
    assert.equal(
      refused.body.message,
      'Apply failed with 1 conflict: conflict with "prog" using autoscaling/v1: .spec.replicas',
    );
    const forced = await scale(3, 'fieldManager=me&force=true');
    assert.deepEqual([forced.code, forced.body.spec], [200, { replicas: 3 }]);
    const after = (await (await fetch(`${cluster.url}${deployments}/d`)).json()) as KubeObject;
    const [mine, theirs] = after.metadata.managedFields ?? [];
    assert.deepEqual(
      { ...mine, time: '' },
      {
        manager: 'me',
        operation: 'Apply',
        apiVersion: 'apps/v1',
        time: '',
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:spec': { 'f:replicas': {} } },
        subresource: 'scale',
      },
    );
    assert.ok(!JSON.stringify(theirs?.fieldsV1).includes('f:replicas'));
    assert.equal((after.spec as { replicas: number }).replicas, 3);
  });

  it('applies custom resources by their schema, in each of their versions', async () => {
    const openAPIV3Schema = {
      type: 'object',
      properties: {
        spec: {
          type: 'object',
          properties: {
            size: { type: 'integer' },
            parts: {
              type: 'array',
              'x-kubernetes-list-type': 'map',
              'x-kubernetes-list-map-keys': ['id'],
              items: {
                type: 'object',
                required: ['id'],
                properties: { id: { type: 'string' }, note: { type: 'string' } },
              },
            },
          },
        },
        status: { type: 'object', properties: { phase: { type: 'string' } } },
      },
    };
    const version = (name: string, storage: boolean) => ({
      name,
      storage,
      served: true,
      schema: { openAPIV3Schema },
      subresources: { status: {} },
    });
    const made = await send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', 'application/json', {
      metadata: { name: 'things.x.example' },
      spec: {
        group: 'x.example',
        scope: 'Namespaced',
        names: { plural: 'things', kind: 'Thing' },
        versions: [version('v1', true), version('v2', false)],
      },
    });
    assert.equal(made.code, 201, made.body.message);
    const thing = (by: string, spec: object, of = 'v1', more = '', rest: object = {}) =>
      send(
        'PATCH',
        `/apis/x.example/${of}/namespaces/default/things/t${more}?fieldManager=${by}`,
        'application/apply-patch+yaml',
        { apiVersion: `x.example/${of}`, kind: 'Thing', metadata: { name: 't' }, ...(more ? {} : { spec }), ...rest },
      );
    assert.equal((await thing('one', { size: 1, parts: [{ id: 'a', note: 'x' }, { id: 'b' }] })).code, 201);
    assert.equal(
      (await thing('two', { parts: [{ id: 'a', note: 'y' }] }, 'v2')).body.message,
      'Apply failed with 1 conflict: conflict with "one": .spec.parts[id="a"].note',
    );
    assert.equal((await thing('two', { parts: [{ id: 'c' }] }, 'v2')).code, 200);
    assert.equal(
      (await thing('two', { wrong: 1 })).body.message,
      'failed to create typed patch object (/t; x.example/v1, Kind=Thing): .spec.wrong: field not declared in schema',
    );
    const given = await thing('one', { parts: [{ id: 'b' }] });
    assert.deepEqual(given.body.spec, { parts: [{ id: 'b' }, { id: 'c' }] });
    const status = await thing('ctl', {}, 'v1', '/status', { spec: { size: 9 }, status: { phase: 'Up' } });
    assert.deepEqual([status.body.spec, status.body.status], [given.body.spec, { phase: 'Up' }]);
    const entry = status.body.metadata.managedFields?.find(({ manager }) => manager === 'ctl');
    assert.deepEqual([entry?.subresource, entry?.fieldsV1], ['status', { 'f:status': { 'f:phase': {} } }]);
  });
});

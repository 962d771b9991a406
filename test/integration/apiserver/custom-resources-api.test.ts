import assert from 'node:assert/strict';
import { systemClock } from '../../../src/base/clock.js';
import { ServiceGroup } from '../../../src/base/lifecycle.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { systemRandom } from '../../../src/base/random.js';
import { DEFINITIONS } from '../../../src/api/customresources/status.js';
import { CONFIGMAPS, type ResourceRef } from '../../../src/api/resource.js';
import { garbageCollector } from '../../../src/control/controllers/garbagecollector/controller.js';
import type { KubeObject } from '../../../src/api/object.js';
import { customResourceCleanupController } from '../../../src/control/controllers/customresourcecleanup/controller.js';
import { eventRecorders } from '../../../src/control/controllers/deps.js';
import { InformerSet } from '../../../src/control/controllers/informer-set.js';
import { startCluster, type TestCluster } from './cluster.js';

interface Answer {
  readonly code: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- documents of any shape
  readonly body: any;
  readonly warning: string | null;
}

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

describe('custom resources over HTTP', function () {
  this.timeout(30_000);
  let cluster: TestCluster;
  before(async () => (cluster = await startCluster()));
  after(async () => cluster?.stop());

  async function ask(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await fetch(`${cluster.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return { code: response.status, body: isJson ? JSON.parse(text) : text, warning: response.headers.get('warning') };
  }
  const version = (name: string, spec: object, more: object = {}) => ({
    name,
    served: true,
    storage: name === 'v1',
    schema: {
      openAPIV3Schema: {
        type: 'object',
        properties: { spec, status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    },
    ...more,
  });
  let count = 0;
  async function define(versions: readonly object[], more: object = {}) {
    count += 1;
    const plural = `things${count}`;
    const group = `g${count}.example.com`;
    const kind = `Thing${count}`;
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${plural}.${group}`, labels: { set: `s${count}` } },
      spec: { group, scope: 'Namespaced', names: { plural, kind }, versions, ...more },
    };
    const created = await ask('POST', CRDS, definition);
    assert.equal(created.code, 201, JSON.stringify(created.body));
    const path = (name: string) => `/apis/${group}/${name}/namespaces/default/${plural}`;
    const object = (name: string, spec: unknown, of = 'v1') => ({
      apiVersion: `${group}/${of}`,
      kind,
      metadata: { name },
      spec,
    });
    return { plural, group, kind, created, path, object, crd: `${CRDS}/${plural}.${group}` };
  }
  const OPEN = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

  it('is there in every kind of discovery as soon as its definition is answered', async () => {
    const { group, plural, kind } = await define([
      version('v1', OPEN, { subresources: { status: {} } }),
      version('v2beta1', OPEN),
      version('v10', OPEN),
    ]);
    const { body: groups } = await ask('GET', '/apis');
    const entry = groups.groups.find(({ name }: { name: string }) => name === group);
    assert.deepEqual(
      entry.versions.map((one: { version: string }) => one.version),
      ['v10', 'v1', 'v2beta1'],
    );
    const { body: list } = await ask('GET', `/apis/${group}/v1`);
    assert.deepEqual(
      list.resources.map(({ name }: { name: string }) => name),
      [plural, `${plural}/status`],
    );
    for (const accept of ['v2', 'v2beta1']) {
      const { body } = await ask('GET', '/apis', undefined, {
        accept: `application/json;v=${accept};g=apidiscovery.k8s.io;as=APIGroupDiscoveryList,application/json`,
      });
      const found = body.items.find(({ metadata }: { metadata: { name: string } }) => metadata.name === group);
      assert.equal(found.versions[1].resources[0].responseKind.kind, kind);
    }
  });

  it('shows all served versions and stores one', async () => {
    const { path, object, crd } = await define([version('v1', OPEN), version('v2', OPEN)]);
    assert.equal((await ask('POST', path('v2'), object('a', { x: 1 }, 'v2'))).body.apiVersion.endsWith('/v2'), true);
    const { body } = await ask('GET', path('v1'));
    assert.deepEqual(
      body.items.map((item: { apiVersion: string; spec: unknown }) => [item.apiVersion.split('/')[1], item.spec]),
      [['v1', { x: 1 }]],
    );
    assert.deepEqual((await ask('GET', crd)).body.status.storedVersions, ['v1']);
    const raised = [
      { op: 'replace', path: '/spec/versions/0/storage', value: false },
      { op: 'replace', path: '/spec/versions/1/storage', value: true },
    ];
    assert.equal((await ask('PATCH', crd, raised, { 'content-type': 'application/json-patch+json' })).code, 200);
    assert.deepEqual((await ask('GET', crd)).body.status.storedVersions, ['v1', 'v2']);
    assert.equal((await ask('GET', `${path('v2')}/a`)).body.spec.x, 1);
  });

  it('applies defaults to requests and to what was stored before them', async () => {
    const plain = { type: 'object', properties: { a: { type: 'string' }, b: { type: 'string' } } };
    const { path, object, crd } = await define([version('v1', plain)]);
    await ask('POST', path('v1'), object('old', {}));
    const at = '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties';
    const json = { 'content-type': 'application/json-patch+json' };
    const patched = await ask('PATCH', crd, [{ op: 'add', path: `${at}/a/default`, value: 'A' }], json);
    assert.equal(patched.code, 200, JSON.stringify(patched.body));
    assert.equal((await ask('GET', `${path('v1')}/old`)).body.spec.a, 'A');
    assert.equal((await ask('POST', path('v1'), object('new', {}))).body.spec.a, 'A');
    await ask(
      'PATCH',
      crd,
      [
        { op: 'remove', path: `${at}/a/default` },
        { op: 'add', path: `${at}/b/default`, value: 'B' },
      ],
      json,
    );
    assert.deepEqual((await ask('GET', `${path('v1')}/new`)).body.spec, { a: 'A', b: 'B' }, 'what was stored stays');
    assert.deepEqual((await ask('GET', `${path('v1')}/old`)).body.spec, { b: 'B' }, 'what was only shown is gone');
  });

  it('refuses, reports or drops unknown and duplicate fields', async () => {
    const { path, object } = await define([
      version('v1', {
        type: 'object',
        properties: {
          a: { type: 'string' },
          pod: { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
        },
      }),
    ]);
    const sent = {
      ...object('a', { a: 'x', nope: 1, pod: { apiVersion: 'v1', kind: 'Pod', metadata: { unknownSubMeta: 'y' } } }),
    } as { metadata: object };
    sent.metadata = { name: 'a', unknownMeta: 'x' };
    const strict = await ask('POST', `${path('v1')}?fieldValidation=Strict`, sent);
    assert.equal(strict.code, 400);
    for (const field of ['metadata.unknownMeta', 'spec.pod.metadata.unknownSubMeta', 'spec.nope']) {
      assert.ok(strict.body.message.includes(`unknown field "${field}"`), strict.body.message);
    }
    const warned = await ask('POST', `${path('v1')}?fieldValidation=Warn`, sent);
    assert.equal(warned.code, 201);
    assert.match(warned.warning ?? '', /unknown field \\"spec.nope\\"/);
    assert.equal(warned.body.spec.nope, undefined);
    const twice = JSON.stringify(object('b', { a: 'x' })).replace('"a":"x"', '"a":"x","a":"y"');
    const duplicate = await ask('POST', `${path('v1')}?fieldValidation=Strict`, twice);
    assert.match(duplicate.body.message, /duplicate field "spec.a"/);
  });

  it('publishes schemas while their versions are served', async () => {
    const spec = {
      type: 'object',
      properties: { bars: { type: 'array', items: { type: 'string' }, description: 'Bars' } },
    };
    const { group, kind, crd } = await define([version('v1', spec), version('v2', spec)]);
    const name = (of: string) => `${group.split('.').toReversed().join('.')}.${of}.${kind}`;
    const v2 = (await ask('GET', '/openapi/v2')).body;
    assert.ok(v2.definitions[name('v1')].properties.spec.properties.bars);
    assert.ok(v2.definitions[name('v2')]);
    const index = (await ask('GET', '/openapi/v3')).body.paths;
    const before = index[`apis/${group}/v1`].serverRelativeURL;
    const document = (await ask('GET', before)).body;
    assert.equal(document.components.schemas[name('v1')]['x-kubernetes-group-version-kind'][0].kind, kind);
    const json = { 'content-type': 'application/json-patch+json' };
    await ask('PATCH', crd, [{ op: 'replace', path: '/spec/versions/1/served', value: false }], json);
    assert.equal((await ask('GET', '/openapi/v2')).body.definitions[name('v2')], undefined);
    assert.equal((await ask('GET', '/openapi/v3')).body.paths[`apis/${group}/v2`], undefined);
    await ask('PATCH', crd, [{ op: 'replace', path: '/spec/versions/1', value: version('v3', spec) }], json);
    assert.ok((await ask('GET', '/openapi/v2')).body.definitions[name('v3')]);
  });

  it('says what a definition lacks, however little there is of it', async () => {
    for (const spec of [undefined, null, {}, { names: {} }, { names: null, versions: null }]) {
      const { code, body } = await ask('POST', CRDS, { metadata: { name: 'x' }, spec });
      assert.equal(code, 422, JSON.stringify(body));
      assert.match(body.message, /spec.group: Required value, spec.scope: Required value, .*spec.names.kind: Required/);
    }
    const merge = { 'content-type': 'application/merge-patch+json' };
    const { crd } = await define([version('v1', OPEN)]);
    const { body } = await ask('GET', crd);
    const { spec: _, ...bare } = body;
    assert.equal((await ask('PUT', crd, bare)).code, 422);
    assert.equal((await ask('PATCH', crd, { spec: null }, merge)).code, 422);
    assert.equal((await ask('PATCH', crd, { spec: { names: null } }, merge)).code, 422);
  });

  it('keeps the status of definitions writable by others', async () => {
    const { crd } = await define([version('v1', OPEN)]);
    const condition = { type: 'StatusUpdate', status: 'True', reason: 'E2E', message: 'Set from e2e test' };
    const { body } = await ask('GET', `${crd}/status`);
    body.status.conditions.push(condition);
    assert.equal((await ask('PUT', `${crd}/status`, body)).code, 200);
    const merged = { status: { conditions: [{ ...condition, type: 'StatusPatched' }] } };
    const patched = await ask('PATCH', `${crd}/status`, merged, { 'content-type': 'application/merge-patch+json' });
    const types = patched.body.status.conditions.map(({ type }: { type: string }) => type);
    assert.deepEqual(types.toSorted(), ['Established', 'NamesAccepted', 'StatusPatched']);
  });

  it('removes definitions as a set, and leaves others alone', async () => {
    const one = await define([version('v1', OPEN)]);
    const other = await define([version('v1', OPEN)]);
    const label = one.created.body.metadata.labels.set;
    assert.equal((await ask('GET', `${CRDS}?labelSelector=set%3D${label}`)).body.items.length, 1);
    assert.equal((await ask('DELETE', `${CRDS}?labelSelector=set%3D${label}`)).code, 200);
    assert.equal((await ask('GET', one.crd)).code, 404);
    assert.equal((await ask('GET', one.path('v1'))).code, 404);
    assert.equal((await ask('GET', other.crd)).code, 200);
  });

  function controllerDeps() {
    const { client } = cluster;
    const environment = { client, clock: systemClock, random: systemRandom, log: silentLogger, metrics: noMetrics };
    return { ...environment, informers: new InformerSet(environment), events: eventRecorders(environment) };
  }

  it('collects objects of kinds that came after the collector began', async () => {
    const deps = controllerDeps();
    const { client } = cluster;
    const added: ResourceRef[] = [];
    const collector = garbageCollector(deps, { resources: [CONFIGMAPS], customResources: () => added });
    const services = new ServiceGroup('test', [collector, deps.informers], silentLogger);
    await services.start();
    try {
      const owner = await client.create<KubeObject>(CONFIGMAPS, { metadata: { namespace: 'default', name: 'owner' } });
      const { group, plural, kind, path, object } = await define([version('v1', OPEN)]);
      added.push({ group, version: 'v1', resource: plural, kind, namespaced: true });
      // Any change of a definition makes the collector look again.
      await define([version('v1', OPEN)]);
      const dependent = object('dependent', {}) as { metadata: object };
      const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid };
      dependent.metadata = { name: 'dependent', ownerReferences: [reference] };
      assert.equal((await ask('POST', path('v1'), dependent)).code, 201);
      await client.delete(CONFIGMAPS, 'default', 'owner');
      await until(async () => (await ask('GET', `${path('v1')}/dependent`)).code === 404);
    } finally {
      await services.stop();
    }
  });

  it('removes the instances before the definition', async () => {
    const deps = controllerDeps();
    const { informers } = deps;
    const services = new ServiceGroup(
      'test',
      [customResourceCleanupController(deps, { retryMs: 20 }), informers],
      silentLogger,
    );
    await services.start();
    try {
      const { path, object, crd } = await define([version('v1', OPEN)]);
      const held = object('held', {}) as { metadata: { finalizers?: string[] } };
      held.metadata.finalizers = ['example.com/hold'];
      await ask('POST', path('v1'), held);
      await ask('POST', path('v1'), object('free', {}));
      const deleted = await ask('DELETE', crd);
      assert.equal(deleted.body.status.conditions.at(-1).reason, 'InstanceDeletionPending');
      const late = await ask('POST', path('v1'), object('late', {}));
      assert.equal(late.code, 405, JSON.stringify(late.body));
      await until(async () => (await ask('GET', path('v1'))).body.items.length === 1);
      assert.equal((await ask('GET', crd)).code, 200);
      await ask(
        'PATCH',
        `${path('v1')}/held`,
        { metadata: { finalizers: null } },
        { 'content-type': 'application/merge-patch+json' },
      );
      await until(async () => (await ask('GET', crd)).code === 404);
      assert.equal((await ask('GET', path('v1'))).code, 404);
    } finally {
      await services.stop();
    }
  });

  it('warns of deprecated versions', async () => {
    const { path, object, group, kind } = await define([version('v1', OPEN, { deprecated: true })]);
    assert.match(
      (await ask('POST', path('v1'), object('a', {}))).warning ?? '',
      new RegExp(`${group}/v1 ${kind} is deprecated`),
    );
    assert.match((await ask('GET', `${path('v1')}/a`)).warning ?? '', /is deprecated/);
  });

  it('hands out names that a deleted definition held', async () => {
    const first = await define([version('v1', OPEN)]);
    const second = {
      ...first.created.body,
      metadata: { name: `others.${first.group}` },
      spec: { ...first.created.body.spec, names: { plural: 'others', kind: first.kind } },
      status: undefined,
    };
    const refused = await ask('POST', CRDS, second);
    assert.equal(refused.body.status.conditions[0].reason, 'ListKindConflict');
    assert.equal((await ask('GET', `/apis/${first.group}/v1/namespaces/default/others`)).code, 404);
    await ask('DELETE', first.crd);
    assert.equal((await ask('GET', `/apis/${first.group}/v1/namespaces/default/others`)).code, 200);
  });

  it('registers a hundred large definitions in well under a second', async () => {
    const properties = Object.fromEntries(
      Array.from({ length: 40 }, (_unused, index) => [
        `field${index}`,
        { type: 'string', description: 'x'.repeat(80) },
      ]),
    );
    const began = performance.now();
    for (let i = 0; i < 100; i++) {
      const group = `many${i}.example.com`;
      const spec = { group, scope: 'Namespaced', names: { plural: 'things', kind: 'Thing' } };
      const versions = [version('v1', { type: 'object', properties })];
      const definition = { metadata: { name: `things.${group}` }, spec: { ...spec, versions } };
      await cluster.client.create<KubeObject>(DEFINITIONS, definition);
    }
    const ms = performance.now() - began;
    assert.ok(ms < 1500, `${ms} ms`);
  });
});

async function until(test: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await test()) return;
    await systemClock.sleep(10);
  }
  assert.fail('it never came true');
}

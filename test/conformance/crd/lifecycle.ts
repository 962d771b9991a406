/** CustomResourceDefinitions through their verbs, and what they bring about. */
import assert from 'node:assert/strict';
import { aggregated, resourcesOf } from '../api/discovery.js';
import type { Context, Rows } from '../framework/context.js';
import { discovers } from '../framework/discovery.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import { define, definition, definitions, established } from './definitions.js';

async function create(t: Context): Promise<void> {
  const { name } = await define(t);
  includes((await established(t, name)).status.acceptedNames, { plural: name.split('.')[0] });
  await definitions(t).delete(name);
  await eventually('it to be gone', async () => !(await definitions(t).exists(name)), 60_000);
}

async function listAndDeleteCollection(t: Context): Promise<void> {
  const run = t.unique('run');
  for (let i = 0; i < 3; i++) await define(t, { labels: { run } });
  const other = await define(t);
  assert.equal((await definitions(t).items(`run=${run}`)).length, 3);
  await definitions(t).deleteCollection(`run=${run}`);
  await eventually('the three to be gone', async () => (await definitions(t).items(`run=${run}`)).length === 0, 60_000);
  assert.ok(await definitions(t).exists(other.name));
}

async function status(t: Context): Promise<void> {
  const { name } = await define(t);
  const resource = definitions(t);
  const condition = (type: string) => ({ type, status: 'True', reason: 'Conformance', message: 'set by a test' });
  const updated = await resource.update(
    name,
    (object) => object.status.conditions.push(condition('StatusUpdate')),
    'status',
  );
  const has = (object: Json, wanted: string) => object.status.conditions.some(({ type }: Json) => type === wanted);
  assert.ok(has(updated, 'StatusUpdate'));
  assert.ok(has(await resource.get(name, 'status'), 'StatusUpdate'));
  const conditions = [...updated.status.conditions, condition('StatusPatched')];
  assert.ok(has(await resource.patch(name, { status: { conditions } }, 'merge', 'status'), 'StatusPatched'));
  assert.ok(has(await resource.get(name), 'StatusPatched'));
}

async function watch(t: Context): Promise<void> {
  const { resource, kind } = await define(t, { clusterScoped: true });
  const custom = resource();
  const watching = await custom.watch();
  t.cleanup(() => Promise.resolve(watching.close()));
  const object = (name: string) => ({
    apiVersion: custom.groupVersion,
    kind,
    metadata: { name },
    content: { key: 'value' },
  });
  for (const name of ['name1', 'name2']) {
    await custom.create(object(name));
    const event = await watching.next();
    assert.deepEqual([event.type, event.object.metadata.name], ['ADDED', name]);
  }
  for (const name of ['name1', 'name2']) {
    await custom.patch(name, { dummy: 'test' });
    const event = await watching.next();
    assert.deepEqual([event.type, event.object.metadata.name, event.object.dummy], ['MODIFIED', name, 'test']);
  }
  for (const name of ['name1', 'name2']) {
    await custom.delete(name);
    const event = await watching.next();
    assert.deepEqual([event.type, event.object.metadata.name], ['DELETED', name]);
  }
}

/** Defaults come with requests and with what is read from storage; what was once written stays. */
async function defaulting(t: Context): Promise<void> {
  const schema = (properties: Json): Json => ({ type: 'object', properties });
  const plain = { a: { type: 'string' }, b: { type: 'string' } };
  const { name, resource, kind } = await define(t, { versions: { v1: schema(plain) }, clusterScoped: true });
  const custom = resource();
  const object = (objectName: string) => ({ apiVersion: custom.groupVersion, kind, metadata: { name: objectName } });
  assert.equal((await custom.create(object('before'))).a, undefined);
  const setSchema = (properties: Json) =>
    definitions(t).update(name, ({ spec }) => (spec.versions[0].schema.openAPIV3Schema = schema(properties)));
  const readsAs = (objectName: string, expected: Json) =>
    eventually(`${objectName} to read as ${JSON.stringify(expected)}`, async () => {
      for (const peer of t.api.eachPeer) {
        const { a, b } = await peer.get(custom.path(objectName));
        assert.deepEqual({ a, b }, { a: undefined, b: undefined, ...expected });
      }
      return true;
    });

  await setSchema({ a: { type: 'string', default: 'A' }, b: { type: 'string', default: 'B' } });
  await readsAs('before', { a: 'A', b: 'B' });
  includes(await custom.create(object('after')), { a: 'A', b: 'B' });
  await setSchema({ a: { type: 'string', default: 'A2' }, b: { type: 'string' } });
  await readsAs('before', { a: 'A2' });
  await readsAs('after', { a: 'A', b: 'B' });
}

async function inAggregatedDiscovery(t: Context): Promise<void> {
  const { group, plural } = await define(t);
  const entry = `${group}/v1/${plural}`;
  await eventually(`${entry} in aggregated discovery`, async () =>
    resourcesOf(await aggregated(t, '/apis')).includes(entry),
  );
}

/** The document changes with the definition, and so does its ETag. */
async function acceptHeaders(t: Context): Promise<void> {
  const before = resourcesOf(await aggregated(t, '/apis'));
  const { group, plural, kind, name } = await define(t);
  assert.ok(!before.includes(`${group}/v1/${plural}`));
  const found = await eventually('the group in aggregated discovery', async () => {
    const { items } = await aggregated(t, '/apis');
    return items.find(({ metadata }: Json) => metadata.name === group);
  });
  includes(found.versions[0].resources[0], {
    resource: plural,
    responseKind: { group, version: 'v1', kind },
    scope: 'Namespaced',
  });
  await definitions(t).delete(name);
  await eventually('the group to be gone', async () =>
    (await aggregated(t, '/apis')).items.every(({ metadata }: Json) => metadata.name !== group),
  );
}

export const rows: Rows = {
  'crd-create': create,
  'crd-list': listAndDeleteCollection,
  'crd-status': status,
  'crd-watch': watch,
  'crd-defaulting': defaulting,
  'crd-discovery': async (t) => {
    await discovers(t.api, 'apiextensions.k8s.io/v1', [
      'customresourcedefinitions',
      'customresourcedefinitions/status',
    ]);
    // A definition that is none is refused with what is wrong with it.
    const bad = definition(t);
    bad.metadata.name = 'not-its-name';
    await refused(definitions(t).create(bad), { status: 422, reason: 'Invalid', message: /metadata\.name/ });
  },
  'aggdisc-interface-crd': inAggregatedDiscovery,
  'aggdisc-accept-crd': acceptHeaders,
};

/** The end of a namespace. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { eventually, includes } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

async function finalizer(t: Context): Promise<void> {
  const name = t.unique('nslife');
  const namespaces = t.core('namespaces');
  const custom = 'conformance.example.com/finalizer';
  await namespaces.create({ metadata: { name } });
  t.cleanup(() => namespaces.delete(name));
  includes((await namespaces.get(name)).spec.finalizers, ['kubernetes']);
  const finalize = async (finalizers: string[]) =>
    namespaces.replace({ ...(await namespaces.get(name)), spec: { finalizers } }, 'finalize');
  includes((await finalize(['kubernetes', custom])).spec.finalizers, ['kubernetes', custom]);
  const removed = await finalize(['kubernetes']);
  includes(removed.spec.finalizers, ['kubernetes']);
}

/** What was in it is gone with it, also for a new namespace of the name. */
async function removes(t: Context, plural: string, object: Json, isReady: (object: Json) => boolean): Promise<void> {
  t.needsControllers();
  const name = await t.namespace('nslife');
  const namespaces = t.core('namespaces');
  const objects = t.core(plural, name);
  await objects.create(object);
  await eventually(`its ${plural} to be ready`, async () => (await objects.items()).every(isReady));
  await namespaces.delete(name);
  await eventually('the namespace to be gone', async () => !(await namespaces.exists(name)), 60_000);
  await namespaces.create({ metadata: { name } });
  t.cleanup(() => namespaces.delete(name));
  assert.deepEqual(await objects.names(), []);
}

export const rows: Rows = {
  'ns-finalizer': finalizer,
  'ns-delete-services': (t) =>
    removes(t, 'services', { metadata: { name: 'test-service' }, spec: { ports: [{ port: 80 }] } }, () => true),
  'ns-delete-pods': (t) =>
    removes(t, 'pods', { metadata: { name: 'test-pod' }, spec: podSpec() }, ({ status }) => status.phase === 'Running'),
};

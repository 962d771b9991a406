/** The end of a namespace. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { eventually, includes } from '../framework/expect.js';

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

async function removesServices(t: Context): Promise<void> {
  t.needsControllers();
  const name = await t.namespace('nslife');
  const namespaces = t.core('namespaces');
  const services = t.core('services', name);
  await services.create({ metadata: { name: 'test-service' }, spec: { ports: [{ port: 80 }] } });
  await namespaces.delete(name);
  await eventually('the namespace to be gone', async () => !(await namespaces.exists(name)), 60_000);
  await namespaces.create({ metadata: { name } });
  t.cleanup(() => namespaces.delete(name));
  assert.deepEqual(await services.names(), []);
}

export const rows: Rows = { 'ns-finalizer': finalizer, 'ns-delete-services': removesServices };

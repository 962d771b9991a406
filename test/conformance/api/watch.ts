/** What watches of ConfigMaps promise. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';
import type { Watch, WatchEvent } from '../framework/watch.js';

const QUIET_MS = 1_500;

/** ConfigMaps of a new namespace. */
const configMaps = async (t: Context): Promise<Resource> => t.core('configmaps', await t.namespace('watch'));

const configMap = (name: string, watch: string): Json => ({ metadata: { name, labels: { watch } }, data: {} });

const mutate = (resource: Resource, name: string, value: string) =>
  resource.update(name, (object) => (object.data = { mutation: value }));

async function watched(t: Context, resource: Resource, query: Record<string, string>): Promise<Watch> {
  const watch = await resource.watch(query);
  t.cleanup(() => Promise.resolve(watch.close()));
  return watch;
}

/** The next event is this and no other. */
async function sees(watch: Watch, type: WatchEvent['type'], name: string, mutation?: string): Promise<WatchEvent> {
  const event = await watch.next();
  const { object } = event;
  assert.deepEqual([event.type, object.metadata?.name, object.data?.mutation], [type, name, mutation]);
  return event;
}

async function multipleWatchers(t: Context): Promise<void> {
  const resource = await configMaps(t);
  const a = await watched(t, resource, { labelSelector: 'watch=a' });
  const b = await watched(t, resource, { labelSelector: 'watch=b' });
  const both = await watched(t, resource, { labelSelector: 'watch in (a,b)' });
  await resource.create(configMap('of-a', 'a'));
  await mutate(resource, 'of-a', '1');
  await mutate(resource, 'of-a', '2');
  await resource.delete('of-a');
  for (const watch of [a, both]) {
    await sees(watch, 'ADDED', 'of-a');
    await sees(watch, 'MODIFIED', 'of-a', '1');
    await sees(watch, 'MODIFIED', 'of-a', '2');
    await sees(watch, 'DELETED', 'of-a', '2');
  }
  await resource.create(configMap('of-b', 'b'));
  await resource.delete('of-b');
  for (const watch of [b, both]) {
    await sees(watch, 'ADDED', 'of-b');
    await sees(watch, 'DELETED', 'of-b');
  }
  await Promise.all([a, b, both].map((watch) => watch.silent(QUIET_MS)));
}

async function fromResourceVersion(t: Context): Promise<void> {
  const resource = await configMaps(t);
  await resource.create(configMap('versions', 'rv'));
  const { metadata } = await mutate(resource, 'versions', '1');
  await mutate(resource, 'versions', '2');
  await resource.delete('versions');
  const watch = await watched(t, resource, { labelSelector: 'watch=rv', resourceVersion: metadata.resourceVersion });
  await sees(watch, 'MODIFIED', 'versions', '2');
  await sees(watch, 'DELETED', 'versions', '2');
}

async function closedAndRestarted(t: Context): Promise<void> {
  const resource = await configMaps(t);
  const first = await watched(t, resource, { labelSelector: 'watch=restart' });
  await resource.create(configMap('restart', 'restart'));
  await mutate(resource, 'restart', '1');
  await sees(first, 'ADDED', 'restart');
  const { object } = await sees(first, 'MODIFIED', 'restart', '1');
  first.close();
  await mutate(resource, 'restart', '2');
  await resource.delete('restart');
  const { resourceVersion } = object.metadata;
  const second = await watched(t, resource, { labelSelector: 'watch=restart', resourceVersion });
  await sees(second, 'MODIFIED', 'restart', '2');
  await sees(second, 'DELETED', 'restart', '2');
}

async function labelChanged(t: Context): Promise<void> {
  const resource = await configMaps(t);
  const relabel = (value: string) => resource.update('moving', ({ metadata }) => (metadata.labels.watch = value));
  const watch = await watched(t, resource, { labelSelector: 'watch=here' });
  await resource.create(configMap('moving', 'here'));
  await mutate(resource, 'moving', '1');
  await sees(watch, 'ADDED', 'moving');
  await sees(watch, 'MODIFIED', 'moving', '1');
  await relabel('away');
  await sees(watch, 'DELETED', 'moving', '1');
  await mutate(resource, 'moving', '2');
  await watch.silent(QUIET_MS);
  await relabel('here');
  await sees(watch, 'ADDED', 'moving', '2');
  await mutate(resource, 'moving', '3');
  await resource.delete('moving');
  await sees(watch, 'MODIFIED', 'moving', '3');
  await sees(watch, 'DELETED', 'moving', '3');
}

const WATCHES = 25;
const CHANGES = 50;

/** Watches begun at each version in turn all see the rest of the events in one order. */
async function sameOrder(t: Context): Promise<void> {
  const resource = await configMaps(t);
  const reference = await watched(t, resource, {});
  // The CA's ConfigMap belongs to every namespace.
  const names = new Set<string>();
  const versions: string[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const name = `cm-${i % 7}`;
    if (!names.has(name)) {
      names.add(name);
      versions.push((await resource.create({ metadata: { name }, data: { i: String(i) } })).metadata.resourceVersion);
    } else if (i % 5 === 0) {
      names.delete(name);
      await resource.delete(name);
    } else {
      versions.push((await resource.update(name, ({ data }) => (data.i = String(i)))).metadata.resourceVersion);
    }
  }
  const last = versions.at(-1) ?? '';
  const version = ({ object }: WatchEvent) => String(object.metadata.resourceVersion);
  await reference.until(`version ${last}`, (event) => version(event) === last);
  const order = reference.events.map((event) => `${event.type} ${version(event)}`);
  for (const from of versions.slice(0, WATCHES)) {
    const watch = await watched(t, resource, { resourceVersion: from });
    await (from === last ? undefined : watch.until(`version ${last}`, (event) => version(event) === last));
    const seen = watch.events.map((event) => `${event.type} ${version(event)}`);
    const start = reference.events.findIndex((event) => version(event) === from) + 1;
    assert.deepEqual(seen, order.slice(start, start + seen.length));
    watch.close();
  }
}

export const rows: Rows = {
  'watch-multi': multipleWatchers,
  'watch-from-rv': fromResourceVersion,
  'watch-restart': closedAndRestarted,
  'watch-label-change': labelChanged,
  'watch-order': sameOrder,
};

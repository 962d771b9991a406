import assert from 'node:assert/strict';
import { seededRandom } from '../../../src/base/random.js';
import { ApiError, isAlreadyExists, isConflict, isExpired, isNotFound } from '../../../src/api/errors.js';
import { CONFIGMAPS, NAMESPACES, PODS } from '../../../src/api/resource.js';
import type { ConfigMap, Namespace, Pod } from '../../../src/api/types/core-v1.js';
import type { WatchEvent } from '../../../src/client/client.js';
import { ManualClock, settle } from '../../../src/testing/manual-clock.js';
import { MemoryClient } from '../../../src/testing/memory-client.js';

const make = () => new MemoryClient({ clock: new ManualClock(), random: seededRandom(1) });
const map = (name: string, labels: Record<string, string> = {}): ConfigMap => ({
  metadata: { namespace: 'ns', name, labels },
});
const pod = (name: string): Pod => ({ metadata: { namespace: 'ns', name }, spec: { containers: [] } });

async function collect<T>(stream: AsyncIterable<T>, into: T[]): Promise<void> {
  for await (const event of stream) into.push(event);
}

describe('MemoryClient', () => {
  it('numbers writes, refuses stale ones and ignores those that change nothing', async () => {
    const client = make();
    const made = await client.create(CONFIGMAPS, map('a'));
    const changed = await client.update(CONFIGMAPS, { ...made, data: { k: 'v' } });
    assert.equal(changed.metadata.generation, 2);
    assert.ok(Number(changed.metadata.resourceVersion) > Number(made.metadata.resourceVersion));
    await assert.rejects(client.update(CONFIGMAPS, { ...made, data: { k: 'w' } }), isConflict);
    assert.equal(await client.update(CONFIGMAPS, { ...changed }), changed);
    await assert.rejects(client.create(CONFIGMAPS, map('a')), isAlreadyExists);
    await assert.rejects(client.get(CONFIGMAPS, 'ns', 'b'), isNotFound);
  });

  it('keeps status and spec apart', async () => {
    const client = make();
    const made = await client.create<Pod>(PODS, { ...pod('a'), status: { phase: 'Running' } });
    assert.deepEqual(made.status, { phase: 'Pending' });
    const running = await client.updateStatus<Pod>(PODS, {
      ...made,
      spec: { containers: [], nodeName: 'ignored' },
      status: { phase: 'Running' },
    });
    assert.equal(running.spec?.nodeName, undefined);
    assert.equal(running.status?.phase, 'Running');
    assert.equal(running.metadata.generation, 1);
  });

  it('replays a watch from a revision, with objects entering and leaving the selection', async () => {
    const client = make();
    const { resourceVersion } = await client.list(CONFIGMAPS);
    const made = await client.create(CONFIGMAPS, map('a', { app: 'x' }));
    const abort = new AbortController();
    const events: WatchEvent<ConfigMap>[] = [];
    const done = collect(
      client.watch<ConfigMap>(CONFIGMAPS, { resourceVersion, labelSelector: 'app=x', signal: abort.signal }),
      events,
    );
    await client.update(CONFIGMAPS, {
      ...map('a', { app: 'y' }),
      metadata: { ...made.metadata, labels: { app: 'y' } },
    });
    await settle();
    abort.abort();
    await done;
    assert.deepEqual(
      events.map(({ type }) => type),
      ['ADDED', 'DELETED'],
    );
  });

  it('answers 410 for a revision that is forgotten', async () => {
    const client = make();
    await client.create(CONFIGMAPS, map('a'));
    client.compact();
    const watch = client.watch(CONFIGMAPS, { resourceVersion: '1', signal: new AbortController().signal });
    await assert.rejects(collect(watch, []), isExpired);
  });

  it('removes unbound pods at once and bound ones after a deletion with grace 0', async () => {
    const client = make();
    await client.create(PODS, pod('unbound'));
    await client.delete(PODS, 'ns', 'unbound');
    await assert.rejects(client.get(PODS, 'ns', 'unbound'), isNotFound);
    await client.create(PODS, pod('bound'));
    await client.createSubresource(PODS, 'ns', 'bound', 'binding', { target: { name: 'node' } });
    await client.delete(PODS, 'ns', 'bound');
    const dying = await client.get<Pod>(PODS, 'ns', 'bound');
    assert.equal(dying.metadata.deletionGracePeriodSeconds, 30);
    assert.equal(dying.metadata.deletionTimestamp, '2026-01-01T00:00:30Z');
    await client.delete(PODS, 'ns', 'bound', { gracePeriodSeconds: 0 });
    await assert.rejects(client.get(PODS, 'ns', 'bound'), isNotFound);
  });

  it('keeps an object until its last finalizer is gone', async () => {
    const client = make();
    const object = map('a');
    object.metadata.finalizers = ['x/y'];
    await client.create(CONFIGMAPS, object);
    await client.delete(CONFIGMAPS, 'ns', 'a');
    await client.patch(CONFIGMAPS, 'ns', 'a', 'merge', { metadata: { finalizers: null } });
    await assert.rejects(client.get(CONFIGMAPS, 'ns', 'a'), isNotFound);
  });

  it('takes nothing new in a terminating namespace, which goes when finalized', async () => {
    const client = make();
    await client.create(NAMESPACES, { metadata: { name: 'ns' } });
    await client.delete(NAMESPACES, '', 'ns');
    await assert.rejects(client.create(CONFIGMAPS, map('a')), (error: ApiError) => error.code === 403);
    const namespace = structuredClone(await client.get<Namespace>(NAMESPACES, '', 'ns'));
    namespace.spec = { finalizers: [] };
    await client.update(NAMESPACES, namespace, { subresource: 'finalize' });
    await assert.rejects(client.get(NAMESPACES, '', 'ns'), isNotFound);
  });

  it('fails the calls it is told to fail', async () => {
    const client = make();
    client.failNext({ verb: 'create', resource: CONFIGMAPS, error: new ApiError(500, 'InternalError', 'broken') });
    await assert.rejects(client.create(CONFIGMAPS, map('a')), /broken/);
    await client.create(CONFIGMAPS, map('a'));
  });
});

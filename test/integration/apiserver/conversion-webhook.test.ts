import assert from 'node:assert/strict';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { systemRandom } from '../../../src/base/random.js';
import { NAMESPACES } from '../../../src/api/resource.js';
import { DEFINITIONS } from '../../../src/api/customresources/status.js';
import type { KubeObject } from '../../../src/api/object.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { InProcessClient } from '../../../src/control/apiserver/client.js';
import { createKindFollower } from '../../../src/control/apiserver/customresources/kind-follower.js';
import { WebhookConversions } from '../../../src/control/apiserver/customresources/webhook-conversions.js';
import { ObjectReads } from '../../../src/control/apiserver/reads/object-reads.js';
import { createWriteExecutor } from '../../../src/control/apiserver/writes/executor.js';
import { createDefaultAdmission } from '../../../src/security/admission/default-plugins.js';
import { MemoryStore } from '../../../src/testing/memory-store.js';

interface Host extends KubeObject {
  spec: { host?: string; port?: string; hostPort?: string };
}
type Review = { request: { uid: string; desiredAPIVersion: string; objects: Host[] } };

/** v1 has `hostPort`, v2 `host` and `port`. */
function converted(object: Host, to: string): Host {
  if (to.endsWith('/v2')) {
    const [host = '', port = ''] = (object.spec.hostPort ?? '').split(':');
    return { ...object, apiVersion: to, spec: { host, port } };
  }
  return { ...object, apiVersion: to, spec: { hostPort: `${object.spec.host}:${object.spec.port}` } };
}

const versionOf = (name: string, storage: boolean, fields: string[]) => ({
  name,
  served: true,
  storage,
  selectableFields: fields.map((field) => ({ jsonPath: `.spec.${field}` })),
  schema: {
    openAPIV3Schema: {
      type: 'object',
      properties: {
        spec: { type: 'object', properties: Object.fromEntries(fields.map((field) => [field, { type: 'string' }])) },
      },
    },
  },
});

const DEFINITION = {
  metadata: { name: 'hosts.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'hosts', kind: 'Host' },
    versions: [versionOf('v1', true, ['hostPort']), versionOf('v2', false, ['host', 'port'])],
    conversion: {
      strategy: 'Webhook',
      webhook: { clientConfig: { url: 'https://convert.example.com/' }, conversionReviewVersions: ['v1'] },
    },
  },
} as unknown as KubeObject;

describe('conversion webhooks', () => {
  let calls = 0;
  let failing = '';
  let registry: KindRegistry;
  let client: InProcessClient;
  const webhooks = {
    post: async ({ body }: { body: unknown }) => {
      calls += 1;
      const { request } = body as Review;
      const result = failing === '' ? { status: 'Success' } : { status: 'Failure', message: failing };
      const convertedObjects = request.objects.map((object) => converted(object, request.desiredAPIVersion));
      return Promise.resolve({ response: { uid: request.uid, result, convertedObjects } });
    },
  };
  const kind = (version: string) => {
    const info = registry.find('example.com', version, 'hosts');
    assert.ok(info);
    return info;
  };
  const host = (name: string, spec: Host['spec']): Host => ({ metadata: { namespace: 'default', name }, spec });

  beforeEach(async () => {
    calls = 0;
    failing = '';
    registry = KindRegistry.load();
    const { chain } = createDefaultAdmission({ random: systemRandom });
    const executor = createWriteExecutor({ registry, random: systemRandom, admission: chain });
    const store = new MemoryStore({ clock: systemClock, executor });
    await createKindFollower(store, registry, silentLogger).start();
    const conversions = new WebhookConversions({ webhooks, random: systemRandom });
    const reads = new ObjectReads({ store, clock: systemClock, conversions });
    client = new InProcessClient({ store, reads, random: systemRandom });
    await client.create(NAMESPACES, { metadata: { name: 'default' } });
    await client.create(DEFINITIONS, DEFINITION);
  });

  it('shows an object of one version in the other, and asks once', async () => {
    await client.create(kind('v1'), host('a', { hostPort: 'x:1' }));
    assert.equal(calls, 0, 'what is stored as it is sent needs no conversion');
    const shown = await client.get<Host>(kind('v2'), 'default', 'a');
    assert.deepEqual([shown.apiVersion, shown.spec], ['example.com/v2', { host: 'x', port: '1' }]);
    await client.get<Host>(kind('v2'), 'default', 'a');
    assert.equal(calls, 1);
  });

  it('stores what is created, updated and patched in another version', async () => {
    const created = await client.create(kind('v2'), host('b', { host: 'y', port: '2' }));
    assert.equal(created.apiVersion, 'example.com/v2');
    assert.deepEqual((await client.get<Host>(kind('v1'), 'default', 'b')).spec, { hostPort: 'y:2' });
    await client.patch(kind('v2'), 'default', 'b', 'merge', { spec: { port: '3' } });
    assert.deepEqual((await client.get<Host>(kind('v1'), 'default', 'b')).spec, { hostPort: 'y:3' });
    await client.delete(kind('v2'), 'default', 'b');
    assert.equal((await client.list(kind('v1'))).items.length, 0);
  });

  it('lets go of the last finalizer through another version', async () => {
    const metadata = { namespace: 'default', name: 'held', finalizers: ['example.com/hold'] };
    await client.create(kind('v1'), { metadata, spec: { hostPort: 'x:1' } } as Host);
    await client.delete(kind('v2'), 'default', 'held');
    await client.patch(kind('v2'), 'default', 'held', 'merge', { metadata: { finalizers: null } });
    assert.equal((await client.list(kind('v1'))).items.length, 0);
  });

  it('lists in one version, in one review, by its fields', async () => {
    await client.create(kind('v1'), host('a', { hostPort: 'x:1' }));
    await client.create(kind('v1'), host('b', { hostPort: 'y:1' }));
    const { items } = await client.list<Host>(kind('v2'), { fieldSelector: 'spec.host=y' });
    assert.deepEqual(
      items.map(({ metadata, spec }) => [metadata.name, spec]),
      [['b', { host: 'y', port: '1' }]],
    );
    assert.equal(calls, 1);
  });

  it('asks once for many readers', async () => {
    await client.create(kind('v1'), host('a', { hostPort: 'x:1' }));
    await Promise.all(Array.from({ length: 5 }, () => client.get(kind('v2'), 'default', 'a')));
    assert.equal(calls, 1);
  });

  it('watches in one version', async () => {
    const abort = new AbortController();
    const seen: string[] = [];
    const done = (async () => {
      const options = { resourceVersion: '0', fieldSelector: 'spec.host=x', signal: abort.signal };
      for await (const event of client.watch<Host>(kind('v2'), options)) {
        if (event.type === 'BOOKMARK') continue;
        seen.push(`${event.type} ${event.object.spec.port}`);
        if (seen.length === 3) abort.abort();
      }
    })();
    await client.create(kind('v1'), host('a', { hostPort: 'x:1' }));
    await client.patch(kind('v1'), 'default', 'a', 'merge', { spec: { hostPort: 'x:2' } });
    await client.patch(kind('v1'), 'default', 'a', 'merge', { spec: { hostPort: 'z:2' } });
    await done;
    assert.deepEqual(seen, ['ADDED 1', 'MODIFIED 2', 'DELETED 2']);
  });

  it('tells why a webhook failed', async () => {
    await client.create(kind('v1'), host('a', { hostPort: 'x:1' }));
    failing = 'no idea';
    await assert.rejects(
      client.get(kind('v2'), 'default', 'a'),
      /conversion webhook for example.com\/v1, Kind=Host failed: no idea/,
    );
    await assert.rejects(client.create(kind('v2'), host('b', { host: 'y', port: '2' })), /failed: no idea/);
  });
});

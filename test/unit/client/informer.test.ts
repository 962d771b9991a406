import assert from 'node:assert/strict';
import { ApiError } from '../../../src/api/errors.js';
import { CONFIGMAPS } from '../../../src/api/resource.js';
import type { ConfigMap } from '../../../src/api/types/core-v1.js';
import { silentLogger, type Logger } from '../../../src/base/log.js';
import { seededRandom } from '../../../src/base/random.js';
import type { Client, WatchEvent } from '../../../src/client/client.js';
import { Informer, type InformerOptions } from '../../../src/client/informer.js';
import { ManualClock, settle } from '../../../src/testing/manual-clock.js';
import { MemoryClient } from '../../../src/testing/memory-client.js';

const map = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}): ConfigMap =>
  ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default', labels }, data }) as ConfigMap;

describe('an informer', () => {
  let clock: ManualClock;
  let client: MemoryClient;
  let informers: Informer<ConfigMap>[];
  let seen: string[];

  beforeEach(() => {
    clock = new ManualClock();
    client = new MemoryClient({ clock, random: seededRandom(1) });
    informers = [];
    seen = [];
  });
  afterEach(() => Promise.all(informers.map((informer) => informer.stop())));

  function make(options: InformerOptions<ConfigMap> = {}, through: Client = client, log: Logger = silentLogger) {
    const informer = new Informer<ConfigMap>({ client: through, clock, log }, CONFIGMAPS, options);
    informers.push(informer);
    const note = (what: string) => (object: ConfigMap, previous?: ConfigMap) =>
      void seen.push(`${what} ${object.metadata.name} ${object.data?.['v'] ?? ''}<${previous?.data?.['v'] ?? ''}`);
    informer.addHandler({ onUpsert: note('upsert'), onDelete: note('delete') });
    return informer;
  }
  const set = (name: string, v: string) => client.patch(CONFIGMAPS, 'default', name, 'merge', { data: { v } });
  const count = (verb: string) => client.calls.filter((call) => call.verb === verb).length;
  const names = (list: ConfigMap[]) => list.map(({ metadata }) => metadata.name ?? '').sort((a, b) => (a < b ? -1 : 1));

  it('lists first, then follows changes in order with what was before', async () => {
    client.seed(CONFIGMAPS, map('a', { v: '1' }));
    const informer = make();
    assert.equal(informer.hasSynced, false);
    await informer.start();
    await informer.synced;
    assert.deepEqual(seen, ['upsert a 1<']);
    await set('a', '2');
    client.seed(CONFIGMAPS, map('b', { v: '1' }));
    await client.delete(CONFIGMAPS, 'default', 'a');
    await settle();
    assert.deepEqual(seen, ['upsert a 1<', 'upsert a 2<1', 'upsert b 1<', 'delete a 2<']);
    assert.deepEqual(names(informer.list('default')), ['b']);
    assert.deepEqual(informer.list('other'), []);
    assert.equal(informer.get('default', 'b')?.data?.['v'], '1');
    assert.equal(informer.get('default', 'a'), undefined);
  });

  it('gives a handler that comes late what is there', async () => {
    client.seed(CONFIGMAPS, map('a'));
    const informer = make();
    await informer.start();
    await informer.synced;
    const late: string[] = [];
    informer.addHandler({ onUpsert: ({ metadata }) => void late.push(metadata.name ?? '') });
    assert.deepEqual(late, ['a']);
  });

  it('keeps its indexes with every change', async () => {
    client.seed(CONFIGMAPS, map('a', { v: 'x' }));
    client.seed(CONFIGMAPS, map('b', { v: 'x' }));
    const informer = make({ indexes: { value: ({ data }) => (data?.['v'] ? [data['v']] : []) } });
    await informer.start();
    await informer.synced;
    assert.deepEqual(names(informer.byIndex('value', 'x')), ['a', 'b']);
    await set('a', 'y');
    await client.delete(CONFIGMAPS, 'default', 'b');
    await settle();
    assert.deepEqual(names(informer.byIndex('value', 'x')), []);
    assert.deepEqual(names(informer.byIndex('value', 'y')), ['a']);
    assert.deepEqual(informer.byIndex('nonsense', 'y'), []);
  });

  it('sees objects enter and leave its selection', async () => {
    client.seed(CONFIGMAPS, map('a', {}, { app: 'web' }));
    client.seed(CONFIGMAPS, map('b'));
    const informer = make({ labelSelector: 'app=web' });
    await informer.start();
    await informer.synced;
    await client.patch(CONFIGMAPS, 'default', 'b', 'merge', { metadata: { labels: { app: 'web' } } });
    await client.patch(CONFIGMAPS, 'default', 'a', 'merge', { metadata: { labels: { app: null } } });
    await settle();
    assert.deepEqual(names(informer.list()), ['b']);
    assert.deepEqual(seen, ['upsert a <', 'upsert b <', 'delete a <']);
  });

  it('resumes a watch that broke where it was, without another list', async () => {
    client.seed(CONFIGMAPS, map('a', { v: '1' }));
    client.failNext({ verb: 'watch', times: 3, error: new Error('connection reset') });
    const informer = make();
    await informer.start();
    await informer.synced;
    await set('a', '2');
    await clock.advance(1_000);
    assert.deepEqual(seen, ['upsert a 1<', 'upsert a 2<1']);
    assert.equal(count('list'), 1);
    assert.equal(count('watch'), 4);
  });

  it('lists anew when its revision is gone, and tells the difference only', async () => {
    for (const name of ['same', 'changed', 'removed']) client.seed(CONFIGMAPS, map(name, { v: '1' }));
    const informer = make();
    await informer.start();
    await informer.synced;
    seen.length = 0;
    client.holdWatches();
    await set('changed', '2');
    await client.delete(CONFIGMAPS, 'default', 'removed');
    client.seed(CONFIGMAPS, map('added', { v: '1' }));
    client.compact();
    client.releaseWatches();
    await clock.advance(1_000);
    assert.deepEqual(seen.sort(), ['delete removed 1<', 'upsert added 1<', 'upsert changed 2<1']);
    assert.equal(count('list'), 2);
  });

  it('tries the first list again for as long as it takes, ever more slowly', async () => {
    client.failNext({ verb: 'list', times: 4, error: new ApiError(503, 'ServiceUnavailable', 'not yet') });
    client.seed(CONFIGMAPS, map('a'));
    const informer = make();
    await informer.start();
    await clock.advance(100);
    assert.equal(informer.hasSynced, false);
    await clock.advance(2_000);
    assert.equal(informer.hasSynced, true);
    assert.equal(count('list'), 5);
  });

  it('does not ask in a tight loop a server that ends every watch at once, or forgets every revision', async () => {
    for (const end of [
      // eslint-disable-next-line require-yield
      async function* (): AsyncGenerator<WatchEvent<never>> {
        await Promise.resolve();
      },
      // eslint-disable-next-line require-yield
      async function* (): AsyncGenerator<WatchEvent<never>> {
        await Promise.resolve();
        throw new ApiError(410, 'Expired', 'too old');
      },
    ]) {
      let watches = 0;
      const through = Object.create(client, {
        watch: {
          value: () => {
            watches += 1;
            return end();
          },
        },
      }) as Client;
      await make({}, through).start();
      await clock.advance(10_000);
      assert.ok(watches > 2 && watches < 15, `${watches}`);
    }
  });

  it('outlives a handler that throws, and serves the other handlers', async () => {
    const errors: string[] = [];
    const log = { ...silentLogger, error: (message: string) => void errors.push(message) };
    const informer = make({}, client, log);
    const others: string[] = [];
    informer.addHandler({
      onUpsert: () => {
        throw new Error('a mistake');
      },
    });
    informer.addHandler({ onUpsert: ({ metadata }) => void others.push(metadata.name ?? '') });
    await informer.start();
    await informer.synced;
    client.seed(CONFIGMAPS, map('a'));
    client.seed(CONFIGMAPS, map('b'));
    await settle();
    assert.deepEqual(others, ['a', 'b']);
    assert.equal(errors.length, 2);
    assert.equal(count('watch'), 1);
  });

  it('stops at once, also while it waits to try again', async () => {
    client.failNext({ verb: 'list', times: 100, error: new Error('down') });
    const informer = make();
    await informer.start();
    await settle();
    await informer.stop();
    assert.equal(clock.pending, 0);
  });
});

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ApiError } from '../../../../../src/api/errors.js';
import { NODES } from '../../../../../src/api/resource.js';
import type { Node } from '../../../../../src/api/types/core-v1.js';
import { overlaps, parseCidr } from '../../../../../src/base/ipv4.js';
import { silentLogger } from '../../../../../src/base/log.js';
import { noMetrics } from '../../../../../src/base/metrics.js';
import { seededRandom } from '../../../../../src/base/random.js';
import { Informer } from '../../../../../src/client/informer.js';
import { planPodCidrs } from '../../../../../src/control/controllers/nodeipam/plan.js';
import { createPodCidrAllocator } from '../../../../../src/control/controllers/nodeipam/pod-cidr-allocator.js';
import { ManualClock } from '../../../../../src/testing/manual-clock.js';
import { MemoryClient } from '../../../../../src/testing/memory-client.js';

const cidr = (text: string) => parseCidr(text) ?? assert.fail(text);
const claim = (node: string, podCIDR?: string) => ({ node, podCIDR });

describe('the plan of pod CIDRs', () => {
  it('gives the lowest free networks in the order of names', () => {
    const { assign } = planPodCidrs([claim('c'), claim('a'), claim('b', '10.244.1.0/24')], cidr('10.244.0.0/16'), 24);
    assert.deepEqual(
      [...assign],
      [
        ['a', '10.244.0.0/24'],
        ['c', '10.244.2.0/24'],
      ],
    );
  });

  it('leaves what is given alone, of whatever size, and names who gets none', () => {
    const { assign, exhausted } = planPodCidrs(
      [claim('a', '10.0.0.0/25'), claim('b', '192.0.2.0/24'), claim('c'), claim('d'), claim('e', 'nonsense')],
      cidr('10.0.0.0/23'),
      24,
    );
    assert.deepEqual([...assign], [['c', '10.0.1.0/24']]);
    assert.deepEqual(exhausted, ['d']);
  });

  it('never gives out networks that overlap', () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.tuple(fc.nat(255), fc.integer({ min: 20, max: 28 }))), { maxLength: 20 }),
        (nodes) => {
          const claims = nodes.map((given, i) => claim(`n${i}`, given ? `10.9.${given[0]}.0/${given[1]}` : undefined));
          const { assign } = planPodCidrs(claims, cidr('10.9.0.0/16'), 24);
          const given = claims.flatMap(({ podCIDR }) => (podCIDR ? [podCIDR] : []));
          const made = [...assign.values()];
          made.forEach((one, i) => {
            for (const other of [...given, ...made.slice(i + 1)]) assert.ok(!overlaps(cidr(one), cidr(other)));
          });
        },
      ),
    );
  });
});

describe('the pod CIDR allocator', () => {
  let clock: ManualClock;
  let client: MemoryClient;
  let stop: () => Promise<void>;
  beforeEach(async () => {
    clock = new ManualClock();
    client = new MemoryClient({ clock, random: seededRandom(1) });
    await start('10.244.0.0/22');
  });
  afterEach(() => stop());

  async function start(clusterCidr: string): Promise<void> {
    const deps = { client, clock, log: silentLogger, metrics: noMetrics };
    const nodes = new Informer<Node>(deps, NODES);
    const allocator = createPodCidrAllocator({ ...deps, nodes }, { clusterCidr });
    await nodes.start();
    await allocator.start();
    stop = async () => {
      await allocator.stop();
      await nodes.stop();
    };
  }
  const add = (name: string) =>
    client.seed<Node>(NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name } } as Node);
  const given = () =>
    Object.fromEntries(client.all<Node>(NODES).map(({ metadata, spec }) => [metadata.name, spec?.podCIDRs?.join()]));

  it('gives each node a network, once', async () => {
    add('b');
    add('a');
    await clock.advance(100);
    add('c');
    await clock.advance(100);
    assert.deepEqual(new Set(Object.values(given())), new Set(['10.244.0.0/24', '10.244.1.0/24', '10.244.2.0/24']));
    assert.equal(client.writes(NODES).length, 3);
  });

  it('gives out no network twice while its cache says nothing of its own writes', async () => {
    await clock.advance(10);
    client.holdWatches();
    add('m');
    client.releaseWatches();
    await clock.advance(10);
    client.holdWatches();
    add('a');
    client.releaseWatches();
    await clock.advance(100);
    assert.deepEqual(given(), { m: '10.244.0.0/24', a: '10.244.1.0/24' });
  });

  it('keeps a network for its node when it cannot know whether the write took place', async () => {
    const update = client.update.bind(client);
    const late: (() => Promise<unknown>)[] = [];
    client.update = (resource, object, options) => {
      if (object.metadata.name !== 'm') return update(resource, object, options);
      late.push(() => update(resource, object, options));
      return Promise.reject(new ApiError(504, 'Timeout', 'no answer'));
    };
    add('m');
    await clock.advance(10);
    // Comes before "m" in order, while nobody knows that "m" has a network.
    add('a');
    await clock.advance(10);
    client.update = update;
    await late[0]?.();
    await clock.advance(60_000);
    assert.deepEqual(given(), { m: '10.244.0.0/24', a: '10.244.1.0/24' });
  });

  it('gives a network that became free to a node that had to wait', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) add(name);
    await clock.advance(100);
    assert.equal(given()['e'], undefined);
    await client.delete(NODES, '', 'b');
    await clock.advance(31_000);
    assert.equal(given()['e'], '10.244.1.0/24');
  });

  it('refuses sizes that make no sense', async () => {
    await assert.rejects(start('10.0.0.0/25'), /no networks of \/24 in the cluster CIDR '10\.0\.0\.0\/25'/);
  });
});

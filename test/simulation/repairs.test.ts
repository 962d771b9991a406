/** What both sides of a split gave away is one object's again after the merge, by the real controllers on real write paths. */
import assert from 'node:assert/strict';
import { SERVICES, NODES } from '../../src/api/resource.js';
import type { Node, Service } from '../../src/api/types/core-v1.js';
import { silentLogger } from '../../src/base/log.js';
import { noMetrics } from '../../src/base/metrics.js';
import { seededRandom } from '../../src/base/random.js';
import { Informer } from '../../src/client/informer.js';
import { InProcessClient } from '../../src/control/apiserver/client.js';
import { ObjectReads } from '../../src/control/apiserver/reads/object-reads.js';
import { eventRecorders } from '../../src/control/controllers/deps.js';
import { InformerSet } from '../../src/control/controllers/informer-set.js';
import { createPodCidrAllocator } from '../../src/control/controllers/nodeipam/pod-cidr-allocator.js';
import { serviceAllocationController } from '../../src/control/controllers/serviceallocation/controller.js';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { assertDocumented } from '../unit/store/merge-table.js';
import { requestOf } from './clients.js';

const say = (line: string) => process.stdout.write(`      ${line}\n`);

describe('repairs after a merge', function () {
  this.timeout(60_000);
  let sequence = 0;
  let cluster: SimCluster;
  const peer = (i: number) => cluster.peers[i] as SimPeer;

  async function write(i: number, part: Parameters<typeof requestOf>[1], code: number) {
    const id = `repair-${++sequence}`;
    const reply = await cluster.until(peer(i).replica.write(id, requestOf(id, part)));
    assert.equal(reply.code, code, JSON.stringify(reply.body));
  }
  const create = (i: number, resource: string, object: unknown) =>
    write(i, { verb: 'create', resource, name: '', object, ...(resource === 'nodes' ? { namespace: '' } : {}) }, 201);

  const service = (name: string, spec: object) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { type: 'NodePort', ports: [{ port: 80, ...spec }] },
  });
  const withAddress = (name: string, nodePort: number, clusterIP: string) => {
    const one = service(name, { nodePort });
    return { ...one, spec: { ...one.spec, clusterIP } };
  };
  const node = (name: string, podCIDR: string) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    spec: { podCIDR, podCIDRs: [podCIDR] },
  });

  /** The controllers of that peer; returns how to end them. */
  async function control(i: number): Promise<() => Promise<void>> {
    const { replica, clock } = peer(i).life as NonNullable<SimPeer['life']>;
    const random = seededRandom(5);
    const client = new InProcessClient({ store: replica, reads: new ObjectReads({ store: replica, clock }), random });
    const environment = { client, clock, random, log: silentLogger, metrics: noMetrics };
    const informers = new InformerSet(environment);
    const deps = { ...environment, informers, events: eventRecorders(environment) };
    const nodes = new Informer<Node>(environment, NODES);
    const events = deps.events('node-ipam');
    const running = [
      serviceAllocationController(deps),
      createPodCidrAllocator({ ...environment, nodes, events }, { clusterCidr: '10.244.0.0/16' }),
      informers,
      nodes,
    ];
    for (const one of running) await cluster.until(one.start());
    return async () => {
      for (const one of running.toReversed()) await cluster.until(one.stop());
    };
  }

  const services = () => peer(0).replica.list('', SERVICES.resource, 'default') as Service[];
  const claims = () =>
    services().flatMap(({ spec }) => [
      spec?.clusterIP ?? '',
      ...(spec?.ports ?? []).map((port) => String(port.nodePort)),
    ]);
  const networks = () => (peer(0).replica.list('', NODES.resource) as Node[]).map(({ spec }) => spec?.podCIDR ?? '');
  const isUnique = (values: readonly string[]) => new Set(values).size === values.length;

  beforeEach(async () => {
    cluster = new SimCluster({ seed: 3, peers: 2 });
    await cluster.found();
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } };
    await write(0, { verb: 'create', resource: 'namespaces', name: '', object: namespace }, 201);
    await cluster.clock.run(() => cluster.isSettled());
    cluster.network.partition([[peer(0).id], [peer(1).id]]);
    await cluster.clock.run(() => cluster.peers.every(({ replica }) => replica.view?.members.length === 1));
  });

  it('leave an address, a port and a network to who had them first, and tell the others', async () => {
    assertDocumented(
      'in a cluster, one ClusterIP, NodePort or pod CIDR given away on both sides: who was created first keeps it; the other gets a new one, with an Event `Reallocated`',
    );
    await create(0, 'services', withAddress('a', 30_080, '10.96.0.50'));
    await create(0, 'services', withAddress('e', 30_083, '10.96.0.51'));
    await create(0, 'nodes', node('node-a', '10.244.1.0/24'));
    await cluster.clock.run(3_000);
    await create(1, 'services', withAddress('b', 30_080, '10.96.0.50'));
    await create(1, 'services', withAddress('c', 30_081, '10.96.0.51'));
    await create(1, 'nodes', node('node-b', '10.244.1.0/24'));
    const stop = await control(0);
    cluster.network.heal();
    const healedMs = cluster.clock.monotonicMs();
    await cluster.clock.run(() => cluster.isSettled());
    const mergedMs = cluster.clock.monotonicMs();
    await cluster.clock.run(
      () => services().length === 4 && networks().length === 2 && isUnique(claims()) && isUnique(networks()),
      { limitMs: 5_000, what: 'the repairs' },
    );
    const ms = (from: number) => (cluster.clock.monotonicMs() - from).toFixed(0);
    say(`nothing held twice ${ms(healedMs)} ms after the heal, ${ms(mergedMs)} ms after the merge`);
    const first = services().find(({ metadata }) => metadata.name === 'a');
    assert.deepEqual([first?.spec?.clusterIP, first?.spec?.ports?.[0]?.nodePort], ['10.96.0.50', 30_080]);
    assert.equal(services().find(({ metadata }) => metadata.name === 'c')?.spec?.ports?.[0]?.nodePort, 30_081);
    const keeper = peer(0).replica.get({ group: '', resource: 'nodes', namespace: '', name: 'node-a' }) as Node;
    assert.equal(keeper.spec?.podCIDR, '10.244.1.0/24');
    await cluster.clock.run(() => new Set(told()).size === 3, { limitMs: 5_000, what: 'the Events' });
    await stop();
    await cluster.clock.run(() => cluster.isSettled());
  });

  const told = () =>
    (peer(0).replica.list('', 'events') as readonly { reason?: string; involvedObject?: { name?: string } }[])
      .filter(({ reason }) => reason === 'Reallocated')
      .map(({ involvedObject }) => involvedObject?.name);
});

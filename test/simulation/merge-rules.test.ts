/** How a merge decides where it takes a cluster: who lives where, what a majority held, what was counted on either side. */
import assert from 'node:assert/strict';
import type { KubeObject } from '../../src/api/object.js';
import { SimCluster, type SimPeer } from '../../src/testing/sim-cluster.js';
import { assertDocumented } from '../unit/store/merge-table.js';
import { configMap, keyOf, requestOf } from './clients.js';

type Pod = KubeObject & { readonly spec: { readonly nodeName?: string } };
type Node = KubeObject & { readonly spec: { readonly unschedulable?: boolean; readonly taints?: readonly object[] } };
/** The node of peer 0. */
const HOME = 'p0';

type Part = Parameters<typeof requestOf>[1];

describe('how a merge decides in a cluster', function () {
  this.timeout(60_000);
  let sequence = 0;
  let cluster: SimCluster;
  const peer = (i: number) => cluster.peers[i] as SimPeer;

  async function write(i: number, part: Part, code = 200) {
    const id = `rule-${++sequence}`;
    const reply = await cluster.until(peer(i).replica.write(id, requestOf(id, part)));
    assert.equal(reply.code, code, JSON.stringify(reply.body));
  }
  const create = (i: number, resource: string, object: object, more: Partial<Part> = {}) =>
    write(i, { verb: 'create', resource, name: '', object, ...more }, 201);
  const patch = (i: number, resource: string, name: string, object: object, more: Partial<Part> = {}) =>
    write(i, { verb: 'patch', patch: 'merge', resource, name, object, ...more });
  const bind = (i: number, node: string) =>
    write(
      i,
      {
        verb: 'create',
        resource: 'pods',
        subresource: 'binding',
        name: 'pod',
        object: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'pod' }, target: { kind: 'Node', name: node } },
      },
      201,
    );
  const podAt = (i: number) => peer(i).replica.get(keyOf('pods', 'pod')) as Pod | undefined;
  const nodeAt = (i: number) =>
    peer(i).replica.get({ group: '', resource: 'nodes', namespace: '', name: HOME }) as Node | undefined;
  const reports = () =>
    peer(0).replica.conflicts.map(
      ({ object, conflict: { path, kept, dropped } }) =>
        `${object.split('/').at(-1)} ${path}: ${JSON.stringify(kept.value)} over ${JSON.stringify(dropped[0]?.value)}`,
    );

  /** Peers 0 and 1 on one side, 2 on the other; the pod is bound to a node if told. */
  async function split(bound: boolean, node = HOME) {
    cluster = new SimCluster({ seed: 17, peers: 3 });
    await cluster.found();
    for (const name of ['default', 'other']) {
      await create(0, 'namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }, { namespace: '' });
    }
    await create(0, 'nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: node } }, { namespace: '' });
    const spec = { containers: [{ name: 'c', image: 'i' }] };
    await create(0, 'pods', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pod', labels: { a: '0' } }, spec });
    if (bound) await bind(0, node);
    // Past the time for which a follower may lag.
    await cluster.clock.run(7_000);
    await cluster.clock.run(() => cluster.isSettled());
    cluster.network.partition([[peer(0).id, peer(1).id], [peer(2).id]]);
    await cluster.clock.run(() => peer(2).replica.view?.members.length === 1);
    await cluster.clock.run(() => peer(0).replica.view?.members.length === 2);
  }

  async function heal() {
    cluster.network.heal();
    await cluster.clock.run(() => cluster.isSettled(), { what: 'settling' });
  }

  const rule = (text: string, run: () => Promise<void>) =>
    it(text, async () => {
      assertDocumented(`in a cluster, ${text}`);
      await run();
    });

  rule(
    'a Pod bound on both sides: one binding stands, that of the part that takes the other in; reported',
    async () => {
      await split(false);
      await bind(2, 'p2');
      await cluster.clock.run(1_000);
      await bind(0, 'p0');
      await heal();
      for (const i of [0, 1, 2]) assert.equal(podAt(i)?.spec.nodeName, 'p0');
      assert.ok(reports().includes('pod spec.nodeName: "p0" over "p2"'), reports().join());
    },
  );

  rule(
    'a Pod or Node of the part that takes the other in, changed by the other: the part that has the node decides; reported',
    async () => {
      await split(true);
      await patch(0, 'pods', 'pod', { metadata: { labels: { b: 'home' } } });
      await cluster.clock.run(1_000);
      await patch(2, 'pods', 'pod', { metadata: { labels: { a: 'far' } } });
      await patch(2, 'nodes', HOME, { spec: { unschedulable: true } }, { namespace: '' });
      await heal();
      for (const i of [0, 1, 2]) assert.deepEqual(podAt(i)?.metadata.labels, { a: '0', b: 'home' }, `p${i}`);
      assert.equal(nodeAt(2)?.spec.unschedulable, undefined);
      assert.ok(reports().includes(`${HOME} spec.unschedulable: undefined over true`), reports().join('\n'));
      assert.ok(reports().includes('pod metadata.labels.a: "0" over "far"'), reports().join('\n'));
    },
  );

  rule(
    'a Node of that part tainted, or its Pod deleted, by the other, which cannot reach it: taken back; of taints nothing is reported',
    async () => {
      await split(true);
      const taints = [{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' }];
      await patch(2, 'nodes', HOME, { spec: { taints } }, { namespace: '' });
      await write(2, { verb: 'delete', resource: 'pods', name: 'pod', object: { gracePeriodSeconds: 0 } });
      assert.equal(podAt(2), undefined);
      await heal();
      for (const i of [0, 1, 2]) {
        assert.equal(podAt(i)?.spec.nodeName, HOME, `p${i}`);
        assert.ok(!JSON.stringify(nodeAt(i)?.spec.taints).includes('unreachable'), `p${i}`);
      }
      assert.deepEqual(
        reports().map((text) => text.split(':')[0]),
        ['pod '],
      );
    },
  );

  rule(
    'a Pod deleted by the part that takes the other in, while it ran in the other: stays deleted; reported if it was changed there',
    async () => {
      await split(true, 'p2');
      await patch(2, 'pods', 'pod', { metadata: { labels: { a: 'far' } } });
      await write(0, { verb: 'delete', resource: 'pods', name: 'pod', object: { gracePeriodSeconds: 0 } });
      await heal();
      for (const i of [0, 1, 2]) assert.equal(podAt(i), undefined);
      assert.deepEqual(
        reports().map((text) => text.split(':')[0]),
        ['pod '],
      );
    },
  );

  rule(
    'a quota used up on both sides: all that was created stays; nothing more is admitted until there is room',
    async () => {
      await split(false);
      const quota = {
        apiVersion: 'v1',
        kind: 'ResourceQuota',
        metadata: { name: 'q' },
        spec: { hard: { configmaps: '1' } },
      };
      cluster.network.heal();
      await cluster.clock.run(() => cluster.isSettled());
      await create(0, 'resourcequotas', quota);
      // As the controller does when it sees the quota.
      const status = { hard: quota.spec.hard, used: { configmaps: '0' } };
      await patch(0, 'resourcequotas', 'q', { status }, { subresource: 'status' });
      await cluster.clock.run(() => cluster.isSettled());
      cluster.network.partition([[peer(0).id, peer(1).id], [peer(2).id]]);
      await cluster.clock.run(() => peer(2).replica.view?.members.length === 1);
      await cluster.clock.run(() => peer(0).replica.view?.members.length === 2);
      await create(0, 'configmaps', configMap('many'));
      await create(2, 'configmaps', configMap('few'));
      await heal();
      const names = peer(1)
        .replica.list('', 'configmaps', 'default')
        .map(({ metadata }) => metadata.name);
      assert.deepEqual(names, ['few', 'many']);
      await write(1, { verb: 'create', resource: 'configmaps', name: '', object: configMap('third') }, 403);
    },
  );

  rule('what needs a majority: written on one side only (503 on the other), and as that side has it', async () => {
    await split(false);
    const majority = (name: string) => {
      const object = configMap(name, { k: '1' });
      return { ...object, metadata: { ...object.metadata, annotations: { 'skein.dev/partition': 'majority' } } };
    };
    await create(0, 'configmaps', majority('voted'));
    await write(2, { verb: 'create', resource: 'configmaps', name: '', object: majority('voted') }, 503);
    await heal();
    for (const i of [0, 1, 2]) assert.ok(peer(i).replica.get(keyOf('configmaps', 'voted')));
    assert.deepEqual(reports(), []);
  });
});

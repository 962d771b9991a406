import assert from 'node:assert/strict';
import type { Pod } from '../../../../src/api/types/core-v1.js';
import { enoughNodes } from '../../../../src/control/scheduler/placement.js';
import { Cluster } from './decisions.js';
import { node, pod } from './objects.js';

const owned = (name: string, requests: Record<string, string> = {}): Pod => {
  const made = pod(name, requests, {}, { app: 'web' });
  made.metadata.ownerReferences = [
    { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'rs-1', controller: true },
  ];
  return made;
};
const tally = (names: string[]) => {
  const counts: Record<string, number> = {};
  for (const name of names.sort()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
};

describe('what makes a node better', () => {
  it('spreads thirty replicas over three equal nodes ten by ten', () => {
    for (const requests of [{}, { cpu: '100m', memory: '64Mi' }]) {
      const cluster = new Cluster(node('a'), node('b'), node('c'));
      const names = Array.from({ length: 30 }, (_, i) => cluster.run(owned(`web-${i}`, requests)));
      assert.deepEqual(tally(names), { a: 10, b: 10, c: 10 });
    }
  });

  it('spreads the pods of a Service without a controller likewise', () => {
    const cluster = new Cluster(node('a'), node('b'), node('c'));
    cluster.services.add('web');
    const names = Array.from({ length: 9 }, (_, i) => cluster.run(pod(`p${i}`, {}, {}, { app: 'web' })));
    assert.deepEqual(tally(names), { a: 3, b: 3, c: 3 });
  });

  it('spreads over zones of different size', () => {
    const zone = (name: string) => ({ labels: { 'topology.kubernetes.io/zone': name } });
    const cluster = new Cluster(node('a1', {}, zone('a')), node('a2', {}, zone('a')), node('b1', {}, zone('b')));
    const first = [cluster.run(owned('p0')), cluster.run(owned('p1'))].map((name) => name[0]);
    assert.deepEqual(new Set(first), new Set(['a', 'b']));
  });

  it('is room: the least allocated node, by share', () => {
    const cluster = new Cluster(node('a'), node('b', { cpu: '8' })).put('a', pod('x', { cpu: '2', memory: '4Gi' }));
    assert.deepEqual(cluster.score('NodeResourcesFit', pod('p', { cpu: '1', memory: '2Gi' })), { a: 25, b: 81 });
    assert.equal(cluster.place(pod('p', { cpu: '1', memory: '2Gi' })), 'b');
  });

  it('is balance between CPU and memory, for pods that request some', () => {
    const cluster = new Cluster(node('a'), node('b')).put('a', pod('x', { cpu: '2' }));
    assert.deepEqual(cluster.score('NodeResourcesBalancedAllocation', pod('p', { cpu: '1', memory: '2Gi' })), {
      a: 75,
      b: 100,
    });
    assert.equal(cluster.score('NodeResourcesBalancedAllocation', pod('p')), undefined);
  });

  it('is having fewer soft taints that the pod does not tolerate', () => {
    const soft = (key: string) => ({ key, effect: 'PreferNoSchedule' as const });
    const cluster = new Cluster(
      node('a', {}, { taints: [soft('x'), soft('y')] }),
      node('b', {}, { taints: [soft('x')] }),
      node('c'),
    );
    assert.deepEqual(cluster.score('TaintToleration', pod('p')), { a: 0, b: 50, c: 100 });
    const tolerations = [{ key: 'x', operator: 'Exists' as const }];
    assert.deepEqual(cluster.score('TaintToleration', pod('p', {}, { tolerations })), { a: 0, b: 100, c: 100 });
  });

  it('is the weight of the preferred node affinity terms it matches', () => {
    const prefer = (weight: number, key: string) => ({
      weight,
      preference: { matchExpressions: [{ key, operator: 'Exists' as const }] },
    });
    const cluster = new Cluster(
      node('a', {}, { labels: { ssd: '' } }),
      node('b', {}, { labels: { ssd: '', fast: '' } }),
      node('c'),
    );
    const affinity = {
      nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [prefer(20, 'ssd'), prefer(60, 'fast')] },
    };
    assert.deepEqual(cluster.score('NodeAffinity', pod('p', {}, { affinity })), { a: 25, b: 100, c: 0 });
  });

  it('is the company that the pod prefers, and that prefers the pod', () => {
    const term = (app: string) => ({
      weight: 10,
      podAffinityTerm: { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } },
    });
    const near = { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [term('db')] } };
    const apart = { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [term('db')] } };
    const cluster = new Cluster(node('a'), node('b')).put('a', pod('db', {}, {}, { app: 'db' }));
    assert.deepEqual(cluster.score('InterPodAffinity', pod('p', {}, { affinity: near })), { a: 100, b: 0 });
    assert.deepEqual(cluster.score('InterPodAffinity', pod('p', {}, { affinity: apart })), { a: 0, b: 100 });
    const asking = new Cluster(node('a'), node('b')).put('b', pod('fan', {}, { affinity: near }));
    assert.deepEqual(asking.score('InterPodAffinity', pod('db', {}, {}, { app: 'db' })), { a: 0, b: 100 });
    assert.equal(cluster.score('InterPodAffinity', pod('p')), undefined);
  });

  it('is an image that is there, the larger the better', () => {
    const holding = (name: string, sizeBytes: number) => {
      const made = node(name);
      made.status = { ...made.status, images: [{ names: ['app:latest'], sizeBytes }] };
      return made;
    };
    const cluster = new Cluster(holding('a', 900 * 2 ** 20), holding('b', 1), node('c'));
    const scores = cluster.score('ImageLocality', pod('p')) ?? {};
    assert.ok((scores['a'] ?? 0) > 50);
    assert.deepEqual([scores['b'], scores['c']], [0, 0]);
  });

  it('is looked for among enough nodes, not among all', () => {
    assert.equal(enoughNodes(99, 0), 99);
    assert.equal(enoughNodes(100, 0), 100);
    assert.equal(enoughNodes(1000, 0), 420);
    assert.equal(enoughNodes(10_000, 0), 500);
    assert.equal(enoughNodes(1000, 20), 200);
    assert.equal(enoughNodes(200, 1), 100);
  });
});

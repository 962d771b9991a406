import assert from 'node:assert/strict';
import type { NodeSelectorRequirement, Pod, Taint, Toleration } from '../../../../src/api/types/core-v1.js';
import { Cluster } from './decisions.js';
import { node, pod } from './objects.js';

const two = (labelsA: Record<string, string> = {}, labelsB: Record<string, string> = {}) =>
  new Cluster(node('a', {}, { labels: labelsA }), node('b', {}, { labels: labelsB }));

describe('what keeps a pod from a node', () => {
  it('is told as upstream tells it, each node by its first refusing filter', () => {
    const taints: Taint[] = [{ key: 'role', value: 'db', effect: 'NoSchedule' }];
    const cluster = new Cluster(node('a', { cpu: '1' }), node('b', {}, { taints }), node('c', {}, { taints }));
    assert.equal(
      cluster.place(pod('p', { cpu: '2' })),
      '0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {role: db}. ' +
        'preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.',
    );
    assert.equal(
      cluster.place(pod('p', { cpu: '2' }, { preemptionPolicy: 'Never' })),
      '0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {role: db}. ' +
        'preemption: not eligible due to preemptionPolicy=Never.',
    );
    cluster.put('a', pod('other', { cpu: '1' }));
    assert.match(
      cluster.place(pod('p', { cpu: '1' })),
      / preemption: 0\/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling\.$/,
    );
    assert.equal(new Cluster().place(pod('p')), 'no nodes available to schedule pods');
  });

  describe('taints', () => {
    const tainted = (taint: Taint, ...tolerations: Toleration[]) =>
      new Cluster(node('a', {}, { taints: [taint] })).fit(pod('p', {}, { tolerations })).length === 1;
    const noSchedule = { key: 'k', value: 'v', effect: 'NoSchedule' } as const;

    it('of both hard effects refuse, a soft one does not', () => {
      assert.equal(tainted(noSchedule), false);
      assert.equal(tainted({ ...noSchedule, effect: 'NoExecute' }), false);
      assert.equal(tainted({ ...noSchedule, effect: 'PreferNoSchedule' }), true);
    });
    it('are tolerated by key, value and effect', () => {
      assert.equal(tainted(noSchedule, { key: 'k', operator: 'Equal', value: 'v', effect: 'NoSchedule' }), true);
      assert.equal(tainted(noSchedule, { key: 'k', value: 'v' }), true);
      assert.equal(tainted(noSchedule, { key: 'k', value: 'w' }), false);
      assert.equal(tainted(noSchedule, { key: 'j', value: 'v' }), false);
      assert.equal(tainted(noSchedule, { key: 'k', value: 'v', effect: 'NoExecute' }), false);
      assert.equal(tainted({ key: 'k', effect: 'NoSchedule' }, { key: 'k', operator: 'Equal' }), true);
    });
    it('are tolerated by existence, and all of them without a key', () => {
      assert.equal(tainted(noSchedule, { key: 'k', operator: 'Exists' }), true);
      assert.equal(tainted(noSchedule, { key: 'j', operator: 'Exists' }), false);
      assert.equal(tainted(noSchedule, { operator: 'Exists' }), true);
      assert.equal(tainted(noSchedule, { operator: 'Exists', effect: 'NoExecute' }), false);
    });
    it('each need a toleration', () => {
      const both = new Cluster(node('a', {}, { taints: [noSchedule, { key: 'x', effect: 'NoExecute' }] }));
      assert.deepEqual(both.fit(pod('p', {}, { tolerations: [{ key: 'k', operator: 'Exists' }] })), []);
      assert.match(
        both.why(pod('p', {}, { tolerations: [{ key: 'k', operator: 'Exists' }] })),
        /untolerated taint \{x: \}\.$/,
      );
    });
  });

  it('is a cordon, unless the pod tolerates it', () => {
    const cluster = new Cluster(node('a', {}, { unschedulable: true }));
    assert.equal(cluster.why(pod('p')), '0/1 nodes are available: 1 node(s) were unschedulable.');
    const tolerations = [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' as const }];
    assert.equal(cluster.place(pod('p', {}, { tolerations })), 'a');
  });

  it('is a node selector, of which every label counts', () => {
    const cluster = two({ disk: 'ssd', zone: 'x' }, { disk: 'ssd' });
    assert.deepEqual(cluster.fit(pod('p', {}, { nodeSelector: { disk: 'ssd' } })), ['a', 'b']);
    assert.deepEqual(cluster.fit(pod('p', {}, { nodeSelector: { disk: 'ssd', zone: 'x' } })), ['a']);
    assert.equal(
      cluster.why(pod('p', {}, { nodeSelector: { disk: 'hdd' } })),
      "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
    );
  });

  describe('required node affinity', () => {
    const wanting = (...terms: object[]) =>
      pod('p', {}, {
        affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
      } as never);
    const by = (key: string, operator: NodeSelectorRequirement['operator'], ...values: string[]) =>
      wanting({ matchExpressions: [{ key, operator, ...(values.length ? { values } : {}) }] });
    const cluster = two({ n: '5', disk: 'ssd' }, { n: 'many' });

    const cases: [string, Pod, string[]][] = [
      ['In', by('disk', 'In', 'hdd', 'ssd'), ['a']],
      ['NotIn, which a missing label satisfies', by('disk', 'NotIn', 'ssd'), ['b']],
      ['Exists', by('disk', 'Exists'), ['a']],
      ['Exists, of a label that every object has a property of', by('constructor', 'Exists'), []],
      ['DoesNotExist', by('disk', 'DoesNotExist'), ['b']],
      ['Gt, for whole numbers only', by('n', 'Gt', '4'), ['a']],
      ['Gt, which is not "at least"', by('n', 'Gt', '5'), []],
      ['Lt', by('n', 'Lt', '6'), ['a']],
      ['a field', wanting({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }), ['b']],
      [
        'a field to avoid',
        wanting({ matchFields: [{ key: 'metadata.name', operator: 'NotIn', values: ['b'] }] }),
        ['a'],
      ],
      [
        'all expressions of a term',
        wanting({
          matchExpressions: [
            { key: 'disk', operator: 'Exists' },
            { key: 'n', operator: 'In', values: ['many'] },
          ],
        }),
        [],
      ],
      [
        'any of several terms',
        wanting(
          { matchExpressions: [{ key: 'disk', operator: 'Exists' }] },
          { matchExpressions: [{ key: 'n', operator: 'In', values: ['many'] }] },
        ),
        ['a', 'b'],
      ],
      ['an empty term, which matches nothing', wanting({}), []],
    ];
    for (const [name, wants, expected] of cases) {
      it(`by ${name}`, () => assert.deepEqual(cluster.fit(wants), expected));
    }

    it('to one named node says of the others that they were not looked at', () => {
      const full = new Cluster(node('a'), node('b', { cpu: '1' }), node('c'));
      const wants = wanting({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] });
      const big = { ...wants, spec: { ...wants.spec, ...pod('q', { cpu: '2' }).spec, affinity: wants.spec?.affinity } };
      assert.equal(
        full.why(big as Pod),
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
      );
      assert.equal(full.place(wants), 'b');
    });
  });

  describe('host ports', () => {
    const using = (name: string, ...ports: object[]) =>
      pod(name, {}, { containers: [{ name: 'main', image: 'app', ports: ports as never }] });
    const at = (hostPort: number, more: object = {}) => ({ containerPort: 80, hostPort, ...more });
    const fits = (held: object, wanted: object) =>
      new Cluster(node('a')).put('a', using('holder', held)).fit(using('p', wanted)).length === 1;

    it('are held once per protocol and address', () => {
      assert.equal(fits(at(80), at(80)), false);
      assert.equal(fits(at(80), at(81)), true);
      assert.equal(fits(at(80), at(80, { protocol: 'UDP' })), true);
      assert.equal(fits(at(80, { hostIP: '10.0.0.1' }), at(80, { hostIP: '10.0.0.2' })), true);
      assert.equal(fits(at(80, { hostIP: '10.0.0.1' }), at(80, { hostIP: '10.0.0.1' })), false);
      assert.equal(fits(at(80), at(80, { hostIP: '10.0.0.1' })), false);
      assert.equal(fits(at(80, { hostIP: '10.0.0.1' }), at(80, { hostIP: '0.0.0.0' })), false);
      assert.equal(fits({ containerPort: 80 }, { containerPort: 80 }), true);
    });
    it('are free again with their pod, and are the container ports on the host network', () => {
      const cluster = new Cluster(node('a')).put('a', using('holder', at(80)));
      const hosted = using('p', { containerPort: 80 });
      const onHost = { ...hosted, spec: { ...hosted.spec, hostNetwork: true } } as Pod;
      assert.match(cluster.why(onHost), /1 node\(s\) didn't have free ports for the requested pod ports\.$/);
      cluster.state.removePod('default/holder');
      assert.equal(cluster.place(onHost), 'a');
    });
  });

  describe('resources', () => {
    it('are refused by name, and by the number of pods', () => {
      const cluster = new Cluster(
        node('a', { cpu: '1', memory: '1Gi', 'ephemeral-storage': '1Gi', 'x.io/gpu': '1', pods: '1' }),
      ).put('a', pod('there'));
      const all = { cpu: '2', memory: '2Gi', 'ephemeral-storage': '2Gi', 'x.io/gpu': '2' };
      assert.equal(
        cluster.why(pod('p', all)),
        '0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 Insufficient memory, ' +
          '1 Insufficient x.io/gpu, 1 Too many pods.',
      );
    });
    it('may be used up to the last bit, and zero fits where nothing is left', () => {
      const cluster = new Cluster(node('a', { cpu: '1', memory: '1Gi' })).put('a', pod('x', { cpu: '900m' }));
      assert.equal(cluster.place(pod('p', { cpu: '0.1', memory: '1024Mi' })), 'a');
      assert.match(cluster.place(pod('p', { cpu: '101m' })), /Insufficient cpu/);
      cluster.put('a', pod('y', { cpu: '500m' }));
      assert.equal(cluster.place(pod('p')), 'a');
    });
    it('that a node does not know are not there', () => {
      assert.match(new Cluster(node('a')).place(pod('p', { 'x.io/gpu': '1' })), /1 Insufficient x\.io\/gpu\./);
    });
  });

  describe('required affinity between pods', () => {
    const zones = () =>
      new Cluster(
        node('a1', {}, { labels: { zone: 'a' } }),
        node('a2', {}, { labels: { zone: 'a' } }),
        node('b1', {}, { labels: { zone: 'b' } }),
        node('bare'),
      );
    const term = (app: string, more: object = {}) => ({
      topologyKey: 'zone',
      labelSelector: { matchLabels: { app } },
      ...more,
    });
    const near = (...terms: object[]) =>
      ({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } } }) as never;
    const apart = (...terms: object[]) =>
      ({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } } }) as never;
    const app = (name: string, of: string, spec: object = {}) => pod(name, {}, spec, { app: of });

    it('keeps to the domain of the pods it means', () => {
      const cluster = zones().put('a1', app('db', 'db'));
      assert.deepEqual(cluster.fit(app('p', 'web', near(term('db')))), ['a1', 'a2']);
      assert.equal(
        cluster.why(app('p', 'web', near(term('nobody')))),
        "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.",
      );
    });
    it('lets the first of a group that means itself go anywhere with the topology', () => {
      assert.deepEqual(zones().fit(app('p', 'web', near(term('web')))), ['a1', 'a2', 'b1']);
    });
    it('wants every term met by the same pods', () => {
      const cluster = zones().put('a1', app('x', 'x')).put('b1', app('y', 'y'));
      assert.deepEqual(cluster.fit(app('p', 'web', near(term('x'), term('y')))), []);
    });
    it('looks in its own namespace, in named ones, and in those that a selector finds', () => {
      const cluster = zones();
      cluster.state.setNamespace('prod', { stage: 'prod' });
      const foreign = app('db', 'db');
      cluster.put('b1', { ...foreign, metadata: { ...foreign.metadata, namespace: 'prod' } });
      assert.deepEqual(cluster.fit(app('p', 'web', near(term('db')))), []);
      assert.deepEqual(cluster.fit(app('p', 'web', near(term('db', { namespaces: ['prod'] })))), ['b1']);
      const namespaceSelector = { matchLabels: { stage: 'prod' } };
      assert.deepEqual(cluster.fit(app('p', 'web', near(term('db', { namespaceSelector })))), ['b1']);
      assert.deepEqual(cluster.fit(app('p', 'web', near(term('db', { namespaceSelector: {} })))), ['b1']);
    });
    it('keeps apart, also from pods that are being deleted, but not without the topology', () => {
      const cluster = zones().put('a1', app('db', 'db'));
      assert.deepEqual(cluster.fit(app('p', 'web', apart(term('db')))), ['b1', 'bare']);
      const leaving = app('db', 'db');
      leaving.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
      cluster.put('a1', leaving);
      assert.deepEqual(cluster.fit(app('p', 'web', apart(term('db')))), ['b1', 'bare']);
      cluster.state.removePod('default/db');
      assert.equal(cluster.fit(app('p', 'web', apart(term('db')))).length, 4);
    });
    it('is heeded when the pods that are there ask for it', () => {
      const cluster = zones()
        .put('a1', app('lonely', 'x', apart(term('web'))))
        .put('b1', app('db', 'db'));
      assert.deepEqual(cluster.fit(app('p', 'web')), ['b1', 'bare']);
      const cornered = new Cluster(node('a', {}, { labels: { zone: 'a' } })).put(
        'a',
        app('lonely', 'x', apart(term('web'))),
      );
      assert.equal(
        cornered.why(app('p', 'web')),
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
      );
      assert.match(
        cornered.why(app('p', 'y', apart(term('x')))),
        /1 node\(s\) didn't match pod anti-affinity rules\.$/,
      );
    });
    it('narrows by the values of the pod itself (matchLabelKeys, mismatchLabelKeys)', () => {
      const labelled = (name: string, version: string, spec: object = {}) =>
        pod(name, {}, spec, { app: 'web', version });
      const cluster = zones().put('a1', labelled('old', '1'));
      assert.deepEqual(cluster.fit(labelled('p', '1', apart(term('web', { matchLabelKeys: ['version'] })))), [
        'b1',
        'bare',
      ]);
      assert.equal(cluster.fit(labelled('p', '2', apart(term('web', { matchLabelKeys: ['version'] })))).length, 4);
      assert.deepEqual(cluster.fit(labelled('p', '2', apart(term('web', { mismatchLabelKeys: ['version'] })))), [
        'b1',
        'bare',
      ]);
    });
  });

  describe('a spread constraint', () => {
    const zoned = () =>
      new Cluster(node('a1', {}, { labels: { zone: 'a' } }), node('b1', {}, { labels: { zone: 'b' } }), node('bare'));
    const constrained = (name: string, more: object = {}, labels: Record<string, string> = { app: 'web' }) =>
      pod(
        name,
        {},
        {
          topologySpreadConstraints: [
            {
              topologyKey: 'zone',
              maxSkew: 1,
              whenUnsatisfiable: 'DoNotSchedule',
              labelSelector: { matchLabels: { app: 'web' } },
              ...more,
            },
          ],
        },
        labels,
      );

    it('holds the domains within its skew and leaves out nodes without the topology', () => {
      const cluster = zoned();
      assert.deepEqual(cluster.fit(constrained('p')), ['a1', 'b1']);
      cluster.put('a1', constrained('x'));
      assert.deepEqual(cluster.fit(constrained('p')), ['b1']);
      assert.deepEqual(cluster.fit(constrained('p', { maxSkew: 2 })), ['a1', 'b1']);
      assert.equal(
        cluster.put('b1', pod('full', { cpu: '4' })).why({
          ...constrained('p'),
          spec: { ...constrained('p').spec, containers: pod('q', { cpu: '1' }).spec?.containers ?? [] },
        }),
        '0/3 nodes are available: 1 Insufficient cpu, ' +
          "1 node(s) didn't match pod topology spread constraints, " +
          "1 node(s) didn't match pod topology spread constraints (missing required label).",
      );
    });
    it('does not count the pod itself where it means others', () => {
      const cluster = zoned().put('a1', constrained('x'));
      assert.deepEqual(cluster.fit(constrained('p', {}, { app: 'other' })), ['a1', 'b1']);
    });
    it('counts a domain of zero while there are fewer than minDomains', () => {
      const cluster = zoned().put('a1', constrained('x')).put('b1', constrained('y'));
      assert.deepEqual(cluster.fit(constrained('p', { minDomains: 2 })), ['a1', 'b1']);
      assert.deepEqual(cluster.fit(constrained('p', { minDomains: 3 })), []);
    });
    it('leaves out pods that are being deleted', () => {
      const leaving = constrained('x');
      leaving.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
      assert.deepEqual(zoned().put('a1', leaving).fit(constrained('p')), ['a1', 'b1']);
    });
    it('honours node affinity but not taints, unless told', () => {
      const taints: Taint[] = [{ key: 'k', effect: 'NoSchedule' }];
      const tainted = () =>
        new Cluster(node('a1', {}, { labels: { zone: 'a' } }), node('b1', {}, { labels: { zone: 'b' }, taints })).put(
          'a1',
          constrained('x'),
        );
      assert.deepEqual(tainted().fit(constrained('p')), []);
      assert.deepEqual(tainted().fit(constrained('p', { nodeTaintsPolicy: 'Honor' })), ['a1']);
      const only = (policy: object) => {
        const wants = constrained('p', policy);
        return { ...wants, spec: { ...wants.spec, nodeSelector: { zone: 'a' } } } as Pod;
      };
      const cluster = zoned().put('a1', constrained('x'));
      assert.deepEqual(cluster.fit(only({})), ['a1']);
      assert.deepEqual(cluster.fit(only({ nodeAffinityPolicy: 'Ignore' })), []);
    });
    it('with matchLabelKeys counts each revision for itself', () => {
      const revision = (name: string, hash: string) =>
        constrained(name, { matchLabelKeys: ['hash'] }, { app: 'web', hash });
      const cluster = zoned().put('a1', revision('x', '1'));
      assert.deepEqual(cluster.fit(revision('p', '1')), ['b1']);
      assert.deepEqual(cluster.fit(revision('p', '2')), ['a1', 'b1']);
    });
    it('that is only a wish refuses nobody', () => {
      const cluster = zoned().put('a1', constrained('x'));
      assert.equal(cluster.fit(constrained('p', { whenUnsatisfiable: 'ScheduleAnyway' })).length, 3);
      assert.equal(cluster.place(constrained('p', { whenUnsatisfiable: 'ScheduleAnyway' })), 'b1');
    });
  });
});

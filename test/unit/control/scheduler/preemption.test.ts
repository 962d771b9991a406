import assert from 'node:assert/strict';
import { seededRandom } from '../../../../src/base/random.js';
import type { Pod, PodSpec } from '../../../../src/api/types/core-v1.js';
import type { PodDisruptionBudget } from '../../../../src/api/types/policy-v1.js';
import { Cluster } from './decisions.js';
import { node, pod } from './objects.js';

const HOST = 'kubernetes.io/hostname';

/** A pod that wants so many of the node's four CPUs. */
function of(priority: number, name: string, cpu: string, spec: Partial<PodSpec> = {}, labels = {}): Pod {
  return pod(name, { cpu }, { priority, ...spec }, labels);
}

const startedAt = (startTime: string, each: Pod): Pod => ({ ...each, status: { ...each.status, startTime } });

function budget(app: string, disruptionsAllowed: number, disrupted: string[] = []): PodDisruptionBudget {
  const disruptedPods = Object.fromEntries(disrupted.map((name) => [name, '2030-01-01T00:00:00Z']));
  return {
    metadata: { name: app, namespace: 'default' },
    spec: { selector: { matchLabels: { app } } },
    status: { disruptionsAllowed, disruptedPods },
  } as unknown as PodDisruptionBudget;
}

describe('preemption chooses victims', () => {
  it('among pods of lower priority only, and no more than needed', () => {
    const cluster = new Cluster(node('a')).put('a', of(0, 'low', '1'), of(5, 'middle', '2'), of(10, 'equal', '1'));
    assert.equal(cluster.preempt(of(10, 'p', '1')), 'a: low');
    assert.equal(cluster.preempt(of(10, 'p', '2')), 'a: middle');
    assert.equal(cluster.preempt(of(10, 'p', '3')), 'a: middle, low');
    assert.match(cluster.preempt(of(10, 'p', '4')), /0\/1 nodes are available: 1 Insufficient cpu\.$/);
    assert.match(cluster.preempt(of(0, 'p', '1')), /1 No preemption victims found for incoming pod\.$/);
  });

  it('sparing those of higher priority first, and of equals those that run for longer', () => {
    const [early, late] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'];
    const cluster = new Cluster(node('a')).put(
      'a',
      startedAt(late, of(1, 'young', '1')),
      startedAt(early, of(1, 'old', '1')),
      of(2, 'better', '2'),
    );
    assert.equal(cluster.preempt(of(9, 'p', '1')), 'a: young');
    assert.equal(cluster.preempt(of(9, 'p', '2')), 'a: old, young');
  });

  it('sparing first those whose disruption budgets allow none, where there is a choice', () => {
    const cluster = new Cluster(node('a')).put(
      'a',
      of(0, 'guarded', '2', {}, { app: 'db' }),
      of(5, 'free', '2', {}, { app: 'web' }),
    );
    assert.equal(cluster.preempt(of(9, 'p', '2')), 'a: guarded');
    cluster.budgets.push(budget('db', 0));
    assert.equal(cluster.preempt(of(9, 'p', '2')), 'a: free');
    assert.equal(cluster.preempt(of(9, 'p', '4')), 'a: free, guarded');
    cluster.budgets[0] = budget('db', 0, ['guarded']);
    assert.equal(cluster.preempt(of(9, 'p', '2')), 'a: guarded', 'its eviction has been granted already');
  });

  it('until a budget is used up', () => {
    const guarded = { app: 'db' };
    const nodes = new Cluster(node('a'), node('b'))
      .put('a', of(0, 'a1', '2', {}, guarded), of(0, 'a2', '2', {}, guarded))
      .put('b', of(0, 'b1', '4', {}, guarded));
    nodes.budgets.push(budget('db', 1));
    assert.equal(nodes.preempt(of(9, 'p', '4')), 'b: b1', 'two on a would be one too many');
  });

  it('for room in whatever is short: extended resources, host ports, the number of pods', () => {
    const fake = (name: string, priority: number, amount: string) =>
      pod(name, { 'example.com/fakecpu': amount }, { priority });
    const cluster = new Cluster(node('a', { 'example.com/fakecpu': '1000' }), node('b'));
    cluster.put('a', fake('pod1', 1, '200'), fake('pod2', 2, '300'), fake('pod3', 3, '450'));
    assert.equal(cluster.preempt(fake('p', 4, '500')), 'a: pod2, pod1');

    const port = { containers: [{ name: 'main', ports: [{ containerPort: 80, hostPort: 80 }] }] };
    const ports = new Cluster(node('a')).put('a', of(0, 'other', '1'), pod('holder', {}, port));
    assert.equal(ports.preempt(pod('p', {}, { ...port, priority: 1 })), 'a: holder');

    const full = new Cluster(node('a', { pods: '2' })).put('a', of(0, 'low', '1'), of(1, 'high', '1'));
    assert.equal(full.preempt(of(2, 'p', '1')), 'a: low');
  });

  it('for distance and spread: what keeps it away must go, and nothing else', () => {
    const away = (app: string): Partial<PodSpec> => {
      const labelSelector = { matchLabels: { app } };
      const term = { topologyKey: 'kubernetes.io/hostname', labelSelector };
      return { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } };
    };
    const cluster = new Cluster(node('a')).put(
      'a',
      of(0, 'other', '1', {}, { app: 'web' }),
      of(0, 'disliked', '1', {}, { app: 'db' }),
      of(0, 'dislikes', '1', away('p')),
    );
    assert.equal(cluster.preempt(of(1, 'p', '0', away('db'))), 'a: disliked');
    assert.equal(cluster.preempt(of(1, 'p', '0', {}, { app: 'p' })), 'a: dislikes');

    const spread: Partial<PodSpec> = {
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: 'kubernetes.io/hostname',
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: { matchLabels: { app: 'web' } },
        },
      ],
    };
    const skewed = new Cluster(node('a'), node('b', {}, { unschedulable: true }));
    skewed.put('a', of(0, 'one', '1', {}, { app: 'web' }), of(0, 'unrelated', '1'));
    assert.equal(skewed.preempt(of(1, 'p', '0', spread, { app: 'web' })), 'a: one');
  });

  it('on the only node that the pod may go to', () => {
    const matchFields = [{ key: 'metadata.name', operator: 'In', values: ['b'] }];
    const required = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields }] } };
    const cluster = new Cluster(node('a'), node('b')).put('a', of(0, 'x', '4')).put('b', of(1, 'y', '4'));
    const bound = { affinity: { nodeAffinity: required } } as Partial<PodSpec>;
    assert.equal(cluster.preempt(of(2, 'p', '1', bound)), 'b: y');
    assert.match(cluster.preempt(of(1, 'p', '1', bound)), /: 1 No preemption victims .*, 1 Preemption is not helpful/);
  });

  it('without whom the pod fits, and with any one of whom it does not, in clusters of all kinds', () => {
    const random = seededRandom(7);
    const one = <T>(of: readonly T[]): T => of[random.int(of.length)] as T;
    const term = (app: string) => ({ topologyKey: one(['zone', HOST]), labelSelector: { matchLabels: { app } } });
    const rules = (): Partial<PodSpec> => {
      const anti = { requiredDuringSchedulingIgnoredDuringExecution: [term(one(['db', 'web']))] };
      const spread = { ...term('web'), maxSkew: 1, whenUnsatisfiable: 'DoNotSchedule' as const };
      return one<Partial<PodSpec>>([
        {},
        {},
        { affinity: { podAntiAffinity: anti } },
        { topologySpreadConstraints: [spread] },
      ]);
    };
    const any = (name: string, priority: number) =>
      pod(name, { cpu: one(['0', '500m', '1', '2']) }, { priority, ...rules() }, { app: one(['db', 'web', 'other']) });
    let preempted = 0;
    for (let round = 0; round < 200; round++) {
      const names = ['a', 'b', 'c', 'd'];
      const cluster = new Cluster(...names.map((name, i) => node(name, {}, { labels: { zone: `z${i % 2}` } })));
      for (let i = 0; i < 16; i++) cluster.put(one(names), any(`p${i}`, random.int(5)));
      if (random.int(2) === 0) cluster.nominate(one(names), any('nominated', 4));
      const preemptor = any('preemptor', 4);
      const before = cluster.usage();
      const plan = cluster.preempt(preemptor);
      assert.deepEqual(cluster.usage(), before, `round ${round}`);
      const [, name = '', list = ''] = /^([a-d]): (.*)$/.exec(plan) ?? [];
      if (!name) continue;
      preempted += 1;
      const victims = list.split(', ').map((victim) => cluster.take(victim));
      assert.ok(cluster.accepts(name, preemptor), `round ${round}: ${plan}: it does not fit`);
      for (const victim of victims) {
        assert.ok((victim.spec?.priority ?? 0) < 4, `round ${round}: ${plan}`);
        cluster.put(name, victim);
        assert.ok(!cluster.accepts(name, preemptor), `round ${round}: ${plan}: ${victim.metadata.name} need not go`);
        cluster.take(victim.metadata.name ?? '');
      }
    }
    assert.ok(preempted > 40, `only ${preempted}`);
  });

  it('leaves everything as it was', () => {
    const cluster = new Cluster(node('a'), node('b')).put('a', of(0, 'x', '3')).put('b', of(0, 'y', '3'));
    cluster.preempt(of(1, 'p', '2'));
    for (const info of cluster.state.nodes) {
      assert.deepEqual([info.requested.cpu, info.podCount, info.roomWithoutBelow(1)?.requested.cpu], [3000, 1, 0]);
    }
  });
});

describe('preemption chooses the node', () => {
  const two = (a: Pod[], b: Pod[]) =>
    new Cluster(node('a'), node('b'))
      .put('a', ...a)
      .put('b', ...b)
      .preempt(of(9, 'p', '4'));

  it('with the fewest violations of budgets, even if its pods are more important', () => {
    const cluster = new Cluster(node('a'), node('b'))
      .put('a', of(0, 'guarded', '4', {}, { app: 'db' }))
      .put('b', of(8, 'free', '4'));
    cluster.budgets.push(budget('db', 0));
    assert.equal(cluster.preempt(of(9, 'p', '4')), 'b: free');
  });

  it('whose most important victim is the least', () => {
    assert.equal(two([of(3, 'a1', '4')], [of(2, 'b1', '2'), of(2, 'b2', '2')]), 'b: b1, b2');
  });

  it('whose victims weigh least together, many of negative priority more than few', () => {
    assert.equal(two([of(2, 'a1', '2'), of(1, 'a2', '2')], [of(2, 'b1', '2'), of(0, 'b2', '2')]), 'b: b1, b2');
    assert.equal(two([of(-5, 'a1', '2'), of(-5, 'a2', '2')], [of(-5, 'b1', '4')]), 'b: b1');
  });

  it('whose most important victims began last', () => {
    const [early, late] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'];
    assert.equal(two([startedAt(early, of(0, 'a1', '4'))], [startedAt(late, of(0, 'b1', '4'))]), 'b: b1');
    assert.equal(two([startedAt(late, of(0, 'a1', '4'))], [startedAt(early, of(0, 'b1', '4'))]), 'a: a1');
  });

  it('among those that only pods keep it away from', () => {
    const cluster = new Cluster(
      node('cordoned', {}, { unschedulable: true }),
      node('tainted', {}, { taints: [{ key: 'k', effect: 'NoSchedule' }] }),
      node('small', { cpu: '1' }),
      node('full'),
    );
    for (const { name } of cluster.state.nodes) cluster.put(name, of(0, `on-${name}`, '1'));
    cluster.put('full', of(5, 'rest', '3'));
    assert.equal(cluster.preempt(of(5, 'p', '1')), 'full: on-full');
    assert.equal(
      cluster.preempt(of(5, 'q', '2')),
      '0/4 nodes are available: 1 Insufficient cpu, 3 Preemption is not helpful for scheduling.',
    );
  });
});

describe('a pod that was nominated for a node', () => {
  it('has its room kept from those of lower and equal priority, not from higher ones', () => {
    const cluster = new Cluster(node('a')).nominate('a', of(5, 'nominated', '3'));
    assert.equal(cluster.why(of(5, 'equal', '2')), '0/1 nodes are available: 1 Insufficient cpu.');
    assert.equal(cluster.why(of(4, 'lower', '2')), '0/1 nodes are available: 1 Insufficient cpu.');
    assert.equal(cluster.place(of(4, 'small', '1')), 'a');
    assert.equal(cluster.place(of(6, 'higher', '2')), 'a');
    assert.equal(cluster.place(of(5, 'nominated', '3')), 'a');
  });

  it('counts with its host ports and dislikes, but nobody may lean on its company', () => {
    const term = { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } };
    const required = { requiredDuringSchedulingIgnoredDuringExecution: [term] };
    const hermit = of(5, 'hermit', '1', { affinity: { podAntiAffinity: required } }, { app: 'web' });
    const cluster = new Cluster(node('a')).nominate('a', hermit);
    assert.match(cluster.why(of(1, 'p', '1', {}, { app: 'web' })), /existing pods anti-affinity rules/);
    assert.equal(cluster.place(of(1, 'p', '1', {}, { app: 'other' })), 'a');
    const friend = of(1, 'friend', '1', { affinity: { podAffinity: required } });
    assert.match(cluster.why(friend), /didn't match pod affinity rules/);
  });

  it('goes there before anywhere else', () => {
    const cluster = new Cluster(node('a'), node('b'), node('c')).put('b', of(0, 'some', '2'));
    const p = of(1, 'p', '1');
    assert.notEqual(cluster.place(p), 'b');
    assert.equal(cluster.nominate('b', p).place(p), 'b');
  });

  it('is counted when room is made for another', () => {
    const cluster = new Cluster(node('a')).put('a', of(0, 'x', '1'), of(0, 'y', '1'), of(0, 'z', '2'));
    cluster.nominate('a', of(5, 'nominated', '2'));
    assert.equal(cluster.preempt(of(5, 'p', '2')), 'a: x, y, z');
    assert.match(cluster.preempt(of(5, 'q', '3')), /1 Insufficient cpu\.$/);
  });

  it('waits for victims that terminate, unless the node became impossible or they end for another reason', () => {
    const p = of(5, 'p', '4');
    const going = (reason: string): Pod => {
      const victim = of(0, 'victim', '4');
      victim.metadata.deletionTimestamp = '2030-01-01T00:00:00Z';
      return { ...victim, status: { conditions: [{ type: 'DisruptionTarget', status: 'True', reason }] } } as Pod;
    };
    const cluster = new Cluster(node('a'), node('b')).put('a', going('PreemptionByScheduler'));
    cluster.put('b', of(0, 'other', '4')).nominate('a', p);
    assert.equal(cluster.preempt(p), 'not eligible due to a terminating pod on the nominated node.');
    cluster.state.upsertNode(node('a', {}, { unschedulable: true }));
    assert.equal(cluster.preempt(p), 'b: other');
    cluster.state.upsertNode(node('a'));
    cluster.put('a', going('DeletionByTaintManager'));
    assert.notEqual(cluster.preempt(p), 'not eligible due to a terminating pod on the nominated node.');
  });

  it('may be one that never preempts', () => {
    const cluster = new Cluster(node('a')).put('a', of(0, 'x', '4'));
    const never = of(5, 'p', '4', { preemptionPolicy: 'Never' });
    assert.equal(cluster.preempt(never), 'not eligible due to preemptionPolicy=Never.');
  });
});

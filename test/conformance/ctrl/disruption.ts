/** PodDisruptionBudgets and evictions. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { eventually, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';

interface Scene {
  readonly budgets: Resource;
  readonly pods: Resource;
}

async function start(t: Context, pods: number, spec: Json): Promise<Scene> {
  t.needsControllers();
  const namespace = await t.namespace('disruption');
  const scene = {
    budgets: t.resource('policy/v1', 'poddisruptionbudgets', namespace),
    pods: t.core('pods', namespace),
  };
  for (let i = 0; i < pods; i++) {
    await scene.pods.create({ metadata: { name: `pod-${i}`, labels: { foo: 'bar' } }, spec: podSpec() });
  }
  await scene.budgets.create({
    metadata: { name: 'foo' },
    spec: { selector: { matchLabels: { foo: 'bar' } }, ...spec },
  });
  return scene;
}

const settled = (budgets: Resource, what: string, holds: (status: Json) => boolean) =>
  eventually(what, async () => {
    const { status, metadata } = await budgets.get('foo');
    return status?.observedGeneration === metadata.generation && holds(status);
  });

const evict = (pods: Resource, name: string) =>
  pods.api.call('POST', pods.path(name, 'eviction'), {
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: pods.namespace } },
  });

async function statusByController(t: Context): Promise<void> {
  const { budgets } = await start(t, 3, { minAvailable: 1 });
  await settled(budgets, 'two disruptions allowed', ({ disruptionsAllowed }) => disruptionsAllowed === 2);
  const { status } = await budgets.get('foo');
  assert.deepEqual([status.currentHealthy, status.desiredHealthy, status.expectedPods], [3, 1, 3]);
  assert.equal(status.conditions[0].reason, 'SufficientPods');
}

async function statusByApi(t: Context): Promise<void> {
  const { budgets } = await start(t, 1, { minAvailable: 1 });
  await settled(budgets, 'one healthy pod', ({ currentHealthy }) => currentHealthy === 1);
  await budgets.update('foo', ({ status }) => (status.disruptedPods = { 'pod-0': '2024-01-01T00:00:00Z' }), 'status');
  await settled(budgets, 'the controller to take it back', ({ disruptedPods }) => disruptedPods === undefined);
  const answer = await budgets.patch(
    'foo',
    { status: { disruptedPods: { 'pod-0': '2024-01-01T00:00:00Z' } } },
    'merge',
    'status',
  );
  assert.deepEqual(Object.keys(answer.status.disruptedPods), ['pod-0']);
  await settled(budgets, 'the controller to take it back again', ({ disruptedPods }) => disruptedPods === undefined);
}

async function blockEviction(t: Context): Promise<void> {
  const { budgets, pods } = await start(t, 3, { minAvailable: 3 });
  await settled(budgets, 'all pods healthy', ({ currentHealthy }) => currentHealthy === 3);
  const status = await refused(evict(pods, 'pod-0'), {
    status: 429,
    reason: 'TooManyRequests',
    message: /disruption budget/,
  });
  assert.equal(status.details.causes[0].reason, 'DisruptionBudget');
  assert.ok(await pods.exists('pod-0'));
  await budgets.patch('foo', { spec: { minAvailable: 2 } });
  await settled(budgets, 'one disruption allowed', ({ disruptionsAllowed }) => disruptionsAllowed === 1);
  await evict(pods, 'pod-0');
  await eventually('the evicted pod to go', async () => !(await pods.exists('pod-0')));
  await settled(
    budgets,
    'none allowed any more',
    ({ disruptionsAllowed, currentHealthy }) => disruptionsAllowed === 0 && currentHealthy === 2,
  );
  await refused(evict(pods, 'pod-1'), { status: 429 });
  await budgets.delete('foo');
  await evict(pods, 'pod-1');
  await eventually('the second to go', async () => !(await pods.exists('pod-1')));
}

export const rows: Rows = {
  'pdb-status-controller': statusByController,
  'pdb-status-api': statusByApi,
  'pdb-block-eviction': blockEviction,
};

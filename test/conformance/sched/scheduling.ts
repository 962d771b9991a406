/** What the scheduler must have, and must refuse. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import type { Context, Rows } from '../framework/context.js';
import { always, eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

async function selectorWithoutNode(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('sched');
  const pods = t.core('pods', namespace);
  const nodeSelector = { label: 'nonempty' };
  await pods.create({ metadata: { name: 'restricted-pod' }, spec: { ...podSpec(), nodeSelector } });
  await eventually('the Event FailedScheduling', async () =>
    (await t.core('events', namespace).items()).some(
      ({ reason, involvedObject }: Json) => reason === 'FailedScheduling' && involvedObject.name === 'restricted-pod',
    ),
  );
  await always('it is not bound', 2_000, async () => !(await pods.get('restricted-pod')).spec.nodeName);
  const { status } = await pods.get('restricted-pod');
  const condition = status.conditions.find(({ type }: Json) => type === 'PodScheduled');
  assert.deepEqual([condition.status, condition.reason], ['False', 'Unschedulable']);
  assert.match(condition.message, /^0\/\d+ nodes are available: .*didn't match Pod's node affinity\/selector/);
}

async function twoNodes(t: Context): Promise<void> {
  t.needsControllers();
  const nodes = await t.core('nodes').items();
  const schedulable = nodes.filter(
    ({ spec, status }) =>
      !spec.unschedulable &&
      !(spec.taints ?? []).some(({ effect }: Json) => effect === 'NoSchedule' || effect === 'NoExecute') &&
      status.conditions.some(({ type, status: value }: Json) => type === 'Ready' && value === 'True'),
  );
  assert.ok(schedulable.length >= 2, `${schedulable.length} schedulable nodes`);
}

export const rows: Rows = { 'sched-selector-nomatch': selectorWithoutNode, 'arch-two-nodes': twoNodes };

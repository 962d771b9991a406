import assert from 'node:assert/strict';
import { EVENTS, PODDISRUPTIONBUDGETS, PODS, REPLICASETS } from '../../../../../src/api/resource.js';
import type { Event, Pod } from '../../../../../src/api/types/core-v1.js';
import type { PodDisruptionBudget, PodDisruptionBudgetSpec } from '../../../../../src/api/types/policy-v1.js';
import {
  disruptionController,
  staleDisruptionController,
} from '../../../../../src/control/controllers/disruption/controller.js';
import { replicaSetController } from '../../../../../src/control/controllers/replicaset/controller.js';
import { harness, replicaSet, runPod, type Harness } from '../harness.js';

const selector = { matchLabels: { app: 'web' } };
const budget = (spec: Partial<PodDisruptionBudgetSpec>): PodDisruptionBudget => ({
  metadata: { namespace: 'ns', name: 'b' },
  spec: { selector, ...spec },
});
const statusOf = async (h: Harness) =>
  (await h.client.get<PodDisruptionBudget>(PODDISRUPTIONBUDGETS, 'ns', 'b')).status;
const reasons = (h: Harness) => h.client.all<Event>(EVENTS).map(({ reason }) => reason);

describe('disruption controller', () => {
  let h: Harness;
  beforeEach(() => {
    h = harness();
  });
  afterEach(() => h.stop());

  it('follows the pods of a ReplicaSet and its scale', async () => {
    await h.run(replicaSetController(h), disruptionController(h));
    await h.client.create(REPLICASETS, replicaSet(4));
    await h.client.create(PODDISRUPTIONBUDGETS, budget({ maxUnavailable: '25%' }));
    await h.clock.advance(100);
    assert.equal((await statusOf(h))?.expectedPods, 4);
    assert.equal((await statusOf(h))?.disruptionsAllowed, 0);
    for (const pod of h.client.all<Pod>(PODS)) await runPod(h, pod, true);
    await h.clock.advance(100);
    const status = await statusOf(h);
    assert.deepEqual([status?.currentHealthy, status?.desiredHealthy, status?.disruptionsAllowed], [4, 3, 1]);
  });

  it('says why it cannot be worked out, allows nothing meanwhile, and leaves unmanaged pods out', async () => {
    await h.run(disruptionController(h));
    const pod = (name: string, owner?: string): Pod => ({
      metadata: {
        namespace: 'ns',
        name,
        labels: { app: 'web' },
        ...(owner
          ? { ownerReferences: [{ apiVersion: 'batch/v1', kind: owner, name: 'o', uid: 'u', controller: true }] }
          : {}),
      },
      spec: { containers: [] },
    });
    await h.client.create(PODDISRUPTIONBUDGETS, budget({ maxUnavailable: 1 }));
    await h.clock.advance(10);
    assert.ok(reasons(h).includes('NoPods'));
    await h.client.create(PODS, pod('bare'));
    await h.clock.advance(10);
    assert.ok(reasons(h).includes('UnmanagedPods'));
    assert.equal((await statusOf(h))?.expectedPods, 0);
    await h.client.create(PODS, pod('jobs', 'Job'));
    await h.clock.advance(10);
    assert.ok(reasons(h).includes('CalculateExpectedPodCountFailed'));
    const [condition] = (await statusOf(h))?.conditions ?? [];
    assert.equal(condition?.reason, 'SyncFailed');
    assert.equal(condition?.message, 'jobs.batch does not implement the scale subresource');
  });

  it('counts an evicted pod that never went as healthy again after two minutes, and tells it', async () => {
    await h.run(disruptionController(h), staleDisruptionController(h));
    const pod = await h.client.create<Pod>(PODS, {
      metadata: { namespace: 'ns', name: 'p', labels: { app: 'web' } },
      spec: { containers: [] },
    });
    const running = await runPod(h, pod, true);
    await h.client.create(PODDISRUPTIONBUDGETS, budget({ minAvailable: 0 }));
    await h.clock.advance(10);
    const now = new Date(h.clock.nowMs()).toISOString();
    const live = await h.client.get<PodDisruptionBudget>(PODDISRUPTIONBUDGETS, 'ns', 'b');
    await h.client.updateStatus(PODDISRUPTIONBUDGETS, {
      ...live,
      status: { ...live.status!, disruptionsAllowed: 0, disruptedPods: { p: now } },
    });
    const target = { type: 'DisruptionTarget', status: 'True', lastTransitionTime: now };
    const conditions = [...(running.status?.conditions ?? []), target];
    await h.client.updateStatus<Pod>(PODS, { ...running, status: { ...running.status, conditions } });
    await h.clock.advance(60_000);
    assert.equal((await statusOf(h))?.currentHealthy, 0);
    await h.clock.advance(62_000);
    const status = await statusOf(h);
    assert.deepEqual([status?.currentHealthy, status?.disruptionsAllowed, status?.disruptedPods], [1, 1, undefined]);
    assert.ok(reasons(h).includes('NotDeleted'));
    const told = await h.client.get<Pod>(PODS, 'ns', 'p');
    assert.equal(told.status?.conditions?.find(({ type }) => type === 'DisruptionTarget')?.status, 'False');
  });
});

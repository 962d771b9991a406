import assert from 'node:assert/strict';
import type { Pod } from '../../../../../src/api/types/core-v1.js';
import type { PodDisruptionBudgetSpec, PodDisruptionBudgetStatus } from '../../../../../src/api/types/policy-v1.js';
import { failSafe, planBudget, staleDisruptionInMs } from '../../../../../src/control/controllers/disruption/plan.js';

const NOW = Date.parse('2026-01-01T00:10:00Z');
const at = (agoMs: number) => new Date(NOW - agoMs).toISOString().replace('.000', '');

function pods(ready: number, unready = 0): Pod[] {
  return Array.from({ length: ready + unready }, (_, i) => ({
    metadata: { namespace: 'ns', name: `p${i}` },
    status: { phase: 'Running' as const, conditions: [{ type: 'Ready', status: i < ready ? 'True' : 'False' }] },
  }));
}

const plan = (
  spec: Partial<PodDisruptionBudgetSpec>,
  present: Pod[],
  scale: number,
  status?: PodDisruptionBudgetStatus,
) =>
  planBudget({
    budget: { metadata: { namespace: 'ns', name: 'b', generation: 3 }, spec, ...(status ? { status } : {}) },
    pods: present,
    scale: () => scale,
    nowMs: NOW,
  });

describe('the plan of a disruption budget', () => {
  const rows: [string, Partial<PodDisruptionBudgetSpec>, Pod[], number, [number, number, number, number]][] = [
    // what, spec, pods, scale: expected, desired, current, allowed
    ['a number that must stay is of the pods that are there', { minAvailable: 2 }, pods(3), 9, [3, 2, 3, 1]],
    ['unready pods are not healthy', { minAvailable: 2 }, pods(2, 1), 9, [3, 2, 2, 0]],
    ['a percentage that must stay is of the scale, rounded up', { minAvailable: '50%' }, pods(5), 5, [5, 3, 5, 2]],
    ['a number that may go is of the scale', { maxUnavailable: 1 }, pods(3), 5, [5, 4, 3, 0]],
    ['a percentage that may go is rounded up', { maxUnavailable: '30%' }, pods(5), 5, [5, 3, 5, 2]],
    ['more may go than there are', { maxUnavailable: 9 }, pods(2), 2, [2, 0, 2, 2]],
    ['nothing expected, nothing allowed', { maxUnavailable: 1 }, pods(2), 0, [0, 0, 2, 0]],
    ['neither: all may go', {}, pods(2), 0, [2, 0, 2, 2]],
    ['more must stay than there are', { minAvailable: 9 }, pods(2), 0, [2, 9, 2, 0]],
    ['without pods nothing is allowed', { minAvailable: 0 }, [], 0, [0, 0, 0, 0]],
  ];
  for (const [what, spec, present, scale, expected] of rows) {
    it(what, () => {
      const { status } = plan(spec, present, scale);
      const { expectedPods, desiredHealthy, currentHealthy, disruptionsAllowed } = status;
      assert.deepEqual([expectedPods, desiredHealthy, currentHealthy, disruptionsAllowed], expected);
      assert.equal(status.observedGeneration, 3);
      const [condition] = status.conditions ?? [];
      assert.equal(condition?.reason, disruptionsAllowed > 0 ? 'SufficientPods' : 'InsufficientPods');
      assert.equal(condition?.status, disruptionsAllowed > 0 ? 'True' : 'False');
      assert.equal(condition?.observedGeneration, 3);
    });
  }

  it('counts an evicted pod as gone until its time is over, and then again', () => {
    const disruptedPods = { p0: at(60_000), p1: at(121_000), gone: at(1_000) };
    const before = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0, disruptedPods };
    const { status, overdue, recheckInMs } = plan({ minAvailable: 1 }, pods(3), 0, before);
    assert.deepEqual(status.disruptedPods, { p0: at(60_000) });
    assert.equal(status.currentHealthy, 2);
    assert.deepEqual(
      overdue.map(({ metadata }) => metadata.name),
      ['p1'],
    );
    assert.equal(recheckInMs, 60_001);
  });

  it('keeps the time of a condition whose status stays', () => {
    const first = plan({ minAvailable: 1 }, pods(3), 0).status;
    const [condition] = first.conditions ?? [];
    const old = { ...first, conditions: [{ ...condition!, lastTransitionTime: '2025-01-01T00:00:00Z' }] };
    assert.equal(
      plan({ minAvailable: 2 }, pods(3), 0, old).status.conditions?.[0]?.lastTransitionTime,
      '2025-01-01T00:00:00Z',
    );
    const failed = failSafe({ metadata: {}, status: old }, 'why', NOW);
    assert.deepEqual([failed.disruptionsAllowed, failed.currentHealthy], [0, 3]);
    assert.deepEqual(failed.conditions?.[0], {
      type: 'DisruptionAllowed',
      status: 'False',
      reason: 'SyncFailed',
      message: 'why',
      observedGeneration: 3,
      lastTransitionTime: at(0),
    });
  });

  it('knows which pods were to be disrupted and are still there', () => {
    const conditions = [{ type: 'DisruptionTarget', status: 'True', lastTransitionTime: at(100_000) }];
    assert.equal(staleDisruptionInMs({ metadata: {}, status: { conditions } }, NOW), 20_000);
    assert.equal(staleDisruptionInMs({ metadata: {}, status: { phase: 'Failed', conditions } }, NOW), undefined);
    assert.equal(
      staleDisruptionInMs({ metadata: { deletionTimestamp: at(0) }, status: { conditions } }, NOW),
      undefined,
    );
    assert.equal(staleDisruptionInMs({ metadata: {} }, NOW), undefined);
  });
});

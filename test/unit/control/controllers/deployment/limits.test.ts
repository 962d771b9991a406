import assert from 'node:assert/strict';
import { limitsOf } from '../../../../../src/control/controllers/deployment/limits.js';
import { deployment } from '../harness.js';

describe('limits of a rolling update', () => {
  const limits = (replicas: number, maxSurge?: number | string, maxUnavailable?: number | string) => {
    const rollingUpdate = {
      ...(maxSurge === undefined ? {} : { maxSurge }),
      ...(maxUnavailable === undefined ? {} : { maxUnavailable }),
    };
    const { maxSurge: surge, maxUnavailable: unavailable } = limitsOf(
      deployment(replicas, { strategy: { rollingUpdate } }),
    );
    return [surge, unavailable];
  };

  it('round percentages up for surge and down for unavailable', () => {
    assert.deepEqual(limits(10, '25%', '25%'), [3, 2]);
    assert.deepEqual(limits(1, '25%', '25%'), [1, 0]);
    assert.deepEqual(limits(3), [1, 0]);
  });

  it('are never both 0', () => {
    assert.deepEqual(limits(3, 0, 0), [0, 1]);
    assert.deepEqual(limits(3, '0%', '10%'), [0, 1]);
  });

  it('make no more unavailable than there is', () => {
    assert.deepEqual(limits(2, 0, 5), [0, 2]);
    assert.deepEqual(limits(0, 1, 1), [1, 0]);
  });

  it('do not apply to Recreate', () => {
    assert.deepEqual(limitsOf(deployment(3, { strategy: { type: 'Recreate' } })), { maxSurge: 0, maxUnavailable: 0 });
  });
});

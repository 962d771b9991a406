import assert from 'node:assert/strict';
import { rfc3339 } from '../../../../../src/base/clock.js';
import type { Pod } from '../../../../../src/api/types/core-v1.js';
import { POD_DELETION_COST, podsToDelete } from '../../../../../src/control/controllers/replicaset/ranking.js';

const NOW = Date.parse('2026-01-01T01:00:00Z');
const ago = (seconds: number) => rfc3339(NOW - seconds * 1000);

interface Traits {
  node?: string;
  phase?: 'Pending' | 'Running' | 'Unknown';
  readyFor?: number;
  cost?: string;
  restarts?: number;
  age?: number;
}

const pod = (
  name: string,
  { node = 'n', phase = 'Running', readyFor, cost, restarts = 0, age = 100 }: Traits,
): Pod => ({
  metadata: {
    name,
    uid: name,
    creationTimestamp: ago(age),
    ...(cost === undefined ? {} : { annotations: { [POD_DELETION_COST]: cost } }),
  },
  spec: { containers: [], ...(node ? { nodeName: node } : {}) },
  status: {
    phase,
    conditions: readyFor === undefined ? [] : [{ type: 'Ready', status: 'True', lastTransitionTime: ago(readyFor) }],
    containerStatuses: [{ name: 'c', image: '', imageID: '', ready: true, restartCount: restarts }],
  },
});

const first = (pods: Pod[], related = pods) => podsToDelete(pods, related, 1, NOW)[0]?.metadata.name;

describe('the order in which a ReplicaSet gives up pods', () => {
  const cases: [why: string, loser: Traits, keeper: Traits][] = [
    ['unassigned before assigned', { node: '', phase: 'Pending' }, { phase: 'Pending' }],
    ['pending before running', { phase: 'Pending' }, { phase: 'Running' }],
    ['not ready before ready', {}, { readyFor: 10 }],
    ['cheap before dear', { readyFor: 500, cost: '-5' }, { readyFor: 10, cost: '5' }],
    ['a cost that does not parse counts as 0', { readyFor: 10, cost: 'much' }, { readyFor: 10, cost: '1' }],
    ['ready for a short time before a long time', { readyFor: 10 }, { readyFor: 500 }],
    ['restarted more before less', { readyFor: 100, restarts: 3 }, { readyFor: 100, restarts: 1 }],
    ['young before old', { readyFor: 5, age: 10 }, { readyFor: 5, age: 1_000 }],
  ];
  for (const [why, loser, keeper] of cases) {
    it(why, () => {
      assert.equal(first([pod('keeper', keeper), pod('loser', loser)]), 'loser');
      assert.equal(first([pod('loser', loser), pod('keeper', keeper)]), 'loser');
    });
  }

  it('crowded nodes before others', () => {
    const pods = [pod('alone', { node: 'a', readyFor: 9 }), pod('crowded', { node: 'b', readyFor: 9 })];
    assert.equal(first(pods, [...pods, pod('sibling', { node: 'b', readyFor: 9 })]), 'crowded');
  });
});

import assert from 'node:assert/strict';
import { DEFAULT_FLOW_SCHEMAS, DEFAULT_PRIORITY_LEVELS } from '../../../../../src/api/flowcontrol/defaults.js';
import type { FlowSchema, PriorityLevelConfiguration } from '../../../../../src/api/types/flowcontrol-v1.js';
import {
  Fairness,
  type Admitted,
  type TooManyRequests,
} from '../../../../../src/control/apiserver/fairness/fairness.js';
import { compareFlows, flowMatches } from '../../../../../src/control/apiserver/fairness/matching.js';
import { dealHand } from '../../../../../src/control/apiserver/fairness/queue-set.js';
import { divideSeats, listWidth, seatFree } from '../../../../../src/control/apiserver/fairness/seats.js';
import type { AuthorizationAttributes } from '../../../../../src/security/authz/authorizer.js';
import { ManualClock } from '../../../../../src/testing/manual-clock.js';

const ask = (user: string, groups: string[], more: Partial<AuthorizationAttributes> = {}): AuthorizationAttributes => ({
  user: { name: user, groups },
  verb: 'list',
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespace: 'ns',
  name: '',
  ...more,
});

const flowOf = (asked: AuthorizationAttributes) =>
  [...DEFAULT_FLOW_SCHEMAS].sort(compareFlows).find((flow) => flowMatches(flow, asked))?.metadata.name;

describe('flow schemas', () => {
  const all = 'system:authenticated';
  const rows: [string, AuthorizationAttributes, string][] = [
    ['administrators', ask('root', ['system:masters', all]), 'exempt'],
    ['probes', ask('x', ['system:unauthenticated'], { path: '/readyz', verb: 'get', resource: '' }), 'probes'],
    [
      'leases of nodes',
      ask('system:node:a', ['system:nodes', all], { group: 'coordination.k8s.io', resource: 'leases' }),
      'system-node-high',
    ],
    ['what else nodes do', ask('system:node:a', ['system:nodes', all]), 'system-nodes'],
    [
      'system accounts',
      ask('system:serviceaccount:kube-system:dns', ['system:serviceaccounts', all]),
      'kube-system-service-accounts',
    ],
    ['accounts of users', ask('system:serviceaccount:a:b', ['system:serviceaccounts', all]), 'service-accounts'],
    ['people', ask('eve', [all]), 'global-default'],
    ['strangers', ask('system:anonymous', ['system:unauthenticated']), 'global-default'],
  ];
  for (const [what, asked, expected] of rows) {
    it(`puts ${what} into ${expected}`, () => assert.equal(flowOf(asked), expected));
  }
});

describe('seats of priority levels', () => {
  it('are divided by shares, rounded up', () => {
    const limits = divideSeats(600, DEFAULT_PRIORITY_LEVELS);
    assert.deepEqual(limits.get('workload-low'), { nominal: 245, guaranteed: 24, maximum: 600 });
    assert.deepEqual(limits.get('leader-election'), { nominal: 25, guaranteed: 25, maximum: 600 });
  });

  it('are as many for a list as it has hundreds of objects, up to ten', () => {
    assert.deepEqual([0, 1, 100, 101, 999, 1000, 150_000].map(listWidth), [1, 1, 1, 2, 10, 10, 10]);
  });

  it('can be borrowed while others leave them, but never what these are guaranteed', () => {
    const lender = { limits: { nominal: 6, guaranteed: 2, maximum: 10 }, taken: 0 };
    const borrower = { limits: { nominal: 4, guaranteed: 4, maximum: 10 }, taken: 7 };
    assert.equal(seatFree(10, borrower, 1, [lender, borrower]), true);
    borrower.taken = 8;
    assert.equal(seatFree(10, borrower, 1, [lender, borrower]), false);
    assert.equal(seatFree(10, lender, 2, [lender, borrower]), true);
    lender.taken = 2;
    assert.equal(seatFree(10, lender, 1, [lender, borrower]), false);
  });
});

describe('fairness', () => {
  let clock: ManualClock;
  let fairness: Fairness;

  const level = (spec: PriorityLevelConfiguration['spec']): PriorityLevelConfiguration =>
    ({ metadata: { name: 'small', uid: 'level-uid' }, spec }) as PriorityLevelConfiguration;
  const everybody: FlowSchema = {
    metadata: { name: 'everybody', uid: 'flow-uid' },
    spec: {
      matchingPrecedence: 5,
      priorityLevelConfiguration: { name: 'small' },
      distinguisherMethod: { type: 'ByUser' },
      rules: [
        {
          subjects: [{ kind: 'Group', group: { name: '*' } }],
          resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true }],
        },
      ],
    },
  };
  const queuing = (queues: number, handSize: number, queueLengthLimit: number) => ({
    type: 'Limited',
    limited: {
      nominalConcurrencyShares: 100,
      borrowingLimitPercent: 0,
      limitResponse: { type: 'Queue', queuing: { queues, handSize, queueLengthLimit } },
    },
  });
  function configure(spec: PriorityLevelConfiguration['spec']): void {
    const [flows, levels] = fairness.followed();
    levels?.reset([level(spec)]);
    flows?.reset([everybody]);
  }
  const enter = (user: string, signal = new AbortController().signal) => fairness.admit(ask(user, []), 1, () => signal);
  /** Lets promises that are settled tell. */
  const settled = () => clock.advance(0);

  beforeEach(() => {
    clock = new ManualClock();
    // 100 of 105 shares: two of two seats.
    fairness = new Fairness(clock, { seats: 2, queueWaitMs: 1000 });
  });

  it('rejects at once what finds no seat where a level has no queues', async () => {
    configure({ type: 'Limited', limited: { nominalConcurrencyShares: 100, borrowingLimitPercent: 0 } });
    const first = await enter('a');
    await enter('b');
    assert.deepEqual([first.flowSchemaUid, first.priorityLevelUid], ['flow-uid', 'level-uid']);
    await assert.rejects(enter('c'), (error: TooManyRequests) => error.reason === 'concurrency-limit');
    first.release();
    await enter('c');
  });

  it('lets a quiet user pass a flood of another one', async () => {
    configure(queuing(64, 1, 50));
    const held = [await enter('flood'), await enter('flood')];
    const order: string[] = [];
    const track = (user: string) => void enter(user).then((admitted) => (order.push(user), held.push(admitted)));
    for (let i = 0; i < 10; i++) track('flood');
    track('quiet');
    for (let i = 0; i < 4; i++) {
      held.shift()?.release();
      await settled();
    }
    assert.ok(order.indexOf('quiet') >= 0 && order.indexOf('quiet') <= 1, order.join());
  });

  it('rejects when a flow has filled its queue, and when its turn does not come in time', async () => {
    configure(queuing(1, 1, 1));
    await enter('a');
    await enter('a');
    const waiting = enter('a');
    await assert.rejects(enter('a'), (error: TooManyRequests) => error.reason === 'queue-full');
    const timedOut = assert.rejects(waiting, (error: TooManyRequests) => error.reason === 'time-out');
    await clock.advance(1001);
    await timedOut;
  });

  it('forgets a request whose client went away', async () => {
    configure(queuing(1, 1, 5));
    const held = await enter('a');
    await enter('a');
    const abort = new AbortController();
    const gone = assert.rejects(enter('a', abort.signal), (error: TooManyRequests) => error.reason === 'cancelled');
    let next: Admitted | undefined;
    void enter('a').then((admitted) => (next = admitted));
    abort.abort();
    await gone;
    held.release();
    held.release();
    await settled();
    assert.ok(next, 'the seat went to the one that still waits');
  });

  it('keeps those that wait when the queues are changed', async () => {
    configure(queuing(4, 2, 5));
    const held = await enter('a');
    await enter('a');
    let next: Admitted | undefined;
    void enter('b').then((admitted) => (next = admitted));
    configure(queuing(8, 3, 5));
    held.release();
    await settled();
    assert.ok(next);
  });

  it('takes no seat for a request that left after the queues were changed', async () => {
    configure(queuing(4, 2, 5));
    const held = [await enter('a'), await enter('a')];
    const abort = new AbortController();
    const gone = assert.rejects(enter('b', abort.signal), (error: TooManyRequests) => error.reason === 'cancelled');
    configure(queuing(8, 3, 5));
    abort.abort();
    await gone;
    for (const { release } of held) release();
    await enter('c');
    await enter('c');
  });

  it('starts those that wait when their level gets more seats', async () => {
    fairness = new Fairness(clock, { seats: 4, queueWaitMs: 1000 });
    const [, levels] = fairness.followed();
    const spec = queuing(4, 2, 5);
    const ofShares = (nominalConcurrencyShares: number) => ({
      ...spec,
      limited: { ...spec.limited, nominalConcurrencyShares },
    });
    configure(ofShares(5));
    await enter('a');
    await enter('a');
    let next: Admitted | undefined;
    void enter('b').then((admitted) => (next = admitted));
    await settled();
    assert.equal(next, undefined);
    levels?.reset([level(ofShares(100))]);
    await settled();
    assert.ok(next);
  });

  it('gives long lists more seats, but no request more than a part of its level', async () => {
    fairness = new Fairness(clock, { seats: 20, queueWaitMs: 1000 });
    configure({ type: 'Limited', limited: { nominalConcurrencyShares: 100, borrowingLimitPercent: 0 } });
    const signal = new AbortController().signal;
    const list = (objects: number) => fairness.admit(ask('a', []), listWidth(objects), () => signal);
    // 15 % of twenty seats for each of them.
    const held: Admitted[] = [];
    for (let i = 0; i < 6; i++) held.push(await list(5000));
    await assert.rejects(list(250), (error: TooManyRequests) => error.reason === 'concurrency-limit');
    await list(150);
    held[0]?.release();
    await list(250);
  });

  it('never limits an exempt level', async () => {
    configure({ type: 'Exempt', exempt: {} });
    for (let i = 0; i < 20; i++) await enter('a');
  });

  it('deals every flow the same hand of different queues', () => {
    const options = { queues: 64, handSize: 6, queueLengthLimit: 50 };
    assert.deepEqual(dealHand('x', options), dealHand('x', options));
    assert.equal(new Set(dealHand('x', options)).size, 6);
    assert.notDeepEqual(dealHand('x', options), dealHand('y', options));
  });
});

import assert from 'node:assert/strict';
import { systemClock } from '../../../../src/base/clock.js';
import { silentLogger } from '../../../../src/base/log.js';
import { noMetrics } from '../../../../src/base/metrics.js';
import { seededRandom } from '../../../../src/base/random.js';
import { ApiError } from '../../../../src/api/errors.js';
import { EVENTS, NODES, PODS } from '../../../../src/api/resource.js';
import type { Event, Node, Pod } from '../../../../src/api/types/core-v1.js';
import { createScheduler } from '../../../../src/control/scheduler/scheduler.js';
import { MemoryClient } from '../../../../src/testing/memory-client.js';
import { node, pod } from './objects.js';

describe('the scheduler', () => {
  const deps = { clock: systemClock, log: silentLogger, metrics: noMetrics, random: seededRandom(1) };
  let client: MemoryClient;
  let scheduler: ReturnType<typeof createScheduler>;
  let dead: Set<string>;

  beforeEach(async () => {
    client = new MemoryClient(deps);
    dead = new Set();
    scheduler = createScheduler(
      { ...deps, client, unreachable: () => dead },
      { initialBackoffMs: 5, maxBackoffMs: 20 },
    );
    await scheduler.start();
  });
  afterEach(() => scheduler.stop());

  async function until(what: string, condition: () => boolean): Promise<void> {
    for (const end = Date.now() + 4_000; !condition(); await systemClock.sleep(2)) {
      if (Date.now() > end) assert.fail(`never happened: ${what}`);
    }
  }
  const podNamed = (name: string) => client.all<Pod>(PODS).find(({ metadata }) => metadata.name === name);
  const nodeOf = (name: string) => podNamed(name)?.spec?.nodeName;
  const events = (reason: string) => client.all<Event>(EVENTS).filter((event) => event.reason === reason);
  const condition = (name: string) => podNamed(name)?.status?.conditions?.find(({ type }) => type === 'PodScheduled');

  it('binds a pending pod and says so', async () => {
    client.seed<Node>(NODES, node('a'));
    client.seed<Pod>(PODS, pod('web'));
    await until('bound', () => nodeOf('web') === 'a');
    await until('event', () => events('Scheduled').length === 1);
    assert.equal(events('Scheduled')[0]?.message, 'Successfully assigned default/web to a');
  });

  it('explains a refusal in an Event and in the condition, and tries again when a node appears', async () => {
    client.seed<Node>(NODES, node('small', { cpu: '1' }));
    client.seed<Pod>(PODS, pod('big', { cpu: '2' }));
    await until('condition', () => condition('big') !== undefined);
    const text =
      '0/1 nodes are available: 1 Insufficient cpu. ' +
      'preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.';
    assert.equal(condition('big')?.message, text);
    assert.equal(condition('big')?.reason, 'Unschedulable');
    await until('event', () => events('FailedScheduling').length === 1);
    assert.equal(events('FailedScheduling')[0]?.message, text);
    client.seed<Node>(NODES, node('large'));
    await until('bound', () => nodeOf('big') === 'large');
  });

  it('puts no pod on a node that is known to be dead, though no taint says so yet', async () => {
    dead.add('gone');
    client.seed<Node>(NODES, node('gone'));
    client.seed<Pod>(PODS, pod('web'));
    await until('condition', () => condition('web') !== undefined);
    assert.match(condition('web')?.message ?? '', /untolerated taint \{node\.kubernetes\.io\/unreachable: \}/);
    client.seed<Node>(NODES, node('alive'));
    await until('bound', () => nodeOf('web') === 'alive');
  });

  it('tries a refused pod again when another pod makes room', async () => {
    client.seed<Node>(NODES, node('a', { cpu: '1' }));
    client.seed<Pod>(PODS, pod('first', { cpu: '1' }));
    await until('first bound', () => nodeOf('first') === 'a');
    client.seed<Pod>(PODS, pod('second', { cpu: '1' }));
    await until('refused', () => condition('second') !== undefined);
    await client.delete(PODS, 'default', 'first', { gracePeriodSeconds: 0 });
    await until('second bound', () => nodeOf('second') === 'a');
  });

  it('undoes a binding that failed and binds again', async () => {
    client.failNext({ verb: 'subresource', error: new ApiError(500, 'InternalError', 'boom') });
    client.seed<Node>(NODES, node('a', { cpu: '1' }));
    client.seed<Pod>(PODS, pod('web', { cpu: '1' }));
    await until('bound', () => nodeOf('web') === 'a');
    await until('event', () => events('FailedScheduling').length === 1);
    assert.match(events('FailedScheduling')[0]?.message ?? '', /^binding rejected: /);
  });

  it('leaves gated pods and those of other schedulers alone', async () => {
    client.seed<Node>(NODES, node('a'));
    client.seed<Pod>(PODS, pod('gated', {}, { schedulingGates: [{ name: 'wait' }] }));
    client.seed<Pod>(PODS, pod('foreign', {}, { schedulerName: 'mine' }));
    client.seed<Pod>(PODS, pod('ordinary'));
    await until('bound', () => nodeOf('ordinary') === 'a');
    assert.equal(nodeOf('gated'), undefined);
    assert.equal(nodeOf('foreign'), undefined);
    await client.patch(PODS, 'default', 'gated', 'merge', { spec: { schedulingGates: null } });
    await until('bound when the gate is gone', () => nodeOf('gated') === 'a');
  });

  it('never promises the same room twice while the cache lags', async () => {
    for (const name of ['a', 'b', 'c']) client.seed<Node>(NODES, node(name, { cpu: '2' }));
    for (let i = 0; i < 10; i++) client.seed<Pod>(PODS, pod(`p${i}`, { cpu: '1' }));
    await until('six bound', () => client.all<Pod>(PODS).filter((p) => p.spec?.nodeName).length === 6);
    await until('four refused', () => client.all<Pod>(PODS).filter((p) => p.status?.conditions).length === 4);
    for (const name of ['a', 'b', 'c']) {
      assert.equal(client.all<Pod>(PODS).filter((p) => p.spec?.nodeName === name).length, 2);
    }
  });
});

import assert from 'node:assert/strict';
import { systemClock } from '../../../../src/base/clock.js';
import { silentLogger } from '../../../../src/base/log.js';
import { noMetrics } from '../../../../src/base/metrics.js';
import { seededRandom } from '../../../../src/base/random.js';
import { ApiError } from '../../../../src/api/errors.js';
import { EVENTS, NODES, PODS } from '../../../../src/api/resource.js';
import type { Event, Node, Pod, PodSpec } from '../../../../src/api/types/core-v1.js';
import { createScheduler } from '../../../../src/control/scheduler/scheduler.js';
import { MemoryClient } from '../../../../src/testing/memory-client.js';
import { node, pod } from './objects.js';

describe('the scheduler, for a pod of higher priority', () => {
  const deps = { clock: systemClock, log: silentLogger, metrics: noMetrics, random: seededRandom(1) };
  let client: MemoryClient;
  let running: ReturnType<typeof createScheduler>[];

  beforeEach(() => {
    client = new MemoryClient(deps);
    running = [];
  });
  afterEach(() => Promise.all(running.map((scheduler) => scheduler.stop())));

  async function start() {
    const scheduler = createScheduler({ ...deps, client }, { initialBackoffMs: 5, maxBackoffMs: 20 });
    running.push(scheduler);
    await scheduler.start();
    return scheduler;
  }
  async function until(what: string, condition: () => boolean): Promise<void> {
    for (const end = Date.now() + 10_000; !condition(); await systemClock.sleep(2)) {
      if (Date.now() > end) assert.fail(`never happened: ${what}`);
    }
  }
  const podNamed = (name: string) => client.all<Pod>(PODS).find(({ metadata }) => metadata.name === name);
  const nodeOf = (name: string) => podNamed(name)?.spec?.nodeName;
  const nominated = (name: string) => podNamed(name)?.status?.nominatedNodeName;
  const condition = (name: string, wanted: string) =>
    podNamed(name)?.status?.conditions?.find(({ type }) => type === wanted);
  const events = (reason: string) => client.all<Event>(EVENTS).filter((event) => event.reason === reason);
  const isGoing = (name: string) => podNamed(name)?.metadata.deletionTimestamp !== undefined;
  const finish = (name: string) => client.delete(PODS, 'default', name, { gracePeriodSeconds: 0 });
  const deletions = () => client.calls.filter(({ verb }) => verb === 'delete').map(({ name }) => name);

  const seed = (priority: number, name: string, cpu: string, spec: Partial<PodSpec> = {}) =>
    client.seed<Pod>(PODS, pod(name, { cpu }, { priority, ...spec }));

  it('ends one of lower priority, says so, keeps its room and takes it when the other is gone', async () => {
    client.seed<Node>(NODES, node('a'));
    seed(0, 'low', '4', { nodeName: 'a' });
    await start();
    seed(9, 'high', '2');
    await until('the victim goes', () => isGoing('low'));
    await until('nominated', () => nominated('high') === 'a');
    const { status, reason, message } = condition('low', 'DisruptionTarget') ?? {};
    assert.deepEqual(
      [status, reason, message],
      ['True', 'PreemptionByScheduler', 'default-scheduler: preempting to accommodate a higher priority pod'],
    );
    await until('the event', () => events('Preempted').length === 1);
    const [event] = events('Preempted');
    assert.equal(event?.message, 'Preempted by pod uid-high on node a');
    assert.deepEqual([event?.involvedObject.name, event?.related?.name], ['low', 'high']);
    await until('the condition', () => condition('high', 'PodScheduled') !== undefined);
    seed(5, 'middle', '2');
    await until('the other is refused', () => condition('middle', 'PodScheduled') !== undefined);
    await finish('low');
    await until('bound', () => nodeOf('high') === 'a');
    await until('the rest is free for the other', () => nodeOf('middle') === 'a');
    assert.deepEqual(deletions(), ['low', 'low']);
  });

  it('says why it waits: first what is short, then that victims terminate', async () => {
    client.seed<Node>(NODES, node('a'));
    seed(0, 'low', '4', { nodeName: 'a' });
    await start();
    seed(9, 'high', '2');
    await until('going', () => isGoing('low'));
    client.seed<Node>(NODES, node('b', { cpu: '1' }));
    const waits =
      '0/2 nodes are available: 2 Insufficient cpu. ' +
      'preemption: not eligible due to a terminating pod on the nominated node.';
    await until('waiting', () => condition('high', 'PodScheduled')?.message === waits);
    const texts = events('FailedScheduling').map(({ message }) => message);
    assert.ok(texts.includes('0/1 nodes are available: 1 Insufficient cpu.'), texts.join('\n'));
    assert.deepEqual(deletions(), ['low']);
  });

  it('ends nobody twice, and nobody else, while its cache says nothing of the deletion', async () => {
    for (const name of ['a', 'b']) client.seed<Node>(NODES, node(name));
    seed(0, 'low-a', '4', { nodeName: 'a' });
    seed(0, 'low-b', '4', { nodeName: 'b' });
    seed(9, 'high', '2');
    client.holdWatches();
    await start();
    await until('one goes', () => deletions().length === 1);
    client.releaseWatches();
    const [victim = ''] = deletions();
    await until('nominated', () => nominated('high') !== undefined);
    // Wakes whatever waits.
    client.seed<Node>(NODES, node('c', { cpu: '1' }));
    await until('looked again', () => /terminating/.test(condition('high', 'PodScheduled')?.message ?? ''));
    assert.deepEqual(deletions(), [victim]);
    await finish(victim);
    await until('bound', () => nodeOf('high') !== undefined);
  });

  it('goes on after another holder of the role began it', async () => {
    client.seed<Node>(NODES, node('a'));
    seed(0, 'low', '4', { nodeName: 'a' });
    seed(9, 'high', '4');
    const first = await start();
    await until('nominated', () => nominated('high') === 'a' && isGoing('low'));
    await first.stop();
    // A better choice, were it still to be made.
    client.seed<Node>(NODES, node('b'));
    seed(-5, 'lowest', '4', { nodeName: 'b' });
    await start();
    seed(9, 'waker', '4', { preemptionPolicy: 'Never' });
    await until('refused', () => condition('waker', 'PodScheduled') !== undefined);
    assert.deepEqual(deletions(), ['low']);
    await finish('low');
    await until('bound', () => nodeOf('high') === 'a');
    assert.equal(nodeOf('waker'), undefined);
  });

  it('tries again when the API does not take a deletion', async () => {
    client.failNext({ verb: 'delete', times: 2, error: new ApiError(503, 'ServiceUnavailable', 'not now') });
    client.seed<Node>(NODES, node('a'));
    seed(0, 'low', '4', { nodeName: 'a' });
    seed(9, 'high', '2');
    await start();
    await until('going', () => isGoing('low'));
    await until('nominated', () => nominated('high') === 'a');
    await until('one event', () => events('Preempted').length === 1);
    await finish('low');
    await until('bound', () => nodeOf('high') === 'a');
  });

  it('ends another where the API does not let the first go', async () => {
    client.failNext({ verb: 'delete', error: new ApiError(503, 'ServiceUnavailable', 'no majority') });
    for (const name of ['a', 'b']) {
      client.seed<Node>(NODES, node(name));
      seed(name === 'a' ? 0 : 1, `low-${name}`, '4', { nodeName: name });
    }
    seed(9, 'high', '4');
    await start();
    await until('the more important goes', () => isGoing('low-b'));
    await until('nominated', () => nominated('high') === 'b');
    assert.deepEqual(deletions(), ['low-a', 'low-b']);
  });

  it('sends away one of lower priority that waited for the same room', async () => {
    client.seed<Node>(NODES, node('a'));
    seed(0, 'low', '4', { nodeName: 'a' });
    await start();
    seed(5, 'middle', '4');
    await until('nominated', () => nominated('middle') === 'a');
    seed(9, 'high', '4');
    await until('nominated in its place', () => nominated('high') === 'a' && nominated('middle') === undefined);
    await finish('low');
    await until('bound', () => nodeOf('high') === 'a');
    assert.equal(nodeOf('middle'), undefined);
    assert.deepEqual(deletions(), ['low', 'low']);
  });

  it('keeps no room for one that was deleted', async () => {
    client.seed<Node>(NODES, node('a'));
    seed(0, 'low', '4', { nodeName: 'a' });
    await start();
    seed(9, 'high', '4');
    await until('nominated', () => nominated('high') === 'a' && isGoing('low'));
    await finish('low');
    await client.delete(PODS, 'default', 'high', { gracePeriodSeconds: 0 });
    seed(0, 'next', '4');
    await until('another has it', () => nodeOf('next') === 'a' || nodeOf('high') === 'a');
  });

  it('makes room on as many nodes as are needed', async () => {
    for (const name of ['a', 'b', 'c']) client.seed<Node>(NODES, node(name));
    for (const name of ['a', 'b', 'c']) seed(0, `low-${name}`, '3', { nodeName: name });
    await start();
    for (let i = 0; i < 3; i++) seed(9, `high-${i}`, '3');
    await until('all go', () => ['a', 'b', 'c'].every((name) => isGoing(`low-${name}`)));
    await until('each has its own', () => new Set([0, 1, 2].map((i) => nominated(`high-${i}`))).size === 3);
    for (const name of ['a', 'b', 'c']) await finish(`low-${name}`);
    await until('bound', () => [0, 1, 2].every((i) => nodeOf(`high-${i}`) !== undefined));
  });

  it('takes a nomination back when nothing helps any more', async () => {
    client.seed<Node>(NODES, node('a'));
    seed(0, 'low', '4', { nodeName: 'a' });
    await start();
    seed(9, 'high', '4');
    await until('nominated', () => nominated('high') === 'a');
    await client.patch(NODES, '', 'a', 'merge', { spec: { unschedulable: true } });
    await until('no longer', () => nominated('high') === undefined);
  });
});

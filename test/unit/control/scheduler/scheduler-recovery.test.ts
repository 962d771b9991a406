import assert from 'node:assert/strict';
import { systemClock } from '../../../../src/base/clock.js';
import { silentLogger } from '../../../../src/base/log.js';
import { noMetrics } from '../../../../src/base/metrics.js';
import { seededRandom } from '../../../../src/base/random.js';
import { ApiError } from '../../../../src/api/errors.js';
import { EVENTS, NAMESPACES, NODES, PODS } from '../../../../src/api/resource.js';
import type { Event, Namespace, Node, Pod } from '../../../../src/api/types/core-v1.js';
import { createScheduler } from '../../../../src/control/scheduler/scheduler.js';
import { MemoryClient } from '../../../../src/testing/memory-client.js';
import { node, pod } from './objects.js';

describe('the scheduler, when things go wrong', () => {
  const deps = { clock: systemClock, log: silentLogger, metrics: noMetrics, random: seededRandom(1) };
  const options = { initialBackoffMs: 5, maxBackoffMs: 20 };
  let client: MemoryClient;
  let running: ReturnType<typeof createScheduler>[];

  beforeEach(() => {
    client = new MemoryClient(deps);
    running = [];
  });
  afterEach(async () => {
    client.releaseWatches();
    await Promise.all(running.map((scheduler) => scheduler.stop()));
  });

  async function start(maxBindings = 256) {
    const scheduler = createScheduler({ ...deps, client }, { ...options, maxBindings });
    running.push(scheduler);
    await scheduler.start();
    return scheduler;
  }
  async function until(what: string, condition: () => boolean): Promise<void> {
    for (const end = Date.now() + 4_000; !condition(); await systemClock.sleep(2)) {
      if (Date.now() > end) assert.fail(`never happened: ${what}`);
    }
  }
  const podNamed = (name: string) => client.all<Pod>(PODS).find(({ metadata }) => metadata.name === name);
  const nodeOf = (name: string) => podNamed(name)?.spec?.nodeName;
  const placed = () => client.all<Pod>(PODS).filter(({ spec }) => spec?.nodeName);
  const refused = (name: string) =>
    podNamed(name)?.status?.conditions?.some(({ status }) => status === 'False') === true;
  const bindings = () => client.calls.filter(({ verb }) => verb === 'subresource').length;

  it('promises no room twice while its cache says nothing of its own bindings', async () => {
    for (const name of ['a', 'b']) client.seed<Node>(NODES, node(name, { cpu: '2' }));
    for (let i = 0; i < 6; i++) client.seed<Pod>(PODS, pod(`p${i}`, { cpu: '1' }));
    client.holdWatches();
    await start();
    await until('four bound', () => placed().length === 4);
    await until(
      'two refused',
      () => client.all<Pod>(PODS).filter((each) => refused(each.metadata.name ?? '')).length === 2,
    );
    assert.equal(bindings(), 4);
    client.releaseWatches();
    await client.delete(PODS, 'default', placed()[0]?.metadata.name ?? '', { gracePeriodSeconds: 0 });
    await until('the room that was freed is used', () => placed().length === 4);
    assert.equal(bindings(), 5);
  });

  it('gives the last room to the higher priority', async () => {
    client.seed<Node>(NODES, node('a', { cpu: '1' }));
    client.seed<Pod>(PODS, pod('modest', { cpu: '1' }, { priority: 1 }));
    client.seed<Pod>(PODS, pod('important', { cpu: '1' }, { priority: 100 }));
    await start();
    await until('bound', () => nodeOf('important') === 'a');
    await until('refused', () => refused('modest'));
  });

  it('binds again after a failure, elsewhere if need be, and gives the room back meanwhile', async () => {
    client.failNext({ verb: 'subresource', times: 3, error: new ApiError(500, 'InternalError', 'boom') });
    client.seed<Node>(NODES, node('a', { cpu: '1' }));
    client.seed<Pod>(PODS, pod('web', { cpu: '1' }));
    await start();
    await until('bound', () => nodeOf('web') === 'a');
    assert.equal(bindings(), 4);
  });

  it('drops a pod that was gone before it could be bound', async () => {
    client.seed<Node>(NODES, node('a', { cpu: '1' }));
    client.seed<Pod>(PODS, pod('gone', { cpu: '1' }));
    client.holdWatches();
    await start();
    await until('the first list', () => client.calls.some(({ verb }) => verb === 'watch'));
    await until('bound', () => nodeOf('gone') === 'a');
    await client.delete(PODS, 'default', 'gone', { gracePeriodSeconds: 0 });
    client.seed<Pod>(PODS, pod('next', { cpu: '1' }));
    client.releaseWatches();
    await until('the room is used', () => nodeOf('next') === 'a');
  });

  it('places another pod of the same name that a new list shows in place of the one it bound', async () => {
    client.seed<Node>(NODES, node('a', { cpu: '1' }));
    client.seed<Pod>(PODS, pod('db-0', { cpu: '1' }));
    client.holdWatches();
    await start();
    await until('bound', () => nodeOf('db-0') === 'a');
    await client.delete(PODS, 'default', 'db-0', { gracePeriodSeconds: 0 });
    const again = pod('db-0', { cpu: '1' });
    again.metadata.uid = 'another';
    client.seed<Pod>(PODS, again);
    client.compact();
    client.releaseWatches();
    await until('the second is bound, too', () => nodeOf('db-0') === 'a');
    assert.equal(podNamed('db-0')?.metadata.uid, 'another');
  });

  it('looks again when a namespace gets the labels that a term asks for', async () => {
    client.seed<Node>(NODES, node('a'));
    client.seed<Namespace>(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'prod' },
    } as Namespace);
    const db = pod('db', {}, { nodeName: 'a' }, { app: 'db' });
    db.metadata.namespace = 'prod';
    client.seed<Pod>(PODS, db);
    const podAffinityTerm = {
      topologyKey: 'kubernetes.io/hostname',
      labelSelector: { matchLabels: { app: 'db' } },
      namespaceSelector: { matchLabels: { stage: 'prod' } },
    };
    const affinity = { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [podAffinityTerm] } };
    client.seed<Pod>(PODS, pod('web', {}, { affinity }));
    await start();
    await until('refused', () => refused('web'));
    await client.patch(NAMESPACES, '', 'prod', 'merge', { metadata: { labels: { stage: 'prod' } } });
    await until('bound', () => nodeOf('web') === 'a');
  });

  it('looks again when a taint goes, a node grows and a node appears', async () => {
    client.seed<Node>(NODES, node('a', { cpu: '1' }, { taints: [{ key: 'k', effect: 'NoSchedule' }] }));
    client.seed<Pod>(PODS, pod('p', { cpu: '1' }));
    client.seed<Pod>(PODS, pod('q', { cpu: '2' }));
    await start();
    await until('refused', () => refused('p') && refused('q'));
    await client.patch(NODES, '', 'a', 'merge', { spec: { taints: null } });
    await until('p bound', () => nodeOf('p') === 'a');
    await client.patch(NODES, '', 'a', 'merge', { status: { allocatable: { cpu: '3' } } }, { subresource: 'status' });
    await until('q bound', () => nodeOf('q') === 'a');
  });

  it('after a restart counts what its predecessor bound, and finishes the rest', async () => {
    client.seed<Node>(NODES, node('a', { cpu: '3' }));
    for (let i = 0; i < 5; i++) client.seed<Pod>(PODS, pod(`p${i}`, { cpu: '1' }));
    client.holdWatches();
    const first = await start(1);
    await until('some bound', () => placed().length > 0);
    client.releaseWatches();
    await first.stop();
    const before = placed().length;
    await start();
    await until('three bound', () => placed().length === 3);
    await until(
      'two refused',
      () => client.all<Pod>(PODS).filter((each) => refused(each.metadata.name ?? '')).length === 2,
    );
    assert.ok(before <= 3);
    assert.equal(bindings(), 3);
  });

  it('two at once bind every pod once', async () => {
    for (const name of ['a', 'b', 'c']) client.seed<Node>(NODES, node(name));
    await Promise.all([start(), start()]);
    for (let i = 0; i < 20; i++) client.seed<Pod>(PODS, pod(`p${i}`, { cpu: '100m' }));
    await until('all bound', () => placed().length === 20);
    await until(
      'all told',
      () => client.all<Event>(EVENTS).filter(({ reason }) => reason === 'Scheduled').length === 20,
    );
  });

  it('says of a placed pod nothing that was true before', async () => {
    client.seed<Pod>(PODS, pod('p'));
    await start();
    await until('refused', () => refused('p'));
    client.seed<Node>(NODES, node('a'));
    await until('bound', () => nodeOf('p') === 'a');
    await until('told', () => client.all<Event>(EVENTS).some(({ reason }) => reason === 'Scheduled'));
    const writes = client.writes(PODS).map(({ verb }) => verb);
    assert.ok(writes.lastIndexOf('patch') < writes.indexOf('subresource'));
  });
});

/** Events in both of their groups. */
import assert from 'node:assert/strict';
import type { Context, Rows, RowTest } from '../framework/context.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

const micro = () => new Date().toISOString().replace('Z', '000Z');

const newEvent = (namespace: string, name: string, labels: Json): Json => ({
  metadata: { name, namespace, labels },
  type: 'Normal',
  reason: 'Test',
  action: 'Do',
  note: 'This is event-test',
  reportingController: 'conformance.example.com/controller',
  reportingInstance: 'test-node',
  eventTime: micro(),
  regarding: { kind: 'Pod', namespace, name: 'no-such-pod', apiVersion: 'v1' },
});

const coreEvent = (namespace: string, name: string, labels: Json): Json => ({
  metadata: { name, namespace, labels },
  type: 'Normal',
  reason: 'Test',
  message: 'This is event-test',
  source: { component: 'conformance' },
  involvedObject: { kind: 'Pod', namespace, name: 'no-such-pod', apiVersion: 'v1' },
});

async function newLifecycle(t: Context): Promise<void> {
  const namespace = await t.namespace('events');
  const events = t.resource('events.k8s.io/v1', 'events', namespace);
  const labels = { run: t.unique('run') };
  const created = await events.create(newEvent(namespace, 'event-test', labels));
  includes(created, { reason: 'Test', note: 'This is event-test', regarding: { name: 'no-such-pod' } });
  assert.deepEqual(await events.in(undefined).names(`run=${labels.run}`), ['event-test']);
  // The same event, as the core group tells it.
  includes(await t.core('events', namespace).get('event-test'), {
    message: 'This is event-test',
    involvedObject: { kind: 'Pod', name: 'no-such-pod' },
    reportingComponent: 'conformance.example.com/controller',
  });
  const field = await events.list({ fieldSelector: 'reportingController=conformance.example.com/controller' });
  assert.ok(field.kind === 'EventList' && field.items.length === 1, 'the list by reportingController');
  const note = { series: { count: 2, lastObservedTime: micro() } };
  assert.equal((await events.patch('event-test', note)).series.count, 2);
  const series = { count: 100, lastObservedTime: '2024-09-19T10:20:30.123456Z' };
  await events.update('event-test', (event) => (event.series = series));
  assert.deepEqual((await events.get('event-test')).series, series);
  await refused(events.patch('event-test', { reason: 'Other' }), { status: 422, reason: 'Invalid' });
  await events.delete('event-test');
  assert.deepEqual(await events.names(`run=${labels.run}`), []);
}

async function coreLifecycle(t: Context): Promise<void> {
  const namespace = await t.namespace('events');
  const events = t.core('events', namespace);
  const labels = { run: t.unique('run') };
  await events.create(coreEvent(namespace, 'event-test', labels));
  assert.deepEqual(await events.in(undefined).names(`run=${labels.run}`), ['event-test']);
  const patched = await events.patch('event-test', { message: 'This is a test event - patched' }, 'strategic');
  assert.equal(patched.message, 'This is a test event - patched');
  assert.equal((await events.get('event-test')).message, 'This is a test event - patched');
  const series = { count: 100, lastObservedTime: '2024-09-19T10:20:30.123456Z' };
  await events.update('event-test', (event) => (event.series = series));
  assert.deepEqual((await events.get('event-test')).series, series);
  await events.delete('event-test');
  assert.deepEqual(await events.in(undefined).names(`run=${labels.run}`), []);
}

const collection =
  (groupVersion: string, event: (namespace: string, name: string, labels: Json) => Json): RowTest =>
  async (t) => {
    const namespace = await t.namespace('events');
    const events = t.resource(groupVersion, 'events', namespace);
    const run = t.unique('run');
    for (const name of ['test-event-1', 'test-event-2', 'test-event-3']) {
      await events.create(event(namespace, name, { run }));
    }
    await events.create(event(namespace, 'other', { run: 'another' }));
    assert.equal((await events.items(`run=${run}`)).length, 3);
    await events.deleteCollection(`run=${run}`);
    await eventually('the three to be gone', async () => (await events.items(`run=${run}`)).length === 0);
    assert.ok(await events.exists('other'));
  };

export const rows: Rows = {
  'events-v1-lifecycle': newLifecycle,
  'events-v1-collection': collection('events.k8s.io/v1', newEvent),
  'events-core-lifecycle': coreLifecycle,
  'events-core-collection': collection('v1', coreEvent),
};

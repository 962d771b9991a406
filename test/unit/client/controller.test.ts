import assert from 'node:assert/strict';
import { deferred, type Deferred } from '../../../src/base/deferred.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { conflict } from '../../../src/api/errors.js';
import { PODS } from '../../../src/api/resource.js';
import { Controller, type ReconcileResult } from '../../../src/client/controller.js';
import { ManualClock, settle } from '../../../src/testing/manual-clock.js';

describe('a controller', () => {
  let clock: ManualClock;
  let controller: Controller;
  let ran: string[];
  let synced: Deferred<void>;
  let warnings: string[];
  let reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult | void>;

  async function start(workers = 1): Promise<void> {
    const log = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
    controller = new Controller(
      { clock, log, metrics: noMetrics },
      {
        name: 'test',
        workers,
        waitFor: [{ synced: synced.promise }],
        reconcile: (key, signal) => {
          ran.push(key);
          return reconcile(key, signal);
        },
      },
    );
    await controller.start();
  }
  beforeEach(() => {
    clock = new ManualClock();
    ran = [];
    warnings = [];
    synced = deferred();
    reconcile = () => Promise.resolve();
  });
  afterEach(() => controller.stop());

  it('does nothing before its informers have synced', async () => {
    await start();
    controller.queue.add('a');
    await settle();
    assert.deepEqual(ran, []);
    synced.resolve();
    await settle();
    assert.deepEqual(ran, ['a']);
  });

  it('tries a failed key again, ever more slowly, until it succeeds', async () => {
    synced.resolve();
    let failures = 3;
    reconcile = () => (failures-- > 0 ? Promise.reject(new Error('no')) : Promise.resolve());
    await start();
    controller.queue.add('a');
    await settle();
    assert.equal(ran.length, 1);
    await clock.advance(20);
    assert.equal(ran.length, 2);
    await clock.advance(39);
    assert.equal(ran.length, 2);
    await clock.advance(1);
    assert.equal(ran.length, 3);
    await clock.advance(80);
    assert.equal(ran.length, 4);
    await clock.advance(60_000);
    assert.equal(ran.length, 4);
    assert.equal(controller.queue.failuresOf('a'), 0);
    assert.equal(warnings.length, 3);
  });

  it('says nothing aloud of a conflict', async () => {
    synced.resolve();
    let failures = 1;
    reconcile = () => (failures-- > 0 ? Promise.reject(conflict(PODS, 'p', 'changed')) : Promise.resolve());
    await start();
    controller.queue.add('a');
    await clock.advance(20);
    assert.equal(ran.length, 2);
    assert.deepEqual(warnings, []);
  });

  it('runs a key again after the time that it asked for', async () => {
    synced.resolve();
    reconcile = () => Promise.resolve({ requeueAfterMs: 500 });
    await start();
    controller.queue.add('a');
    await clock.advance(1_500);
    assert.equal(ran.length, 4);
  });

  it('never runs one key twice at once, and once more for what came meanwhile', async () => {
    synced.resolve();
    const gates = new Map<string, Deferred<void>>();
    reconcile = async (key) => {
      assert.ok(!gates.has(key), `${key} runs twice`);
      const gate = deferred();
      gates.set(key, gate);
      await gate.promise;
      gates.delete(key);
    };
    await start(3);
    for (const key of ['a', 'b', 'a', 'c', 'd']) controller.queue.add(key);
    await settle();
    assert.deepEqual(ran, ['a', 'b', 'c']);
    controller.queue.add('a');
    controller.queue.add('a');
    gates.get('b')?.resolve();
    await settle();
    assert.deepEqual(ran, ['a', 'b', 'c', 'd']);
    gates.get('a')?.resolve();
    await settle();
    assert.deepEqual(ran, ['a', 'b', 'c', 'd', 'a']);
    for (const gate of gates.values()) gate.resolve();
    await settle();
    assert.equal(controller.queue.idle, true);
  });

  it('tells what runs that it must end, and waits for it', async () => {
    synced.resolve();
    reconcile = (_, signal) =>
      new Promise((__, reject) => signal.addEventListener('abort', () => reject(new Error('x'))));
    await start();
    controller.queue.add('a');
    await settle();
    await controller.stop();
    assert.equal(clock.pending, 0);
    assert.deepEqual(warnings, []);
  });

  it('stops while it waits for its informers, and when it was stopped before', async () => {
    await start();
    await controller.stop();
    await controller.stop();
    await start();
    const { queue } = controller;
    await controller.stop();
    queue.add('a');
    assert.deepEqual(ran, []);
  });
});

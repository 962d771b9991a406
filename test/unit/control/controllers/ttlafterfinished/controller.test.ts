import assert from 'node:assert/strict';
import { rfc3339 } from '../../../../../src/base/clock.js';
import { JOBS } from '../../../../../src/api/resource.js';
import type { Job } from '../../../../../src/api/types/batch-v1.js';
import { ttlAfterFinishedController } from '../../../../../src/control/controllers/ttlafterfinished/controller.js';
import { harness, template, type Harness } from '../harness.js';

describe('TTL-after-finished controller', () => {
  let h: Harness;
  const create = async (name: string, ttlSecondsAfterFinished: number | undefined, type?: string) => {
    const at = rfc3339(h.clock.nowMs());
    h.client.seed<Job>(JOBS, {
      metadata: { namespace: 'ns', name },
      spec: { template: template(), ...(ttlSecondsAfterFinished === undefined ? {} : { ttlSecondsAfterFinished }) },
      status: { conditions: type ? [{ type, status: 'True', lastTransitionTime: at }] : [] },
    });
    await h.clock.advance(10);
  };
  const left = () =>
    h.client.all<Job>(JOBS).flatMap(({ metadata }) => (metadata.deletionTimestamp ? [] : [metadata.name]));
  beforeEach(async () => {
    h = harness();
    await h.run(ttlAfterFinishedController(h));
  });
  afterEach(() => h.stop());

  it('deletes ended Jobs, foreground, when their time has come', async () => {
    await create('complete', 60, 'Complete');
    await create('failed', 0, 'Failed');
    assert.deepEqual(left(), ['complete']);
    assert.deepEqual(h.client.all<Job>(JOBS).find(({ metadata }) => metadata.name === 'failed')?.metadata.finalizers, [
      'foregroundDeletion',
    ]);
    await h.clock.advance(59_000);
    assert.deepEqual(left(), ['complete']);
    await h.clock.advance(2_000);
    assert.deepEqual(left(), []);
  });

  it('leaves Jobs that run, and those without a time to live', async () => {
    await create('running', 0);
    await create('kept', undefined, 'Complete');
    await h.clock.advance(10_000);
    assert.deepEqual(left(), ['running', 'kept']);
  });

  it('waits longer when the time to live was prolonged', async () => {
    await create('one', 10, 'Complete');
    await h.client.patch(JOBS, 'ns', 'one', 'merge', { spec: { ttlSecondsAfterFinished: 100 } });
    await h.clock.advance(50_000);
    assert.deepEqual(left(), ['one']);
    await h.clock.advance(60_000);
    assert.deepEqual(left(), []);
  });
});

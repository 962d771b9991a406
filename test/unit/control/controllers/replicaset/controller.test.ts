import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ApiError } from '../../../../../src/api/errors.js';
import { controllerOf } from '../../../../../src/api/object.js';
import { EVENTS, PODS, REPLICASETS, REPLICATION_CONTROLLERS } from '../../../../../src/api/resource.js';
import type { ReplicaSet } from '../../../../../src/api/types/apps-v1.js';
import type { Event, Pod, ReplicationController } from '../../../../../src/api/types/core-v1.js';
import {
  replicaSetController,
  replicationController,
} from '../../../../../src/control/controllers/replicaset/controller.js';
import { endTerminating, harness, replicaSet, runPod, type Harness } from '../harness.js';

const podsOf = (h: Harness) => h.client.all<Pod>(PODS);
const reasons = (h: Harness) => h.client.all<Event>(EVENTS).map(({ reason, message }) => `${reason}: ${message}`);
const scaleTo = (h: Harness, replicas: number) =>
  h.client.patch<ReplicaSet>(REPLICASETS, 'ns', 'web', 'merge', { spec: { replicas } });

describe('ReplicaSet controller', () => {
  let h: Harness;
  beforeEach(() => {
    h = harness();
  });
  afterEach(() => h.stop());

  it('creates the missing pods from the template and reports its status', async () => {
    await h.run(replicaSetController(h));
    await h.client.create(REPLICASETS, replicaSet(3));
    await h.clock.advance(100);
    const pods = podsOf(h);
    assert.equal(pods.length, 3);
    for (const pod of pods) {
      assert.match(pod.metadata.name ?? '', /^web-[a-z0-9]{5}$/);
      assert.equal(controllerOf(pod)?.name, 'web');
      assert.deepEqual(pod.metadata.labels, { app: 'web' });
      await runPod(h, pod, true);
    }
    await h.clock.advance(100);
    const { status } = await h.client.get<ReplicaSet>(REPLICASETS, 'ns', 'web');
    assert.deepEqual(status, {
      replicas: 3,
      fullyLabeledReplicas: 3,
      readyReplicas: 3,
      availableReplicas: 3,
      observedGeneration: 1,
    });
    assert.ok(reasons(h).includes(`SuccessfulCreate: Created pod: ${pods[0]?.metadata.name}`));
  });

  it('keeps the pods of ReplicationControllers likewise, which select by a plain map', async () => {
    await h.run(replicationController(h));
    const template = { metadata: { labels: { app: 'old' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    await h.client.create<ReplicationController>(REPLICATION_CONTROLLERS, {
      metadata: { namespace: 'ns', name: 'old' },
      spec: { replicas: 2, selector: { app: 'old' }, template },
    });
    await h.clock.advance(100);
    const [first, second] = podsOf(h);
    assert.equal(controllerOf(first as Pod)?.kind, 'ReplicationController');
    assert.ok(second);
    await h.client.delete(PODS, 'ns', first?.metadata.name ?? '');
    await h.clock.advance(100);
    assert.equal(podsOf(h).length, 2);
    const { status } = await h.client.get<ReplicationController>(REPLICATION_CONTROLLERS, 'ns', 'old');
    assert.equal(status?.replicas, 2);
  });

  it('counts a pod as available only after minReadySeconds, without any event', async () => {
    await h.run(replicaSetController(h));
    await h.client.create(REPLICASETS, replicaSet(1, { minReadySeconds: 10 }));
    await h.clock.advance(10);
    await runPod(h, podsOf(h)[0] as Pod, true);
    await h.clock.advance(5_000);
    const early = await h.client.get<ReplicaSet>(REPLICASETS, 'ns', 'web');
    assert.equal(early.status?.readyReplicas, 1);
    assert.equal(early.status?.availableReplicas, undefined);
    await h.clock.advance(6_000);
    const late = await h.client.get<ReplicaSet>(REPLICASETS, 'ns', 'web');
    assert.equal(late.status?.availableReplicas, 1);
  });

  it('replaces at once what is being deleted, and gives up the unassigned and unready first', async () => {
    await h.run(replicaSetController(h));
    await h.client.create(REPLICASETS, replicaSet(3));
    await h.clock.advance(10);
    const [a, b] = podsOf(h) as [Pod, Pod];
    await runPod(h, a, true);
    await runPod(h, b, false);
    await h.client.delete(PODS, 'ns', a.metadata.name ?? '');
    await h.clock.advance(10);
    assert.equal(podsOf(h).length, 4);
    await scaleTo(h, 1);
    await h.clock.advance(10);
    await endTerminating(h);
    assert.deepEqual(
      podsOf(h).map(({ metadata }) => metadata.name),
      [b.metadata.name],
    );
  });

  it('adopts matching orphans and releases pods whose labels no longer match', async () => {
    await h.client.create(PODS, {
      metadata: { namespace: 'ns', name: 'orphan', labels: { app: 'web' } },
      spec: { containers: [] },
    } as Pod);
    await h.run(replicaSetController(h));
    await h.client.create(REPLICASETS, replicaSet(1));
    await h.clock.advance(10);
    const adopted = await h.client.get<Pod>(PODS, 'ns', 'orphan');
    assert.equal(controllerOf(adopted)?.name, 'web');
    assert.equal(podsOf(h).length, 1);
    await h.client.patch(PODS, 'ns', 'orphan', 'merge', { metadata: { labels: { app: 'other' } } });
    await h.clock.advance(10);
    assert.equal(controllerOf(await h.client.get<Pod>(PODS, 'ns', 'orphan')), undefined);
    assert.equal(podsOf(h).length, 2);
  });

  it('says in its status why pods cannot be created, wastes few calls, and recovers', async () => {
    const error = new ApiError(403, 'Forbidden', 'exceeded quota');
    h.client.failNext({ verb: 'create', resource: PODS, times: 5, error });
    await h.run(replicaSetController(h));
    await h.client.create(REPLICASETS, replicaSet(20));
    await h.clock.advance(0);
    const failed = await h.client.get<ReplicaSet>(REPLICASETS, 'ns', 'web');
    assert.equal(failed.status?.conditions?.[0]?.reason, 'FailedCreate');
    assert.ok(reasons(h).includes('FailedCreate: Error creating: exceeded quota'));
    await h.clock.advance(1_000);
    const recovered = await h.client.get<ReplicaSet>(REPLICASETS, 'ns', 'web');
    assert.equal(podsOf(h).length, 20);
    assert.equal(h.client.writes(PODS).length, 25);
    assert.equal(recovered.status?.conditions, undefined);
  });

  it('never creates too many, and converges, however the cache lags', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(fc.record({ hold: fc.boolean(), replicas: fc.integer({ min: 0, max: 8 }), waitMs: fc.nat(500) }), {
          minLength: 1,
          maxLength: 8,
        }),
        async (seed, steps) => {
          const own = harness(seed);
          await own.run(replicaSetController(own));
          await own.client.create(REPLICASETS, replicaSet(4));
          let most = 4;
          for (const { hold, replicas, waitMs } of steps) {
            if (hold) own.client.holdWatches();
            else own.client.releaseWatches();
            most = Math.max(most, replicas);
            await scaleTo(own, replicas);
            await own.clock.advance(waitMs);
            assert.ok(podsOf(own).length <= most, `${podsOf(own).length} pods, at most ${most} wished`);
          }
          own.client.releaseWatches();
          await own.clock.advance(1_000);
          assert.equal(podsOf(own).length, steps.at(-1)?.replicas);
          await own.stop();
        },
      ),
      { numRuns: 30 },
    );
  });
});

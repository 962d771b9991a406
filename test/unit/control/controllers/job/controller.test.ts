import assert from 'node:assert/strict';
import { controllerOf } from '../../../../../src/api/object.js';
import { JOBS, PODS } from '../../../../../src/api/resource.js';
import type { Job, PodFailurePolicyRule } from '../../../../../src/api/types/batch-v1.js';
import type { Pod } from '../../../../../src/api/types/core-v1.js';
import { jobController } from '../../../../../src/control/controllers/job/controller.js';
import { orphanedJobPodsController } from '../../../../../src/control/controllers/job/orphan-pods.js';
import { TRACKING_FINALIZER } from '../../../../../src/control/controllers/job/pod-facts.js';
import { endTerminating, harness, runPod, type Harness } from '../harness.js';
import { activePodsOf, conditionsOf, endAll, endPod, indexesOf, job, jobNamed, podsOf, reasons } from './fixtures.js';

const indexed = { completionMode: 'Indexed', completions: 4, parallelism: 4 } as const;
const REACHED = 'CompletionsReached: Reached expected number of succeeded pods';

describe('Job controller', () => {
  let h: Harness;
  const create = async (one: Job) => {
    await h.run(jobController(h), orphanedJobPodsController(h));
    await h.client.create<Job>(JOBS, one);
    await h.clock.advance(100);
  };
  beforeEach(() => {
    h = harness();
  });
  afterEach(() => h.stop());

  it('runs one pod to success, counts it, and lets it go', async () => {
    await create(job());
    const [pod, ...others] = podsOf(h);
    assert.ok(pod);
    assert.equal(others.length, 0);
    assert.match(pod.metadata.name ?? '', /^sum-[a-z0-9]{5}$/);
    assert.deepEqual(pod.metadata.finalizers, [TRACKING_FINALIZER]);
    assert.equal(controllerOf(pod)?.kind, 'Job');
    assert.equal((await jobNamed(h)).status?.active, 1);
    await runPod(h, pod, true);
    await h.clock.advance(100);
    assert.equal((await jobNamed(h)).status?.ready, 1);
    await endAll(h);
    const { status } = await jobNamed(h);
    assert.deepEqual(conditionsOf(await jobNamed(h)), [
      `SuccessCriteriaMet=True ${REACHED}`,
      `Complete=True ${REACHED}`,
    ]);
    const { startTime, completionTime, conditions, ...rest } = status ?? {};
    assert.ok(startTime && completionTime && conditions);
    assert.deepEqual(rest, { ready: 0, succeeded: 1, terminating: 0, uncountedTerminatedPods: {} });
    assert.equal(podsOf(h)[0]?.metadata.finalizers, undefined);
    assert.deepEqual(reasons(h), [`SuccessfulCreate: Created pod: ${pod.metadata.name}`, 'Completed: Job completed']);
  });

  it('never runs more pods than parallelism, nor more than are left to complete', async () => {
    await create(job({ completions: 5, parallelism: 2 }));
    for (const expected of [2, 2, 1]) {
      assert.equal(activePodsOf(h).length, expected);
      await endAll(h);
    }
    assert.equal(podsOf(h).length, 5);
    assert.equal((await jobNamed(h)).status?.succeeded, 5);
  });

  it('without completions, is complete when one pod succeeded and the others ended', async () => {
    await create(job({ parallelism: 3 }));
    const [first] = podsOf(h);
    await endPod(h, first as Pod);
    await h.clock.advance(100);
    assert.equal(podsOf(h).length, 3);
    assert.deepEqual(conditionsOf(await jobNamed(h)), []);
    await endAll(h);
    assert.equal(conditionsOf(await jobNamed(h)).length, 2);
  });

  it('replaces failed pods after 10 s, doubled, until the backoff limit', async () => {
    await create(job({ backoffLimit: 2 }));
    await endAll(h, () => 1);
    assert.equal(activePodsOf(h).length, 0);
    await h.clock.advance(9_000);
    assert.equal(activePodsOf(h).length, 0);
    await h.clock.advance(1_500);
    assert.equal(activePodsOf(h).length, 1);
    await endAll(h, () => 1);
    await h.clock.advance(18_000);
    assert.equal(activePodsOf(h).length, 0);
    await h.clock.advance(3_000);
    await endAll(h, () => 1);
    const failed = await jobNamed(h);
    const why = 'BackoffLimitExceeded: Job has reached the specified backoff limit';
    assert.deepEqual(conditionsOf(failed), [`FailureTarget=True ${why}`, `Failed=True ${why}`]);
    assert.equal(failed.status?.failed, 3);
    assert.ok(reasons(h).includes(why));
  });

  it('fails when its deadline passes, and deletes what runs; it ends when the pods have', async () => {
    await create(job({ completions: 2, parallelism: 2, activeDeadlineSeconds: 30 }));
    for (const pod of podsOf(h)) await runPod(h, pod, true);
    await h.clock.advance(31_000);
    assert.deepEqual(conditionsOf(await jobNamed(h)), [
      'FailureTarget=True DeadlineExceeded: Job was active longer than specified deadline',
    ]);
    assert.equal((await jobNamed(h)).status?.terminating, 2);
    await endTerminating(h);
    await h.clock.advance(100);
    const { status } = await jobNamed(h);
    assert.equal(status?.conditions?.at(-1)?.type, 'Failed');
    assert.equal(status?.failed, 2);
    assert.equal(podsOf(h).length, 0);
  });

  it('counts restarts in place of pods that are restarted in place', async () => {
    const restarting = job({ backoffLimit: 2 });
    if (restarting.spec?.template.spec) restarting.spec.template.spec.restartPolicy = 'OnFailure';
    await create(restarting);
    const [pod] = podsOf(h);
    const running = await runPod(h, pod as Pod, false);
    const container = { name: 'main', image: 'app:1', imageID: '', ready: false, restartCount: 2 };
    await h.client.updateStatus<Pod>(PODS, {
      ...running,
      status: { ...running.status, containerStatuses: [container] },
    });
    await h.clock.advance(100);
    assert.match(String(conditionsOf(await jobNamed(h))), /BackoffLimitExceeded/);
  });

  it('suspends: deletes its pods uncounted; resumes: begins anew with a new start time', async () => {
    await create(job({ completions: 2, parallelism: 2 }));
    await h.client.patch(JOBS, 'ns', 'sum', 'merge', { spec: { suspend: true } });
    await h.clock.advance(5_000);
    assert.equal(podsOf(h).length, 0);
    const suspended = await jobNamed(h);
    assert.deepEqual(conditionsOf(suspended), ['Suspended=True JobSuspended: Job suspended']);
    assert.equal(suspended.status?.failed, undefined);
    await h.client.patch(JOBS, 'ns', 'sum', 'merge', { spec: { suspend: false } });
    await h.clock.advance(100);
    const resumed = await jobNamed(h);
    assert.deepEqual(conditionsOf(resumed), ['Suspended=False JobResumed: Job resumed']);
    assert.notEqual(resumed.status?.startTime, suspended.status?.startTime);
    assert.equal(activePodsOf(h).length, 2);
  });

  it('creates nothing for a Job that begins suspended, and gives it no start time', async () => {
    await create(job({ suspend: true }));
    assert.equal(podsOf(h).length, 0);
    assert.equal((await jobNamed(h)).status?.startTime, undefined);
  });

  it('leaves a Job to the controller that manages it', async () => {
    await create(job({ managedBy: 'example.com/other' }));
    assert.equal(podsOf(h).length, 0);
    assert.equal((await jobNamed(h)).status, undefined);
  });

  it('adopts a pod that its selector matches, with the finalizer, and releases one that it no longer matches', async () => {
    await create(job());
    const [pod] = podsOf(h);
    const name = pod?.metadata.name ?? '';
    await h.client.patch(PODS, 'ns', name, 'merge', { metadata: { ownerReferences: null, finalizers: null } });
    await h.clock.advance(100);
    const adopted = await h.client.get<Pod>(PODS, 'ns', name);
    assert.equal(controllerOf(adopted)?.name, 'sum');
    assert.deepEqual(adopted.metadata.finalizers, [TRACKING_FINALIZER]);
    await h.client.patch(PODS, 'ns', name, 'merge', { metadata: { labels: null } });
    await h.clock.advance(100);
    const released = await h.client.get<Pod>(PODS, 'ns', name);
    assert.equal(controllerOf(released), undefined);
    assert.equal(released.metadata.finalizers, undefined);
  });

  it('lets the pods of a deleted Job go', async () => {
    await create(job());
    await h.client.delete(JOBS, 'ns', 'sum', { propagationPolicy: 'Background' });
    await h.clock.advance(100);
    assert.equal(podsOf(h)[0]?.metadata.finalizers, undefined);
  });

  it('creates no second pod while the cache does not show the first', async () => {
    await create(job({ completions: 3, parallelism: 3 }));
    assert.equal(podsOf(h).length, 3);
    h.client.holdWatches();
    await h.client.patch(JOBS, 'ns', 'sum', 'merge', { spec: { parallelism: 2 } });
    await h.clock.advance(100);
    h.client.releaseWatches();
    await h.clock.advance(100);
    assert.equal(activePodsOf(h).length, 2);
  });

  it('counts each pod once when a status write fails on the way', async () => {
    await create(job({ completions: 3, parallelism: 3 }));
    h.client.failNext({ verb: 'updateStatus', resource: JOBS, times: 2, error: new Error('lost') });
    await endAll(h);
    await h.clock.advance(2_000);
    assert.equal((await jobNamed(h)).status?.succeeded, 3);
  });

  it('waits for the end of pods before it replaces them when told so', async () => {
    await create(job({ podReplacementPolicy: 'Failed' }));
    const [pod] = podsOf(h);
    await runPod(h, pod as Pod, true);
    await h.client.delete(PODS, 'ns', pod?.metadata.name ?? '');
    await h.clock.advance(60_000);
    assert.equal(podsOf(h).length, 1);
    assert.equal((await jobNamed(h)).status?.terminating, 1);
    await endPod(h, pod as Pod, 143);
    await h.clock.advance(60_000);
    assert.equal(activePodsOf(h).length, 1);
  });

  describe('indexed', () => {
    it('gives each index one pod with its number, and writes which completed', async () => {
      await create(job(indexed));
      assert.deepEqual(indexesOf(podsOf(h)), [0, 1, 2, 3]);
      for (const { metadata, spec } of podsOf(h)) {
        const index = metadata.annotations?.['batch.kubernetes.io/job-completion-index'];
        assert.match(metadata.name ?? '', new RegExp(`^sum-${index}-[a-z0-9]{5}$`));
        assert.equal(metadata.labels?.['batch.kubernetes.io/job-completion-index'], index);
        assert.equal(spec?.hostname, `sum-${index}`);
        assert.equal(spec?.containers[0]?.env?.[0]?.name, 'JOB_COMPLETION_INDEX');
      }
      for (const pod of podsOf(h)) if (indexesOf([pod])[0] !== 1) await endPod(h, pod);
      await h.clock.advance(100);
      assert.equal((await jobNamed(h)).status?.completedIndexes, '0,2,3');
      await endAll(h);
      assert.equal((await jobNamed(h)).status?.completedIndexes, '0-3');
      assert.equal(conditionsOf(await jobNamed(h)).at(-1), `Complete=True ${REACHED}`);
    });

    it('runs every index although some fail, each with its own limit', async () => {
      await create(job({ ...indexed, backoffLimit: 2 ** 31 - 1, backoffLimitPerIndex: 1 }));
      await endAll(h, (index) => index % 2);
      await h.clock.advance(11_000);
      assert.deepEqual(indexesOf(activePodsOf(h)), [1, 3]);
      const [again] = activePodsOf(h);
      assert.equal(again?.metadata.annotations?.['batch.kubernetes.io/job-index-failure-count'], '1');
      await endAll(h, () => 1);
      const { status } = await jobNamed(h);
      assert.equal(status?.completedIndexes, '0,2');
      assert.equal(status?.failedIndexes, '1,3');
      assert.equal(status?.failed, 4);
      assert.equal(status?.succeeded, 2);
      assert.equal(conditionsOf(await jobNamed(h)).at(-1), 'Failed=True FailedIndexes: Job has failed indexes');
      assert.ok(podsOf(h).every(({ metadata }) => !metadata.finalizers));
    });

    it('ends early when too many indexes failed', async () => {
      await create(job({ ...indexed, parallelism: 1, backoffLimitPerIndex: 0, maxFailedIndexes: 1 }));
      await endAll(h, () => 1);
      await endAll(h, () => 1);
      const { status } = await jobNamed(h);
      assert.equal(status?.failedIndexes, '0,1');
      assert.match(conditionsOf(await jobNamed(h)).at(-1) ?? '', /MaxFailedIndexesExceeded/);
    });

    it('ends when the success policy is met, and deletes the pods that are left', async () => {
      await create(job({ ...indexed, successPolicy: { rules: [{ succeededIndexes: '1,3', succeededCount: 1 }] } }));
      await endPod(h, podsOf(h).find((pod) => indexesOf([pod])[0] === 3) as Pod);
      await h.clock.advance(100);
      const done = await jobNamed(h);
      assert.equal(conditionsOf(done).at(-1), 'Complete=True SuccessPolicy: Matched rules at index 0');
      assert.equal(done.status?.completedIndexes, '3');
      assert.equal(activePodsOf(h).length, 0);
    });

    it('deletes second pods of an index and pods of completed indexes, as a merge of two sides leaves them', async () => {
      await create(job(indexed));
      for (const pod of podsOf(h)) {
        const { resourceVersion: _, uid: _uid, name, ...metadata } = pod.metadata;
        await h.client.create(PODS, { ...pod, metadata: { ...metadata, name: `${name}-twin` } });
      }
      await h.clock.advance(100);
      assert.deepEqual(indexesOf(activePodsOf(h)), [0, 1, 2, 3]);
      await endAll(h);
      assert.equal((await jobNamed(h)).status?.completedIndexes, '0-3');
    });

    it('takes an index as completed when its pod is there, though a merge lost the count', async () => {
      await create(job(indexed));
      const ended = podsOf(h).filter((pod) => (indexesOf([pod])[0] ?? 0) < 2);
      for (const pod of ended) await endPod(h, pod);
      await h.clock.advance(100);
      const live = await jobNamed(h);
      await h.client.updateStatus<Job>(JOBS, { ...live, status: { startTime: live.status?.startTime ?? '' } });
      await h.clock.advance(100);
      assert.equal((await jobNamed(h)).status?.completedIndexes, '0,1');
      assert.equal(podsOf(h).length, 4);
    });
  });

  describe('pod failure policy', () => {
    const failJob: PodFailurePolicyRule = { action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } };
    const ignore: PodFailurePolicyRule = {
      action: 'Ignore',
      onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }],
    };
    const policy = { rules: [failJob, ignore] };

    it('fails the Job at once on an exit code', async () => {
      await create(job({ ...indexed, podFailurePolicy: policy, podReplacementPolicy: 'Failed' }));
      for (const pod of podsOf(h)) await runPod(h, pod, true);
      const [bad] = podsOf(h);
      await endPod(h, bad as Pod, 42);
      await h.clock.advance(100);
      const name = bad?.metadata.name;
      const why = `Container main for pod ns/${name} failed with exit code 42 matching FailJob rule at index 0`;
      assert.deepEqual(conditionsOf(await jobNamed(h)), [`FailureTarget=True PodFailurePolicy: ${why}`]);
      await endTerminating(h);
      await h.clock.advance(100);
      assert.equal(conditionsOf(await jobNamed(h)).at(-1), `Failed=True PodFailurePolicy: ${why}`);
    });

    it('does not count what it ignores', async () => {
      await create(job({ backoffLimit: 0, podFailurePolicy: policy, podReplacementPolicy: 'Failed' }));
      await endPod(h, podsOf(h)[0] as Pod, 1, [{ type: 'DisruptionTarget', status: 'True' }]);
      await h.clock.advance(15_000);
      assert.equal(activePodsOf(h).length, 1);
      await endAll(h);
      const { status } = await jobNamed(h);
      assert.equal(status?.conditions?.at(-1)?.type, 'Complete');
      assert.equal(status?.failed, undefined);
    });

    it('fails an index at once', async () => {
      const failIndex: PodFailurePolicyRule = { action: 'FailIndex', onExitCodes: { operator: 'In', values: [7] } };
      await create(job({ ...indexed, backoffLimitPerIndex: 3, podFailurePolicy: { rules: [failIndex] } }));
      await endAll(h, (index) => (index === 2 ? 7 : 0));
      const { status } = await jobNamed(h);
      assert.equal(status?.failedIndexes, '2');
      assert.equal(status?.completedIndexes, '0,1,3');
    });
  });
});

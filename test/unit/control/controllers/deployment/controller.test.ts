import assert from 'node:assert/strict';
import fc from 'fast-check';
import { seededRandom } from '../../../../../src/base/random.js';
import { controllerOf } from '../../../../../src/api/object.js';
import { DEPLOYMENTS, EVENTS, PODS, REPLICASETS } from '../../../../../src/api/resource.js';
import type { Deployment, ReplicaSet } from '../../../../../src/api/types/apps-v1.js';
import type { Event, Pod } from '../../../../../src/api/types/core-v1.js';
import { deploymentController } from '../../../../../src/control/controllers/deployment/controller.js';
import { limitsOf } from '../../../../../src/control/controllers/deployment/limits.js';
import { replicaSetController } from '../../../../../src/control/controllers/replicaset/controller.js';
import { deployment, endTerminating, harness, runPod, template, type Harness } from '../harness.js';

const live = (h: Harness) => h.client.get<Deployment>(DEPLOYMENTS, 'ns', 'web');
const sets = (h: Harness) => h.client.all<ReplicaSet>(REPLICASETS);
const activeSets = (h: Harness) => sets(h).filter(({ spec }) => (spec?.replicas ?? 0) > 0);
const alive = (h: Harness) => h.client.all<Pod>(PODS).filter(({ metadata }) => !metadata.deletionTimestamp);
const isReady = (pod: Pod) => pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
const condition = (d: Deployment, type: string) => d.status?.conditions?.find((c) => c.type === type);
const setImage = (h: Harness, image: string) =>
  h.client.patch<Deployment>(DEPLOYMENTS, 'ns', 'web', 'merge', { spec: { template: template(image) } });
const patchSpec = (h: Harness, spec: unknown) =>
  h.client.patch<Deployment>(DEPLOYMENTS, 'ns', 'web', 'merge', { spec });

/** Makes every pod ready and ends those being deleted, until nothing changes. */
async function runAll(h: Harness): Promise<void> {
  for (let round = 0; round < 60; round++) {
    await h.clock.advance(50);
    const waiting = alive(h).filter((pod) => !isReady(pod));
    for (const pod of waiting) await runPod(h, pod, true);
    const dying = h.client.all<Pod>(PODS).length !== alive(h).length;
    await endTerminating(h);
    if (waiting.length === 0 && !dying) return;
  }
  throw new Error('did not settle');
}

describe('Deployment controller', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(deploymentController(h), replicaSetController(h));
  });
  afterEach(() => h.stop());

  it('rolls out a first ReplicaSet and says so in status, annotations and events', async () => {
    await h.client.create(DEPLOYMENTS, deployment(3));
    await runAll(h);
    const [rs] = sets(h);
    const hash = rs?.metadata.labels?.['pod-template-hash'] ?? '';
    assert.match(hash, /^[bcdfghjklmnpqrstvwxz2456789]+$/);
    assert.equal(rs?.metadata.name, `web-${hash}`);
    assert.equal(rs.spec?.selector.matchLabels?.['pod-template-hash'], hash);
    assert.deepEqual(rs.metadata.annotations, {
      'deployment.kubernetes.io/revision': '1',
      'deployment.kubernetes.io/desired-replicas': '3',
      'deployment.kubernetes.io/max-replicas': '4',
    });
    const d = await live(h);
    assert.equal(d.metadata.annotations?.['deployment.kubernetes.io/revision'], '1');
    assert.equal(d.status?.observedGeneration, d.metadata.generation);
    assert.equal(d.status?.availableReplicas, 3);
    assert.equal(d.status?.unavailableReplicas, undefined);
    assert.equal(condition(d, 'Available')?.reason, 'MinimumReplicasAvailable');
    assert.equal(condition(d, 'Progressing')?.reason, 'NewReplicaSetAvailable');
    assert.equal(condition(d, 'Progressing')?.message, `ReplicaSet "${rs.metadata.name}" has successfully progressed.`);
    assert.deepEqual(
      h.client
        .all<Event>(EVENTS)
        .filter(({ reason }) => reason === 'ScalingReplicaSet')
        .map(({ message }) => message),
      [`Scaled up replica set ${rs.metadata.name} from 0 to 3`],
    );
  });

  it('rolls to a new template and back, with revisions as kubectl rollout shows them', async () => {
    await h.client.create(DEPLOYMENTS, deployment(3));
    await runAll(h);
    await setImage(h, 'app:2');
    await runAll(h);
    assert.equal(activeSets(h).length, 1);
    assert.equal(sets(h).length, 2);
    assert.equal((await live(h)).metadata.annotations?.['deployment.kubernetes.io/revision'], '2');
    await setImage(h, 'app:1');
    await runAll(h);
    assert.equal(sets(h).length, 2);
    const [back] = activeSets(h);
    assert.equal(back?.metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
    assert.equal(back.metadata.annotations['deployment.kubernetes.io/revision-history'], '1');
    assert.equal((await live(h)).metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
  });

  it('keeps only revisionHistoryLimit old ReplicaSets', async () => {
    await h.client.create(DEPLOYMENTS, deployment(1, { revisionHistoryLimit: 1 }));
    for (const image of ['app:1', 'app:2', 'app:3', 'app:4']) {
      await setImage(h, image);
      await runAll(h);
      await runAll(h);
    }
    assert.deepEqual(
      sets(h)
        .map(({ spec }) => spec?.template?.spec?.containers[0]?.image ?? '')
        .sort((a, b) => a.localeCompare(b)),
      ['app:3', 'app:4'],
    );
  });

  it('does nothing to pods while paused, but scales, and goes on when resumed', async () => {
    await h.client.create(DEPLOYMENTS, deployment(2));
    await runAll(h);
    await patchSpec(h, { paused: true });
    await setImage(h, 'app:2');
    await runAll(h);
    assert.equal(sets(h).length, 1);
    assert.equal(condition(await live(h), 'Progressing')?.reason, 'DeploymentPaused');
    await patchSpec(h, { replicas: 4 });
    await runAll(h);
    assert.equal(alive(h).length, 4);
    await patchSpec(h, { paused: false });
    await runAll(h);
    assert.equal(activeSets(h)[0]?.spec?.template?.spec?.containers[0]?.image, 'app:2');
    assert.equal(condition(await live(h), 'Progressing')?.reason, 'NewReplicaSetAvailable');
  });

  it('spreads a change of replicas in proportion in the middle of a rollout', async () => {
    await h.client.create(
      DEPLOYMENTS,
      deployment(10, { strategy: { rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } }),
    );
    await runAll(h);
    await setImage(h, 'broken');
    await h.clock.advance(100);
    await endTerminating(h);
    await h.clock.advance(100);
    assert.deepEqual(sizes(h), [5, 8]);
    await patchSpec(h, { replicas: 15 });
    await h.clock.advance(100);
    assert.deepEqual(sizes(h), [7, 11]);
  });

  it('Recreate starts no new pod before the last old one is gone', async () => {
    await h.client.create(DEPLOYMENTS, deployment(2, { strategy: { type: 'Recreate' } }));
    await runAll(h);
    await setImage(h, 'app:2');
    await h.clock.advance(1_000);
    assert.equal(alive(h).length, 0);
    assert.equal(h.client.all(PODS).length, 2);
    await runAll(h);
    await runAll(h);
    assert.equal(alive(h).length, 2);
    assert.ok(alive(h).every(({ spec }) => spec?.containers[0]?.image === 'app:2'));
  });

  it('reports that a rollout makes no progress, at its deadline', async () => {
    await h.client.create(DEPLOYMENTS, deployment(1, { progressDeadlineSeconds: 10 }));
    await h.clock.advance(9_000);
    assert.equal(condition(await live(h), 'Progressing')?.status, 'True');
    await h.clock.advance(5_000);
    const late = condition(await live(h), 'Progressing');
    assert.equal(late?.status, 'False');
    assert.equal(late.reason, 'ProgressDeadlineExceeded');
    assert.match(late.message ?? '', /^ReplicaSet "web-\w+" has timed out progressing\.$/);
  });

  it('finds another name when the hash is taken by a foreign ReplicaSet', async () => {
    await h.client.create(DEPLOYMENTS, deployment(1));
    await runAll(h);
    const [taken] = sets(h);
    await h.client.delete(DEPLOYMENTS, 'ns', 'web');
    const foreign = structuredClone(taken as ReplicaSet);
    await h.client.delete(REPLICASETS, 'ns', foreign.metadata.name ?? '');
    foreign.metadata = { namespace: 'ns', name: foreign.metadata.name ?? '', labels: { other: 'x' } };
    foreign.spec = { replicas: 0, selector: { matchLabels: { other: 'x' } } };
    await h.client.create(REPLICASETS, foreign);
    await h.client.create(DEPLOYMENTS, deployment(1));
    await runAll(h);
    const d = await live(h);
    assert.equal(d.status?.collisionCount, 1);
    assert.equal(sets(h).filter((rs) => controllerOf(rs)?.uid === d.metadata.uid).length, 1);
  });

  it('stays between maxUnavailable and maxSurge, whatever becomes ready when', async () => {
    const limit = fc.oneof(
      fc.nat(3),
      fc.nat(60).map((percent) => `${percent}%`),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.integer({ min: 1, max: 7 }),
        limit,
        limit,
        fc.nat(3),
        async (seed, replicas, maxSurge, maxUnavailable, held) => {
          const own = harness(seed);
          await own.run(deploymentController(own), replicaSetController(own));
          const spec = { strategy: { rollingUpdate: { maxSurge, maxUnavailable } } };
          const d = await own.client.create(DEPLOYMENTS, deployment(replicas, spec));
          await runAll(own);
          const limits = limitsOf(d);
          const dice = seededRandom(seed);
          for (const image of ['app:2', 'app:3']) {
            await setImage(own, image);
            for (let round = 0; round < 25; round++) {
              if (dice.int(4) < held) own.client.holdWatches();
              await own.clock.advance(dice.int(100));
              const present = alive(own);
              const ready = present.filter(isReady).length;
              assert.ok(ready >= replicas - limits.maxUnavailable, `${ready} ready of ${replicas}`);
              assert.ok(present.length <= replicas + limits.maxSurge, `${present.length} pods for ${replicas}`);
              const unready = present.filter((pod) => !isReady(pod));
              if (unready.length > 0) await runPod(own, unready[dice.int(unready.length)] as Pod, true);
              if (dice.int(2) === 0) await endTerminating(own);
              own.client.releaseWatches();
            }
          }
          await runAll(own);
          assert.ok(alive(own).every(({ spec: pod }) => pod?.containers[0]?.image === 'app:3'));
          assert.equal(alive(own).length, replicas);
          await own.stop();
        },
      ),
      { numRuns: 20 },
    );
  }).timeout(20_000);
});

function sizes(h: Harness): number[] {
  return activeSets(h)
    .map(({ spec }) => spec?.replicas ?? 0)
    .sort((a, b) => a - b);
}

import assert from 'node:assert/strict';
import { serviceUnavailable } from '../../../../../src/api/errors.js';
import { controllerOf } from '../../../../../src/api/object.js';
import { CONTROLLERREVISIONS, EVENTS, PODS, STATEFULSETS } from '../../../../../src/api/resource.js';
import type { ControllerRevision, StatefulSet, StatefulSetSpec } from '../../../../../src/api/types/apps-v1.js';
import type { Event, PersistentVolumeClaim, Pod } from '../../../../../src/api/types/core-v1.js';
import { statefulSetController } from '../../../../../src/control/controllers/statefulset/controller.js';
import { PERSISTENTVOLUMECLAIMS } from '../../../../../src/control/controllers/volumeprotection/controller.js';
import { endTerminating, harness, runPod, template, type Harness } from '../harness.js';

const statefulSet = (replicas: number, spec: Partial<StatefulSetSpec> = {}): StatefulSet => ({
  metadata: { namespace: 'ns', name: 'web' },
  spec: {
    replicas,
    serviceName: 'svc',
    selector: { matchLabels: { app: 'web' } },
    template: template(),
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
    ...spec,
  },
});
const names = (h: Harness) =>
  h.client
    .all<Pod>(PODS)
    .map(({ metadata }) => metadata.name ?? '')
    .toSorted();
const reasons = (h: Harness) => h.client.all<Event>(EVENTS).map(({ reason, message }) => `${reason}: ${message}`);
const podOf = (h: Harness, name: string) => h.client.get<Pod>(PODS, 'ns', name);
const setOf = (h: Harness) => h.client.get<StatefulSet>(STATEFULSETS, 'ns', 'web');
const patch = (h: Harness, spec: object) => h.client.patch(STATEFULSETS, 'ns', 'web', 'merge', { spec });
const revisionsOf = (h: Harness) =>
  h.client.all<ControllerRevision>(CONTROLLERREVISIONS).toSorted((a, b) => a.revision - b.revision);
const imageOf = ({ spec }: Pod) => spec?.containers[0]?.image;

/** Ends what is being deleted and runs what is not, until nothing changes any more. Returns the order of deletions. */
async function settle(h: Harness): Promise<string[]> {
  const gone: string[] = [];
  for (let i = 0; i < 40; i++) {
    await h.clock.advance(20);
    const pods = h.client.all<Pod>(PODS);
    const going = pods.filter(({ metadata }) => metadata.deletionTimestamp);
    const starting = pods.filter(({ metadata, status }) => !metadata.deletionTimestamp && status?.phase === 'Pending');
    if (going.length + starting.length === 0) return gone;
    gone.push(...going.map(({ metadata }) => metadata.name ?? ''));
    await endTerminating(h);
    for (const pod of starting) await runPod(h, pod, true);
  }
  throw new Error('does not settle');
}

describe('StatefulSet controller', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(statefulSetController(h));
  });
  afterEach(() => h.stop());

  it('makes members one by one, each with its identity, and goes down in reverse', async () => {
    await h.client.create(STATEFULSETS, statefulSet(3));
    await h.clock.advance(50);
    assert.deepEqual(names(h), ['web-0']);
    const first = await podOf(h, 'web-0');
    const [revision] = revisionsOf(h);
    assert.deepEqual(first.metadata.labels, {
      app: 'web',
      'controller-revision-hash': revision?.metadata.name,
      'statefulset.kubernetes.io/pod-name': 'web-0',
      'apps.kubernetes.io/pod-index': '0',
    });
    assert.deepEqual([first.spec?.hostname, first.spec?.subdomain], ['web-0', 'svc']);
    assert.equal(controllerOf(first)?.kind, 'StatefulSet');
    await runPod(h, first, false);
    await h.clock.advance(50);
    assert.deepEqual(names(h), ['web-0']);
    await runPod(h, await podOf(h, 'web-0'), true);
    await h.clock.advance(50);
    assert.deepEqual(names(h), ['web-0', 'web-1']);
    await settle(h);
    const { status } = await setOf(h);
    assert.deepEqual(status, {
      observedGeneration: 1,
      replicas: 3,
      readyReplicas: 3,
      currentReplicas: 3,
      updatedReplicas: 3,
      currentRevision: revision?.metadata.name,
      updateRevision: revision?.metadata.name,
      collisionCount: 0,
      availableReplicas: 3,
    });
    assert.ok(reasons(h).includes('SuccessfulCreate: create Pod web-0 in StatefulSet web successful'));
    await patch(h, { replicas: 0 });
    assert.deepEqual(await settle(h), ['web-2', 'web-1', 'web-0']);
  });

  it('stops going down at an unhealthy member, but deletes the first unhealthy one', async () => {
    await h.client.create(STATEFULSETS, statefulSet(3));
    await settle(h);
    await runPod(h, await podOf(h, 'web-1'), false);
    await runPod(h, await podOf(h, 'web-2'), false);
    await patch(h, { replicas: 0 });
    await h.clock.advance(50);
    assert.ok(!(await podOf(h, 'web-2')).metadata.deletionTimestamp);
    await runPod(h, await podOf(h, 'web-1'), true);
    await h.clock.advance(50);
    assert.ok((await podOf(h, 'web-2')).metadata.deletionTimestamp);
  });

  it('waits for nothing when Parallel', async () => {
    await h.client.create(STATEFULSETS, statefulSet(3, { podManagementPolicy: 'Parallel', ordinals: { start: 5 } }));
    await h.clock.advance(50);
    assert.deepEqual(names(h), ['web-5', 'web-6', 'web-7']);
    await patch(h, { replicas: 1 });
    await h.clock.advance(50);
    await endTerminating(h);
    assert.deepEqual(names(h), ['web-5']);
  });

  it('makes failed and finished members anew', async () => {
    await h.client.create(STATEFULSETS, statefulSet(1));
    await settle(h);
    const before = await podOf(h, 'web-0');
    await h.client.updateStatus<Pod>(PODS, { ...before, status: { phase: 'Failed' } });
    await h.clock.advance(50);
    await settle(h);
    assert.notEqual((await podOf(h, 'web-0')).metadata.uid, before.metadata.uid);
    assert.ok(reasons(h).includes('RecreatingFailedPod: StatefulSet ns/web is recreating failed Pod web-0'));
  });

  it('updates from the highest ordinal down to the partition, and goes back to the old revision', async () => {
    await h.client.create(STATEFULSETS, statefulSet(3));
    await settle(h);
    const [old] = revisionsOf(h);
    await patch(h, {
      template: template('app:2'),
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } },
    });
    assert.deepEqual(await settle(h), ['web-2']);
    const [, next] = revisionsOf(h);
    let { status } = await setOf(h);
    assert.deepEqual(
      [status?.currentRevision, status?.updateRevision, status?.currentReplicas, status?.updatedReplicas],
      [old?.metadata.name, next?.metadata.name, 2, 1],
    );
    // One below the partition that is deleted comes back as it was.
    await h.client.delete(PODS, 'ns', 'web-0');
    await settle(h);
    assert.equal(imageOf(await podOf(h, 'web-0')), 'app:1');
    assert.equal(imageOf(await podOf(h, 'web-2')), 'app:2');
    await patch(h, { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } } });
    assert.deepEqual(await settle(h), ['web-1', 'web-0']);
    ({ status } = await setOf(h));
    assert.equal(status?.currentRevision, next?.metadata.name);
    await patch(h, { template: template() });
    assert.deepEqual(await settle(h), ['web-2', 'web-1', 'web-0']);
    assert.deepEqual(
      revisionsOf(h).map(({ metadata, revision }) => [metadata.name, revision]),
      [
        [next?.metadata.name, 2],
        [old?.metadata.name, 3],
      ],
    );
  });

  it('waits in an update for a member that does not become healthy, and updates nothing with OnDelete', async () => {
    await h.client.create(STATEFULSETS, statefulSet(2));
    await settle(h);
    await patch(h, { template: template('app:2') });
    await h.clock.advance(20);
    await endTerminating(h);
    await h.clock.advance(20);
    await runPod(h, await podOf(h, 'web-1'), false);
    await h.clock.advance(5_000);
    assert.equal(imageOf(await podOf(h, 'web-0')), 'app:1');
    assert.ok(!(await podOf(h, 'web-0')).metadata.deletionTimestamp);
    await patch(h, { template: template('app:3'), updateStrategy: { type: 'OnDelete', rollingUpdate: null } });
    await h.clock.advance(5_000);
    assert.equal(imageOf(await podOf(h, 'web-1')), 'app:2');
    await h.client.delete(PODS, 'ns', 'web-1');
    await settle(h);
    assert.equal(imageOf(await podOf(h, 'web-1')), 'app:3');
  });

  it('waits until a member has been ready for minReadySeconds', async () => {
    await h.client.create(STATEFULSETS, statefulSet(2, { minReadySeconds: 10 }));
    await h.clock.advance(20);
    await runPod(h, await podOf(h, 'web-0'), true);
    await h.clock.advance(9_000);
    assert.deepEqual(names(h), ['web-0']);
    assert.equal((await setOf(h)).status?.availableReplicas, 0);
    await h.clock.advance(1_500);
    assert.deepEqual(names(h), ['web-0', 'web-1']);
    assert.equal((await setOf(h)).status?.availableReplicas, 1);
  });

  it('keeps no more old revisions than the limit', async () => {
    await h.client.create(STATEFULSETS, statefulSet(1, { revisionHistoryLimit: 1 }));
    for (const image of ['app:2', 'app:3', 'app:4']) {
      await settle(h);
      await patch(h, { template: template(image) });
    }
    await settle(h);
    await h.clock.advance(50);
    assert.deepEqual(
      revisionsOf(h).map(({ revision }) => revision),
      [3, 4],
    );
  });

  it('makes claims and keeps them, or has them go as the retention policy says', async () => {
    const claims = (retention: object): Partial<StatefulSetSpec> => ({
      volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } }],
      persistentVolumeClaimRetentionPolicy: retention,
    });
    const claimOf = (ordinal: number) =>
      h.client.get<PersistentVolumeClaim>(PERSISTENTVOLUMECLAIMS, 'ns', `data-web-${ordinal}`);
    await h.client.create(STATEFULSETS, statefulSet(2, claims({ whenDeleted: 'Retain', whenScaled: 'Retain' })));
    await settle(h);
    assert.deepEqual((await podOf(h, 'web-1')).spec?.volumes, [
      { name: 'data', persistentVolumeClaim: { claimName: 'data-web-1' } },
    ]);
    assert.deepEqual((await claimOf(1)).metadata.labels, { app: 'web' });
    assert.equal((await claimOf(1)).metadata.ownerReferences, undefined);
    assert.ok(reasons(h).includes('SuccessfulCreate: create Claim data-web-1 Pod web-1 in StatefulSet web success'));
    await patch(h, claims({ whenDeleted: 'Delete', whenScaled: 'Delete' }));
    await h.clock.advance(50);
    assert.equal(controllerOf(await claimOf(1))?.kind, 'StatefulSet');
    await patch(h, { replicas: 1 });
    await h.clock.advance(50);
    assert.equal(controllerOf(await claimOf(1))?.kind, 'Pod');
    // As long as that claim is about to be collected, its pod does not come back.
    await endTerminating(h);
    await patch(h, { replicas: 2 });
    await h.clock.advance(5_000);
    assert.deepEqual(names(h), ['web-0']);
    await h.client.delete(PERSISTENTVOLUMECLAIMS, 'ns', 'data-web-1');
    await h.clock.advance(50);
    assert.deepEqual(names(h), ['web-0', 'web-1']);
  });

  it('adopts orphans with a member name and leaves others', async () => {
    const orphan = (name: string): Pod => ({
      metadata: { namespace: 'ns', name, labels: { app: 'web' } },
      spec: { containers: [{ name: 'app', image: 'app:1' }] },
    });
    for (const name of ['web-0', 'stranger']) await h.client.create(PODS, orphan(name));
    await h.client.create(STATEFULSETS, statefulSet(1));
    await h.clock.advance(50);
    assert.equal(controllerOf(await podOf(h, 'web-0'))?.name, 'web');
    assert.equal(controllerOf(await podOf(h, 'stranger')), undefined);
  });

  it('takes over members and revisions of an earlier set of its name, restarting nothing', async () => {
    await h.client.create(STATEFULSETS, statefulSet(1));
    await settle(h);
    const { uid } = (await podOf(h, 'web-0')).metadata;
    const [revision] = revisionsOf(h);
    // As with `kubectl delete --cascade=orphan`: the dependents are let go before the set goes.
    await h.client.delete(STATEFULSETS, 'ns', 'web', { propagationPolicy: 'Orphan' });
    const release = { metadata: { ownerReferences: null } };
    await h.client.patch(CONTROLLERREVISIONS, 'ns', revision?.metadata.name ?? '', 'merge', release);
    await h.client.patch(PODS, 'ns', 'web-0', 'merge', release);
    await h.clock.advance(1_000);
    assert.equal(revisionsOf(h).length, 1, 'a set that goes makes no revisions');
    await h.client.patch(STATEFULSETS, 'ns', 'web', 'merge', { metadata: { finalizers: null } });
    await h.client.create(STATEFULSETS, statefulSet(1));
    await h.clock.advance(1_000);
    assert.deepEqual(
      revisionsOf(h).map(({ metadata }) => metadata.name),
      [revision?.metadata.name],
    );
    assert.equal((await podOf(h, 'web-0')).metadata.uid, uid);
    assert.equal((await setOf(h)).status?.currentReplicas, 1);
  });

  it('says nothing and waits where a majority is missing, and goes on when it is back', async () => {
    await h.client.create(STATEFULSETS, statefulSet(2, { podManagementPolicy: 'Parallel' }));
    await settle(h);
    const error = serviceUnavailable('no majority');
    h.client.failNext({ resource: PODS, verb: 'create', times: 8, error });
    const [lost] = h.client.all<Pod>(PODS);
    await h.client.delete(PODS, 'ns', lost?.metadata.name ?? '');
    await endTerminating(h);
    const before = h.client.writes(PODS).length;
    await h.clock.advance(35_000);
    assert.equal(names(h).length, 1);
    assert.ok(h.client.writes(PODS).length - before <= 6, 'asks again and again');
    assert.ok(!reasons(h).some((reason) => reason.startsWith('Failed')));
    await h.clock.advance(60_000);
    assert.equal(names(h).length, 2);
  });

  it('makes no member twice while its cache lags', async () => {
    await h.client.create(STATEFULSETS, statefulSet(2, { podManagementPolicy: 'Parallel' }));
    await h.clock.advance(0);
    h.client.holdWatches();
    await h.clock.advance(20_000);
    h.client.releaseWatches();
    await settle(h);
    assert.ok(h.client.calls.filter(({ verb, resource }) => verb === 'create' && resource === PODS).length <= 2);
  });
});

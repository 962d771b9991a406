import assert from 'node:assert/strict';
import { CONTROLLERREVISIONS, DAEMONSETS, EVENTS, NODES, PODS } from '../../../../../src/api/resource.js';
import type { ControllerRevision, DaemonSet, DaemonSetSpec } from '../../../../../src/api/types/apps-v1.js';
import type { Event, Node, Pod } from '../../../../../src/api/types/core-v1.js';
import { daemonSetController } from '../../../../../src/control/controllers/daemonset/controller.js';
import { nodeOf } from '../../../../../src/control/controllers/daemonset/placement.js';
import { endTerminating, harness, runPod, template, type Harness } from '../harness.js';

const daemonSet = (spec: Partial<DaemonSetSpec> = {}): DaemonSet => ({
  metadata: { namespace: 'ns', name: 'web' },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: template(),
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    ...spec,
  },
});
const node = (name: string, labels: Record<string, string> = {}, spec: Node['spec'] = {}): Node => ({
  metadata: { name, labels },
  ...(spec ? { spec } : {}),
});
const podsOf = (h: Harness) => h.client.all<Pod>(PODS);
const places = (h: Harness) =>
  podsOf(h)
    .map((pod) => nodeOf(pod) ?? '')
    .toSorted((a, b) => a.localeCompare(b));
const images = (h: Harness) =>
  podsOf(h)
    .map((pod) => `${nodeOf(pod)} ${pod.spec?.containers[0]?.image}`)
    .toSorted();
const patch = (h: Harness, spec: object) => h.client.patch(DAEMONSETS, 'ns', 'web', 'merge', { spec });
const statusOf = async (h: Harness) => (await h.client.get<DaemonSet>(DAEMONSETS, 'ns', 'web')).status;
const reasons = (h: Harness) => h.client.all<Event>(EVENTS).map(({ reason }) => reason);

async function runAll(h: Harness): Promise<void> {
  for (const pod of podsOf(h)) {
    if (pod.status?.phase === 'Pending' && !pod.metadata.deletionTimestamp) await runPod(h, pod, true, nodeOf(pod));
  }
  await h.clock.advance(20);
}

/** Ends and runs pods until nothing changes; the most nodes that were without a ready pod at once. */
async function settle(h: Harness): Promise<number> {
  let most = 0;
  for (let i = 0; i < 30; i++) {
    await h.clock.advance(20);
    const going = podsOf(h).filter(({ metadata }) => metadata.deletionTimestamp);
    const pending = podsOf(h).filter(({ status }) => status?.phase === 'Pending');
    most = Math.max(most, going.length);
    if (going.length + pending.length === 0) return most;
    await endTerminating(h);
    await runAll(h);
  }
  throw new Error('does not settle');
}

describe('DaemonSet controller', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    for (const name of ['n1', 'n2', 'n3']) await h.client.create(NODES, node(name));
    await h.run(daemonSetController(h));
  });
  afterEach(() => h.stop());

  it('makes one pod for each node, that may go nowhere else, and reports its status', async () => {
    await h.client.create(DAEMONSETS, daemonSet());
    await h.clock.advance(20);
    assert.deepEqual(places(h), ['n1', 'n2', 'n3']);
    const [pod] = podsOf(h);
    const [revision] = h.client.all<ControllerRevision>(CONTROLLERREVISIONS);
    const hash = revision?.metadata.labels?.['controller-revision-hash'];
    assert.equal(revision?.metadata.name, `web-${hash}`);
    assert.deepEqual(pod?.metadata.labels, { app: 'web', 'controller-revision-hash': hash });
    assert.equal(pod?.spec?.nodeName, undefined);
    assert.equal(pod?.spec?.tolerations?.length, 6);
    await runAll(h);
    assert.deepEqual(await statusOf(h), {
      currentNumberScheduled: 3,
      numberMisscheduled: 0,
      desiredNumberScheduled: 3,
      numberReady: 3,
      observedGeneration: 1,
      updatedNumberScheduled: 3,
      numberAvailable: 3,
    });
    await h.client.create(NODES, node('n4'));
    await h.client.delete(PODS, 'ns', pod?.metadata.name ?? '');
    await settle(h);
    assert.deepEqual(places(h), ['n1', 'n2', 'n3', 'n4']);
  });

  it('follows the labels and taints of nodes', async () => {
    const spec = { ...template().spec, nodeSelector: { color: 'blue' } };
    await h.client.create(DAEMONSETS, daemonSet({ template: { ...template(), spec } }));
    await h.clock.advance(20);
    assert.deepEqual(places(h), []);
    assert.equal((await statusOf(h))?.desiredNumberScheduled, 0);
    await h.client.patch(NODES, '', 'n1', 'merge', { metadata: { labels: { color: 'blue' } } });
    await settle(h);
    assert.deepEqual(places(h), ['n1']);
    // Cordoned nodes keep and get their daemons; other NoSchedule taints only let them stay.
    await h.client.patch(NODES, '', 'n1', 'merge', { spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] } });
    await h.clock.advance(20);
    assert.deepEqual(places(h), ['n1']);
    assert.equal((await statusOf(h))?.numberMisscheduled, 1);
    const cordoned = [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }];
    await h.client.patch(NODES, '', 'n1', 'merge', { spec: { taints: cordoned } });
    await h.clock.advance(20);
    assert.equal((await statusOf(h))?.desiredNumberScheduled, 1);
    await h.client.patch(NODES, '', 'n1', 'merge', { metadata: { labels: { color: 'green' } } });
    await settle(h);
    assert.deepEqual(places(h), []);
  });

  it('keeps the affinity of the template beside the node of the pod', async () => {
    const expressions = [{ key: 'kind', operator: 'In' as const, values: ['big'] }];
    const required = { nodeSelectorTerms: [{ matchExpressions: expressions }] };
    const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
    await h.client.create(NODES, node('big', { kind: 'big' }));
    await h.client.create(
      DAEMONSETS,
      daemonSet({ template: { ...template(), spec: { ...template().spec, affinity } } }),
    );
    await h.clock.advance(20);
    const terms = podsOf(h)[0]?.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
    const matchFields = [{ key: 'metadata.name', operator: 'In', values: ['big'] }];
    assert.deepEqual(terms?.nodeSelectorTerms, [{ matchExpressions: expressions, matchFields }]);
    assert.deepEqual(places(h), ['big']);
  });

  it('replaces failed pods with a back-off', async () => {
    await h.client.delete(NODES, '', 'n2');
    await h.client.delete(NODES, '', 'n3');
    await h.client.create(DAEMONSETS, daemonSet());
    let made = 0;
    for (let i = 0; i < 60; i++) {
      await h.clock.advance(500);
      for (const pod of podsOf(h)) {
        if (pod.status?.phase !== 'Pending') continue;
        made += 1;
        await h.client.updateStatus<Pod>(PODS, { ...pod, status: { phase: 'Failed' } });
      }
    }
    // After 0, 1, 3, 7 and 15 seconds.
    assert.ok(made >= 5 && made <= 7, `${made} pods in half a minute`);
    assert.ok(reasons(h).includes('FailedDaemonPod'));
  });

  it('updates one node after the other, and only those of the old template when it goes back', async () => {
    await h.client.create(DAEMONSETS, daemonSet());
    await settle(h);
    const before = new Set(podsOf(h).map(({ metadata }) => metadata.uid));
    await patch(h, { template: template('app:2') });
    assert.equal(await settle(h), 1);
    assert.deepEqual(images(h), ['n1 app:2', 'n2 app:2', 'n3 app:2']);
    await patch(h, { template: template('broken') });
    await h.clock.advance(20);
    await endTerminating(h);
    await h.clock.advance(20);
    const kept = podsOf(h).filter(({ status }) => status?.phase === 'Running');
    assert.equal(kept.length, 2);
    await patch(h, { template: template('app:2') });
    await settle(h);
    const after = new Set(podsOf(h).map(({ metadata }) => metadata.uid));
    for (const { metadata } of kept) assert.ok(after.has(metadata.uid), 'a good pod was restarted');
    assert.ok(![...before].some((uid) => after.has(uid)));
    const revisions = h.client.all<ControllerRevision>(CONTROLLERREVISIONS).map(({ revision }) => revision);
    assert.deepEqual(
      revisions.toSorted((a, b) => a - b),
      [1, 3, 4],
    );
  });

  it('surges: the old pod goes when its successor is available', async () => {
    await h.client.create(
      DAEMONSETS,
      daemonSet({
        minReadySeconds: 5,
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      }),
    );
    await settle(h);
    await h.clock.advance(6_000);
    await patch(h, { template: template('app:2') });
    await h.clock.advance(20);
    assert.equal(podsOf(h).length, 4);
    await runAll(h);
    await h.clock.advance(4_000);
    assert.ok(!podsOf(h).some(({ metadata }) => metadata.deletionTimestamp));
    await h.clock.advance(1_500);
    assert.equal(podsOf(h).filter(({ metadata }) => metadata.deletionTimestamp).length, 1);
    for (let i = 0; i < 4; i++) {
      await endTerminating(h);
      await runAll(h);
      await h.clock.advance(6_000);
    }
    assert.deepEqual(images(h), ['n1 app:2', 'n2 app:2', 'n3 app:2']);
    assert.equal((await statusOf(h))?.numberAvailable, 3);
  });

  it('updates with OnDelete only what is deleted', async () => {
    await h.client.create(DAEMONSETS, daemonSet({ updateStrategy: { type: 'OnDelete' } }));
    await settle(h);
    await patch(h, { template: template('app:2') });
    await h.clock.advance(1_000);
    assert.deepEqual(images(h), ['n1 app:1', 'n2 app:1', 'n3 app:1']);
    const first = podsOf(h).find((pod) => nodeOf(pod) === 'n1');
    await h.client.delete(PODS, 'ns', first?.metadata.name ?? '');
    await settle(h);
    assert.deepEqual(images(h), ['n1 app:2', 'n2 app:1', 'n3 app:1']);
    assert.equal((await statusOf(h))?.updatedNumberScheduled, 1);
  });

  it('makes no pod twice while its cache lags', async () => {
    await h.client.create(DAEMONSETS, daemonSet());
    await h.clock.advance(0);
    h.client.holdWatches();
    await h.client.create(NODES, node('late'));
    await h.clock.advance(5_000);
    h.client.releaseWatches();
    await h.clock.advance(50);
    assert.deepEqual(places(h), ['late', 'n1', 'n2', 'n3']);
  });
});

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { setTimeout as turnOfTheDisk } from 'node:timers/promises';
import { join } from 'node:path';
import { silentLogger } from '../../../../src/base/log.js';
import { seededRandom } from '../../../../src/base/random.js';
import { EVENTS, PODS } from '../../../../src/api/resource.js';
import type { Event, Node, Pod } from '../../../../src/api/types/core-v1.js';
import { ImageManager } from '../../../../src/node/images/image-manager.js';
import { Kubelet, type NodeView } from '../../../../src/node/kubelet/kubelet.js';
import { FakeRuntime } from '../../../../src/node/runtime/fake/fake-runtime.js';
import type { FakePrograms } from '../../../../src/node/runtime/fake/program.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';
import { MemoryClient } from '../../../../src/testing/memory-client.js';

const SPEC = { nodeName: 'a', containers: [{ name: 'web', image: 'web:1', imagePullPolicy: 'IfNotPresent' as const }] };

describe('kubelet', () => {
  let root: string;
  let clock: ManualClock;
  let client: MemoryClient;
  let runtime: FakeRuntime;
  let kubelet: Kubelet;
  let programs: FakePrograms;

  const make = (node?: NodeView) =>
    new Kubelet(
      {
        client,
        runtime,
        images: new ImageManager({ runtime, clock, log: silentLogger }),
        clock,
        random: seededRandom(2),
        log: silentLogger,
        ...(node ? { node } : {}),
      },
      {
        root,
        context: {
          nodeName: 'a',
          hostIps: ['192.0.2.1'],
          clusterDns: { servers: ['10.96.0.10'], domain: 'cluster.local' },
          hostDns: { servers: [], searches: [], options: [] },
          memoryCapacityBytes: 2 ** 30,
          allocatable: { cpu: '2' },
        },
      },
    );

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'kubelet-'));
    clock = new ManualClock();
    client = new MemoryClient({ clock, random: seededRandom(1) });
    programs = () => ({});
    runtime = new FakeRuntime({ clock, random: seededRandom(3) }, { programs: (config) => programs(config) });
    await runtime.start();
    kubelet = make();
    await kubelet.start();
  });

  afterEach(async () => {
    await kubelet.stop();
    await rm(root, { recursive: true, force: true });
  });

  const create = (spec: Partial<Pod['spec']> & object, name = 'p') =>
    client.create<Pod>(PODS, { metadata: { namespace: 'default', name }, spec: { ...SPEC, ...spec } });
  const pod = (name = 'p') => client.all<Pod>(PODS).find(({ metadata }) => metadata.name === name);
  const web = () => pod()?.status?.containerStatuses?.[0];
  /** Files are real, so their operations need turns of the loop that the clock does not know of. */
  async function until(what: () => boolean, stepMs = 0): Promise<void> {
    for (let turn = 0; turn < 1_000 && !what(); turn++) {
      await clock.advance(stepMs);
      await turnOfTheDisk(1);
    }
    assert.ok(what(), `${what.toString()}: ${JSON.stringify(pod()?.status, undefined, 1)}`);
  }
  const reasons = () => client.all<Event>(EVENTS).map(({ reason }) => reason);

  it('runs a pod and reports it ready', async () => {
    await create({});
    await until(() => pod()?.status?.phase === 'Running');
    assert.equal(web()?.ready, true);
    assert.match(web()?.containerID ?? '', /^fake:\/\//);
    assert.equal(pod()?.status?.hostIP, '192.0.2.1');
    assert.ok(pod()?.status?.podIP);
    await until(() => reasons().includes('Started'));
    assert.deepEqual(reasons(), ['Pulling', 'Pulled', 'Created', 'Started']);
  });

  it('asks for the newest labels of its node before it refuses a pod, and only then', async () => {
    await kubelet.stop();
    const painted = (color: string): Node => ({ metadata: { name: 'a', labels: { color } } });
    let reads = 0;
    const read = () => Promise.resolve((reads++, painted('blue')));
    kubelet = make({ known: () => painted('none'), read });
    await kubelet.start();
    await create({}, 'anywhere');
    await until(() => pod('anywhere')?.status?.phase === 'Running');
    assert.equal(reads, 0);
    await create({ nodeSelector: { color: 'blue' } });
    await until(() => pod()?.status?.phase === 'Running');
    await create({ nodeSelector: { color: 'green' } }, 'elsewhere');
    await until(() => pod('elsewhere')?.status?.phase === 'Failed');
    assert.equal(pod('elsewhere')?.status?.reason, 'NodeAffinity');
    assert.equal(reads, 2);
    await until(() => reasons().includes('NodeAffinity'));
  });

  it('ends a deleted pod and lets the API forget it', async () => {
    await create({});
    await until(() => pod()?.status?.phase === 'Running');
    await client.delete(PODS, 'default', 'p');
    await until(() => pod() === undefined);
    await until(() => kubelet.list().length === 0);
    const { sandboxes, containers } = await runtime.list();
    assert.deepEqual([sandboxes.length, containers.length], [0, 0]);
  });

  it('restarts a crashing container at once, then after 10 s and 20 s', async () => {
    programs = () => ({ exitAfterMs: 1, exitCode: 3 });
    await create({});
    await until(() => web()?.restartCount === 1, 1);
    await until(() => web()?.state?.waiting?.reason === 'CrashLoopBackOff', 1);
    assert.match(web()?.state?.waiting?.message ?? '', /^back-off 10s restarting failed container=web pod=p_default\(/);
    assert.equal(web()?.lastState?.terminated?.exitCode, 3);
    await clock.advance(8_000);
    assert.equal(web()?.restartCount, 1);
    await until(() => web()?.restartCount === 2, 100);
    await until(() => web()?.state?.waiting?.message?.includes('20s') === true, 1);
  });

  it('adopts what runs after its own restart', async () => {
    await create({});
    await until(() => pod()?.status?.phase === 'Running');
    const id = web()?.containerID;
    await kubelet.stop();
    kubelet = make();
    await kubelet.start();
    await until(() => kubelet.list().length === 1);
    await clock.advance(120_000);
    assert.equal(web()?.containerID, id);
    assert.equal(web()?.restartCount, 0);
  });

  it('removes what runs of pods that nobody knows', async () => {
    await create({});
    await until(() => pod()?.status?.phase === 'Running');
    await kubelet.stop();
    await client.delete(PODS, 'default', 'p', { gracePeriodSeconds: 0 });
    kubelet = make();
    await kubelet.start();
    let left = 1;
    for (let turn = 0; turn < 1_000 && left > 0; turn++) {
      await clock.advance(10);
      await turnOfTheDisk(1);
      const { sandboxes, containers } = await runtime.list();
      left = sandboxes.length + containers.length;
    }
    assert.equal(left, 0);
  });

  it('runs init containers one after the other before the others', async () => {
    programs = ({ name }) => (name === 'web' ? {} : { exitAfterMs: 50 });
    const initContainers = ['one', 'two'].map((name) => ({ name, image: 'web:1' }));
    await create({ initContainers });
    await until(() => pod()?.status?.initContainerStatuses?.[0]?.state?.running !== undefined);
    assert.equal(web()?.state?.waiting?.reason, 'PodInitializing');
    await until(() => pod()?.status?.phase === 'Running', 5);
    assert.deepEqual(
      pod()?.status?.initContainerStatuses?.map(({ ready }) => ready),
      [true, true],
    );
  });

  it('shows a missing ConfigMap as a configuration error in upstream words', async () => {
    const env = [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'missing', key: 'x' } } }];
    await create({ containers: [{ name: 'web', image: 'web:1', env }] });
    await until(() => web()?.state?.waiting?.reason === 'CreateContainerConfigError');
    assert.equal(web()?.state?.waiting?.message, 'configmap "missing" not found');
    assert.equal(pod()?.status?.phase, 'Pending');
  });

  it('completes a pod that need not run again', async () => {
    programs = () => ({ exitAfterMs: 5 });
    await create({ restartPolicy: 'Never' });
    await until(() => pod()?.status?.phase === 'Succeeded', 1);
    assert.equal(pod()?.status?.conditions?.find(({ type }) => type === 'Ready')?.reason, 'PodCompleted');
  });

  it('keeps a condition that others set while its own status is on the way', async () => {
    programs = () => ({ exitAfterMs: 60_000, exitCode: 1 });
    await create({ restartPolicy: 'Never' });
    await until(() => pod()?.status?.phase === 'Running');
    client.holdWatches();
    const live = await client.get<Pod>(PODS, 'default', 'p');
    const target = { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI' };
    const conditions = [...(live.status?.conditions ?? []), target];
    await client.updateStatus<Pod>(PODS, { ...live, status: { ...live.status, conditions } });
    await until(() => pod()?.status?.phase === 'Failed', 1_000);
    assert.ok(pod()?.status?.conditions?.some(({ type }) => type === 'DisruptionTarget'));
    client.releaseWatches();
  });
});

import assert from 'node:assert/strict';
import { ApiError } from '../../../../../src/api/errors.js';
import { EVENTS, NODES, PODS } from '../../../../../src/api/resource.js';
import type { Event, Node, Pod, Toleration } from '../../../../../src/api/types/core-v1.js';
import { nodeLifecycleController } from '../../../../../src/control/controllers/nodelifecycle/controller.js';
import type { NodeLiveness } from '../../../../../src/control/controllers/nodelifecycle/liveness.js';
import { taintEvictionController } from '../../../../../src/control/controllers/nodelifecycle/taint-eviction.js';
import { harness, runPod, type Harness } from '../harness.js';

class Liveness implements NodeLiveness {
  private readonly alive = new Map<string, boolean>();
  private readonly listeners = new Set<(name: string) => void>();

  isAlive(name: string): boolean | undefined {
    return this.alive.get(name);
  }

  onChange(listener: (name: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  set(name: string, alive: boolean): void {
    this.alive.set(name, alive);
    for (const listener of this.listeners) listener(name);
  }
}

const readyNode = (name: string): Node => ({
  metadata: { name },
  spec: {},
  status: { conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }] },
});

const tolerate = (tolerationSeconds?: number): Toleration[] => [
  {
    key: 'node.kubernetes.io/unreachable',
    operator: 'Exists',
    effect: 'NoExecute',
    ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
  },
];

async function addPod(h: Harness, name: string, tolerations: Toleration[]): Promise<Pod> {
  const pod = await h.client.create<Pod>(PODS, {
    metadata: { namespace: 'ns', name },
    spec: { containers: [], tolerations },
  });
  return runPod(h, pod, true, 'node-1');
}

describe('node lifecycle', () => {
  let h: Harness;
  let liveness: Liveness;
  const node = () => h.client.get<Node>(NODES, '', 'node-1');
  const taints = async () => ((await node()).spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`);
  const pods = () => h.client.all<Pod>(PODS).map(({ metadata }) => metadata.name);
  const pod = (name: string) => h.client.get<Pod>(PODS, 'ns', name);

  beforeEach(async () => {
    h = harness();
    liveness = new Liveness();
    liveness.set('node-1', true);
    h.client.seed(NODES, readyNode('node-1'));
    await h.run(nodeLifecycleController(h, liveness), taintEvictionController(h, liveness));
  });
  afterEach(() => h.stop());

  it('marks a lost node and its pods at once', async () => {
    await addPod(h, 'a', tolerate(300));
    liveness.set('node-1', false);
    await h.clock.advance(100);
    const ready = (await node()).status?.conditions?.find(({ type }) => type === 'Ready');
    assert.equal(ready?.status, 'Unknown');
    assert.equal(ready.reason, 'NodeStatusUnknown');
    assert.equal(ready.message, 'Kubelet stopped posting node status.');
    assert.deepEqual(await taints(), [
      'node.kubernetes.io/unreachable:NoSchedule',
      'node.kubernetes.io/unreachable:NoExecute',
    ]);
    assert.equal((await pod('a')).status?.conditions?.[0]?.status, 'False');
  });

  it('evicts pods when their toleration ends and then frees their place', async () => {
    await addPod(h, 'none', []);
    await addPod(h, 'short', tolerate(60));
    await addPod(h, 'forever', tolerate());
    liveness.set('node-1', false);
    await h.clock.advance(1_000);
    assert.ok((await pod('none')).metadata.deletionTimestamp);
    assert.equal((await pod('short')).metadata.deletionTimestamp, undefined);
    await h.clock.advance(60_000);
    assert.ok((await pod('short')).metadata.deletionTimestamp);
    await h.clock.advance(31_000);
    assert.deepEqual(pods(), ['forever']);
    const events = h.client.all<Event>(EVENTS).map(({ reason, message }) => `${reason}: ${message}`);
    assert.ok(events.includes('TaintManagerEviction: Marking for deletion Pod ns/short'));
  });

  it('counts a toleration from when a taint appeared, also where the taint does not say', async () => {
    const toleration: Toleration = { key: 'mine', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 };
    await addPod(h, 'old', [toleration]);
    await h.clock.advance(300_000);
    const taint = { key: 'mine', effect: 'NoExecute' };
    await h.client.patch(NODES, '', 'node-1', 'merge', { spec: { taints: [taint] } });
    await h.clock.advance(59_000);
    assert.equal((await pod('old')).metadata.deletionTimestamp, undefined);
    await h.client.patch(NODES, '', 'node-1', 'merge', { spec: { taints: [] } });
    await h.clock.advance(60_000);
    assert.equal((await pod('old')).metadata.deletionTimestamp, undefined);
    await h.client.patch(NODES, '', 'node-1', 'merge', { spec: { taints: [taint] } });
    await h.clock.advance(59_000);
    assert.equal((await pod('old')).metadata.deletionTimestamp, undefined);
    await h.clock.advance(2_000);
    assert.ok((await pod('old')).metadata.deletionTimestamp);
  });

  it('marks a pod once whose deletion is refused, and asks again after ever longer pauses', async () => {
    await addPod(h, 'a', []);
    const error = new ApiError(503, 'ServiceUnavailable', 'this part of the cluster has no majority');
    h.client.failNext({ verb: 'delete', resource: PODS, times: 1_000, error });
    liveness.set('node-1', false);
    await h.clock.advance(20_000);
    const count = (verb: string) => h.client.calls.filter((call) => call.verb === verb && call.name === 'a').length;
    const marked = (await pod('a')).status?.conditions?.filter(({ type }) => type === 'DisruptionTarget');
    assert.equal(marked?.length, 1);
    assert.ok(count('delete') > 3 && count('delete') < 20, `${count('delete')} tries`);
    const events = h.client.all<Event>(EVENTS).filter(({ reason }) => reason === 'TaintManagerEviction');
    assert.deepEqual(
      events.map((event) => event.count),
      [1],
    );
  });

  it('takes the taints off when the kubelet is back, and spares the pods', async () => {
    await addPod(h, 'a', tolerate(60));
    liveness.set('node-1', false);
    await h.clock.advance(30_000);
    liveness.set('node-1', true);
    const lost = await node();
    assert.equal((await taints()).length, 2);
    await h.client.updateStatus<Node>(NODES, { ...lost, status: readyNode('node-1').status ?? {} });
    await h.clock.advance(60_000);
    assert.deepEqual(await taints(), []);
    assert.equal((await pod('a')).metadata.deletionTimestamp, undefined);
  });

  it('taints a node that is not ready, and a cordoned one', async () => {
    const live = await node();
    await h.client.updateStatus<Node>(NODES, {
      ...live,
      status: { conditions: [{ type: 'Ready', status: 'False' }] },
    });
    await h.client.patch(NODES, '', 'node-1', 'merge', { spec: { unschedulable: true } });
    await h.clock.advance(1_000);
    assert.deepEqual(
      (await taints()).sort((a, b) => a.localeCompare(b)),
      [
        'node.kubernetes.io/not-ready:NoExecute',
        'node.kubernetes.io/not-ready:NoSchedule',
        'node.kubernetes.io/unschedulable:NoSchedule',
      ],
    );
  });

  it('gives a node that nobody has heard of some time', async () => {
    h.client.seed(NODES, readyNode('node-2'));
    await h.clock.advance(39_000);
    const ready = async () => (await h.client.get<Node>(NODES, '', 'node-2')).status?.conditions?.[0]?.status;
    assert.equal(await ready(), 'True');
    await h.clock.advance(2_000);
    assert.equal(await ready(), 'Unknown');
  });

  it('limits how fast nodes are given up', async () => {
    for (let i = 2; i <= 40; i++) {
      liveness.set(`node-${i}`, true);
      h.client.seed(NODES, readyNode(`node-${i}`));
    }
    await h.clock.advance(0);
    for (let i = 2; i <= 40; i++) liveness.set(`node-${i}`, false);
    await h.clock.advance(1_000);
    const lost = () =>
      h.client.all<Node>(NODES).filter(({ spec }) => spec?.taints?.some(({ effect }) => effect === 'NoExecute')).length;
    assert.ok(lost() >= 5 && lost() <= 12, `${lost()} nodes`);
    await h.clock.advance(10_000);
    assert.equal(lost(), 39);
  });
});

/** The scheduler alone: how many pods a second it places on simulated nodes, and how long one decision takes. */
import type { KubeObject } from '../../src/api/object.js';
import { NODES, PODS, groupResourceOf, type ResourceRef } from '../../src/api/resource.js';
import type { Node, Pod } from '../../src/api/types/core-v1.js';
import { systemClock } from '../../src/base/clock.js';
import { silentLogger } from '../../src/base/log.js';
import { noMetrics, type Metrics } from '../../src/base/metrics.js';
import { seededRandom } from '../../src/base/random.js';
import type { Client, ObjectList, WatchEvent, WatchOptions } from '../../src/client/client.js';
import { createScheduler } from '../../src/control/scheduler/scheduler.js';
import { quantile, round, type Bench, type Context, type Figure } from './bench.js';

const NODE_COUNTS = [100, 1_000, 5_000] as const;
const POD_COUNT = 10_000;

/** Events for one watch; each costs the same however many there were. */
class EventQueue<T> {
  private waiting: WatchEvent<T>[] = [];
  private wake: () => void = () => undefined;

  push(event: WatchEvent<T>): void {
    this.waiting.push(event);
    this.wake();
  }

  async *events(signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    signal.addEventListener('abort', () => this.wake(), { once: true });
    while (!signal.aborted) {
      const batch = this.waiting;
      this.waiting = [];
      yield* batch;
      if (this.waiting.length === 0 && !signal.aborted) await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

/** The little of a cluster that the scheduler needs, at constant cost for each request. */
class StubClient implements Partial<Client> {
  readonly pods = new Map<string, Pod>();
  private readonly queues = new Map<string, EventQueue<KubeObject>>();
  private revision = 1;
  bound = 0;
  onAllBound: () => void = () => undefined;

  constructor(
    private readonly nodes: readonly Node[],
    private readonly target: number,
  ) {}

  private queue(resource: ResourceRef): EventQueue<KubeObject> {
    const name = groupResourceOf(resource);
    let queue = this.queues.get(name);
    if (!queue) this.queues.set(name, (queue = new EventQueue()));
    return queue;
  }

  list<T extends KubeObject>(resource: ResourceRef): Promise<ObjectList<T>> {
    const items = resource === NODES ? this.nodes : [];
    return Promise.resolve({ items: items as unknown as readonly T[], resourceVersion: '1' });
  }

  watch<T extends KubeObject>(resource: ResourceRef, { signal }: WatchOptions): AsyncIterable<WatchEvent<T>> {
    return this.queue(resource).events(signal) as AsyncIterable<WatchEvent<T>>;
  }

  add(pod: Pod): void {
    this.store('ADDED', pod);
  }

  private store(type: 'ADDED' | 'MODIFIED', pod: Pod): void {
    const object = { ...pod, metadata: { ...pod.metadata, resourceVersion: String(++this.revision) } };
    this.pods.set(pod.metadata.name ?? '', object);
    this.queue(PODS).push({ type, object: object as unknown as KubeObject });
  }

  createSubresource(
    _resource: ResourceRef,
    _namespace: string,
    name: string,
    _subresource: string,
    body: unknown,
  ): Promise<void> {
    const pod = this.pods.get(name);
    const { target } = body as { target: { name: string } };
    if (pod) this.store('MODIFIED', { ...pod, spec: { ...pod.spec, nodeName: target.name } } as Pod);
    if (++this.bound === this.target) this.onAllBound();
    return Promise.resolve();
  }

  create<T extends KubeObject>(_resource: ResourceRef, object: T): Promise<T> {
    return Promise.resolve(object);
  }
}

const node = (number: number): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: `node-${number}`,
      uid: `node-${number}`,
      resourceVersion: '1',
      labels: { 'kubernetes.io/hostname': `node-${number}`, 'topology.kubernetes.io/zone': `zone-${number % 3}` },
    },
    status: { allocatable: { cpu: '32', memory: '64Gi', pods: '256' } },
  }) as Node;

const pod = (number: number): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `pod-${number}`,
      namespace: 'default',
      uid: `pod-${number}`,
      labels: { app: `app-${number % 20}` },
    },
    spec: {
      schedulerName: 'default-scheduler',
      containers: [{ name: 'main', image: 'app', resources: { requests: { cpu: '100m', memory: '128Mi' } } }],
    },
    status: { phase: 'Pending' },
  }) as Pod;

async function measure(nodes: number): Promise<{ perSecond: number; p99Ms: number }> {
  const decisions: number[] = [];
  const metrics: Metrics = {
    ...noMetrics,
    histogram: (name) => ({
      observe: (seconds) => {
        if (name === 'skein_scheduler_decision_seconds') decisions.push(seconds * 1000);
      },
    }),
  };
  const client = new StubClient(
    Array.from({ length: nodes }, (_, i) => node(i)),
    POD_COUNT,
  );
  const deps = { clock: systemClock, log: silentLogger, metrics, random: seededRandom(1) };
  const scheduler = createScheduler({ ...deps, client: client as unknown as Client });
  await scheduler.start();
  const all = new Promise<void>((resolve) => (client.onAllBound = resolve));
  const pods = Array.from({ length: POD_COUNT }, (_, i) => pod(i));
  const beganMs = performance.now();
  for (const one of pods) client.add(one);
  await all;
  const tookMs = performance.now() - beganMs;
  await scheduler.stop();
  return { perSecond: (POD_COUNT / tookMs) * 1000, p99Ms: quantile(decisions, 0.99) ?? 0 };
}

async function run(context: Context): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const nodes of NODE_COUNTS) {
    const { perSecond, p99Ms } = await measure(nodes);
    context.log(`${nodes} nodes: ${perSecond.toFixed(0)} pods/s, p99 ${p99Ms.toFixed(2)} ms`);
    figures.push({
      what: `${POD_COUNT} pods placed on ${nodes} simulated nodes`,
      unit: '/s',
      better: 'higher',
      skein: round(perSecond),
      ...(nodes === 5_000 ? { goal: { text: '≥ 4,000/s', atLeast: 4_000, of: 'value' as const } } : {}),
      note: `decision p99 ${round(p99Ms, 2)} ms; published: kube-scheduler's CI floor 270/s at 5,000 nodes, Nomad 3,750/s`,
    });
  }
  return figures;
}

export const scheduler: Bench = {
  name: 'scheduler',
  about: '10,000 pods placed on 100, 1,000 and 5,000 simulated nodes',
  hosts: false,
  limitSeconds: 120,
  run,
};

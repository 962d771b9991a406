/** Controllers on a `MemoryClient` and a manual clock, with a kubelet that only keeps statuses. */
import { silentLogger } from '../../../../src/base/log.js';
import type { Service } from '../../../../src/base/lifecycle.js';
import { noMetrics } from '../../../../src/base/metrics.js';
import { seededRandom } from '../../../../src/base/random.js';
import { rfc3339 } from '../../../../src/base/clock.js';
import { PODS } from '../../../../src/api/resource.js';
import type { Deployment, ReplicaSet } from '../../../../src/api/types/apps-v1.js';
import type { Pod } from '../../../../src/api/types/core-v1.js';
import { eventRecorders, type SharedDeps } from '../../../../src/control/controllers/deps.js';
import { InformerSet } from '../../../../src/control/controllers/informer-set.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';
import { MemoryClient } from '../../../../src/testing/memory-client.js';

export interface Harness extends SharedDeps {
  readonly client: MemoryClient;
  readonly clock: ManualClock;
  /** Starts informers and these controllers; all are stopped by {@link stop}. */
  run(...controllers: Service[]): Promise<void>;
  stop(): Promise<void>;
}

export function harness(seed = 1, client?: MemoryClient, clock = new ManualClock()): Harness {
  const random = seededRandom(seed);
  const memory = client ?? new MemoryClient({ clock, random });
  const environment = { client: memory, clock, random, log: silentLogger, metrics: noMetrics };
  const informers = new InformerSet(environment);
  const running: Service[] = [];
  return {
    ...environment,
    informers,
    events: eventRecorders(environment),
    async run(...controllers) {
      for (const service of [informers, ...controllers]) {
        await service.start();
        running.push(service);
      }
      await clock.advance(0);
    },
    async stop() {
      for (const service of running.reverse()) await service.stop();
    },
  };
}

/** Marks a pod as bound to a node and running, ready or not. */
export async function runPod(
  h: Pick<Harness, 'client' | 'clock'>,
  pod: Pod,
  ready: boolean,
  node = 'node-1',
  ip = '10.0.0.1',
): Promise<Pod> {
  const { namespace = '', name = '' } = pod.metadata;
  if (!pod.spec?.nodeName) {
    await h.client.createSubresource(PODS, namespace, name, 'binding', { target: { name: node } });
  }
  const live = await h.client.get<Pod>(PODS, namespace, name);
  return h.client.updateStatus<Pod>(PODS, {
    ...live,
    status: {
      ...live.status,
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: rfc3339(h.clock.nowMs()) }],
    },
  });
}

/** Ends pods that are being deleted, as a kubelet does at last. */
export async function endTerminating(h: Pick<Harness, 'client'>): Promise<void> {
  for (const { metadata } of h.client.all<Pod>(PODS)) {
    if (!metadata.deletionTimestamp) continue;
    await h.client.delete(PODS, metadata.namespace ?? '', metadata.name ?? '', { gracePeriodSeconds: 0 });
  }
}

export const template = (image = 'app:1') => ({
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'app', image }] },
});

export const replicaSet = (replicas: number, spec: Partial<ReplicaSet['spec']> = {}): ReplicaSet => ({
  metadata: { namespace: 'ns', name: 'web' },
  spec: { replicas, selector: { matchLabels: { app: 'web' } }, template: template(), ...spec },
});

export const deployment = (replicas: number, spec: Partial<Deployment['spec']> = {}): Deployment => ({
  metadata: { namespace: 'ns', name: 'web' },
  spec: { replicas, selector: { matchLabels: { app: 'web' } }, template: template(), ...spec },
});

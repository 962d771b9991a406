/**
 * A year of a cluster of 100 nodes, on three whole simulated agents. What is scaled:
 *
 * | in a real year | here |
 * |---|---|
 * | 365 days | `steps` jumps of all wall clocks, each after {@link STEP_MS} of simulated time in which everything runs |
 * | 100 machines with an agent | three, and `nodes` Node objects that are written through the API as their kubelets would |
 * | a node's status every 5 min (105,120 a node) | `statuses` a node and step: bounds must hold by count and by age |
 * | heartbeats | none in the store, as in a real cluster |
 * | Events, rollouts, Jobs, Leases, churn of nodes | all of them in each step, each new |
 *
 * What matters for what is kept is how many updates one object gets, how many objects come and go, and how old what is left is;
 * the pauses between them matter for nothing else.
 */
import { DEPLOYMENTS, EVENTS, JOBS, LEASES, NODES, CONFIGMAPS, type ResourceRef } from '../../src/api/resource.js';
import type { KubeObject } from '../../src/api/object.js';
import { rfc3339, rfc3339Micro } from '../../src/base/clock.js';
import type { Client } from '../../src/client/client.js';
import { WholeCluster } from '../../src/testing/sim-agent.js';
import type { SimPeer } from '../../src/testing/sim-cluster.js';
import { wholeState } from './whole-cluster-checks.js';
import { deployment, NAMESPACE } from './whole-cluster-users.js';

/** Long enough for a sweep of Events and of tombstones. */
const STEP_MS = 65_000;
const YEAR_MS = 365 * 24 * 3_600_000;
const QUARTERS = 4;

export interface YearOptions {
  readonly seed: number;
  /** Jumps of the clock; a multiple of four. */
  readonly steps: number;
  readonly nodes: number;
  /** Status updates a node and step. */
  readonly statuses: number;
  /** New Events a step. */
  readonly events: number;
}

/** What a peer keeps at the end of a quarter. */
export interface Quarter {
  readonly quarter: number;
  /** Given out since the beginning. */
  readonly revisions: number;
  readonly diskBytes: number;
  readonly diskKeys: number;
  /** Live objects and tombstones. */
  readonly objects: number;
  readonly tombstones: number;
  /** Of them, Events. */
  readonly events: number;
  readonly recordBytes: number;
  /** All that this process uses after a collection: three peers and the simulator. */
  readonly heapBytes: number;
}

export interface Year {
  readonly quarters: readonly Quarter[];
  readonly problems: readonly string[];
}

/** @param collect runs a garbage collection. */
export async function runYear(
  options: YearOptions,
  collect: () => void,
  onQuarter: (quarter: Quarter) => void = () => undefined,
): Promise<Year> {
  const { seed, steps } = options;
  const cluster = new WholeCluster({
    seed,
    peers: 3,
    // Small, so that all are full from the first quarter on.
    settings: { historyEvents: 1_000, logMegabytes: 1, changesPerObject: 3, changesMegabytes: 1 },
  });
  const { sim } = cluster;
  await sim.found();
  await sim.clock.run(3_000);
  const [first, , late] = sim.peers as [SimPeer, SimPeer, SimPeer];
  const writers = new Writers(cluster, first, options);
  await sim.until(writers.prepare());
  const quarters: Quarter[] = [];
  const problems: string[] = [];
  const perQuarter = steps / QUARTERS;
  for (let step = 0; step < steps; step++) {
    if (step === perQuarter) late.crash();
    await sim.until(writers.step(step), 600_000, `step ${step}`);
    await sim.clock.run(STEP_MS);
    for (const peer of sim.peers) peer.jump(YEAR_MS / steps - STEP_MS);
    if (step === 2 * perQuarter + 1) {
      await sim.until(late.start());
      await sim.clock.run(() => sim.isSettled(), { limitMs: 30_000, what: 'the return of the late peer' });
    }
    if ((step + 1) % perQuarter !== 0) continue;
    // What became old by the last jump goes now.
    await sim.clock.run(2 * STEP_MS);
    const up = sim.up;
    await sim.clock.run(() => sim.isSettled(up), { limitMs: 30_000, what: 'the end of a quarter' });
    for (const peer of up)
      if (wholeState(peer) !== wholeState(first)) problems.push(`${peer.id} and ${first.id} differ after step ${step}`);
    collect();
    const quarter = measure((step + 1) / perQuarter, first);
    quarters.push(quarter);
    onQuarter(quarter);
  }
  for (const peer of sim.peers) peer.crash();
  return { quarters, problems };
}

function measure(quarter: number, peer: SimPeer): Quarter {
  const { records } = peer.replica.snapshot();
  const live = records.filter(({ value }) => value !== undefined);
  const { keys, bytes } = peer.disk.usage;
  return {
    quarter,
    revisions: peer.replica.revision,
    diskBytes: bytes,
    diskKeys: keys,
    objects: live.length,
    tombstones: records.length - live.length,
    events: peer.replica.list(EVENTS.group, EVENTS.resource).length,
    recordBytes: records.reduce((sum, { value, document }) => {
      return sum + (value ? JSON.stringify(value).length : 0) + (document?.length ?? 0);
    }, 0),
    heapBytes: process.memoryUsage().heapUsed,
  };
}

const nodeName = (i: number) => `node-${String(i).padStart(4, '0')}`;

/** The kubelets, controllers and people of the year. */
class Writers {
  /** Nodes come and go: the oldest is replaced by the next. */
  private oldest = 0;

  constructor(
    private readonly cluster: WholeCluster,
    private readonly through: SimPeer,
    private readonly options: YearOptions,
  ) {}

  private get client(): Client {
    return this.cluster.clientOf(this.through);
  }

  private nowMs(): number {
    return this.cluster.sim.clock.nowMs() + this.through.offsetMs;
  }

  private create(resource: ResourceRef, value: object): Promise<KubeObject> {
    return this.client.create(resource, value as KubeObject);
  }

  async prepare(): Promise<void> {
    for (let i = 0; i < this.options.nodes; i++) await this.createNode(i);
    await this.create(DEPLOYMENTS, deployment('web', 3));
    // Few former ReplicaSets, so that the first quarter has as many as the last.
    await this.client.patch(DEPLOYMENTS, NAMESPACE, 'web', 'merge', { spec: { revisionHistoryLimit: 1 } });
    const own = { name: 'leader', namespace: NAMESPACE };
    await this.create(LEASES, { metadata: own, spec: { holderIdentity: 'a', leaseDurationSeconds: 15 } });
    await this.create(CONFIGMAPS, { metadata: { name: 'shared', namespace: NAMESPACE }, data: {} });
  }

  async step(step: number): Promise<void> {
    const { nodes, statuses, events } = this.options;
    for (let n = 0; n < statuses; n++)
      await Promise.all(Array.from({ length: nodes }, (_, i) => this.status(this.oldest + i, step * statuses + n)));
    await Promise.all(Array.from({ length: events }, (_, i) => this.event(step, i)));
    for (let n = 0; n < 10; n++) await this.renew();
    for (let n = 0; n < 20; n++) {
      const data = { [`key-${n % 5}`]: `${step}-${n}` };
      await this.client.patch(CONFIGMAPS, NAMESPACE, 'shared', 'merge', { data });
    }
    const annotations = { 'example.com/rollout': String(step) };
    await this.client.patch(DEPLOYMENTS, NAMESPACE, 'web', 'merge', {
      spec: { template: { metadata: { annotations } } },
    });
    await this.job(step);
    await this.client.delete(NODES, '', nodeName(this.oldest));
    await this.createNode(this.oldest + nodes);
    this.oldest += 1;
  }

  private async createNode(i: number): Promise<void> {
    // Held back from pods: no kubelet runs there.
    const spec = { taints: [{ key: 'example.com/simulated', effect: 'NoSchedule' }] };
    await this.create(NODES, { metadata: { name: nodeName(i) }, spec });
  }

  private async status(i: number, n: number): Promise<void> {
    const at = rfc3339(this.nowMs());
    const conditions = [{ type: 'Ready', status: 'True', reason: `Beat${n}`, lastHeartbeatTime: at }];
    const patch = { status: { conditions, capacity: { cpu: '4', memory: '8Gi', pods: '110' } } };
    await this.client.patch(NODES, '', nodeName(i), 'strategic', patch, { subresource: 'status' });
  }

  private async event(step: number, i: number): Promise<void> {
    const at = rfc3339(this.nowMs());
    await this.create(EVENTS, {
      metadata: { name: `web.${step}.${i}`, namespace: NAMESPACE },
      involvedObject: { kind: 'Pod', namespace: NAMESPACE, name: `web-${step}` },
      reason: 'Simulated',
      message: `event ${i} of step ${step}`,
      type: 'Normal',
      count: 1,
      firstTimestamp: at,
      lastTimestamp: at,
    });
  }

  private async renew(): Promise<void> {
    const spec = { renewTime: rfc3339Micro(this.nowMs()) };
    await this.client.patch(LEASES, NAMESPACE, 'leader', 'merge', { spec });
  }

  private async job(step: number): Promise<void> {
    const containers = [{ name: 'c', image: 'app:1', command: ['sh', '-c', 'sleep 1; exit 0'] }];
    await this.create(JOBS, {
      metadata: { name: `job-${step}`, namespace: NAMESPACE },
      spec: { ttlSecondsAfterFinished: 60, template: { spec: { restartPolicy: 'Never', containers } } },
    });
  }
}

/** What must hold of workloads: looked at all the time on the machines themselves, and at the end in what the API shows. */
import { DEPLOYMENTS, ENDPOINTSLICES, JOBS, NODES, PODS, SERVICES, STATEFULSETS } from '../../src/api/resource.js';
import type { KubeObject } from '../../src/api/object.js';
import { KindRegistry } from '../../src/api/schema/registry.js';
import type { Deployment, StatefulSet } from '../../src/api/types/apps-v1.js';
import type { Job } from '../../src/api/types/batch-v1.js';
import type { Node, Pod, Service } from '../../src/api/types/core-v1.js';
import type { EndpointSlice } from '../../src/api/types/discovery-v1.js';
import type { PodIdentity } from '../../src/node/runtime/runtime.js';
import type { WholeCluster } from '../../src/testing/sim-agent.js';
import type { SimPeer } from '../../src/testing/sim-cluster.js';
import { NAMESPACE, SETS } from './whole-cluster-users.js';

const LOOK_MS = 100;
/** How soon a replaced pod must end once its machine is back in the part that replaced it. */
const TWINS_MS = 10_000;

interface Running {
  readonly machine: string;
  readonly pod: PodIdentity;
}

interface Resource {
  readonly group: string;
  readonly resource: string;
}

let stored: readonly Resource[] | undefined;

/** Every kind that is stored. */
function storedKinds(): readonly Resource[] {
  stored ??= [
    ...new Map(
      KindRegistry.load()
        .all()
        .filter(({ verbs, view }) => view === undefined && verbs.includes('list') && verbs.includes('create'))
        .map(({ group, resource }) => [`${group}/${resource}`, { group, resource }]),
    ).values(),
  ];
  return stored;
}

const listOf = <T>(peer: SimPeer, { group, resource }: Resource): readonly T[] =>
  peer.replica.list(group, resource) as unknown as readonly T[];

/** Everything that a peer shows, byte by byte. */
export const wholeState = (peer: SimPeer): string =>
  JSON.stringify(storedKinds().map((kind) => [kind, listOf<KubeObject>(peer, kind)]));

/** Looks at the machines: what runs is true whatever any part of the cluster believes. */
export class MachineObserver {
  readonly problems: string[] = [];
  /** Of Deployments: pods beyond the wished number, times seconds. */
  extraSeconds = 0;
  /** When more pods than wished ran the last time. */
  lastExtraMs = 0;
  /** Seconds that two pods of one identity ran at once. */
  twinSeconds = 0;
  private readonly together = new Map<string, number>();
  private readonly reported = new Set<string>();

  constructor(private readonly cluster: WholeCluster) {
    cluster.sim.every(LOOK_MS, () => void this.look());
  }

  private async look(): Promise<void> {
    const { sim, machines } = this.cluster;
    const running: Running[] = [];
    for (const [id, machine] of machines) for (const pod of await machine.running()) running.push({ machine: id, pod });
    this.noteCompany();
    this.checkIdentities(running);
    const { leader } = sim;
    if (!leader) return;
    for (const { metadata, spec } of listOf<Deployment>(leader, DEPLOYMENTS)) {
      const prefix = `${metadata.name ?? ''}-`;
      const own = running.filter(
        ({ pod }) => pod.namespace === metadata.namespace && pod.name.startsWith(prefix) && !/-\d+$/.test(pod.name),
      );
      // A rollout may run one more for a while, as upstream's maxSurge of a quarter has it.
      const surge = Math.ceil((spec?.replicas ?? 1) / 4);
      const extra = own.length - (spec?.replicas ?? 1) - surge;
      if (extra <= 0) continue;
      this.extraSeconds += (extra * LOOK_MS) / 1000;
      this.lastExtraMs = sim.clock.monotonicMs();
    }
  }

  /** Since when each two machines have been in one part of the cluster. */
  private noteCompany(): void {
    const { peers, clock } = this.cluster.sim;
    const sees = (a: SimPeer, b: SimPeer) => a.life?.replica.view?.members.includes(b.id) ?? false;
    for (const a of peers) {
      for (const b of peers) {
        const pair = `${a.id} ${b.id}`;
        if (!sees(a, b) || !sees(b, a)) this.together.delete(pair);
        else if (!this.together.has(pair)) this.together.set(pair, clock.monotonicMs());
      }
    }
  }

  /**
   * A pod of a StatefulSet that was replaced runs on at most while its machine is cut off from its replacement's, or without its
   * agent, and is ended soon after.
   */
  private checkIdentities(running: readonly Running[]): void {
    const nowMs = this.cluster.sim.clock.monotonicMs();
    for (const set of SETS) {
      const held = new Map<string, string>();
      for (const { machine, pod } of running.filter(({ pod: { name } }) => new RegExp(`^${set}-\\d+$`).test(name))) {
        const other = held.get(pod.name);
        held.set(pod.name, machine);
        if (other === undefined) continue;
        this.twinSeconds += LOOK_MS / 1000;
        const sinceMs = this.together.get(`${other} ${machine}`) ?? nowMs;
        if (nowMs - sinceMs > TWINS_MS)
          this.problem(`${pod.name} runs on ${other} and on ${machine}, which see each other`, nowMs);
      }
    }
  }

  private problem(text: string, nowMs: number): void {
    if (this.reported.has(text)) return;
    this.reported.add(text);
    this.problems.push(`${nowMs.toFixed(0)} ms: ${text}`);
  }
}

/** What is not yet as wished; empty when all is. */
export async function unsettled(cluster: WholeCluster): Promise<string[]> {
  const [peer] = cluster.sim.peers as [SimPeer];
  if (!cluster.sim.isSettled()) return ['the replicas differ'];
  const pods = listOf<Pod>(peer, PODS);
  const byUid = new Map(pods.map((pod) => [pod.metadata.uid, pod]));
  const workloads = [
    ...deployments(peer, pods),
    ...statefulSets(peer, pods),
    ...jobs(peer),
    ...endpoints(peer, pods),
    ...(await onMachines(cluster, byUid)),
  ];
  return workloads.length > 0 ? workloads : [...ending(peer), ...orphans(peer)];
}

function ending(peer: SimPeer): string[] {
  return storedKinds()
    .flatMap((kind) => listOf<KubeObject>(peer, kind).map((value) => ({ kind, value })))
    .filter(({ value }) => value.metadata.deletionTimestamp !== undefined)
    .map(({ kind, value }) => `${kind.resource}/${value.metadata.name ?? ''} is still being deleted`);
}

const isReady = ({ status }: Pod) =>
  status?.conditions?.some(({ type, status: truth }) => type === 'Ready' && truth === 'True') === true;

function deployments(peer: SimPeer, pods: readonly Pod[]): string[] {
  return listOf<Deployment>(peer, DEPLOYMENTS).flatMap(({ metadata, spec, status }) => {
    const wished = spec?.replicas ?? 1;
    const app = spec?.selector.matchLabels?.['app'];
    const own = pods.filter(
      (pod) => pod.metadata.namespace === metadata.namespace && pod.metadata.labels?.['app'] === app,
    );
    const ready = own.filter(isReady).length;
    const { readyReplicas = 0, updatedReplicas = 0 } = status ?? {};
    const settled = own.length === wished && ready === wished && readyReplicas === wished && updatedReplicas === wished;
    const says = `${own.length} pods, ${ready} ready, status ${readyReplicas} ready and ${updatedReplicas} updated`;
    return settled ? [] : [`deployment ${metadata.name ?? ''} wants ${wished}: ${says}`];
  });
}

function statefulSets(peer: SimPeer, pods: readonly Pod[]): string[] {
  return listOf<StatefulSet>(peer, STATEFULSETS).flatMap(({ metadata: { name = '' }, spec }) => {
    const wished = Array.from({ length: spec?.replicas ?? 1 }, (_, i) => `${name}-${i}`).join(' ');
    const own = pods.filter(({ metadata }) => metadata.labels?.['app'] === name);
    const ready = own
      .filter(isReady)
      .map((pod) => pod.metadata.name ?? '')
      .toSorted()
      .join(' ');
    return ready === wished && own.length === (spec?.replicas ?? 1)
      ? []
      : [`set ${name} wants ${wished}, has ${ready}`];
  });
}

function jobs(peer: SimPeer): string[] {
  return listOf<Job>(peer, JOBS).flatMap(({ metadata, spec, status }) => {
    const complete = status?.conditions?.some(({ type, status: truth }) => type === 'Complete' && truth === 'True');
    if (!complete) return [`job ${metadata.name ?? ''} is not complete: ${JSON.stringify(status)}`];
    return status?.succeeded === spec?.completions
      ? []
      : [`job ${metadata.name ?? ''} succeeded ${status?.succeeded ?? 0} of ${spec?.completions ?? 1} times`];
  });
}

function endpoints(peer: SimPeer, pods: readonly Pod[]): string[] {
  const slices = listOf<EndpointSlice>(peer, ENDPOINTSLICES);
  return listOf<Service>(peer, SERVICES).flatMap(({ metadata, spec }) => {
    const app = spec?.selector?.['app'];
    if (app === undefined) return [];
    const wished = pods
      .filter((pod) => pod.metadata.namespace === metadata.namespace && pod.metadata.labels?.['app'] === app)
      .filter(isReady)
      .map(({ status }) => status?.podIP ?? '');
    const shown = slices
      .filter((slice) => slice.metadata.namespace === metadata.namespace)
      .filter((slice) => slice.metadata.labels?.['kubernetes.io/service-name'] === metadata.name)
      .flatMap((slice) => slice.endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready)
      .flatMap(({ addresses }) => addresses);
    const [want, have] = [wished.toSorted().join(' '), shown.toSorted().join(' ')];
    return want === have ? [] : [`service ${metadata.name ?? ''} shows ${have}, not ${want}`];
  });
}

/** What its owners left behind. */
function orphans(peer: SimPeer): string[] {
  const all = storedKinds().flatMap((kind) => listOf<KubeObject>(peer, kind).map((value) => ({ kind, value })));
  const uids = new Set(all.map(({ value }) => value.metadata.uid));
  const namespaces = new Set(
    all.filter(({ kind }) => kind.resource === 'namespaces').map(({ value }) => value.metadata.name),
  );
  // A merge brings back Events of a namespace that went: they expire.
  const lasting = all.filter(({ kind }) => kind.resource !== 'events');
  return lasting.flatMap(({ kind, value: { metadata } }) => {
    const name = `${kind.resource}/${metadata.name ?? ''}`;
    const owners = metadata.ownerReferences ?? [];
    if (owners.length > 0 && !owners.some(({ uid }) => uids.has(uid))) return [`${name} outlived its owners`];
    const { namespace } = metadata;
    return namespace !== undefined && namespace !== '' && !namespaces.has(namespace)
      ? [`${name} outlived its namespace ${namespace}`]
      : [];
  });
}

/** What runs is what the API says, each pod on the node it is bound to. */
async function onMachines(cluster: WholeCluster, byUid: ReadonlyMap<string | undefined, Pod>): Promise<string[]> {
  const problems: string[] = [];
  const seen = new Map<string, string>();
  for (const [id, machine] of cluster.machines) {
    for (const { uid, name } of await machine.running()) {
      const pod = byUid.get(uid);
      if (!pod) problems.push(`${name} runs on ${id} and is in no API`);
      else if (pod.spec?.nodeName !== id) problems.push(`${name} runs on ${id}, bound to ${pod.spec?.nodeName ?? ''}`);
      const other = seen.get(uid);
      if (other !== undefined) problems.push(`${name} runs on ${other} and ${id}`);
      seen.set(uid, id);
    }
  }
  return problems;
}

/** What may be only once: checked at the end, when the repairs are done. */
export function duplicates(peer: SimPeer): string[] {
  const services = listOf<Service>(peer, SERVICES);
  const claims = [
    ...services.map(({ spec }) => spec?.clusterIP ?? '').filter((ip) => ip !== '' && ip !== 'None'),
    ...services
      .flatMap(({ spec }) => spec?.ports ?? [])
      .flatMap(({ nodePort }) => (nodePort === undefined ? [] : [`port ${nodePort}`])),
    ...listOf<Node>(peer, NODES).map(({ spec }) => spec?.podCIDR ?? ''),
  ];
  return claims.filter((claim, i) => claims.indexOf(claim) !== i).map((claim) => `${claim} is held twice`);
}

export function resurrected(peer: SimPeer, deleted: ReadonlyMap<string, string>): string[] {
  return storedKinds()
    .flatMap((kind) => listOf<KubeObject>(peer, kind))
    .flatMap(({ metadata }) => {
      const what = deleted.get(metadata.uid ?? '');
      return what === undefined ? [] : [`${what} of namespace ${metadata.namespace ?? NAMESPACE} came back`];
    });
}

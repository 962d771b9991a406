/** A node with what runs on it. Sums are kept by adding and taking away pods, never by counting anew. */
import type { Node, Taint, Toleration } from '../../api/types/core-v1.js';
import type { HostPort, PodInfo } from './pod-info.js';
import { quantityValue, Resources } from './resources.js';
import type { LabelMap } from './selectors.js';

const NO_TAINTS: readonly Taint[] = Object.freeze([]);
const NO_LABELS: LabelMap = Object.freeze({});

/** What a node has and what of it is taken. */
export interface Room {
  readonly allocatable: Resources;
  readonly requested: Resources;
  readonly podCount: number;
  readonly maxPods: number;
}

/** What the pods of one priority take together. */
interface Load {
  pods: number;
  readonly requested: Resources;
}

export class NodeInfo implements Room {
  /** Absent while only pods on this node are known (or after the node was deleted under them). */
  node: Node | undefined;
  labels: LabelMap = NO_LABELS;
  taints: readonly Taint[] = NO_TAINTS;
  unschedulable = false;
  allocatable = new Resources();
  /** How many pods the node takes; 0 when it does not say. */
  maxPods = 0;
  readonly requested = new Resources();
  readonly pods = new Map<string, PodInfo>();
  /** Pods that {@link shift} pretends there are beside `pods`. */
  private shifted = 0;
  /** By priority. */
  private readonly loads = new Map<number, Load>();
  /** `protocol/port` to the addresses that hold it, with how many pods each. */
  private readonly ports = new Map<string, Map<string, number>>();

  constructor(readonly name: string) {}

  setNode(node: Node | undefined): void {
    this.node = node;
    this.labels = node?.metadata.labels ?? NO_LABELS;
    this.taints = node?.spec?.taints ?? NO_TAINTS;
    this.unschedulable = node?.spec?.unschedulable === true;
    const amounts = node?.status?.allocatable ?? node?.status?.capacity;
    this.allocatable = Resources.of(amounts);
    this.maxPods = quantityValue(amounts?.['pods']);
  }

  addPod(pod: PodInfo): void {
    this.pods.set(pod.key, pod);
    this.requested.add(pod.requests);
    this.countLoad(pod, 1);
    for (const port of pod.hostPorts) this.countPort(port, 1);
  }

  removePod(pod: PodInfo): void {
    if (!this.pods.delete(pod.key)) return;
    this.requested.add(pod.requests, -1);
    this.countLoad(pod, -1);
    for (const port of pod.hostPorts) this.countPort(port, -1);
  }

  get podCount(): number {
    return this.pods.size + this.shifted;
  }

  /** What {@link Room} and ports would be with the pod (1) or without it (-1). To be undone before anyone else looks. */
  shift(pod: PodInfo, by: 1 | -1): void {
    this.shifted += by;
    this.requested.add(pod.requests, by);
    for (const port of pod.hostPorts) this.countPort(port, by);
  }

  /** What there would be without the pods of lower priority; undefined when there are none. The work grows with priorities, not pods. */
  roomWithoutBelow(priority: number): Room | undefined {
    let podCount = this.pods.size;
    let requested: Resources | undefined;
    for (const [each, load] of this.loads) {
      if (each >= priority) continue;
      podCount -= load.pods;
      requested = (requested ?? new Resources().add(this.requested)).add(load.requested, -1);
    }
    return requested && { allocatable: this.allocatable, requested, podCount, maxPods: this.maxPods };
  }

  /** Whether a pod here holds the port on the same address, or either side asks for all addresses. */
  hasPortConflict({ protocol, ip, port }: HostPort): boolean {
    const holders = this.ports.get(`${protocol}/${port}`);
    if (!holders || holders.size === 0) return false;
    return ip === '0.0.0.0' || holders.has('0.0.0.0') || holders.has(ip);
  }

  private countLoad({ priority, requests }: PodInfo, by: 1 | -1): void {
    let load = this.loads.get(priority);
    if (!load) this.loads.set(priority, (load = { pods: 0, requested: new Resources() }));
    load.pods += by;
    load.requested.add(requests, by);
    if (load.pods === 0) this.loads.delete(priority);
  }

  private countPort({ protocol, ip, port }: HostPort, by: 1 | -1): void {
    const key = `${protocol}/${port}`;
    const holders = this.ports.get(key) ?? new Map<string, number>();
    const count = (holders.get(ip) ?? 0) + by;
    if (count > 0) holders.set(ip, count);
    else holders.delete(ip);
    if (holders.size > 0) this.ports.set(key, holders);
    else this.ports.delete(key);
  }
}

/** `v1.Toleration.ToleratesTaint`. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === 'Exists') return true;
  // An empty key with Equal tolerates nothing: only Exists may go without a key.
  return Boolean(toleration.key) && (toleration.value ?? '') === (taint.value ?? '');
}

/** The first taint that keeps the pod away, if any. */
export function untoleratedTaint(tolerations: readonly Toleration[], taints: readonly Taint[]): Taint | undefined {
  for (const taint of taints) {
    if (taint.effect === 'PreferNoSchedule') continue;
    if (!tolerations.some((toleration) => tolerates(toleration, taint))) return taint;
  }
  return undefined;
}

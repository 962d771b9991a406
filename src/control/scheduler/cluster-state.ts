/**
 * The scheduler's picture of the cluster, kept incrementally from informer events and from its own decisions ("assumed"
 * pods, which count from the moment of the decision on). Synchronous; used from one event loop, so it needs no locks and no
 * snapshots: one decision is one turn.
 */
import { sameJson } from '../../base/same-json.js';
import type { Node, Pod } from '../../api/types/core-v1.js';
import type { AffinityTerm, NamespaceLabels } from './affinity-term.js';
import { NodeInfo } from './node-info.js';
import { Nominations } from './nominations.js';
import { PodCounter } from './pod-counter.js';
import { normalImage, type PodInfo } from './pod-info.js';
import type { LabelMap } from './selectors.js';

/** A term carried by pods that are placed already, with where they are. */
export interface CarriedTerm {
  readonly term: AffinityTerm;
  /** 0: required anti-affinity. Otherwise the weight of a preference (required affinity weighs 1). */
  readonly weight: number;
  readonly carriers: PodCounter;
}

interface SelectorCounter {
  readonly matches: (pod: PodInfo) => boolean;
  readonly terminating: boolean;
  readonly counter: PodCounter;
}

interface Placed {
  readonly info: PodInfo;
  readonly node: NodeInfo;
}

export interface ClusterStateOptions {
  /** Most selectors whose counts are kept; the least recently asked for is dropped (and counted anew when needed). */
  readonly maxSelectorCounters?: number;
}

const EMPTY: LabelMap = Object.freeze({});
const NO_COUNTS = new PodCounter();

export class ClusterState {
  /** Nodes that exist, in a stable order. */
  readonly nodes: NodeInfo[] = [];
  /** Changes when any node appears, disappears or gets other labels. */
  topologyVersion = 0;
  /** Pending pods for which room is kept. */
  readonly nominations = new Nominations();
  /** Image name to the nodes that have it, with the size in bytes. */
  readonly images = new Map<string, Map<NodeInfo, number>>();
  private readonly byName = new Map<string, NodeInfo>();
  private readonly placed = new Map<string, Placed>();
  private readonly placedByNamespace = new Map<string, Map<string, Placed>>();
  private readonly assumed = new Set<string>();
  /** How many placed pods have each priority. */
  private readonly priorities = new Map<number, number>();
  private readonly owners = new Map<string, PodCounter>();
  private readonly selectors = new Map<string, Map<string, SelectorCounter>>();
  private selectorOrder = new Map<string, string>();
  private readonly terms = new Map<string, CarriedTerm>();
  private readonly namespaces = new Map<string, LabelMap>();
  private readonly maxSelectorCounters: number;

  constructor(options: ClusterStateOptions = {}) {
    this.maxSelectorCounters = options.maxSelectorCounters ?? 2048;
  }

  readonly namespaceLabels: NamespaceLabels = (namespace) => this.namespaces.get(namespace) ?? EMPTY;

  node(name: string): NodeInfo | undefined {
    const info = this.byName.get(name);
    return info?.node ? info : undefined;
  }

  /** Adds or replaces a node. Returns whether anything changed that can make it fit for a pod it was not fit for. */
  upsertNode(node: Node): boolean {
    const name = node.metadata.name ?? '';
    const info = this.info(name);
    const before = info.node;
    if (before) this.countImages(info, -1);
    else this.nodes.push(info);
    const topologyChanged = !before || !sameJson(before.metadata.labels, node.metadata.labels);
    const relevant =
      topologyChanged ||
      !sameJson(before.spec, node.spec) ||
      !sameJson(before.status?.allocatable, node.status?.allocatable);
    info.setNode(node);
    this.countImages(info, 1);
    if (topologyChanged) this.topologyVersion += 1;
    return relevant;
  }

  removeNode(name: string): void {
    const info = this.byName.get(name);
    if (!info?.node) return;
    this.countImages(info, -1);
    info.setNode(undefined);
    this.nodes.splice(this.nodes.indexOf(info), 1);
    this.topologyVersion += 1;
    this.dropIfUnused(info);
  }

  /** A decision of ours: the pod counts on that node until it is confirmed (`setPod`) or forgotten (`removePod`). */
  assume(pod: PodInfo, nodeName: string): void {
    this.setPod(pod, nodeName);
    this.assumed.add(pod.key);
  }

  isAssumed(key: string): boolean {
    return this.assumed.has(key);
  }

  /** What is known of a pod that counts on some node. */
  placedPod(key: string): PodInfo | undefined {
    return this.placed.get(key)?.info;
  }

  /**
   * The API says the pod is on that node. True when that is what we know (or assumed) and `unchanged` finds nothing new in
   * the pod: then there is nothing to count anew.
   */
  confirm(key: string, nodeName: string, unchanged: (known: Pod) => boolean): boolean {
    const placed = this.placed.get(key);
    if (placed?.node.name !== nodeName) return false;
    const { pod } = placed.info;
    const asBound = pod.spec?.nodeName ? pod : { ...pod, ...(pod.spec ? { spec: { ...pod.spec, nodeName } } : {}) };
    if (!unchanged(asBound)) return false;
    this.assumed.delete(key);
    return true;
  }

  /** The API says the pod is on that node. Replaces what was known or assumed of it. */
  setPod(pod: PodInfo, nodeName: string): void {
    this.removePod(pod.key);
    const node = this.info(nodeName);
    const placed = { info: pod, node };
    node.addPod(pod);
    this.placed.set(pod.key, placed);
    bucket(this.placedByNamespace, pod.namespace).set(pod.key, placed);
    this.count(placed, 1);
  }

  /** The pod's node is free of it. Returns whether it was known. */
  removePod(key: string): boolean {
    this.assumed.delete(key);
    const placed = this.placed.get(key);
    if (!placed) return false;
    this.placed.delete(key);
    const sameNamespace = this.placedByNamespace.get(placed.info.namespace);
    sameNamespace?.delete(key);
    if (sameNamespace?.size === 0) this.placedByNamespace.delete(placed.info.namespace);
    placed.node.removePod(placed.info);
    this.count(placed, -1);
    this.dropIfUnused(placed.node);
    return true;
  }

  /** Returns whether anything changed. */
  setNamespace(name: string, labels: LabelMap | undefined): boolean {
    const before = this.namespaces.get(name);
    if (labels) this.namespaces.set(name, labels);
    else this.namespaces.delete(name);
    // Counters may depend on namespace labels; they are rebuilt when asked for again.
    const changed = !sameJson(before, labels);
    if (changed) this.dropSelectors();
    return changed;
  }

  /** Where the pods of this controller are. */
  ofOwner(uid: string): PodCounter {
    return this.owners.get(uid) ?? NO_COUNTS;
  }

  /** Terms of placed pods that look at the incoming ones. */
  carriedTerms(): Iterable<CarriedTerm> {
    return this.terms.values();
  }

  /**
   * Where the pods are that `matches` accepts, among those of `namespace` (of all when undefined). `key` names the
   * predicate: equal keys must mean equal predicates. Pods being deleted count only when `terminating` is asked for:
   * upstream spreads without them, but keeps pods together with, and apart from, those too.
   */
  matching(
    namespace: string | undefined,
    key: string,
    matches: (pod: PodInfo) => boolean,
    terminating = false,
  ): PodCounter {
    const scope = namespace ?? '*';
    const id = `${scope}\n${key}`;
    const present = this.selectors.get(scope)?.get(key);
    this.selectorOrder.delete(id);
    this.selectorOrder.set(id, key);
    if (present) return present.counter;
    const made = { matches, terminating, counter: new PodCounter() };
    const pods = namespace === undefined ? this.placed : this.placedByNamespace.get(namespace);
    for (const { info, node } of pods?.values() ?? []) {
      if ((terminating || !info.terminating) && matches(info)) made.counter.add(node, 1);
    }
    bucket(this.selectors, scope).set(key, made);
    this.evictSelectors();
    return made.counter;
  }

  private evictSelectors(): void {
    if (this.selectorOrder.size <= this.maxSelectorCounters) return;
    for (const [id, key] of this.selectorOrder) {
      const scope = id.slice(0, id.indexOf('\n'));
      this.selectorOrder.delete(id);
      const scoped = this.selectors.get(scope);
      scoped?.delete(key);
      if (scoped?.size === 0) this.selectors.delete(scope);
      return;
    }
  }

  private dropSelectors(): void {
    this.selectors.clear();
    this.selectorOrder = new Map();
  }

  /** Whether any placed pod has a lower priority than this. */
  hasBelow(priority: number): boolean {
    for (const each of this.priorities.keys()) if (each < priority) return true;
    return false;
  }

  private count({ info, node }: Placed, by: 1 | -1): void {
    const alike = (this.priorities.get(info.priority) ?? 0) + by;
    if (alike === 0) this.priorities.delete(info.priority);
    else this.priorities.set(info.priority, alike);
    for (const term of info.antiAffinity) this.countTerm(term, 0, node, by);
    for (const term of info.affinity) this.countTerm(term, 1, node, by);
    for (const { term, weight } of info.preferredPods) this.countTerm(term, weight, node, by);
    if (info.ownerUid && !info.terminating) {
      let counter = this.owners.get(info.ownerUid);
      if (!counter) this.owners.set(info.ownerUid, (counter = new PodCounter()));
      counter.add(node, by);
      if (counter.empty) this.owners.delete(info.ownerUid);
    }
    for (const scope of [info.namespace, '*']) {
      for (const { matches, terminating, counter } of this.selectors.get(scope)?.values() ?? []) {
        if ((terminating || !info.terminating) && matches(info)) counter.add(node, by);
      }
    }
  }

  private countTerm(term: AffinityTerm, weight: number, node: NodeInfo, by: 1 | -1): void {
    const key = `${weight}${term.key}`;
    let carried = this.terms.get(key);
    if (!carried) this.terms.set(key, (carried = { term, weight, carriers: new PodCounter() }));
    carried.carriers.add(node, by);
    if (carried.carriers.empty) this.terms.delete(key);
  }

  private countImages(info: NodeInfo, by: 1 | -1): void {
    for (const { names = [], sizeBytes = 0 } of info.node?.status?.images ?? []) {
      for (const name of names.map(normalImage)) {
        const holders = bucket(this.images, name);
        if (by > 0) holders.set(info, sizeBytes);
        else holders.delete(info);
        if (holders.size === 0) this.images.delete(name);
      }
    }
  }

  private info(name: string): NodeInfo {
    let info = this.byName.get(name);
    if (!info) this.byName.set(name, (info = new NodeInfo(name)));
    return info;
  }

  private dropIfUnused(info: NodeInfo): void {
    if (!info.node && info.pods.size === 0) this.byName.delete(info.name);
  }
}

function bucket<K, V>(map: Map<string, Map<K, V>>, key: string): Map<K, V> {
  let inner = map.get(key);
  if (!inner) map.set(key, (inner = new Map()));
  return inner;
}

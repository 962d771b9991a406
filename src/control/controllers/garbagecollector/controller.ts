/**
 * Deletes what has no owner left, and carries out foreground and orphan deletion. Deletes likewise what is in no namespace: when
 * parts of the cluster merge, one may have deleted a namespace in which the other created objects, and deletion wins.
 *
 * Safety: an object is deleted only after its owners were found absent by live reads (by uid: an owner of the same name but
 * another uid is another object) and the object itself was read anew; the delete carries uid and resourceVersion. Owners
 * of kinds that are not collected count as present. A namespaced owner is looked for in the dependent's namespace only;
 * a cluster-scoped object with a namespaced owner is never deleted.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Service } from '../../../base/lifecycle.js';
import { DEFINITIONS } from '../../../api/customresources/status.js';
import { isNotFound } from '../../../api/errors.js';
import type { KubeObject, OwnerReference } from '../../../api/object.js';
import { EVENTS, groupResourceOf, NAMESPACES, type ResourceRef } from '../../../api/resource.js';
import { Controller } from '../../../client/controller.js';
import { Informer } from '../../../client/informer.js';
import type { DeleteOptions } from '../../../client/client.js';
import type { SharedDeps } from '../deps.js';
import { BY_NAMESPACE, BY_OWNER } from '../informer-set.js';
import { OwnerGraph, type GraphMember, type GraphNode } from './graph.js';

export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

export interface GarbageCollectorOptions {
  /** What takes part, as owner or dependent: every resource that can be listed, watched and deleted. Events do not. */
  readonly resources: readonly ResourceRef[];
  /** Resources that come and go with their definitions, asked anew whenever a CustomResourceDefinition changes. */
  customResources?(): readonly ResourceRef[];
  /** Objects looked at at once; 10 unless told. */
  readonly workers?: number;
  /** Owners remembered as absent; 500 unless told. */
  readonly absentLimit?: number;
}

type OwnerState = 'solid' | 'dangling' | 'waiting';

export function garbageCollector(deps: SharedDeps, options: GarbageCollectorOptions): Service {
  const collector = new GarbageCollector(deps, options);
  const { controller } = collector;
  return {
    name: controller.name,
    start: () => controller.start(),
    stop: async () => {
      await collector.leaveCustomResources();
      await controller.stop();
    },
  };
}

class GarbageCollector {
  readonly controller: Controller;
  private readonly graph: OwnerGraph;
  /** Uids known to be gone: a uid never comes back. */
  private readonly absent = new Set<string>();
  private readonly custom = new Map<string, GraphMember>();
  private stopped = false;

  constructor(
    private readonly deps: SharedDeps,
    private readonly options: GarbageCollectorOptions,
  ) {
    const members = options.resources
      .filter((resource) => groupResourceOf(resource) !== groupResourceOf(EVENTS))
      .map((resource) => ({ resource, informer: deps.informers.of<KubeObject>(resource) }));
    this.graph = new OwnerGraph(members);
    this.controller = new Controller(deps, {
      name: 'garbagecollector',
      workers: options.workers ?? 10,
      waitFor: members.map(({ informer }) => informer),
      reconcile: (key) => this.reconcile(key),
    });
    for (const member of members) this.listen(member);
    if (options.customResources) {
      const follow = () => void this.followCustomResources();
      deps.informers.of<KubeObject>(DEFINITIONS).addHandler({ onUpsert: follow, onDelete: follow });
    }
  }

  private listen({ resource, informer }: GraphMember): void {
    informer.addHandler({
      onUpsert: (object, previous) => this.onUpsert({ resource, object }, previous),
      onDelete: (object) => this.onDelete({ resource, object }),
    });
  }

  /** Watches custom resources that are new and forgets those that are gone. */
  private async followCustomResources(): Promise<void> {
    if (this.stopped) return;
    const wanted = new Map((this.options.customResources?.() ?? []).map((resource) => [shapeOf(resource), resource]));
    const gone = [...this.custom].filter(([shape]) => !wanted.has(shape));
    for (const [shape, member] of gone) {
      this.custom.delete(shape);
      this.graph.remove(member);
    }
    for (const [shape, resource] of wanted) {
      if (this.custom.has(shape)) continue;
      const informer = new Informer<KubeObject>(this.deps, resource, {
        indexes: { [BY_OWNER]: ownersOf, [BY_NAMESPACE]: namespaceOf },
      });
      const member = { resource, informer };
      this.custom.set(shape, member);
      this.graph.add(member);
      this.listen(member);
      await informer.start();
    }
    for (const [, { informer }] of gone) await informer.stop();
  }

  /** Ends the watches of custom resources. */
  async leaveCustomResources(): Promise<void> {
    this.stopped = true;
    await Promise.all([...this.custom.values()].map(({ informer }) => informer.stop()));
    this.custom.clear();
  }

  private onUpsert(node: GraphNode, previous: KubeObject | undefined): void {
    const { metadata } = node.object;
    const ownersChanged = !isDeepStrictEqual(metadata.ownerReferences, previous?.metadata.ownerReferences);
    if (previous && previous.metadata.uid !== metadata.uid) this.onDelete({ ...node, object: previous });
    else if (previous && ownersChanged) this.wakeOwners({ ...node, object: previous });
    const isGoing = metadata.deletionTimestamp && metadata.finalizers?.length;
    if (isGoing || (ownersChanged && metadata.ownerReferences?.length) || (!previous && this.graph.isHomeless(node)))
      this.controller.queue.add(this.graph.keyOf(node));
  }

  private onDelete(node: GraphNode): void {
    this.rememberAbsent(node.object.metadata.uid ?? '');
    this.wakeDependents(node.object);
    this.wakeOwners(node);
    if (groupResourceOf(node.resource) !== groupResourceOf(NAMESPACES)) return;
    for (const left of this.graph.contentOf(node.object.metadata.name ?? '')) {
      this.controller.queue.add(this.graph.keyOf(left));
    }
  }

  /** Those that are going already are awake: in a ring of owners they would wake each other without end. */
  private wakeDependents({ metadata }: KubeObject): void {
    for (const dependent of this.graph.dependentsOf(metadata.uid ?? '')) {
      if (!dependent.object.metadata.deletionTimestamp) this.controller.queue.add(this.graph.keyOf(dependent));
    }
  }

  /** Owners in foreground deletion wait for this. */
  private wakeOwners({ object }: GraphNode): void {
    for (const reference of object.metadata.ownerReferences ?? []) {
      const resource = this.graph.resourceOf(reference);
      const owner = resource && this.graph.find(resource, object.metadata.namespace ?? '', reference.name);
      if (resource && owner?.metadata.deletionTimestamp)
        this.controller.queue.add(this.graph.keyOf({ resource, object: owner }));
    }
  }

  private async reconcile(key: string): Promise<void> {
    const node = this.graph.get(key);
    if (!node) return;
    const { metadata } = node.object;
    if (metadata.deletionTimestamp) {
      if (metadata.finalizers?.includes(ORPHAN)) await this.orphanDependents(node);
      else if (metadata.finalizers?.includes(FOREGROUND)) await this.awaitDependents(node);
      return;
    }
    if (this.graph.isHomeless(node)) await this.collectHomeless(node);
    else if (metadata.ownerReferences?.length) await this.collect(node);
  }

  /** The object comes from this peer's own state, where a namespace is never later than what was created in it. */
  private async collectHomeless(node: GraphNode): Promise<void> {
    const home = await this.read(NAMESPACES, { metadata: { name: node.object.metadata.namespace ?? '' } });
    if (home === undefined) await this.remove(node, 'Background');
  }

  private async awaitDependents(node: GraphNode): Promise<void> {
    const uid = node.object.metadata.uid ?? '';
    const blocking = this.graph
      .dependentsOf(uid)
      .filter(({ object }) => object.metadata.ownerReferences?.some((o) => o.uid === uid && o.blockOwnerDeletion));
    this.wakeDependents(node.object);
    if (blocking.length === 0) await this.removeFinalizer(node, FOREGROUND);
  }

  private async orphanDependents(node: GraphNode): Promise<void> {
    const uid = node.object.metadata.uid ?? '';
    for (const dependent of this.graph.dependentsOf(uid))
      await this.keepOwners(dependent, (owner) => owner.uid !== uid);
    await this.removeFinalizer(node, ORPHAN);
  }

  private async collect(cached: GraphNode): Promise<void> {
    const live = await this.read(cached.resource, cached.object);
    if (!live || live.metadata.uid !== cached.object.metadata.uid || live.metadata.deletionTimestamp) return;
    const node = { resource: cached.resource, object: live };
    const states = new Map<OwnerReference, OwnerState>();
    for (const owner of live.metadata.ownerReferences ?? []) states.set(owner, await this.stateOf(node, owner));
    const all = [...states.values()];
    if (all.length === 0) return;
    if (all.includes('solid')) {
      const solid = new Set([...states].flatMap(([owner, state]) => (state === 'solid' ? [owner.uid] : [])));
      if (solid.size < all.length) await this.keepOwners(node, ({ uid }) => solid.has(uid));
      return;
    }
    const dependents = this.graph.dependentsOf(live.metadata.uid ?? '');
    const foreground = all.includes('waiting') && dependents.length > 0;
    const current = foreground && dependents.some(({ object }) => isWaiting(object)) ? await this.unblock(node) : node;
    if (current) await this.remove(current, policyOf(live, foreground));
  }

  /**
   * An object between an owner and a dependent that both wait may close a ring in which all wait for each other: its owners
   * shall not wait for it. As in Kubernetes this also loosens chains that are no ring, which only costs the order.
   */
  private async unblock({ resource, object }: GraphNode): Promise<GraphNode | undefined> {
    const ownerReferences = (object.metadata.ownerReferences ?? []).map((owner) =>
      owner.blockOwnerDeletion ? { ...owner, blockOwnerDeletion: false } : owner,
    );
    await this.patch({ resource, object }, { ownerReferences });
    const live = await this.read(resource, object);
    return live && live.metadata.uid === object.metadata.uid ? { resource, object: live } : undefined;
  }

  private async stateOf({ resource, object }: GraphNode, owner: OwnerReference): Promise<OwnerState> {
    if (this.absent.has(owner.uid)) return 'dangling';
    const ownerResource = this.graph.resourceOf(owner);
    if (!ownerResource || (ownerResource.namespaced && !resource.namespaced)) return 'solid';
    const namespace = ownerResource.namespaced ? (object.metadata.namespace ?? '') : '';
    const cached = this.graph.find(ownerResource, namespace, owner.name);
    const found =
      cached?.metadata.uid === owner.uid
        ? cached
        : await this.read(ownerResource, { metadata: { namespace, name: owner.name } });
    if (found?.metadata.uid !== owner.uid) {
      this.rememberAbsent(owner.uid);
      return 'dangling';
    }
    return isWaiting(found) ? 'waiting' : 'solid';
  }

  private rememberAbsent(uid: string): void {
    this.absent.add(uid);
    if (this.absent.size <= (this.options.absentLimit ?? 500)) return;
    const [oldest] = this.absent;
    if (oldest !== undefined) this.absent.delete(oldest);
  }

  private async read(resource: ResourceRef, { metadata }: KubeObject): Promise<KubeObject | undefined> {
    try {
      return await this.deps.client.get(resource, metadata.namespace ?? '', metadata.name ?? '');
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  private async remove({ resource, object }: GraphNode, propagationPolicy: DeleteOptions['propagationPolicy']) {
    const { namespace = '', name = '', uid = '', resourceVersion = '' } = object.metadata;
    try {
      await this.deps.client.delete(resource, namespace, name, {
        ...(propagationPolicy ? { propagationPolicy } : {}),
        preconditions: { uid, resourceVersion },
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  private async keepOwners(node: GraphNode, keep: (owner: OwnerReference) => boolean): Promise<void> {
    const ownerReferences = (node.object.metadata.ownerReferences ?? []).filter(keep);
    await this.patch(node, { ownerReferences: ownerReferences.length > 0 ? ownerReferences : null });
  }

  private async removeFinalizer(node: GraphNode, finalizer: string): Promise<void> {
    const finalizers = (node.object.metadata.finalizers ?? []).filter((present) => present !== finalizer);
    await this.patch(node, { finalizers: finalizers.length > 0 ? finalizers : null });
  }

  private async patch({ resource, object }: GraphNode, change: Record<string, unknown>): Promise<void> {
    const { namespace = '', name = '', uid, resourceVersion } = object.metadata;
    try {
      const metadata = { uid, resourceVersion, ...change };
      await this.deps.client.patch(resource, namespace, name, 'merge', { metadata });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** It goes once its dependents have gone. */
const isWaiting = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp !== undefined && (metadata.finalizers?.includes(FOREGROUND) ?? false);

/** Whatever differs here is another resource to watch. */
const shapeOf = ({ group, version, resource, kind, namespaced }: ResourceRef) =>
  `${group}/${version}/${resource}/${kind}/${namespaced}`;

const namespaceOf = ({ metadata }: KubeObject) => (metadata.namespace ? [metadata.namespace] : []);
const ownersOf = ({ metadata }: KubeObject) => (metadata.ownerReferences ?? []).map(({ uid }) => uid);

/** What its own finalizers ask for comes first; dependents of what goes in the foreground go in the foreground too. */
function policyOf({ metadata }: KubeObject, foreground: boolean): DeleteOptions['propagationPolicy'] {
  if (metadata.finalizers?.includes(ORPHAN)) return 'Orphan';
  return foreground || metadata.finalizers?.includes(FOREGROUND) ? 'Foreground' : 'Background';
}

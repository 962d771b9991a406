/**
 * Who owns whom, read from the informers: dependents by the uid of their owner, objects by resource and name. Holds nothing
 * itself but the names of the resources it knows.
 */
import { keyOf, splitKey, type KubeObject, type OwnerReference } from '../../../api/object.js';
import { apiVersionOf, groupResourceOf, NAMESPACES, type ResourceRef } from '../../../api/resource.js';
import type { Informer } from '../../../client/informer.js';
import { BY_NAMESPACE, BY_OWNER } from '../informer-set.js';

export interface GraphNode {
  readonly resource: ResourceRef;
  readonly object: KubeObject;
}

export interface GraphMember {
  readonly resource: ResourceRef;
  readonly informer: Informer<KubeObject>;
}

export class OwnerGraph {
  private readonly byKind = new Map<string, ResourceRef>();
  private readonly byResource = new Map<string, GraphMember>();

  constructor(members: readonly GraphMember[]) {
    for (const member of members) this.add(member);
  }

  add(member: GraphMember): void {
    this.byResource.set(groupResourceOf(member.resource), member);
    this.byKind.set(`${member.resource.group} ${member.resource.kind}`, member.resource);
  }

  /** Objects of the resource count as unknown from now on. */
  remove({ resource }: GraphMember): void {
    this.byResource.delete(groupResourceOf(resource));
    this.byKind.delete(`${resource.group} ${resource.kind}`);
  }

  /** The resource of an owner, whatever version it is named by; undefined for a kind that is not collected here. */
  resourceOf({ apiVersion, kind }: Pick<OwnerReference, 'apiVersion' | 'kind'>): ResourceRef | undefined {
    const slash = apiVersion.indexOf('/');
    return this.byKind.get(`${slash < 0 ? '' : apiVersion.slice(0, slash)} ${kind}`);
  }

  keyOf({ resource, object }: GraphNode): string {
    return `${groupResourceOf(resource)}|${keyOf(object)}`;
  }

  get(key: string): GraphNode | undefined {
    const bar = key.indexOf('|');
    const { namespace, name } = splitKey(key.slice(bar + 1));
    const member = this.byResource.get(key.slice(0, bar));
    const object = member?.informer.get(namespace, name);
    return member && object ? { resource: member.resource, object } : undefined;
  }

  find(resource: ResourceRef, namespace: string, name: string): KubeObject | undefined {
    return this.byResource.get(groupResourceOf(resource))?.informer.get(resource.namespaced ? namespace : '', name);
  }

  /** All objects that name this uid as an owner. */
  dependentsOf(uid: string): GraphNode[] {
    return [...this.byResource.values()].flatMap(({ resource, informer }) =>
      informer.byIndex(BY_OWNER, uid).map((object) => ({ resource, object })),
    );
  }

  /** Whether its namespace is not known. Never so where namespaces do not take part. */
  isHomeless({ resource, object }: GraphNode): boolean {
    const namespaces = this.byResource.get(groupResourceOf(NAMESPACES));
    return (
      namespaces !== undefined &&
      resource.namespaced &&
      namespaces.informer.get('', object.metadata.namespace ?? '') === undefined
    );
  }

  /** All objects in this namespace. */
  contentOf(namespace: string): GraphNode[] {
    return [...this.byResource.values()].flatMap(({ resource, informer }) =>
      informer.byIndex(BY_NAMESPACE, namespace).map((object) => ({ resource, object })),
    );
  }

  /** For logs and events. */
  describe({ resource, object }: GraphNode): string {
    return `[${apiVersionOf(resource)}/${resource.kind}, namespace: ${object.metadata.namespace ?? ''}, name: ${object.metadata.name}]`;
  }
}

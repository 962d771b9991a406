/**
 * What a node's pods entitle it to read. Only which pods are on which node is kept; what they refer to is looked up when a
 * node asks, over its own pods (some hundred at most), so that writes of pods cost nothing more than a map entry.
 */
import { keyOf, type KubeObject } from '../../../api/object.js';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '../../../api/types/core-v1.js';
import type { VolumeAttachment } from '../../../api/types/storage-v1.js';
import type { FollowedObjects, ObjectLookup } from '../followed.js';
import { podReferences, volumeNeedsSecret } from './references.js';

const nodeOf = (object: KubeObject) => (object as Pod).spec?.nodeName ?? '';
const namespaceOf = ({ metadata }: KubeObject) => metadata.namespace ?? '';

export class NodePods {
  private readonly byNode = new Map<string, Map<string, KubeObject>>();
  private readonly nodeByPod = new Map<string, string>();

  readonly followed: FollowedObjects = {
    group: '',
    resource: 'pods',
    reset: (objects) => {
      this.byNode.clear();
      this.nodeByPod.clear();
      for (const pod of objects) this.put(pod);
    },
    changed: ({ type, object }) => (type === 'DELETED' ? this.drop(keyOf(object)) : this.put(object)),
  };

  constructor(private readonly lookup: ObjectLookup) {}

  hasPod(node: string, namespace: string, name: string): boolean {
    return this.byNode.get(node)?.has(`${namespace}/${name}`) === true;
  }

  usesServiceAccount(node: string, namespace: string, name: string): boolean {
    return this.some(node, namespace, (pod) => ((pod as Pod).spec?.serviceAccountName ?? '') === name);
  }

  usesConfigMap(node: string, namespace: string, name: string): boolean {
    return this.some(node, namespace, (pod) => podReferences(pod).configMaps.has(name));
  }

  usesClaim(node: string, namespace: string, name: string): boolean {
    return this.some(node, namespace, (pod) => podReferences(pod).claims.has(name));
  }

  usesVolume(node: string, name: string): boolean {
    const claim = (this.find('persistentvolumes', '', name) as PersistentVolume | undefined)?.spec?.claimRef;
    return claim !== undefined && this.usesClaim(node, claim.namespace ?? '', claim.name ?? '');
  }

  isAttachment(node: string, name: string): boolean {
    const key = { group: 'storage.k8s.io', resource: 'volumeattachments', namespace: '', name };
    return (this.lookup.get(key) as VolumeAttachment | undefined)?.spec.nodeName === node;
  }

  /** Named by a pod itself, or by a volume that one of its claims is bound to. */
  usesSecret(node: string, namespace: string, name: string): boolean {
    for (const pod of this.byNode.get(node)?.values() ?? []) {
      const { secrets, claims } = podReferences(pod);
      if (namespaceOf(pod) === namespace && secrets.has(name)) return true;
      for (const claim of claims) {
        const volume = this.volumeOf(namespaceOf(pod), claim);
        if (volume && volumeNeedsSecret(volume, namespace, name)) return true;
      }
    }
    return false;
  }

  private volumeOf(namespace: string, claimName: string): KubeObject | undefined {
    const claim = this.find('persistentvolumeclaims', namespace, claimName) as PersistentVolumeClaim | undefined;
    const name = claim?.spec?.volumeName;
    const volume = name ? (this.find('persistentvolumes', '', name) as PersistentVolume | undefined) : undefined;
    const holder = volume?.spec?.claimRef;
    return holder?.namespace === namespace && holder.name === claimName ? volume : undefined;
  }

  private find(resource: string, namespace: string, name: string): KubeObject | undefined {
    return this.lookup.get({ group: '', resource, namespace, name });
  }

  private some(node: string, namespace: string, test: (pod: KubeObject) => boolean): boolean {
    for (const pod of this.byNode.get(node)?.values() ?? [])
      if (namespaceOf(pod) === namespace && test(pod)) return true;
    return false;
  }

  private put(pod: KubeObject): void {
    const key = keyOf(pod);
    const node = nodeOf(pod);
    if (this.nodeByPod.get(key) !== node) this.drop(key);
    if (node === '') return;
    let pods = this.byNode.get(node);
    if (!pods) this.byNode.set(node, (pods = new Map()));
    pods.set(key, pod);
    this.nodeByPod.set(key, node);
  }

  private drop(key: string): void {
    const node = this.nodeByPod.get(key);
    if (node === undefined) return;
    this.nodeByPod.delete(key);
    const pods = this.byNode.get(node);
    pods?.delete(key);
    if (pods?.size === 0) this.byNode.delete(node);
  }
}

/**
 * Keeps claims that pods use, and volumes that claims are bound to, until they are not used any more (the controllers of the
 * admission plugin StorageObjectInUseProtection). Objects from before the protection get its finalizer here.
 *
 * A claim is released only after a consistent list of its namespace's pods: a cache may not know the newest one yet.
 */
import { isNotFound } from '../../../api/errors.js';
import { keyOf, splitKey, type KubeObject } from '../../../api/object.js';
import { PODS, type ResourceRef } from '../../../api/resource.js';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '../../../api/types/core-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

export const PERSISTENTVOLUMES: ResourceRef = Object.freeze({
  group: '',
  version: 'v1',
  resource: 'persistentvolumes',
  kind: 'PersistentVolume',
  namespaced: false,
});
export const PERSISTENTVOLUMECLAIMS: ResourceRef = Object.freeze({
  group: '',
  version: 'v1',
  resource: 'persistentvolumeclaims',
  kind: 'PersistentVolumeClaim',
  namespaced: true,
});

const CLAIM_FINALIZER = 'kubernetes.io/pvc-protection';
const VOLUME_FINALIZER = 'kubernetes.io/pv-protection';

const isLeaving = ({ metadata }: KubeObject) => metadata.deletionTimestamp !== undefined;
const isProtected = ({ metadata }: KubeObject, finalizer: string) => metadata.finalizers?.includes(finalizer) === true;

/** Protected ones that leave and unprotected ones that stay: there is something to do. */
const isDue = (object: KubeObject, finalizer: string) => isLeaving(object) === isProtected(object, finalizer);

/** The claims a pod uses by name, those made for its ephemeral volumes included. */
function claimsOf({ metadata, spec }: Pod): string[] {
  return (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim) return [persistentVolumeClaim.claimName];
    return ephemeral ? [`${metadata.name ?? ''}-${name}`] : [];
  });
}

async function setProtected(
  { client }: SharedDeps,
  resource: ResourceRef,
  object: KubeObject,
  finalizer: string,
  wanted: boolean,
): Promise<void> {
  const others = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
  const finalizers = wanted ? [...others, finalizer] : others;
  try {
    await client.update(resource, { ...object, metadata: { ...object.metadata, finalizers } });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

export function claimProtectionController(deps: SharedDeps): Controller {
  const claims = deps.informers.of<PersistentVolumeClaim>(PERSISTENTVOLUMECLAIMS);
  const pods = deps.informers.of<Pod>(PODS);
  const controller = new Controller(deps, { name: 'pvcprotection', waitFor: [claims, pods], reconcile });
  claims.addHandler({
    onUpsert: (claim) => {
      if (isDue(claim, CLAIM_FINALIZER)) controller.queue.add(keyOf(claim));
    },
  });
  pods.addHandler({
    onDelete: (pod) => {
      const { namespace = '' } = pod.metadata;
      for (const name of claimsOf(pod)) {
        const claim = claims.get(namespace, name);
        if (claim && isLeaving(claim)) controller.queue.add(keyOf(claim));
      }
    },
  });

  async function isUsed(namespace: string, name: string): Promise<boolean> {
    const { items } = await deps.client.list<Pod>(PODS, { namespace });
    // No node starts a pod whose claim is going, so one that has no node yet does not use it.
    return items.some((pod) => pod.spec?.nodeName !== undefined && claimsOf(pod).includes(name));
  }

  async function reconcile(key: string): Promise<void> {
    const { namespace, name } = splitKey(key);
    const claim = claims.get(namespace, name);
    if (!claim || !isDue(claim, CLAIM_FINALIZER)) return;
    if (isLeaving(claim) && (await isUsed(namespace, name))) return;
    await setProtected(deps, PERSISTENTVOLUMECLAIMS, claim, CLAIM_FINALIZER, !isLeaving(claim));
  }
  return controller;
}

export function volumeProtectionController(deps: SharedDeps): Controller {
  const volumes = deps.informers.of<PersistentVolume>(PERSISTENTVOLUMES);
  const controller = new Controller(deps, { name: 'pvprotection', waitFor: [volumes], reconcile });
  volumes.addHandler({
    onUpsert: (volume) => {
      if (isDue(volume, VOLUME_FINALIZER)) controller.queue.add(keyOf(volume));
    },
  });

  async function reconcile(name: string): Promise<void> {
    const volume = volumes.get('', name);
    if (!volume || !isDue(volume, VOLUME_FINALIZER)) return;
    if (isLeaving(volume) && volume.status?.phase === 'Bound') return;
    await setProtected(deps, PERSISTENTVOLUMES, volume, VOLUME_FINALIZER, !isLeaving(volume));
  }
  return controller;
}

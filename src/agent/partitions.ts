/**
 * What a part of the cluster without a majority of the registered peers may do to each object: by kind, and by the annotation
 * `skein.dev/partition` on the object or on what controls it.
 *
 * | objects | policy |
 * |---|---|
 * | Leases | `majority`: programs elect leaders by them |
 * | the Leases `skein-*` in kube-system, those in kube-node-lease | `replicate`: each tells of one part, or of one node |
 * | StatefulSets, the pods they control, the claims their templates name | `majority`: their names are identities |
 * | everything else | `replicate` |
 */
import type { KubeObject } from '../api/object.js';
import type { Partition } from '../store/kind-policy.js';
import type { ObjectKey } from '../store/object-store.js';

export const PARTITION_ANNOTATION = 'skein.dev/partition';

const BY_KIND: Readonly<Record<string, Partition>> = {
  'coordination.k8s.io/leases': 'majority',
  'apps/statefulsets': 'majority',
};

/** Leases of which each has one writer that says something of itself. */
const OWN_LEASES = new Set(['kube-system/skein-api', 'kube-system/skein-scheduler', 'kube-system/skein-controllers']);
const NODE_LEASES = 'kube-node-lease';

/** What controls pods, and is controlled itself. */
const CONTROLLERS: Readonly<Record<string, { readonly group: string; readonly resource: string }>> = {
  StatefulSet: { group: 'apps', resource: 'statefulsets' },
  ReplicaSet: { group: 'apps', resource: 'replicasets' },
  Deployment: { group: 'apps', resource: 'deployments' },
  DaemonSet: { group: 'apps', resource: 'daemonsets' },
  Job: { group: 'batch', resource: 'jobs' },
  CronJob: { group: 'batch', resource: 'cronjobs' },
  ReplicationController: { group: '', resource: 'replicationcontrollers' },
};
/** A Deployment's ReplicaSet's pod; a CronJob's Job's pod. */
const MAX_OWNERS = 3;

type Get = (key: ObjectKey) => KubeObject | undefined;

/** Pure but for `get`, which reads the state in which the object stands. */
export function partitionOf(key: ObjectKey, object: KubeObject, get: Get): Partition {
  const { group, resource, namespace, name } = key;
  const chosen = annotated(object);
  if (chosen) return chosen;
  if (group === '' && resource === 'pods') return ofPod(object, namespace, get);
  if (group === '' && resource === 'persistentvolumeclaims') return ofClaim(key, get);
  if (resource === 'leases' && (namespace === NODE_LEASES || OWN_LEASES.has(`${namespace}/${name}`)))
    return 'replicate';
  return BY_KIND[`${group}/${resource}`] ?? 'replicate';
}

function annotated({ metadata }: KubeObject): Partition | undefined {
  const text = metadata.annotations?.[PARTITION_ANNOTATION];
  return text === 'replicate' || text === 'hold' || text === 'majority' ? text : undefined;
}

/** As what controls it, or what controls that. */
function ofPod(pod: KubeObject, namespace: string, get: Get): Partition {
  let owned = pod;
  let kind: Partition = 'replicate';
  for (let i = 0; i < MAX_OWNERS; i++) {
    const owner = owned.metadata.ownerReferences?.find(({ controller }) => controller);
    const place = owner && CONTROLLERS[owner.kind];
    if (!owner || !place) return kind;
    kind = BY_KIND[`${place.group}/${place.resource}`] ?? kind;
    const present = get({ ...place, namespace, name: owner.name });
    if (!present) return kind;
    const chosen = annotated(present);
    if (chosen) return chosen;
    owned = present;
  }
  return kind;
}

/** `<template>-<set>-<ordinal>`: the longest name of a set that there is tells which. */
function ofClaim({ namespace, name }: ObjectKey, get: Get): Partition {
  const parts = name.split('-');
  if (parts.length < 3 || !/^\d+$/.test(parts.at(-1) ?? '')) return 'replicate';
  for (let i = 1; i < parts.length - 1; i++) {
    const set = get({ group: 'apps', resource: 'statefulsets', namespace, name: parts.slice(i, -1).join('-') });
    const templates = (set?.spec as { volumeClaimTemplates?: readonly KubeObject[] } | undefined)?.volumeClaimTemplates;
    if (!set || !templates?.some(({ metadata }) => metadata.name === parts.slice(0, i).join('-'))) continue;
    return annotated(set) ?? 'majority';
  }
  return 'replicate';
}

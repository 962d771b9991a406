/** What makes a pod the member of a StatefulSet with one ordinal: name, labels, host name and claims. Pure. */
import { controllerOf, type OwnerReference } from '../../../api/object.js';
import { STATEFULSETS } from '../../../api/resource.js';
import type { StatefulSet } from '../../../api/types/apps-v1.js';
import type { PersistentVolumeClaim, Pod, PodTemplateSpec, Volume } from '../../../api/types/core-v1.js';
import { controllerRef } from '../claim.js';
import { REVISION_LABEL } from '../controllerrevision/history.js';

export const POD_NAME_LABEL = 'statefulset.kubernetes.io/pod-name';
export const POD_INDEX_LABEL = 'apps.kubernetes.io/pod-index';

export const wished = ({ spec }: StatefulSet): number => spec?.replicas ?? 1;
export const startOf = ({ spec }: StatefulSet): number => spec?.ordinals?.start ?? 0;
export const nameOf = ({ metadata }: StatefulSet, ordinal: number): string => `${metadata.name ?? ''}-${ordinal}`;

/** The ordinal in a pod's name; undefined when the name is not one of this set. */
export function ordinalOf(set: StatefulSet, podName: string | undefined): number | undefined {
  const match = /^(.*)-(0|[1-9]\d{0,9})$/s.exec(podName ?? '');
  return match && match[1] === set.metadata.name ? Number(match[2]) : undefined;
}

export const isInRange = (set: StatefulSet, ordinal: number): boolean =>
  ordinal >= startOf(set) && ordinal < startOf(set) + wished(set);

/** A new pod for the ordinal, from the template of one revision. */
export function podOf(set: StatefulSet, template: PodTemplateSpec, revision: string, ordinal: number): Pod {
  const { metadata, spec } = structuredClone(template);
  const { labels, annotations, finalizers } = metadata ?? {};
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: set.metadata.namespace ?? '',
      name: nameOf(set, ordinal),
      generateName: `${set.metadata.name ?? ''}-`,
      labels: { ...labels, [REVISION_LABEL]: revision },
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerRef(STATEFULSETS, set)],
    },
    spec: {
      ...(spec ?? { containers: [] }),
      hostname: nameOf(set, ordinal),
      ...(set.spec?.serviceName ? { subdomain: set.spec.serviceName } : {}),
    },
  };
  return withIdentity(set, pod, ordinal);
}

/** The pod with what its identity needs; the pod itself when it has it. */
export function withIdentity(set: StatefulSet, pod: Pod, ordinal: number): Pod {
  const name = nameOf(set, ordinal);
  const labels = pod.metadata.labels;
  const present = pod.spec?.volumes ?? [];
  const volumes = withClaims(set, present, ordinal);
  const hasLabels = labels?.[POD_NAME_LABEL] === name && labels[POD_INDEX_LABEL] === String(ordinal);
  if (hasLabels && volumes === present) return pod;
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: { ...labels, [POD_NAME_LABEL]: name, [POD_INDEX_LABEL]: String(ordinal) },
    },
    ...(pod.spec ? { spec: { ...pod.spec, ...(volumes.length > 0 ? { volumes } : {}) } } : {}),
  };
}

/** The claims' volumes before the others; the given list itself when it has them all. */
function withClaims(set: StatefulSet, present: Volume[], ordinal: number): Volume[] {
  const claims = (set.spec?.volumeClaimTemplates ?? []).map(({ metadata }) => ({
    name: metadata.name ?? '',
    persistentVolumeClaim: { claimName: claimName(set, metadata.name ?? '', ordinal) },
  }));
  const has = ({ name, persistentVolumeClaim }: (typeof claims)[number]) =>
    present.some(
      (one) => one.name === name && one.persistentVolumeClaim?.claimName === persistentVolumeClaim.claimName,
    );
  if (claims.every(has)) return present;
  const names = new Set(claims.map(({ name }) => name));
  return [...claims, ...present.filter(({ name }) => !names.has(name))];
}

const claimName = (set: StatefulSet, template: string, ordinal: number) => `${template}-${nameOf(set, ordinal)}`;

/** The claims of one member, as they are made when they are missing. */
export function claimsOf(set: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  return (set.spec?.volumeClaimTemplates ?? []).map((template) => {
    const { metadata, spec } = structuredClone(template);
    const { annotations, labels, finalizers } = metadata;
    const owners = claimOwners(set, ordinal, undefined, []);
    return {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        namespace: set.metadata.namespace ?? '',
        name: claimName(set, metadata.name ?? '', ordinal),
        labels: { ...labels, ...set.spec?.selector.matchLabels },
        ...(annotations ? { annotations } : {}),
        ...(finalizers ? { finalizers } : {}),
        ...(owners.length > 0 ? { ownerReferences: owners } : {}),
      },
      ...(spec ? { spec } : {}),
    };
  });
}

/**
 * Who owns a claim, by the retention policy: the set where claims go with it, the pod where it is scaled away and claims go
 * with that. `present` are the owners of now; those that are neither stay.
 */
export function claimOwners(
  set: StatefulSet,
  ordinal: number,
  pod: Pod | undefined,
  present: readonly OwnerReference[],
): OwnerReference[] {
  const policy = set.spec?.persistentVolumeClaimRetentionPolicy;
  const scaledAway = !isInRange(set, ordinal);
  const byPod = policy?.whenScaled === 'Delete' && scaledAway;
  const bySet = policy?.whenDeleted === 'Delete' && !byPod;
  const others = present.filter(
    ({ uid, kind, name }) => uid !== set.metadata.uid && !(kind === 'Pod' && name === nameOf(set, ordinal)),
  );
  if (byPod && pod) {
    others.push({
      apiVersion: 'v1',
      kind: 'Pod',
      name: pod.metadata.name ?? '',
      uid: pod.metadata.uid ?? '',
      controller: true,
      blockOwnerDeletion: true,
    });
  }
  if (bySet) others.push(controllerRef(STATEFULSETS, set));
  return others;
}

/** Whether the owners of a claim are somebody else's affair: another controller than the set or its pod has it. */
export function isForeignClaim(set: StatefulSet, claim: PersistentVolumeClaim, ordinal: number): boolean {
  const owner = controllerOf(claim);
  if (!owner || owner.uid === set.metadata.uid) return false;
  return !(owner.kind === 'Pod' && owner.name === nameOf(set, ordinal));
}

/** Owned by an earlier pod of this name: the collector is about to take it, and a new pod must not get hold of it. */
export function isStaleClaim(set: StatefulSet, claim: PersistentVolumeClaim, ordinal: number): boolean {
  return (claim.metadata.ownerReferences ?? []).some(
    ({ kind, name }) => kind === 'Pod' && name === nameOf(set, ordinal),
  );
}

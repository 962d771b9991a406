/** The `scale` subresource: `autoscaling/v1 Scale` of the workloads. */
import type { KubeObject, LabelSelector } from '../object.js';
import type { ResourceInfo } from '../schema/registry.js';
import { formatLabelSelector } from '../selectors/label.js';
import type { Scale } from '../types/autoscaling-v1.js';

interface Scalable {
  spec?: { replicas?: number; selector?: LabelSelector | Record<string, string> };
  status?: { replicas?: number };
}

type Scaled = Pick<ResourceInfo, 'kind'> & Partial<Pick<ResourceInfo, 'rules'>>;

/** The Scale that stands for a Deployment, ReplicaSet, StatefulSet or ReplicationController. */
export function toScale(info: Scaled, object: KubeObject): Scale & KubeObject {
  if (info.rules !== undefined) return info.rules.toScale(object);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const { spec, status } = object as Scalable;
  const selector =
    info.kind === 'ReplicationController'
      ? { matchLabels: (spec?.selector ?? {}) as Record<string, string> }
      : (spec?.selector as LabelSelector | undefined);
  const text = formatLabelSelector(selector);
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    // Go leaves a zero out here: `replicas` of Scale is no pointer.
    spec: spec?.replicas ? { replicas: spec.replicas } : {},
    status: { replicas: status?.replicas ?? 0, ...(text === '' ? {} : { selector: text }) },
  };
}

/**
 * The object with the replicas of a Scale. Takes over the Scale's `resourceVersion` when it has one (a precondition) and
 * counts the generation up when the number changes.
 */
export function fromScale(info: Scaled, object: KubeObject, scale: Scale): KubeObject {
  if (info.rules !== undefined) return info.rules.fromScale(object, scale);
  const replicas = scale.spec?.replicas ?? 0;
  const before = (object as Scalable).spec?.replicas;
  const metadata = { ...object.metadata };
  if (scale.metadata?.resourceVersion) metadata.resourceVersion = scale.metadata.resourceVersion;
  if (before !== replicas) metadata.generation = (metadata.generation ?? 0) + 1;
  return { ...object, metadata, spec: { ...(object.spec as object | undefined), replicas } };
}

/**
 * What the server decides about an object on its way in (registry `rest.BeforeCreate`/`BeforeUpdate` and the kinds'
 * strategies): system fields of the metadata, generation, and which part of the object a (sub)resource may change.
 */
import type { KubeObject } from '../object.js';
import type { ResourceInfo } from '../schema/registry.js';
import type { Pod, Service } from '../types/core-v1.js';
import type { APIService } from '../types/apiregistration-v1.js';
import type { Job } from '../types/batch-v1.js';
import { semanticEqual } from './equality.js';
import { qosClassOf } from './qos.js';
import { prepareServiceForCreate, prepareServiceForUpdate } from './service.js';

export interface CreateContext {
  /** Wall-clock time of the write. */
  readonly nowMs: number;
  /** The new object's uid. */
  readonly uid: string;
  /** Five random characters for `generateName` (`safeSuffix(random)`). */
  readonly nameSuffix: string;
}

/** Kinds whose `metadata.generation` counts changes of what the user asks for. */
const WITH_GENERATION = new Set([
  '/ReplicationController',
  '/PodTemplate',
  'admissionregistration.k8s.io/MutatingWebhookConfiguration',
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration',
  'admissionregistration.k8s.io/ValidatingAdmissionPolicy',
  'admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding',
  'apiextensions.k8s.io/CustomResourceDefinition',
  'apps/Deployment',
  'apps/ReplicaSet',
  'apps/StatefulSet',
  'apps/DaemonSet',
  'batch/Job',
  'batch/CronJob',
  'discovery.k8s.io/EndpointSlice',
  'flowcontrol.apiserver.k8s.io/FlowSchema',
  'flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration',
  'networking.k8s.io/Ingress',
  'networking.k8s.io/IngressClass',
  'networking.k8s.io/NetworkPolicy',
  'policy/PodDisruptionBudget',
  'scheduling.k8s.io/PriorityClass',
]);

/** Nodes register themselves with their status; everything else starts without one. */
const STATUS_KEPT_ON_CREATE = new Set(['/Node']);

/** The status that objects of a kind begin with: what Go writes for an empty one. Kinds that are not here begin with none. */
const FIRST_STATUS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  '/ReplicationController': { replicas: 0 },
  '/ResourceQuota': {},
  '/Namespace': { phase: 'Active' },
  '/PersistentVolume': { phase: 'Pending' },
  '/PersistentVolumeClaim': { phase: 'Pending' },
  '/Service': { loadBalancer: {} },
  'admissionregistration.k8s.io/ValidatingAdmissionPolicy': {},
  'apps/Deployment': {},
  'apps/ReplicaSet': { replicas: 0 },
  'apps/StatefulSet': { replicas: 0, availableReplicas: 0 },
  'apps/DaemonSet': { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
  'batch/Job': {},
  'batch/CronJob': {},
  'certificates.k8s.io/CertificateSigningRequest': {},
  'flowcontrol.apiserver.k8s.io/FlowSchema': {},
  'flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration': {},
  'networking.k8s.io/Ingress': { loadBalancer: {} },
  'policy/PodDisruptionBudget': { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
  'storage.k8s.io/VolumeAttachment': { attached: false },
};

/** Upstream cuts the prefix of generated names so that the whole fits a label. */
const MAX_GENERATED_PREFIX = 58;

const keyOf = ({ group, kind }: Pick<ResourceInfo, 'group' | 'kind'>) => `${group}/${kind}`;
const hasStatus = (info: ResourceInfo) => info.subresources.has('status');
const hasGeneration = (info: ResourceInfo) => info.custom || WITH_GENERATION.has(keyOf(info));

/** RFC 3339 to the second, as `metav1.Time` is written. */
export const timestamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** The name that `generateName` leads to. */
export const generatedName = (prefix: string, suffix: string): string =>
  `${prefix.slice(0, MAX_GENERATED_PREFIX)}${suffix}`;

function initialStatus(info: ResourceInfo, object: KubeObject, nowMs: number): unknown {
  switch (keyOf(info)) {
    case '/Pod': {
      const { spec } = object as Pod;
      const gated = (spec?.schedulingGates ?? []).length > 0;
      return {
        phase: 'Pending',
        qosClass: qosClassOf(spec),
        ...(gated
          ? {
              conditions: [
                {
                  type: 'PodScheduled',
                  status: 'False',
                  reason: 'SchedulingGated',
                  message: 'Scheduling is blocked due to non-empty scheduling gates',
                },
              ],
            }
          : {}),
      };
    }
    case 'autoscaling/HorizontalPodAutoscaler':
      return info.version === 'v1' ? { currentReplicas: 0, desiredReplicas: 0 } : { desiredReplicas: 0 };
    case 'apiregistration.k8s.io/APIService':
      return (object as APIService).spec?.service === undefined ? localService(nowMs) : {};
    default: {
      const first = FIRST_STATUS[keyOf(info)];
      return first && structuredClone(first);
    }
  }
}

/** An APIService without a service is served by this server itself. */
const localService = (nowMs: number) => ({
  conditions: [
    {
      type: 'Available',
      status: 'True',
      lastTransitionTime: timestamp(nowMs),
      reason: 'Local',
      message: 'Local APIServices are always available',
    },
  ],
});

/** A Job's pods are told from others' by a label with the job's uid, unless the user chose a selector himself. */
function selectOwnPods(job: Job, uid: string, name: string): void {
  const { spec } = job;
  if (spec === undefined || spec.manualSelector === true) return;
  const metadata = (spec.template.metadata ??= {});
  metadata.labels = {
    ...metadata.labels,
    'controller-uid': uid,
    'job-name': name,
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
  };
  spec.selector ??= { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } };
}

function prepareKindForCreate(info: ResourceInfo, object: KubeObject, context: CreateContext): void {
  switch (keyOf(info)) {
    case '/Service':
      prepareServiceForCreate(object as Service);
      return;
    case '/Namespace': {
      const spec = ((object as { spec?: { finalizers?: string[] } }).spec ??= {});
      if (!(spec.finalizers ?? []).includes('kubernetes')) spec.finalizers = [...(spec.finalizers ?? []), 'kubernetes'];
      labelNamespace(object);
      return;
    }
    case 'batch/Job':
      selectOwnPods(object as Job, context.uid, object.metadata.name ?? '');
      return;
    default:
  }
}

function labelNamespace(object: KubeObject): void {
  const { metadata } = object;
  if (metadata.name) metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
}

/**
 * Prepares a decoded and defaulted object for creation, **in place**, and returns it: uid, creation time, generated
 * name, generation, initial status. Call before validation. Client-set `resourceVersion` is the caller's to refuse.
 */
export function prepareForCreate<T extends KubeObject>(info: ResourceInfo, object: T, context: CreateContext): T {
  const { metadata } = object;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  metadata.uid = context.uid;
  metadata.creationTimestamp = timestamp(context.nowMs);
  if (!metadata.name && metadata.generateName) {
    metadata.name = generatedName(metadata.generateName, context.nameSuffix);
  }
  if (hasGeneration(info)) metadata.generation = 1;
  else delete metadata.generation;
  if (hasStatus(info) && !STATUS_KEPT_ON_CREATE.has(keyOf(info))) {
    const status = initialStatus(info, object, context.nowMs);
    if (status === undefined) delete object.status;
    else object.status = status;
  }
  prepareKindForCreate(info, object, context);
  return object;
}

/** System fields that no client changes: the old values stand (rest.BeforeUpdate). */
function keepSystemFields(metadata: KubeObject['metadata'], old: KubeObject['metadata']): void {
  delete metadata.selfLink;
  metadata.creationTimestamp ??= old.creationTimestamp ?? '';
  if (metadata.creationTimestamp === '') delete metadata.creationTimestamp;
  if (metadata.uid === undefined && old.uid !== undefined) metadata.uid = old.uid;
  if (metadata.generateName === undefined && old.generateName !== undefined) metadata.generateName = old.generateName;
  keep(metadata, old, 'generation');
  keep(metadata, old, 'deletionTimestamp');
  keep(metadata, old, 'deletionGracePeriodSeconds');
}

function keep<T extends object, K extends keyof T>(target: T, source: Readonly<T>, key: K): void {
  if (source[key] === undefined) delete target[key];
  else target[key] = source[key];
}

/** Everything but metadata, status and the type: what the user asks for. */
function desired(object: KubeObject): Record<string, unknown> {
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, status: _status, ...rest } = object;
  return rest as Record<string, unknown>;
}

function asksForMore(info: ResourceInfo, object: KubeObject, old: KubeObject): boolean {
  if (!semanticEqual(desired(object), desired(old))) return true;
  // A custom resource without the subresource has no status in this sense: it is a field like others.
  if (info.custom && !hasStatus(info) && !semanticEqual(object.status, old.status)) return true;
  const annotated = keyOf(info) === 'apps/Deployment';
  if (annotated && !semanticEqual(object.metadata.annotations, old.metadata.annotations)) return true;
  const labelled = keyOf(info) === 'discovery.k8s.io/EndpointSlice';
  return labelled && !semanticEqual(object.metadata.labels, old.metadata.labels);
}

/** Kinds whose labels cannot be changed through `status`. */
const LABELS_KEPT_BY_STATUS = new Set(['apps/Deployment']);

/** Kinds of whose metadata nothing that users write can be changed through `status`. */
const METADATA_KEPT_BY_STATUS = new Set([
  'admissionregistration.k8s.io/ValidatingAdmissionPolicy',
  'apiextensions.k8s.io/CustomResourceDefinition',
  'apiregistration.k8s.io/APIService',
  'flowcontrol.apiserver.k8s.io/FlowSchema',
  'flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration',
  'storage.k8s.io/VolumeAttachment',
]);

function prepareStatusUpdate(info: ResourceInfo, object: KubeObject, old: KubeObject): KubeObject {
  // Through the status of a custom resource nothing else changes but who manages its fields.
  const metadata = info.custom ? { ...old.metadata } : { ...object.metadata };
  if (info.custom) keep(metadata, object.metadata, 'managedFields');
  if (LABELS_KEPT_BY_STATUS.has(keyOf(info))) keep(metadata, old.metadata, 'labels');
  if (METADATA_KEPT_BY_STATUS.has(keyOf(info))) {
    for (const field of ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const) {
      keep(metadata, old.metadata, field);
    }
  }
  if (keyOf(info) === '/Pod') {
    keep(metadata, old.metadata, 'ownerReferences');
    // The class is settled at creation; a status that leaves it out does not clear it.
    const status = object.status as Pod['status'];
    const qosClass = (old as Pod).status?.qosClass;
    if (status !== undefined && status.qosClass === undefined && qosClass !== undefined) status.qosClass = qosClass;
  }
  const { status } = object;
  const result: KubeObject = { ...old, metadata };
  if (status === undefined) delete result.status;
  else result.status = status;
  return result;
}

/** Subresources other than `status` that are written with the whole object: the part they may change. */
function prepareOtherUpdate(subresource: string, object: KubeObject, old: KubeObject): KubeObject {
  const { metadata } = object;
  switch (subresource) {
    case 'ephemeralcontainers': {
      const { ephemeralContainers } = (object as Pod).spec ?? {};
      const { ephemeralContainers: _before, ...kept } = (old as Pod).spec ?? { containers: [] };
      const spec = { ...kept, ...(ephemeralContainers === undefined ? {} : { ephemeralContainers }) };
      return { ...old, metadata: { ...old.metadata, ...versionOf(metadata) }, spec };
    }
    case 'finalize': {
      const { finalizers } = (object.spec ?? {}) as { finalizers?: string[] };
      const spec = { ...(old.spec as object | undefined), finalizers: finalizers ?? [] };
      return { ...old, metadata, spec };
    }
    case 'approval': {
      const { conditions } = (object.status ?? {}) as { conditions?: unknown[] };
      const { conditions: _before, ...kept } = (old.status ?? {}) as { conditions?: unknown[] };
      return { ...old, metadata, status: { ...kept, ...(conditions ? { conditions } : {}) } };
    }
    default:
      return object;
  }
}

const versionOf = ({ resourceVersion }: KubeObject['metadata']) =>
  resourceVersion === undefined ? {} : { resourceVersion };

function prepareWholeUpdate(info: ResourceInfo, object: KubeObject, old: KubeObject): KubeObject {
  const result: KubeObject = { ...object };
  if (hasStatus(info)) {
    if (old.status === undefined) delete result.status;
    else result.status = old.status;
  }
  switch (keyOf(info)) {
    case '/Service':
      prepareServiceForUpdate(result as Service, old as Service);
      break;
    case '/Namespace': {
      const { finalizers } = (old.spec ?? {}) as { finalizers?: string[] };
      result.spec = { ...(result.spec as object | undefined), ...(finalizers === undefined ? {} : { finalizers }) };
      labelNamespace(result);
      break;
    }
    case 'certificates.k8s.io/CertificateSigningRequest':
      result.spec = old.spec;
      break;
    default:
  }
  return result;
}

/**
 * Prepares a decoded and defaulted object (owned by the caller; its metadata is changed in place) to replace `old` through
 * the resource itself (`''`) or a subresource that takes the whole object: `status`, `ephemeralcontainers`, `finalize`,
 * `approval`. Returns the object to validate and store, which shares the parts it keeps with `old`.
 */
export function prepareForUpdate(
  info: ResourceInfo,
  object: KubeObject,
  old: KubeObject,
  subresource: string,
): KubeObject {
  keepSystemFields(object.metadata, old.metadata);
  if (subresource === 'status') return prepareStatusUpdate(info, object, old);
  if (subresource !== '') return prepareOtherUpdate(subresource, object, old);
  const result = prepareWholeUpdate(info, object, old);
  if (hasGeneration(info) && asksForMore(info, result, old)) {
    result.metadata.generation = (old.metadata.generation ?? 0) + 1;
  }
  return result;
}

/** Defaults of cluster, configuration and policy kinds. In place. */
import type {
  MutatingWebhookConfiguration,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhookConfiguration,
} from '../types/admissionregistration-v1.js';
import type { CustomResourceDefinition, CustomResourceDefinitionNames } from '../types/apiextensions-v1.js';
import type { APIService } from '../types/apiregistration-v1.js';
import type { HorizontalPodAutoscaler as HpaV1 } from '../types/autoscaling-v1.js';
import type { HorizontalPodAutoscaler } from '../types/autoscaling-v2.js';
import type { LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Secret } from '../types/core-v1.js';
import type { Ingress, NetworkPolicy } from '../types/networking-v1.js';
import type { ClusterRoleBinding, RoleBinding, Subject } from '../types/rbac-v1.js';
import type { PriorityClass } from '../types/scheduling-v1.js';
import type { CSIDriver, StorageClass } from '../types/storage-v1.js';
import { defaultClaimSpec } from './pod.js';

const RBAC = 'rbac.authorization.k8s.io';

export function defaultNamespace({ metadata }: Namespace): void {
  const name = metadata?.name;
  if (metadata !== undefined && name) metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': name };
}

export function defaultNode({ status }: Node): void {
  if (status?.allocatable === undefined && status?.capacity !== undefined) status.allocatable = { ...status.capacity };
}

/** `stringData` is write-only: it overlays `data` (upstream does it in the conversion). */
export function defaultSecret(secret: Secret): void {
  secret.type ??= 'Opaque';
  if (secret.stringData === undefined) return;
  const data = { ...secret.data };
  for (const [key, text] of Object.entries(secret.stringData)) data[key] = Buffer.from(text).toString('base64');
  secret.data = data;
  delete secret.stringData;
}

export function defaultPersistentVolume(volume: PersistentVolume): void {
  const { spec } = volume;
  (volume.status ??= {}).phase ??= 'Pending';
  if (spec === undefined) return;
  spec.persistentVolumeReclaimPolicy ??= 'Retain';
  spec.volumeMode ??= 'Filesystem';
  if (spec.hostPath !== undefined) spec.hostPath.type ??= '';
  if (spec.iscsi !== undefined) spec.iscsi.iscsiInterface ??= 'default';
}

export function defaultPersistentVolumeClaim(claim: PersistentVolumeClaim): void {
  (claim.status ??= {}).phase ??= 'Pending';
  defaultClaimSpec(claim.spec);
}

/** A limit that states no default is its own default, and so on down. */
export function defaultLimitRange(range: LimitRange): void {
  for (const limit of range.spec?.limits ?? []) {
    if (limit.type !== 'Container') continue;
    const fill = (target: Record<string, string | number>, source: Record<string, string | number> | undefined) => {
      for (const [name, amount] of Object.entries(source ?? {})) target[name] ??= amount;
    };
    fill((limit.default ??= {}), limit.max);
    fill((limit.defaultRequest ??= {}), limit.default);
    fill(limit.defaultRequest, limit.min);
    if (Object.keys(limit.default).length === 0) delete limit.default;
    if (Object.keys(limit.defaultRequest).length === 0) delete limit.defaultRequest;
  }
}

export function defaultIngress(ingress: Ingress): void {
  (ingress.status ??= {}).loadBalancer ??= {};
}

export function defaultNetworkPolicy({ spec }: NetworkPolicy): void {
  if (spec === undefined) return;
  if ((spec.policyTypes ?? []).length === 0) {
    spec.policyTypes = (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  }
  for (const { ports } of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
    for (const port of ports ?? []) port.protocol ??= 'TCP';
  }
}

export function defaultHpaV1({ spec }: HpaV1): void {
  if (spec === undefined) return;
  spec.minReplicas ??= 1;
}

export function defaultHpa({ spec }: HorizontalPodAutoscaler): void {
  if (spec === undefined) return;
  spec.minReplicas ??= 1;
  if ((spec.metrics ?? []).length === 0) {
    spec.metrics = [
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
    ];
  }
  if (spec.behavior === undefined) return;
  const { scaleUp, scaleDown } = spec.behavior;
  spec.behavior.scaleUp = {
    ...scaleUp,
    stabilizationWindowSeconds: scaleUp?.stabilizationWindowSeconds ?? 0,
    selectPolicy: scaleUp?.selectPolicy ?? 'Max',
    policies: scaleUp?.policies ?? [
      { type: 'Pods', value: 4, periodSeconds: 15 },
      { type: 'Percent', value: 100, periodSeconds: 15 },
    ],
  };
  spec.behavior.scaleDown = {
    ...scaleDown,
    selectPolicy: scaleDown?.selectPolicy ?? 'Max',
    policies: scaleDown?.policies ?? [{ type: 'Percent', value: 100, periodSeconds: 15 }],
  };
}

function defaultSubjects(subjects: readonly Subject[] | undefined): void {
  for (const subject of subjects ?? []) {
    if (subject.apiGroup !== undefined) continue;
    if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup = RBAC;
  }
}

export function defaultRoleBinding(binding: RoleBinding | ClusterRoleBinding): void {
  if (binding.roleRef !== undefined && !binding.roleRef.apiGroup) binding.roleRef.apiGroup = RBAC;
  defaultSubjects(binding.subjects);
}

export function defaultPriorityClass(priority: PriorityClass): void {
  priority.value ??= 0;
  priority.preemptionPolicy ??= 'PreemptLowerPriority';
}

export function defaultStorageClass(storage: StorageClass): void {
  storage.reclaimPolicy ??= 'Delete';
  storage.volumeBindingMode ??= 'Immediate';
}

export function defaultCsiDriver({ spec }: CSIDriver): void {
  if (spec === undefined) return;
  spec.attachRequired ??= true;
  spec.podInfoOnMount ??= false;
  spec.storageCapacity ??= false;
  spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
  spec.volumeLifecycleModes ??= ['Persistent'];
  spec.requiresRepublish ??= false;
  spec.seLinuxMount ??= false;
}

type Webhooks = MutatingWebhookConfiguration | ValidatingWebhookConfiguration;

export function defaultWebhooks(configuration: Webhooks): void {
  for (const hook of configuration.webhooks ?? []) {
    hook.failurePolicy ??= 'Fail';
    hook.matchPolicy ??= 'Equivalent';
    hook.namespaceSelector ??= {};
    hook.objectSelector ??= {};
    hook.timeoutSeconds ??= 10;
    if (hook.clientConfig?.service !== undefined) hook.clientConfig.service.port ??= 443;
    for (const rule of hook.rules ?? []) rule.scope ??= '*';
    if ('reinvocationPolicy' in hook || configuration.kind === 'MutatingWebhookConfiguration') {
      (hook as { reinvocationPolicy?: string }).reinvocationPolicy ??= 'Never';
    }
  }
}

interface MatchDefaults {
  matchPolicy?: string;
  namespaceSelector?: object;
  objectSelector?: object;
  resourceRules?: { scope?: string }[];
  excludeResourceRules?: { scope?: string }[];
}

function defaultMatch(match: MatchDefaults | undefined): void {
  if (match === undefined) return;
  match.matchPolicy ??= 'Equivalent';
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) rule.scope ??= '*';
}

export function defaultAdmissionPolicy({ spec }: ValidatingAdmissionPolicy): void {
  if (spec === undefined) return;
  spec.failurePolicy ??= 'Fail';
  defaultMatch(spec.matchConstraints as MatchDefaults | undefined);
}

export function defaultAdmissionPolicyBinding({ spec }: ValidatingAdmissionPolicyBinding): void {
  defaultMatch(spec?.matchResources as MatchDefaults | undefined);
}

export function defaultApiService({ spec }: APIService): void {
  if (spec?.service !== undefined) spec.service.port ??= 443;
}

/** What must be given and is not counts as empty, so that validation and all that comes after it finds it there. */
export function defaultCustomResourceDefinition(definition: Partial<CustomResourceDefinition>): void {
  const spec: Partial<CustomResourceDefinition['spec']> = (definition.spec ??= {} as CustomResourceDefinition['spec']);
  spec.versions ??= [];
  const names: Partial<CustomResourceDefinitionNames> = (spec.names ??= { plural: '', kind: '' });
  if (names.kind) {
    names.singular ??= names.kind.toLowerCase();
    names.listKind ??= `${names.kind}List`;
  }
  const conversion = (spec.conversion ??= { strategy: 'None' });
  if (conversion.webhook?.clientConfig?.service !== undefined) conversion.webhook.clientConfig.service.port ??= 443;
}

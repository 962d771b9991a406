/** The columns of kinds that configure a cluster: policies, storage, roles, admission, fairness. */
import { autoscalerFromV1 } from '../../../api/conversion/autoscaling.js';
import { eventToCore } from '../../../api/conversion/events.js';
import type { KubeObject } from '../../../api/object.js';
import { parseQuantity, Quantity } from '../../../api/quantity.js';
import type * as admission from '../../../api/types/admissionregistration-v1.js';
import type * as apiregistration from '../../../api/types/apiregistration-v1.js';
import type * as certificates from '../../../api/types/certificates-v1.js';
import type * as core from '../../../api/types/core-v1.js';
import type * as flowcontrol from '../../../api/types/flowcontrol-v1.js';
import type * as networking from '../../../api/types/networking-v1.js';
import type * as node from '../../../api/types/node-v1.js';
import type * as rbac from '../../../api/types/rbac-v1.js';
import type * as scheduling from '../../../api/types/scheduling-v1.js';
import type * as storage from '../../../api/types/storage-v1.js';
import { AGE, col, type Column, humanDuration, int, labelsText, orNone, selectorText, wide } from './cells.js';

const bool = { type: 'boolean' } as const;
const CREATED = col<KubeObject>('Created At', ({ metadata }) => metadata.creationTimestamp ?? '');

/** The columns of another view's kind. */
export const through = (convert: (object: KubeObject) => KubeObject, columns: readonly Column[]): readonly Column[] =>
  columns.map((column) => ({
    ...column,
    value: ({ object, nowMs }) => column.value({ object: convert(object), nowMs }),
  }));

export const asCoreEvent = eventToCore;
export const asAutoscalerV2 = (object: KubeObject) =>
  object.apiVersion === 'autoscaling/v1' ? autoscalerFromV1(object) : object;

function quotaText({ status }: core.ResourceQuota, limits: boolean): string {
  return Object.keys(status?.hard ?? {})
    .filter((name) => name.startsWith('limits.') === limits)
    .toSorted()
    .map((name) => `${name}: ${status?.used?.[name] ?? '0'}/${status?.hard?.[name] ?? '0'}`)
    .join(', ');
}

function requestState({ status }: certificates.CertificateSigningRequest): string {
  const has = (type: string) => status?.conditions?.some((condition) => condition.type === type) === true;
  const states = [has('Denied') ? 'Denied' : has('Approved') ? 'Approved' : 'Pending'];
  if (has('Failed')) states.push('Failed');
  if (status?.certificate) states.push('Issued');
  return states.join(',');
}

const BINDING: readonly Column[] = [
  col<rbac.RoleBinding>('Role', ({ roleRef }) => `${roleRef.kind}/${roleRef.name}`),
  AGE,
  ...(['User', 'Group', 'ServiceAccount'] as const).map((kind) =>
    col<rbac.RoleBinding>(
      `${kind}s`,
      ({ subjects = [] }) =>
        subjects
          .filter((subject) => subject.kind === kind)
          .map(({ name, namespace }) => (kind === 'ServiceAccount' ? `${namespace ?? ''}/${name}` : name))
          .join(', '),
      wide,
    ),
  ),
];

const WEBHOOKS: readonly Column[] = [
  col<admission.ValidatingWebhookConfiguration>('Webhooks', ({ webhooks }) => webhooks?.length ?? 0, int),
  AGE,
];

interface Usage {
  readonly cpu: string;
  readonly memory: string;
}
interface NodeMetrics {
  readonly usage: Usage;
  readonly window: string;
}
interface PodMetrics {
  readonly containers: readonly { readonly usage: Usage }[];
  readonly window: string;
}
const total = (amounts: readonly string[]) =>
  amounts.reduce((sum, amount) => sum.add(parseQuantity(amount)), Quantity.ZERO).toString();

const limitText = (value: number | undefined) => (value === undefined ? '<none>' : String(value));
const queuing = ({ spec }: flowcontrol.PriorityLevelConfiguration) => spec?.limited?.limitResponse?.queuing;

function availability({ status }: apiregistration.APIService): string {
  const condition = status?.conditions?.find(({ type }) => type === 'Available');
  if (condition === undefined) return 'Unknown';
  return condition.status === 'True' ? 'True' : `${condition.status} (${condition.reason ?? ''})`;
}

function componentState({ conditions }: core.ComponentStatus): string {
  const healthy = conditions?.find(({ type }) => type === 'Healthy');
  if (healthy === undefined) return 'Unknown';
  return healthy.status === 'True' ? 'Healthy' : 'Unhealthy';
}

const containersOf = ({ template }: core.PodTemplate) => template?.spec?.containers ?? [];

const DEFAULT_CLASS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

/** A default class says so beside its name. */
export function storageClassName({ metadata }: KubeObject): string {
  const isDefault = DEFAULT_CLASS.some((key) => metadata.annotations?.[key] === 'true');
  return `${metadata.name ?? ''}${isDefault ? ' (default)' : ''}`;
}

export const CONFIGURATION_COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  '/componentstatuses': [
    col('Status', componentState),
    col<core.ComponentStatus>('Message', ({ conditions }) => conditions?.[0]?.message ?? ''),
    col<core.ComponentStatus>('Error', ({ conditions }) => conditions?.[0]?.error ?? ''),
  ],
  '/limitranges': [CREATED],
  '/podtemplates': [
    col<core.PodTemplate>('Containers', (object) => orNone(containersOf(object).map(({ name }) => name))),
    col<core.PodTemplate>('Images', (object) => orNone(containersOf(object).map(({ image }) => image ?? ''))),
    col<core.PodTemplate>('Pod Labels', ({ template }) => labelsText(template?.metadata?.labels)),
  ],
  '/resourcequotas': [
    col<core.ResourceQuota>('Request', (quota) => quotaText(quota, false)),
    col<core.ResourceQuota>('Limit', (quota) => quotaText(quota, true)),
    AGE,
  ],
  'admissionregistration.k8s.io/mutatingwebhookconfigurations': WEBHOOKS,
  'admissionregistration.k8s.io/validatingwebhookconfigurations': WEBHOOKS,
  'admissionregistration.k8s.io/validatingadmissionpolicies': [
    col<admission.ValidatingAdmissionPolicy>('Validations', ({ spec }) => spec?.validations?.length ?? 0, int),
    col<admission.ValidatingAdmissionPolicy>('ParamKind', ({ spec }) =>
      spec?.paramKind ? `${spec.paramKind.apiVersion ?? ''}/${spec.paramKind.kind ?? ''}` : '<unset>',
    ),
    AGE,
  ],
  'admissionregistration.k8s.io/validatingadmissionpolicybindings': [
    col<admission.ValidatingAdmissionPolicyBinding>('PolicyName', ({ spec }) => spec?.policyName ?? ''),
    col<admission.ValidatingAdmissionPolicyBinding>('ParamRef', ({ spec }) =>
      spec?.paramRef ? `${spec.paramRef.namespace || '*'}/${spec.paramRef.name || '*'}` : '<unset>',
    ),
    AGE,
  ],
  'apiregistration.k8s.io/apiservices': [
    col<apiregistration.APIService>('Service', ({ spec }) =>
      spec?.service ? `${spec.service.namespace ?? ''}/${spec.service.name ?? ''}` : 'Local',
    ),
    col('Available', availability),
    AGE,
  ],
  'certificates.k8s.io/certificatesigningrequests': [
    AGE,
    col<certificates.CertificateSigningRequest>('SignerName', ({ spec }) => spec.signerName),
    col<certificates.CertificateSigningRequest>('Requestor', ({ spec }) => spec.username ?? ''),
    col<certificates.CertificateSigningRequest>('RequestedDuration', ({ spec: { expirationSeconds } }) =>
      expirationSeconds === undefined ? '<none>' : humanDuration(expirationSeconds * 1000),
    ),
    col('Condition', requestState),
  ],
  'flowcontrol.apiserver.k8s.io/flowschemas': [
    col<flowcontrol.FlowSchema>('PriorityLevel', ({ spec }) => spec?.priorityLevelConfiguration.name ?? '<none>'),
    col<flowcontrol.FlowSchema>('MatchingPrecedence', ({ spec }) => String(spec?.matchingPrecedence ?? 0)),
    col<flowcontrol.FlowSchema>('DistinguisherMethod', ({ spec }) => spec?.distinguisherMethod?.type ?? '<none>'),
    AGE,
    col<flowcontrol.FlowSchema>(
      'MissingPL',
      ({ status }) => status?.conditions?.find(({ type }) => type === 'Dangling')?.status ?? '?',
    ),
  ],
  'flowcontrol.apiserver.k8s.io/prioritylevelconfigurations': [
    col<flowcontrol.PriorityLevelConfiguration>('Type', ({ spec }) => spec?.type ?? ''),
    col<flowcontrol.PriorityLevelConfiguration>('NominalConcurrencyShares', ({ spec }) =>
      limitText(spec?.limited?.nominalConcurrencyShares),
    ),
    col<flowcontrol.PriorityLevelConfiguration>('Queues', (level) => limitText(queuing(level)?.queues)),
    col<flowcontrol.PriorityLevelConfiguration>('HandSize', (level) => limitText(queuing(level)?.handSize)),
    col<flowcontrol.PriorityLevelConfiguration>('QueueLengthLimit', (level) =>
      limitText(queuing(level)?.queueLengthLimit),
    ),
    AGE,
  ],
  'metrics.k8s.io/nodes': [
    col<NodeMetrics>('CPU', ({ usage }) => usage.cpu),
    col<NodeMetrics>('Memory', ({ usage }) => usage.memory),
    col<NodeMetrics>('Window', ({ window }) => window),
  ],
  'metrics.k8s.io/pods': [
    col<PodMetrics>('CPU', ({ containers }) => total(containers.map(({ usage }) => usage.cpu))),
    col<PodMetrics>('Memory', ({ containers }) => total(containers.map(({ usage }) => usage.memory))),
    col<PodMetrics>('Window', ({ window }) => window),
  ],
  'networking.k8s.io/ingressclasses': [
    col<networking.IngressClass>('Controller', ({ spec }) => spec?.controller ?? ''),
    col<networking.IngressClass>('Parameters', ({ spec }) => {
      const { kind, apiGroup, name } = spec?.parameters ?? { kind: '', name: '' };
      return kind === '' ? '<none>' : `${kind}${apiGroup ? `.${apiGroup}` : ''}/${name}`;
    }),
    AGE,
  ],
  'networking.k8s.io/networkpolicies': [
    col<networking.NetworkPolicy>('Pod-Selector', ({ spec }) => selectorText(spec?.podSelector)),
    AGE,
  ],
  'node.k8s.io/runtimeclasses': [col<node.RuntimeClass>('Handler', ({ handler }) => handler), AGE],
  'rbac.authorization.k8s.io/clusterrolebindings': BINDING,
  'rbac.authorization.k8s.io/rolebindings': BINDING,
  'rbac.authorization.k8s.io/clusterroles': [CREATED],
  'rbac.authorization.k8s.io/roles': [CREATED],
  'scheduling.k8s.io/priorityclasses': [
    col<scheduling.PriorityClass>('Value', ({ value }) => value, int),
    col<scheduling.PriorityClass>('Global-Default', ({ globalDefault }) => globalDefault === true, bool),
    AGE,
    col<scheduling.PriorityClass>('PreemptionPolicy', ({ preemptionPolicy }) => preemptionPolicy ?? ''),
  ],
  'storage.k8s.io/csidrivers': [
    col<storage.CSIDriver>('AttachRequired', ({ spec }) => spec.attachRequired ?? true, bool),
    col<storage.CSIDriver>('PodInfoOnMount', ({ spec }) => spec.podInfoOnMount ?? false, bool),
    col<storage.CSIDriver>('StorageCapacity', ({ spec }) => spec.storageCapacity ?? false, bool),
    col<storage.CSIDriver>('TokenRequests', ({ spec }) =>
      spec.tokenRequests?.length ? spec.tokenRequests.map(({ audience }) => audience).join(',') : '<unset>',
    ),
    col<storage.CSIDriver>('RequiresRepublish', ({ spec }) => spec.requiresRepublish ?? false, bool),
    col<storage.CSIDriver>('Modes', ({ spec }) => orNone(spec.volumeLifecycleModes)),
    AGE,
  ],
  'storage.k8s.io/csinodes': [col<storage.CSINode>('Drivers', ({ spec }) => spec.drivers?.length ?? 0, int), AGE],
  'storage.k8s.io/csistoragecapacities': [
    col<storage.CSIStorageCapacity>('StorageClassName', (capacity) => capacity.storageClassName),
    col<storage.CSIStorageCapacity>('Capacity', ({ capacity }) => String(capacity ?? '<unset>')),
  ],
  'storage.k8s.io/storageclasses': [
    col<storage.StorageClass>('Provisioner', ({ provisioner }) => provisioner),
    col<storage.StorageClass>('ReclaimPolicy', ({ reclaimPolicy }) => reclaimPolicy ?? 'Delete'),
    col<storage.StorageClass>('VolumeBindingMode', ({ volumeBindingMode }) => volumeBindingMode ?? 'Immediate'),
    col<storage.StorageClass>('AllowVolumeExpansion', (object) => String(object.allowVolumeExpansion ?? false)),
    AGE,
  ],
  'storage.k8s.io/volumeattachments': [
    col<storage.VolumeAttachment>('Attacher', ({ spec }) => spec.attacher, { format: 'name' }),
    col<storage.VolumeAttachment>('PV', ({ spec }) => spec.source.persistentVolumeName ?? ''),
    col<storage.VolumeAttachment>('Node', ({ spec }) => spec.nodeName),
    col<storage.VolumeAttachment>('Attached', ({ status }) => status?.attached ?? false, bool),
    AGE,
  ],
};

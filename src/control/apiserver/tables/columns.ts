/** The columns of built-in resources, by `group/resource`; the name comes first everywhere. */
import type { KubeObject } from '../../../api/object.js';
import type * as apps from '../../../api/types/apps-v1.js';
import type * as autoscaling from '../../../api/types/autoscaling-v2.js';
import type * as batch from '../../../api/types/batch-v1.js';
import type * as coordination from '../../../api/types/coordination-v1.js';
import type * as core from '../../../api/types/core-v1.js';
import type * as discovery from '../../../api/types/discovery-v1.js';
import type * as networking from '../../../api/types/networking-v1.js';
import type * as policy from '../../../api/types/policy-v1.js';
import {
  AGE,
  col,
  humanDuration,
  int,
  labelsText,
  orNone,
  selectorText,
  sinceText,
  wide,
  type Column,
} from './cells.js';
import { asAutoscalerV2, asCoreEvent, CONFIGURATION_COLUMNS, through } from './configuration-columns.js';
import { summarizePod } from './pod-cells.js';

interface Templated {
  spec?: { template?: { spec?: core.PodSpec }; selector?: unknown };
}
const CONTAINERS: readonly Column[] = [
  col<Templated>('Containers', ({ spec }) => orNone(spec?.template?.spec?.containers.map(({ name }) => name)), wide),
  col<Templated>(
    'Images',
    ({ spec }) => orNone(spec?.template?.spec?.containers.map(({ image }) => image ?? '')),
    wide,
  ),
];
const SELECTOR = col<{ spec?: { selector?: Parameters<typeof selectorText>[0] } }>(
  'Selector',
  ({ spec }) => selectorText(spec?.selector),
  wide,
);

// Nodes

const ROLE_PREFIX = 'node-role.kubernetes.io/';
function nodeRoles({ metadata }: core.Node): string {
  const roles: string[] = [];
  for (const [label, value] of Object.entries(metadata?.labels ?? {})) {
    if (label.startsWith(ROLE_PREFIX) && label.length > ROLE_PREFIX.length) roles.push(label.slice(ROLE_PREFIX.length));
    else if (label === 'kubernetes.io/role' && value) roles.push(value);
  }
  return orNone(roles.toSorted());
}
function nodeStatus({ spec, status }: core.Node): string {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const text = ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown';
  return spec?.unschedulable ? `${text},SchedulingDisabled` : text;
}
const nodeAddress = (type: string) => (node: core.Node) =>
  node.status?.addresses?.find((address) => address.type === type)?.address ?? '<none>';

// Services and endpoints

function externalIp({ spec, status }: core.Service): string {
  const external = spec?.externalIPs ?? [];
  if (spec?.type === 'ExternalName') return spec.externalName ?? '';
  if (spec?.type !== 'LoadBalancer') return orNone(external);
  const ingress = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? '');
  const all = [...ingress, ...external];
  return all.length > 0 ? all.join(',') : '<pending>';
}
const servicePorts = ({ spec }: core.Service) =>
  orNone(
    spec?.ports?.map(({ port, nodePort, protocol = 'TCP' }) =>
      nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
    ),
  );

function shortList(values: readonly string[], limit: number): string {
  if (values.length === 0) return '<none>';
  const more = values.length - limit;
  return more > 0 ? `${values.slice(0, limit).join(',')} + ${more} more...` : values.join(',');
}
function endpointsText({ subsets }: core.Endpoints): string {
  const all = (subsets ?? []).flatMap(({ addresses = [], ports }) =>
    ports?.length
      ? ports.flatMap(({ port }) => addresses.map(({ ip }) => `${ip}:${port}`))
      : addresses.map(({ ip }) => ip),
  );
  return shortList(all, 3);
}
const slicePorts = ({ ports }: discovery.EndpointSlice) =>
  ports?.length
    ? shortList(
        ports.map(({ port }) => (port === undefined ? '*' : String(port))),
        3,
      )
    : '<unset>';

// Workloads

const count = (value: number | undefined) => value ?? 0;
function jobStatus({ status, metadata }: batch.Job): string {
  const is = (type: string) => status?.conditions?.some((entry) => entry.type === type && entry.status === 'True');
  if (is('Complete')) return 'Complete';
  if (is('Failed')) return 'Failed';
  if (metadata?.deletionTimestamp) return 'Terminating';
  if (is('Suspended')) return 'Suspended';
  if (is('FailureTarget')) return 'FailureTarget';
  return is('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}
function completions({ spec, status }: batch.Job): string {
  if (spec?.completions !== undefined) return `${count(status?.succeeded)}/${spec.completions}`;
  const parallelism = spec?.parallelism ?? 0;
  return parallelism > 1 ? `${count(status?.succeeded)}/1 of ${parallelism}` : `${count(status?.succeeded)}/1`;
}
function jobDuration({ status }: batch.Job, nowMs: number): string {
  if (!status?.startTime) return '';
  const end = status.completionTime ? Date.parse(status.completionTime) : nowMs;
  return humanDuration(end - Date.parse(status.startTime));
}

/** A CronJob's pods are those of the Jobs that it makes. */
const asJobTemplate = (object: KubeObject): KubeObject => ({
  ...object,
  spec: (object as batch.CronJob).spec?.jobTemplate.spec,
});

// Others

const ACCESS: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};
const accessText = (modes: readonly string[] | undefined) =>
  (modes ?? []).map((mode) => ACCESS[mode] ?? mode).join(',');
function eventSource({ source, reportingComponent }: core.Event): string {
  const component = source?.component || reportingComponent || '';
  return source?.host ? `${component}, ${source.host}` : component;
}
const lastSeen = (event: core.Event, nowMs: number) =>
  sinceText(event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp, nowMs);
const firstSeen = (event: core.Event, nowMs: number) => sinceText(event.firstTimestamp ?? event.eventTime, nowMs);

/** `current/target` of one metric of an autoscaler. */
function metricText(metric: autoscaling.MetricSpec, current: autoscaling.MetricStatus | undefined): string {
  const unknown = '<unknown>';
  const usage = metric.resource ?? metric.containerResource;
  if (usage !== undefined) {
    const { averageUtilization, averageValue } = usage.target;
    const now = (current?.resource ?? current?.containerResource)?.current;
    if (averageValue !== undefined) return `${usage.name}: ${now?.averageValue ?? unknown}/${averageValue}`;
    const utilization = now?.averageUtilization;
    const target = averageUtilization === undefined ? '<auto>' : `${averageUtilization}%`;
    return `${usage.name}: ${utilization === undefined ? unknown : `${utilization}%`}/${target}`;
  }
  const source = metric.pods ?? metric.object ?? metric.external;
  const now = (current?.pods ?? current?.object ?? current?.external)?.current;
  const { value, averageValue } = source?.target ?? {};
  if (averageValue === undefined) return `${now?.value ?? unknown}/${value ?? unknown}`;
  return `${now?.averageValue ?? unknown}/${averageValue}${metric.pods === undefined ? ' (avg)' : ''}`;
}
const MAX_METRICS = 2;
function metricsText({ spec, status }: autoscaling.HorizontalPodAutoscaler): string {
  const all = (spec?.metrics ?? []).map((metric, index) => metricText(metric, status?.currentMetrics?.[index]));
  if (all.length === 0) return '<none>';
  const more = all.length - MAX_METRICS;
  return more > 0 ? `${all.slice(0, MAX_METRICS).join(', ')} + ${more} more...` : all.join(', ');
}
const ingressAddress = ({ status }: networking.Ingress) =>
  (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? '').join(',');
const ingressHosts = ({ spec }: networking.Ingress) => {
  const hosts = (spec?.rules ?? []).map(({ host }) => host ?? '*');
  return hosts.length > 0 ? shortList(hosts, 3) : '*';
};

const SCALED: readonly Column[] = [
  col<apps.ReplicaSet>('Desired', ({ spec }) => count(spec?.replicas), int),
  col<apps.ReplicaSet>('Current', ({ status }) => count(status?.replicas), int),
  col<apps.ReplicaSet>('Ready', ({ status }) => count(status?.readyReplicas), int),
  AGE,
  ...CONTAINERS,
];

const EVENT: readonly Column[] = [
  col('Last Seen', lastSeen),
  col<core.Event>('Type', ({ type }) => type ?? ''),
  col<core.Event>('Reason', ({ reason }) => reason ?? ''),
  col<core.Event>('Object', ({ involvedObject: { kind = '', name } }) =>
    name ? `${kind.toLowerCase()}/${name}` : kind.toLowerCase(),
  ),
  col<core.Event>('Subobject', ({ involvedObject }) => involvedObject.fieldPath ?? '', wide),
  col('Source', eventSource, wide),
  col<core.Event>('Message', ({ message }) => (message ?? '').trim()),
  col('First Seen', firstSeen, wide),
  col<core.Event>('Count', (event) => event.series?.count ?? event.count ?? 1, wide),
  col<KubeObject>('Name', ({ metadata }) => metadata.name ?? '', wide),
];

const AUTOSCALER: readonly Column[] = [
  col<autoscaling.HorizontalPodAutoscaler>('Reference', ({ spec }) =>
    spec ? `${spec.scaleTargetRef.kind}/${spec.scaleTargetRef.name}` : '',
  ),
  col('Targets', metricsText),
  col<autoscaling.HorizontalPodAutoscaler>('MinPods', ({ spec }) => String(spec?.minReplicas ?? '<unset>')),
  col<autoscaling.HorizontalPodAutoscaler>('MaxPods', ({ spec }) => count(spec?.maxReplicas), int),
  col<autoscaling.HorizontalPodAutoscaler>('Replicas', ({ status }) => count(status?.currentReplicas), int),
  AGE,
];

export const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  ...CONFIGURATION_COLUMNS,
  '/namespaces': [col<core.Namespace>('Status', ({ status }) => status?.phase ?? ''), AGE],
  '/nodes': [
    col('Status', nodeStatus),
    col('Roles', nodeRoles),
    AGE,
    col<core.Node>('Version', ({ status }) => status?.nodeInfo?.kubeletVersion ?? ''),
    col('Internal-IP', nodeAddress('InternalIP'), wide),
    col('External-IP', nodeAddress('ExternalIP'), wide),
    col<core.Node>('OS-Image', ({ status }) => status?.nodeInfo?.osImage || '<unknown>', wide),
    col<core.Node>('Kernel-Version', ({ status }) => status?.nodeInfo?.kernelVersion || '<unknown>', wide),
    col<core.Node>('Container-Runtime', ({ status }) => status?.nodeInfo?.containerRuntimeVersion || '<unknown>', wide),
  ],
  '/pods': [
    col<core.Pod>('Ready', (pod, now) => summarizePod(pod, now).ready),
    col<core.Pod>('Status', (pod, now) => summarizePod(pod, now).status),
    col<core.Pod>('Restarts', (pod, now) => summarizePod(pod, now).restarts),
    AGE,
    col<core.Pod>('IP', ({ status }) => status?.podIPs?.[0]?.ip ?? status?.podIP ?? '<none>', wide),
    col<core.Pod>('Node', ({ spec }) => spec?.nodeName || '<none>', wide),
    col<core.Pod>('Nominated Node', ({ status }) => status?.nominatedNodeName || '<none>', wide),
    col<core.Pod>(
      'Readiness Gates',
      ({ spec, status }) => {
        const gates = spec?.readinessGates ?? [];
        const met = gates.filter(({ conditionType }) =>
          status?.conditions?.some(({ type, status: is }) => type === conditionType && is === 'True'),
        );
        return gates.length > 0 ? `${met.length}/${gates.length}` : '<none>';
      },
      wide,
    ),
  ],
  'apps/replicasets': [...SCALED, SELECTOR],
  '/replicationcontrollers': [
    ...SCALED,
    col<core.ReplicationController>('Selector', ({ spec }) => labelsText(spec?.selector), wide),
  ],
  'apps/deployments': [
    col<apps.Deployment>('Ready', ({ spec, status }) => `${count(status?.readyReplicas)}/${count(spec?.replicas)}`),
    col<apps.Deployment>('Up-to-date', ({ status }) => count(status?.updatedReplicas), int),
    col<apps.Deployment>('Available', ({ status }) => count(status?.availableReplicas), int),
    AGE,
    ...CONTAINERS,
    SELECTOR,
  ],
  'apps/statefulsets': [
    col<apps.StatefulSet>('Ready', ({ spec, status }) => `${count(status?.readyReplicas)}/${count(spec?.replicas)}`),
    AGE,
    ...CONTAINERS,
  ],
  'apps/daemonsets': [
    col<apps.DaemonSet>('Desired', ({ status }) => count(status?.desiredNumberScheduled), int),
    col<apps.DaemonSet>('Current', ({ status }) => count(status?.currentNumberScheduled), int),
    col<apps.DaemonSet>('Ready', ({ status }) => count(status?.numberReady), int),
    col<apps.DaemonSet>('Up-to-date', ({ status }) => count(status?.updatedNumberScheduled), int),
    col<apps.DaemonSet>('Available', ({ status }) => count(status?.numberAvailable), int),
    col<apps.DaemonSet>('Node Selector', ({ spec }) => labelsText(spec?.template.spec?.nodeSelector)),
    AGE,
    ...CONTAINERS,
    SELECTOR,
  ],
  'apps/controllerrevisions': [
    col<apps.ControllerRevision>('Controller', ({ metadata }) => {
      const owner = metadata?.ownerReferences?.find(({ controller }) => controller);
      if (!owner) return '<none>';
      const [group = '', version] = owner.apiVersion.split('/');
      return `${owner.kind.toLowerCase()}${version === undefined ? '' : `.${group}`}/${owner.name}`;
    }),
    col<apps.ControllerRevision>('Revision', ({ revision }) => revision),
    AGE,
  ],
  'batch/jobs': [
    col('Status', jobStatus),
    col('Completions', completions),
    col('Duration', jobDuration),
    AGE,
    ...CONTAINERS,
    SELECTOR,
  ],
  'batch/cronjobs': [
    col<batch.CronJob>('Schedule', ({ spec }) => spec?.schedule ?? ''),
    col<batch.CronJob>('Timezone', ({ spec }) => spec?.timeZone ?? '<none>'),
    col<batch.CronJob>('Suspend', ({ spec }) => (spec?.suspend ? 'True' : 'False'), { type: 'boolean' }),
    col<batch.CronJob>('Active', ({ status }) => status?.active?.length ?? 0, int),
    col<batch.CronJob>('Last Schedule', ({ status }, now) =>
      status?.lastScheduleTime ? sinceText(status.lastScheduleTime, now) : '<none>',
    ),
    AGE,
    ...through(asJobTemplate, [...CONTAINERS, SELECTOR]),
  ],
  '/services': [
    col<core.Service>('Type', ({ spec }) => spec?.type ?? ''),
    col<core.Service>('Cluster-IP', ({ spec }) => spec?.clusterIP || '<none>'),
    col('External-IP', externalIp),
    col('Port(s)', servicePorts),
    AGE,
    col<core.Service>('Selector', ({ spec }) => labelsText(spec?.selector), wide),
  ],
  '/endpoints': [col('Endpoints', endpointsText), AGE],
  'discovery.k8s.io/endpointslices': [
    col<discovery.EndpointSlice>('AddressType', ({ addressType }) => addressType),
    col('Ports', slicePorts),
    col<discovery.EndpointSlice>('Endpoints', ({ endpoints }) =>
      endpoints?.length
        ? shortList(
            endpoints.flatMap(({ addresses }) => addresses),
            3,
          )
        : '<unset>',
    ),
    AGE,
  ],
  '/configmaps': [
    col<core.ConfigMap>(
      'Data',
      ({ data, binaryData }) => Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length,
      int,
    ),
    AGE,
  ],
  '/secrets': [
    col<core.Secret>('Type', ({ type }) => type ?? ''),
    col<core.Secret>('Data', ({ data }) => Object.keys(data ?? {}).length, int),
    AGE,
  ],
  '/serviceaccounts': [col<core.ServiceAccount>('Secrets', ({ secrets }) => secrets?.length ?? 0, int), AGE],
  '/events': EVENT,
  'events.k8s.io/events': through(asCoreEvent, EVENT),
  'coordination.k8s.io/leases': [col<coordination.Lease>('Holder', ({ spec }) => spec?.holderIdentity ?? ''), AGE],
  '/persistentvolumes': [
    col<core.PersistentVolume>('Capacity', ({ spec }) => spec?.capacity?.['storage'] ?? ''),
    col<core.PersistentVolume>('Access Modes', ({ spec }) => accessText(spec?.accessModes)),
    col<core.PersistentVolume>('Reclaim Policy', ({ spec }) => spec?.persistentVolumeReclaimPolicy ?? ''),
    col<core.PersistentVolume>('Status', ({ status, metadata }) =>
      metadata?.deletionTimestamp ? 'Terminating' : (status?.phase ?? ''),
    ),
    col<core.PersistentVolume>('Claim', ({ spec }) =>
      spec?.claimRef ? `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}` : '',
    ),
    col<core.PersistentVolume>('StorageClass', ({ spec }) => spec?.storageClassName ?? ''),
    col<core.PersistentVolume>('VolumeAttributesClass', ({ spec }) => spec?.volumeAttributesClassName ?? '<unset>'),
    col<core.PersistentVolume>('Reason', ({ status }) => status?.reason ?? ''),
    AGE,
    col<core.PersistentVolume>('VolumeMode', ({ spec }) => spec?.volumeMode ?? '<unset>', wide),
  ],
  '/persistentvolumeclaims': [
    col<core.PersistentVolumeClaim>('Status', ({ status, metadata }) =>
      metadata?.deletionTimestamp ? 'Terminating' : (status?.phase ?? ''),
    ),
    col<core.PersistentVolumeClaim>('Volume', ({ spec }) => spec?.volumeName ?? ''),
    col<core.PersistentVolumeClaim>('Capacity', ({ spec, status }) =>
      spec?.volumeName ? (status?.capacity?.['storage'] ?? '') : '',
    ),
    col<core.PersistentVolumeClaim>('Access Modes', ({ spec, status }) =>
      spec?.volumeName ? accessText(status?.accessModes) : '',
    ),
    col<core.PersistentVolumeClaim>('StorageClass', ({ spec }) => spec?.storageClassName ?? ''),
    col<core.PersistentVolumeClaim>(
      'VolumeAttributesClass',
      ({ spec }) => spec?.volumeAttributesClassName ?? '<unset>',
    ),
    AGE,
    col<core.PersistentVolumeClaim>('VolumeMode', ({ spec }) => spec?.volumeMode ?? '<unset>', wide),
  ],
  'networking.k8s.io/ingresses': [
    col<networking.Ingress>('Class', ({ spec }) => spec?.ingressClassName ?? '<none>'),
    col('Hosts', ingressHosts),
    col('Address', ingressAddress),
    col<networking.Ingress>('Ports', ({ spec }) => (spec?.tls?.length ? '80, 443' : '80')),
    AGE,
  ],
  'autoscaling/horizontalpodautoscalers': through(asAutoscalerV2, AUTOSCALER),
  'policy/poddisruptionbudgets': [
    col<policy.PodDisruptionBudget>('Min Available', ({ spec }) => String(spec?.minAvailable ?? 'N/A')),
    col<policy.PodDisruptionBudget>('Max Unavailable', ({ spec }) => String(spec?.maxUnavailable ?? 'N/A')),
    col<policy.PodDisruptionBudget>('Allowed Disruptions', ({ status }) => count(status?.disruptionsAllowed), int),
    AGE,
  ],
  'apiextensions.k8s.io/customresourcedefinitions': [
    col<KubeObject>('Created At', ({ metadata }) => metadata.creationTimestamp ?? '', { type: 'date' }),
  ],
};

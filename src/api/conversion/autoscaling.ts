/**
 * HorizontalPodAutoscaler `autoscaling/v1` as a view of `autoscaling/v2`. What v1 has no field for travels in annotations, so
 * that nothing is lost when a client writes back what it read.
 */
import { defaultHpa } from '../defaults/cluster.js';
import type { KubeObject } from '../object.js';
import type * as v1 from '../types/autoscaling-v1.js';
import type * as v2 from '../types/autoscaling-v2.js';

const PREFIX = 'autoscaling.alpha.kubernetes.io/';
const METRICS = `${PREFIX}metrics`;
const BEHAVIOR = `${PREFIX}behavior`;
const CURRENT = `${PREFIX}current-metrics`;
const CONDITIONS = `${PREFIX}conditions`;

type Record2 = Record<string, unknown>;

/** An object without the fields that are undefined. */
const compact = <T extends object>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;

const isCpuUtilization = ({ type, resource }: v2.MetricSpec) =>
  type === 'Resource' && resource?.name === 'cpu' && resource.target.averageUtilization !== undefined;
const isCpuStatus = ({ type, resource }: v2.MetricStatus) =>
  type === 'Resource' && resource?.name === 'cpu' && resource.current.averageUtilization !== undefined;

// One metric as v1's annotation writes it.

function toOldSpec({ type, resource, containerResource, pods, object, external }: v2.MetricSpec): Record2 {
  const usage = (source: v2.ResourceMetricSource) => ({
    name: source.name,
    targetAverageUtilization: source.target.averageUtilization,
    targetAverageValue: source.target.averageValue,
  });
  return compact({
    type,
    resource: resource && compact(usage(resource)),
    containerResource:
      containerResource && compact({ ...usage(containerResource), container: containerResource.container }),
    pods:
      pods &&
      compact({
        metricName: pods.metric.name,
        targetAverageValue: pods.target.averageValue,
        selector: pods.metric.selector,
      }),
    object:
      object &&
      compact({
        target: object.describedObject,
        metricName: object.metric.name,
        targetValue: object.target.value ?? '0',
        selector: object.metric.selector,
        averageValue: object.target.averageValue,
      }),
    external:
      external &&
      compact({
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        targetValue: external.target.value,
        targetAverageValue: external.target.averageValue,
      }),
  });
}

interface OldMetric {
  readonly name?: string;
  readonly container?: string;
  readonly metricName?: string;
  readonly target?: v2.CrossVersionObjectReference;
  readonly targetValue?: string;
  readonly targetAverageValue?: string;
  readonly averageValue?: string;
  readonly targetAverageUtilization?: number;
  readonly currentValue?: string;
  readonly currentAverageValue?: string;
  readonly currentAverageUtilization?: number;
  readonly selector?: object;
  readonly metricSelector?: object;
}

type OldEntry = { readonly type?: string } & Readonly<
  Partial<Record<'resource' | 'containerResource' | 'pods' | 'object' | 'external', OldMetric>>
>;

function targetOf({ targetValue, targetAverageValue, averageValue, targetAverageUtilization }: OldMetric): Record2 {
  const average = targetAverageValue ?? averageValue;
  const type =
    targetAverageUtilization !== undefined ? 'Utilization' : average !== undefined ? 'AverageValue' : 'Value';
  const value = type === 'Value' ? targetValue : undefined;
  return compact({ type, value, averageValue: average, averageUtilization: targetAverageUtilization });
}

function currentOf({ currentValue, currentAverageValue, averageValue, currentAverageUtilization }: OldMetric): Record2 {
  const average = currentAverageValue ?? averageValue;
  return compact({ value: currentValue, averageValue: average, averageUtilization: currentAverageUtilization });
}

function fromOld(entry: OldEntry, part: 'target' | 'current'): Record2 {
  const amounts = part === 'target' ? targetOf : currentOf;
  const metricOf = ({ metricName, selector, metricSelector }: OldMetric) =>
    compact({ name: metricName, selector: selector ?? metricSelector });
  const { resource, containerResource, pods, object, external } = entry;
  return compact({
    type: entry.type,
    resource: resource && { name: resource.name, [part]: amounts(resource) },
    containerResource: containerResource && {
      name: containerResource.name,
      container: containerResource.container,
      [part]: amounts(containerResource),
    },
    pods: pods && { metric: metricOf(pods), [part]: amounts(pods) },
    object: object && { describedObject: object.target, metric: metricOf(object), [part]: amounts(object) },
    external: external && { metric: metricOf(external), [part]: amounts(external) },
  });
}

function toOldStatus({ type, resource, containerResource, pods, object, external }: v2.MetricStatus): Record2 {
  const usage = (source: v2.ResourceMetricStatus) => ({
    name: source.name,
    currentAverageUtilization: source.current.averageUtilization,
    currentAverageValue: source.current.averageValue ?? '0',
  });
  return compact({
    type,
    resource: resource && compact(usage(resource)),
    containerResource:
      containerResource && compact({ ...usage(containerResource), container: containerResource.container }),
    pods:
      pods &&
      compact({
        metricName: pods.metric.name,
        currentAverageValue: pods.current.averageValue,
        selector: pods.metric.selector,
      }),
    object:
      object &&
      compact({
        target: object.describedObject,
        metricName: object.metric.name,
        currentValue: object.current.value ?? '0',
        selector: object.metric.selector,
        averageValue: object.current.averageValue,
      }),
    external:
      external &&
      compact({
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        currentValue: external.current.value ?? '0',
        currentAverageValue: external.current.averageValue,
      }),
  });
}

/** What an annotation holds; undefined for what is no JSON, which upstream drops as well. */
function parsed<T>(text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}

const listOf = (text: string | undefined): readonly OldEntry[] => {
  const value = parsed<unknown>(text);
  return Array.isArray(value) ? (value as OldEntry[]) : [];
};

export function autoscalerFromV1(object: KubeObject): KubeObject {
  const { spec, status, metadata, ...rest } = object as v1.HorizontalPodAutoscaler & KubeObject;
  const {
    [METRICS]: metrics,
    [BEHAVIOR]: behavior,
    [CURRENT]: current,
    [CONDITIONS]: conditions,
    ...annotations
  } = metadata.annotations ?? {};
  const { targetCPUUtilizationPercentage: percentage, ...kept } = spec ?? { maxReplicas: 0 };
  const cpu = {
    type: 'Resource',
    resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: percentage } },
  };
  const all = [...listOf(metrics).map((entry) => fromOld(entry, 'target')), ...(percentage === undefined ? [] : [cpu])];
  const { currentCPUUtilizationPercentage: now, ...observed } = status ?? {};
  const nowCpu = { type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: now } } };
  const currents = [
    ...listOf(current).map((entry) => fromOld(entry, 'current')),
    ...(now === undefined ? [] : [nowCpu]),
  ];
  const result = {
    ...rest,
    apiVersion: 'autoscaling/v2',
    metadata: { ...metadata, ...(metadata.annotations === undefined ? {} : { annotations }) },
    ...(spec === undefined
      ? {}
      : {
          spec: compact({
            ...kept,
            metrics: all.length > 0 ? all : undefined,
            behavior: parsed<v2.HorizontalPodAutoscalerBehavior>(behavior),
          }),
        }),
    ...(status === undefined
      ? {}
      : {
          status: compact({
            ...observed,
            currentMetrics: currents.length > 0 ? currents : undefined,
            conditions: parsed<v2.HorizontalPodAutoscalerCondition[]>(conditions),
          }),
        }),
  } as unknown as v2.HorizontalPodAutoscaler & KubeObject;
  if (Object.keys(annotations).length === 0) delete result.metadata.annotations;
  defaultHpa(result);
  return result;
}

export function autoscalerToV1(stored: KubeObject): KubeObject {
  const { spec, status, metadata, ...rest } = stored as v2.HorizontalPodAutoscaler & KubeObject;
  const { metrics = [], behavior, ...kept } = spec ?? { maxReplicas: 0 };
  const cpu = metrics.find(isCpuUtilization);
  const others = metrics.filter((metric) => metric !== cpu);
  const { currentMetrics = [], conditions = [], ...observed } = status ?? { desiredReplicas: 0 };
  const cpuNow = currentMetrics.find(isCpuStatus);
  const othersNow = currentMetrics.filter((metric) => metric !== cpuNow);
  const annotations = compact({
    ...metadata.annotations,
    [METRICS]: others.length > 0 ? JSON.stringify(others.map(toOldSpec)) : undefined,
    [BEHAVIOR]: behavior === undefined ? undefined : JSON.stringify(behavior),
    [CURRENT]: othersNow.length > 0 ? JSON.stringify(othersNow.map(toOldStatus)) : undefined,
    [CONDITIONS]: conditions.length > 0 ? JSON.stringify(conditions) : undefined,
  });
  return {
    ...rest,
    apiVersion: 'autoscaling/v1',
    metadata: {
      ...metadata,
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    } as KubeObject['metadata'],
    ...(spec === undefined
      ? {}
      : {
          spec: compact({ ...kept, targetCPUUtilizationPercentage: cpu?.resource?.target.averageUtilization }),
        }),
    ...(status === undefined
      ? {}
      : {
          status: compact({
            ...observed,
            currentCPUUtilizationPercentage: cpuNow?.resource?.current.averageUtilization,
          }),
        }),
  };
}

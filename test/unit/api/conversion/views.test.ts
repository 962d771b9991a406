import assert from 'node:assert/strict';
import { autoscalerFromV1, autoscalerToV1 } from '../../../../src/api/conversion/autoscaling.js';
import { eventFromCore, eventToCore } from '../../../../src/api/conversion/events.js';
import type { KubeObject } from '../../../../src/api/object.js';

const metadata = { name: 'a', namespace: 'd' };
const scaleTargetRef = { kind: 'Deployment', name: 'web', apiVersion: 'apps/v1' };
const cpu = { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } };

describe('autoscaling/v1', () => {
  const v2 = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata,
    spec: {
      scaleTargetRef,
      minReplicas: 1,
      maxReplicas: 5,
      metrics: [
        { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '64Mi' } } },
        { type: 'Pods', pods: { metric: { name: 'qps' }, target: { type: 'AverageValue', averageValue: '10' } } },
        {
          type: 'Object',
          object: {
            describedObject: { kind: 'Service', name: 's' },
            metric: { name: 'rps', selector: { matchLabels: { a: 'b' } } },
            target: { type: 'Value', value: '2k' },
          },
        },
        {
          type: 'External',
          external: { metric: { name: 'queue' }, target: { type: 'AverageValue', averageValue: '30' } },
        },
        {
          type: 'ContainerResource',
          containerResource: { name: 'cpu', container: 'c', target: { type: 'Utilization', averageUtilization: 70 } },
        },
        cpu,
      ],
      behavior: {
        scaleUp: {
          stabilizationWindowSeconds: 0,
          selectPolicy: 'Max',
          policies: [{ type: 'Pods', value: 4, periodSeconds: 15 }],
        },
        scaleDown: { selectPolicy: 'Min', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] },
      },
    },
    status: {
      currentReplicas: 1,
      desiredReplicas: 2,
      currentMetrics: [
        { type: 'Pods', pods: { metric: { name: 'qps' }, current: { averageValue: '7' } } },
        { type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 40 } } },
      ],
      conditions: [{ type: 'AbleToScale', status: 'True' }],
    },
  } as unknown as KubeObject;

  it('shows everything of v2, in annotations where it has no field, and loses nothing on the way back', () => {
    const v1 = autoscalerToV1(v2);
    const { spec, status } = v1 as { spec?: Record<string, unknown>; status?: Record<string, unknown> };
    assert.deepEqual(spec, { scaleTargetRef, minReplicas: 1, maxReplicas: 5, targetCPUUtilizationPercentage: 50 });
    assert.deepEqual(status, { currentReplicas: 1, desiredReplicas: 2, currentCPUUtilizationPercentage: 40 });
    assert.deepEqual(Object.keys(v1.metadata.annotations ?? {}).toSorted(), [
      'autoscaling.alpha.kubernetes.io/behavior',
      'autoscaling.alpha.kubernetes.io/conditions',
      'autoscaling.alpha.kubernetes.io/current-metrics',
      'autoscaling.alpha.kubernetes.io/metrics',
    ]);
    assert.deepEqual(autoscalerFromV1(v1), v2);
  });

  it('means 80 percent of the CPU where it names nothing', () => {
    const v1 = {
      apiVersion: 'autoscaling/v1',
      kind: 'HorizontalPodAutoscaler',
      metadata,
      spec: { scaleTargetRef, maxReplicas: 2 },
    };
    const stored = autoscalerFromV1(v1 as KubeObject) as { spec?: { metrics?: unknown } };
    assert.deepEqual(stored.spec?.metrics, [
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
    ]);
  });

  it('drops annotations that are no JSON', () => {
    const annotations = { 'autoscaling.alpha.kubernetes.io/metrics': '{', mine: 'x' };
    const v1 = { metadata: { ...metadata, annotations }, spec: { scaleTargetRef, maxReplicas: 2 } };
    assert.deepEqual(autoscalerFromV1(v1 as KubeObject).metadata.annotations, { mine: 'x' });
  });
});

describe('events.k8s.io/v1', () => {
  it('is the core Event under newer names', () => {
    const core = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata,
      involvedObject: { kind: 'Pod', name: 'p' },
      message: 'm',
      reason: 'R',
      type: 'Normal',
      count: 3,
      firstTimestamp: '2024-01-01T00:00:00Z',
      lastTimestamp: '2024-01-01T00:01:00Z',
      source: { component: 'kubelet' },
      reportingComponent: 'kubelet',
      eventTime: null,
    } as unknown as KubeObject;
    const newer = eventFromCore(core);
    assert.deepEqual(newer, {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata,
      regarding: { kind: 'Pod', name: 'p' },
      note: 'm',
      reason: 'R',
      type: 'Normal',
      deprecatedCount: 3,
      deprecatedFirstTimestamp: '2024-01-01T00:00:00Z',
      deprecatedLastTimestamp: '2024-01-01T00:01:00Z',
      deprecatedSource: { component: 'kubelet' },
      reportingController: 'kubelet',
      eventTime: null,
    });
    assert.deepEqual(eventToCore(newer), core);
  });
});

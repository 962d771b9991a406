/** Use of CPU and memory by container: `/stats/summary` (stats/v1alpha1) and `/metrics/resource` (Prometheus text). */
import { rfc3339, type Clock } from '../../../base/clock.js';
import type { Pod } from '../../../api/types/core-v1.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { PodView } from './kubelet-server.js';
import { readMachineUse } from './machine-use.js';

interface Use {
  readonly pod: Pod;
  readonly container: string;
  readonly startedAtMs: number;
  readonly cpuNanoseconds: number;
  readonly memoryBytes: number;
}

async function uses(pods: PodView, runtime: Runtime): Promise<Use[]> {
  const running = pods.list().flatMap((pod) => {
    const { namespace = '', name = '' } = pod.metadata;
    const containers = pods.find(namespace, name)?.observed.containers ?? [];
    return containers.filter(({ state }) => state === 'running').map((container) => ({ pod, container }));
  });
  const read = await Promise.all(
    running.map(async ({ pod, container }): Promise<Use[]> => {
      const stats = await runtime.stats(container.id).catch(() => undefined);
      return stats ? [{ pod, container: container.name, startedAtMs: container.startedAtMs, ...stats }] : [];
    }),
  );
  return read.flat();
}

export async function statsSummary(pods: PodView, runtime: Runtime, clock: Clock, nodeName: string): Promise<object> {
  const [all, machine] = await Promise.all([uses(pods, runtime), readMachineUse()]);
  const time = rfc3339(clock.nowMs());
  const figures = (of: readonly Pick<Use, 'cpuNanoseconds' | 'memoryBytes'>[]) => ({
    cpu: { time, usageCoreNanoSeconds: of.reduce((sum, one) => sum + one.cpuNanoseconds, 0) },
    memory: { time, workingSetBytes: of.reduce((sum, one) => sum + one.memoryBytes, 0) },
  });
  return {
    node: { nodeName, ...figures(machine ? [machine] : all) },
    pods: pods.list().map((pod) => {
      const { name, namespace, uid } = pod.metadata;
      const own = all.filter((use) => use.pod === pod);
      return {
        podRef: { name, namespace, uid },
        startTime: pod.status?.startTime,
        containers: own.map((use) => ({
          name: use.container,
          startTime: rfc3339(use.startedAtMs),
          ...figures([use]),
        })),
        ...figures(own),
      };
    }),
  };
}

export async function resourceMetrics(pods: PodView, runtime: Runtime, clock: Clock): Promise<string> {
  const [all, machine] = await Promise.all([uses(pods, runtime), readMachineUse()]);
  const at = clock.nowMs();
  const labels = ({ pod, container }: Use) =>
    `container="${container}",namespace="${pod.metadata.namespace}",pod="${pod.metadata.name}"`;
  return [
    '# TYPE container_cpu_usage_seconds_total counter',
    ...all.map((use) => `container_cpu_usage_seconds_total{${labels(use)}} ${use.cpuNanoseconds / 1e9} ${at}`),
    '# TYPE container_memory_working_set_bytes gauge',
    ...all.map((use) => `container_memory_working_set_bytes{${labels(use)}} ${use.memoryBytes} ${at}`),
    ...(machine
      ? [
          '# TYPE node_cpu_usage_seconds_total counter',
          `node_cpu_usage_seconds_total ${machine.cpuNanoseconds / 1e9} ${at}`,
          '# TYPE node_memory_working_set_bytes gauge',
          `node_memory_working_set_bytes ${machine.memoryBytes} ${at}`,
        ]
      : []),
    '',
  ].join('\n');
}

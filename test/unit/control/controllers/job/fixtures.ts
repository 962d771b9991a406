/** Jobs and pods that end, on the harness. */
import { rfc3339 } from '../../../../../src/base/clock.js';
import { EVENTS, JOBS, PODS } from '../../../../../src/api/resource.js';
import type { Job, JobSpec } from '../../../../../src/api/types/batch-v1.js';
import type { Event, Pod } from '../../../../../src/api/types/core-v1.js';
import { COMPLETION_INDEX } from '../../../../../src/control/controllers/job/pod-facts.js';
import type { Harness } from '../harness.js';

/** As the API server leaves it: defaults are in. */
export const job = (spec: Partial<JobSpec> = {}, name = 'sum'): Job => ({
  metadata: { namespace: 'ns', name, uid: `uid-of-${name}` },
  spec: {
    parallelism: 1,
    backoffLimit: 6,
    completionMode: 'NonIndexed',
    suspend: false,
    podReplacementPolicy: 'TerminatingOrFailed',
    ...('completions' in spec || 'parallelism' in spec ? {} : { completions: 1 }),
    selector: { matchLabels: { job: name } },
    template: {
      metadata: { labels: { job: name } },
      spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'app:1' }] },
    },
    ...spec,
  },
});

export const podsOf = (h: Harness) => h.client.all<Pod>(PODS);
export const activePodsOf = (h: Harness) =>
  podsOf(h).filter((pod) => !pod.metadata.deletionTimestamp && !/Succeeded|Failed/.test(pod.status?.phase ?? ''));
export const indexesOf = (pods: readonly Pod[]) =>
  pods.map(({ metadata }) => Number(metadata.annotations?.[COMPLETION_INDEX])).toSorted((a, b) => a - b);
export const jobNamed = (h: Harness, name = 'sum') => h.client.get<Job>(JOBS, 'ns', name);
export const reasons = (h: Harness) =>
  h.client.all<Event>(EVENTS).map(({ reason, message }) => `${reason}: ${message}`);
export const conditionsOf = ({ status }: Job) =>
  (status?.conditions ?? []).map(({ type, status: is, reason, message }) => `${type}=${is} ${reason}: ${message}`);

/** Ends a pod as a kubelet does. */
export async function endPod(h: Harness, { metadata }: Pod, exitCode = 0, conditions: object[] = []): Promise<void> {
  const live = await h.client.get<Pod>(PODS, 'ns', metadata.name ?? '');
  const finishedAt = rfc3339(h.clock.nowMs());
  await h.client.updateStatus<Pod>(PODS, {
    ...live,
    status: {
      phase: exitCode === 0 ? 'Succeeded' : 'Failed',
      conditions: conditions as never,
      containerStatuses: [
        {
          name: 'main',
          image: 'app:1',
          imageID: '',
          ready: false,
          restartCount: 0,
          state: { terminated: { exitCode, finishedAt } },
        },
      ],
    },
  });
}

export async function endAll(h: Harness, exitCodeOf: (index: number) => number = () => 0): Promise<void> {
  for (const pod of activePodsOf(h)) {
    await endPod(h, pod, exitCodeOf(Number(pod.metadata.annotations?.[COMPLETION_INDEX] ?? 0)));
  }
  await h.clock.advance(100);
}

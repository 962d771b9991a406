/** The pods of a Job. Pure. */
import type { Container, Pod, PodTemplateSpec } from '../../../api/types/core-v1.js';
import { JOBS } from '../../../api/resource.js';
import { controllerRef } from '../claim.js';
import type { Observation } from './observation.js';
import {
  COMPLETION_INDEX,
  hasBackoffPerIndex,
  ignoredIndexFailures,
  INDEX_FAILURES,
  INDEX_IGNORED_FAILURES,
  indexFailures,
  TRACKING_FINALIZER,
  type ReadonlyJob,
} from './pod-facts.js';
import { judgeFailure } from './policies.js';

/** Upstream keeps room for the random suffix in names of 63 characters. */
const MAX_PREFIX = 58;
const INDEX_VARIABLE = 'JOB_COMPLETION_INDEX';

/** A new pod; `index` is the completion index of an indexed Job. */
export function podOf({ job, lastFailed }: Pick<Observation, 'job' | 'lastFailed'>, index: number | undefined): Pod {
  const template = structuredClone(job.spec?.template ?? { spec: { containers: [] } }) as PodTemplateSpec;
  const { labels, annotations, finalizers } = template.metadata ?? {};
  const name = job.metadata.name ?? '';
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: job.metadata.namespace ?? '',
      generateName: `${name}-`,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      finalizers: [...(finalizers ?? []).filter((one) => one !== TRACKING_FINALIZER), TRACKING_FINALIZER],
      ownerReferences: [controllerRef(JOBS, { metadata: { name, uid: job.metadata.uid ?? '' } })],
    },
    ...(template.spec ? { spec: template.spec } : {}),
  };
  if (index !== undefined) addIndex(pod, name, index, failuresBefore(job, lastFailed.get(index)));
  return pod;
}

function addIndex(
  { metadata, spec }: Pod,
  job: string,
  index: number,
  failures: Readonly<Record<string, string>>,
): void {
  const suffix = `-${index}-`;
  metadata.generateName = `${job.slice(0, MAX_PREFIX - suffix.length)}${suffix}`;
  metadata.annotations = { ...metadata.annotations, [COMPLETION_INDEX]: String(index), ...failures };
  metadata.labels = { ...metadata.labels, [COMPLETION_INDEX]: String(index) };
  if (!spec) return;
  spec.hostname = `${job}-${index}`;
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) addIndexVariable(container);
}

function addIndexVariable(container: Container): void {
  if (container.env?.some(({ name }) => name === INDEX_VARIABLE)) return;
  const fieldRef = { fieldPath: `metadata.labels['${COMPLETION_INDEX}']` };
  container.env = [...(container.env ?? []), { name: INDEX_VARIABLE, valueFrom: { fieldRef } }];
}

/** How often the index failed so far, where failures count per index. */
function failuresBefore(job: ReadonlyJob, failed: Pod | undefined): Record<string, string> {
  if (!hasBackoffPerIndex(job)) return {};
  if (!failed) return { [INDEX_FAILURES]: '0' };
  const { counts } = judgeFailure(job.spec, failed);
  const ignored = ignoredIndexFailures(failed) + (counts ? 0 : 1);
  return {
    [INDEX_FAILURES]: String(indexFailures(failed) + (counts ? 1 : 0)),
    ...(ignored > 0 ? { [INDEX_IGNORED_FAILURES]: String(ignored) } : {}),
  };
}

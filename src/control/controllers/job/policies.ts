/** A Job's `podFailurePolicy` and `successPolicy`. Pure. */
import type { JobSpec, PodFailurePolicyRule } from '../../../api/types/batch-v1.js';
import type { DeepReadonly } from '../../../api/object.js';
import { IndexSet } from './index-set.js';
import { isFailed, type ReadonlyJob, type ReadonlyPod } from './pod-facts.js';

type Rule = DeepReadonly<PodFailurePolicyRule>;

/** What the first matching rule makes of a failed pod. */
export interface FailureVerdict {
  readonly action: Rule['action'] | undefined;
  /** Whether the failure counts towards the limits. */
  readonly counts: boolean;
  /** Why the Job is to fail, when it is. */
  readonly message?: string;
}

const UNMATCHED: FailureVerdict = { action: undefined, counts: true };

export function judgeFailure(spec: DeepReadonly<JobSpec> | undefined, pod: ReadonlyPod): FailureVerdict {
  for (const [index, rule] of (spec?.podFailurePolicy?.rules ?? []).entries()) {
    const what = matched(rule, pod);
    if (what === undefined) continue;
    const { action } = rule;
    if (action !== 'FailJob') return { action, counts: action !== 'Ignore' };
    return { action, counts: true, message: `${what} matching FailJob rule at index ${index}` };
  }
  return UNMATCHED;
}

/** What of the pod the rule matches, in words; undefined when nothing. */
function matched(rule: Rule, { metadata, status }: ReadonlyPod): string | undefined {
  const pod = `${metadata.namespace}/${metadata.name}`;
  if (rule.onExitCodes) {
    const { containerName, operator, values } = rule.onExitCodes;
    for (const container of [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])]) {
      if (containerName !== undefined && containerName !== container.name) continue;
      const exitCode = container.state?.terminated?.exitCode;
      if (exitCode === undefined || exitCode === 0) continue;
      if (values.includes(exitCode) === (operator === 'In')) {
        return `Container ${container.name} for pod ${pod} failed with exit code ${exitCode}`;
      }
    }
    return undefined;
  }
  for (const pattern of rule.onPodConditions ?? []) {
    const found = status?.conditions?.some((one) => one.type === pattern.type && one.status === pattern.status);
    if (found) return `Pod ${pod} has condition ${pattern.type}`;
  }
  return undefined;
}

/** Why the Job fails at once, if one of its failed pods says so. */
export function failJobMessage(job: ReadonlyJob, pods: readonly ReadonlyPod[]): string | undefined {
  if (!job.spec?.podFailurePolicy) return undefined;
  for (const pod of pods) {
    const message = isFailed(pod, job) ? judgeFailure(job.spec, pod).message : undefined;
    if (message !== undefined) return message;
  }
  return undefined;
}

/** Which rule of the success policy is met, in words. */
export function successMessage({ spec }: ReadonlyJob, succeeded: IndexSet): string | undefined {
  const completions = spec?.completions ?? 0;
  for (const [index, { succeededCount, succeededIndexes }] of (spec?.successPolicy?.rules ?? []).entries()) {
    const named = succeededIndexes === undefined ? undefined : IndexSet.parse(succeededIndexes, completions);
    const reached = named ? named.sharedWith(succeeded) : succeeded.size;
    if (reached >= (succeededCount ?? named?.size ?? Infinity)) return `Matched rules at index ${index}`;
  }
  return undefined;
}

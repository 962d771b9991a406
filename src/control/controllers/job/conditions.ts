/** Conditions of a Job. Pure. */
import { rfc3339 } from '../../../base/clock.js';
import type { DeepReadonly } from '../../../api/object.js';
import type { Job, JobCondition } from '../../../api/types/batch-v1.js';

/**
 * That a Job has come to its end, and why. It is written first as the condition of this type, then, when all its pods have
 * ended and are counted, as `Complete` or `Failed`.
 */
export interface Verdict {
  readonly type: 'SuccessCriteriaMet' | 'FailureTarget';
  readonly reason: string;
  readonly message: string;
}

type Conditions = readonly DeepReadonly<JobCondition>[];

const isTrue = (conditions: Conditions | undefined, type: string) =>
  conditions?.find((one) => one.type === type && one.status === 'True');

/** `Complete` or `Failed`, when the Job has ended. */
export function endOf({ status }: DeepReadonly<Job>): DeepReadonly<JobCondition> | undefined {
  return isTrue(status?.conditions, 'Complete') ?? isTrue(status?.conditions, 'Failed');
}

export const isFinished = (job: DeepReadonly<Job>) => endOf(job) !== undefined;

/** The verdict that was written before. */
export function verdictOf({ status }: DeepReadonly<Job>): Verdict | undefined {
  for (const type of ['SuccessCriteriaMet', 'FailureTarget'] as const) {
    const found = isTrue(status?.conditions, type);
    if (found) return { type, reason: found.reason ?? '', message: found.message ?? '' };
  }
  return undefined;
}

export function withCondition(
  conditions: Conditions,
  next: { readonly type: string; readonly status: 'True' | 'False'; readonly reason: string; readonly message: string },
  nowMs: number,
): JobCondition[] {
  const at = rfc3339(nowMs);
  const condition: JobCondition = { ...next, lastProbeTime: at, lastTransitionTime: at };
  const before = conditions.findIndex(({ type }) => type === next.type);
  if (before < 0) return next.status === 'True' ? [...conditions, condition] : [...conditions];
  if (conditions[before]?.status === next.status) return [...conditions];
  return conditions.with(before, condition) as JobCondition[];
}

/** The condition with which the Job ends after this verdict. */
export const finalType = ({ type }: Verdict) => (type === 'FailureTarget' ? 'Failed' : 'Complete');

/** Rules of a Job's `podFailurePolicy` and `successPolicy`. */
import { qualifiedName } from '../names.js';
import type { DeepReadonly } from '../object.js';
import type { Sent } from './sent.js';
import type { JobSpec, PodFailurePolicyRule, SuccessPolicyRule } from '../types/batch-v1.js';
import type { FieldErrors } from './field-errors.js';

type Spec = DeepReadonly<JobSpec>;

/** Upstream's limits. */
const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;
const MAX_CONDITIONS = 20;
const MAX_INDEXES_BYTES = 64 * 1024;

const isSorted = (values: readonly number[]) =>
  values.every((value, index) => index === 0 || (values[index - 1] ?? 0) <= value);

function validateExitCodes(
  errors: FieldErrors,
  at: string,
  codes: NonNullable<Sent<PodFailurePolicyRule>['onExitCodes']>,
  containers: ReadonlySet<string>,
): void {
  errors.requiredOneOf(`${at}.operator`, codes.operator, ['In', 'NotIn']);
  const { containerName, values = [] } = codes;
  if (containerName !== undefined && !containers.has(containerName)) {
    const text = 'must be one of the container or initContainer names in the pod template';
    errors.invalid(`${at}.containerName`, containerName, text);
  }
  if (values.length === 0) errors.invalid(`${at}.values`, values, 'at least one value is required');
  else if (values.length > MAX_EXIT_CODES) errors.tooMany(`${at}.values`, values.length, MAX_EXIT_CODES);
  const seen = new Set<number>();
  values.forEach((value, index) => {
    if (seen.has(value)) errors.duplicate(`${at}.values[${index}]`, value);
    if (codes.operator === 'In' && value === 0) {
      errors.invalid(`${at}.values[${index}]`, value, 'must not be 0 for the In operator');
    }
    seen.add(value);
  });
  if (!isSorted(values)) errors.invalid(`${at}.values`, values, 'must be ordered');
}

export function validateFailurePolicy(errors: FieldErrors, at: string, spec: Spec): void {
  if (spec.podFailurePolicy === undefined) return;
  const rules = spec.podFailurePolicy.rules ?? [];
  const pod = spec.template?.spec;
  const names = [...(pod?.initContainers ?? []), ...(pod?.containers ?? [])].map(({ name }) => name);
  const containers = new Set(names);
  if (rules.length > MAX_RULES) errors.tooMany(`${at}.rules`, rules.length, MAX_RULES);
  rules.forEach((rule, index) => {
    const field = `${at}.rules[${index}]`;
    const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
    if (rule.action === 'FailIndex' && spec.backoffLimitPerIndex === undefined) {
      errors.invalid(`${field}.action`, rule.action, 'requires the backoffLimitPerIndex to be set');
    } else errors.requiredOneOf(`${field}.action`, rule.action, actions);
    if (rule.onExitCodes !== undefined) {
      validateExitCodes(errors, `${field}.onExitCodes`, rule.onExitCodes, containers);
    }
    const conditions = rule.onPodConditions ?? [];
    if (conditions.length > MAX_CONDITIONS) {
      errors.tooMany(`${field}.onPodConditions`, conditions.length, MAX_CONDITIONS);
    }
    conditions.forEach(({ type, status }, at2) => {
      errors.check(`${field}.onPodConditions[${at2}].type`, type ?? '', qualifiedName);
      errors.requiredOneOf(`${field}.onPodConditions[${at2}].status`, status, ['False', 'True', 'Unknown']);
    });
    if (rule.onExitCodes !== undefined && conditions.length > 0) {
      errors.invalid(field, '', 'specifying both OnExitCodes and OnPodConditions is not supported');
    } else if (rule.onExitCodes === undefined && conditions.length === 0) {
      errors.invalid(field, '', 'specifying one of OnExitCodes and OnPodConditions is required');
    }
  });
}

/** How many indexes `0,2-4` names. Throws a text that says what is wrong with it. */
function countIndexes(indexes: string, completions: number): number {
  let total = 0;
  let last = -1;
  for (const interval of indexes.split(',')) {
    const limits = interval.split('-');
    if (limits.length > 2)
      throw new Error(
        `the fragment ${JSON.stringify(interval)} violates the requirement that an index interval can have at most two parts separated by '-'`,
      );
    const numbers = limits.map((text) => {
      if (!/^[0-9]+$/.test(text))
        throw new Error(`cannot convert string to integer for index: ${JSON.stringify(text)}`);
      return Number(text);
    });
    const [first = 0, end = first] = numbers;
    for (const value of numbers)
      if (value >= completions) throw new Error(`too large index: ${JSON.stringify(String(value))}`);
    if (last >= first) throw new Error(`non-increasing order, previous: ${last}, current: ${first}`);
    if (limits.length === 2 && first >= end)
      throw new Error(`non-increasing order, previous: ${first}, current: ${end}`);
    total += end - first + 1;
    last = end;
  }
  return total;
}

function validateSuccessRule(errors: FieldErrors, at: string, rule: DeepReadonly<SuccessPolicyRule>, spec: Spec): void {
  const { succeededCount, succeededIndexes } = rule;
  const completions = spec.completions ?? 0;
  if (succeededCount === undefined && succeededIndexes === undefined) {
    errors.required(at, 'at least one of succeededCount or succeededIndexes must be specified');
  }
  let named: number | undefined;
  if (succeededIndexes !== undefined) {
    if (succeededIndexes.length > MAX_INDEXES_BYTES) errors.tooLong(`${at}.succeededIndexes`, MAX_INDEXES_BYTES);
    try {
      named = countIndexes(succeededIndexes, completions);
    } catch (error) {
      const text = `error parsing succeededIndexes: ${(error as Error).message}`;
      errors.invalid(`${at}.succeededIndexes`, succeededIndexes, text);
    }
  }
  if (succeededCount === undefined) return;
  errors.nonNegative(`${at}.succeededCount`, succeededCount);
  if (succeededCount > completions) {
    const text = `must be less than or equal to ${completions} (the number of specified completions)`;
    errors.invalid(`${at}.succeededCount`, succeededCount, text);
  }
  if (named !== undefined && succeededCount > named) {
    const text = `must be less than or equal to ${named} (the number of indexes in the specified succeededIndexes field)`;
    errors.invalid(`${at}.succeededCount`, succeededCount, text);
  }
}

export function validateSuccessPolicy(errors: FieldErrors, at: string, spec: Spec): void {
  const rules = spec.successPolicy?.rules ?? [];
  if (rules.length === 0) {
    errors.required(`${at}.rules`, 'at least one rules must be specified when the successPolicy is specified');
  }
  if (rules.length > MAX_RULES) errors.tooMany(`${at}.rules`, rules.length, MAX_RULES);
  rules.forEach((rule, index) => validateSuccessRule(errors, `${at}.rules[${index}]`, rule, spec));
}

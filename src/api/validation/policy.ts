/** Rules of PodDisruptionBudget, PriorityClass and RuntimeClass. */
import { dns1123Label } from '../names.js';
import type { RuntimeClass } from '../types/node-v1.js';
import type { PodDisruptionBudget } from '../types/policy-v1.js';
import type { PriorityClass } from '../types/scheduling-v1.js';
import type { FieldErrors } from './field-errors.js';
import { validateLabels } from './metadata.js';
import { validateAmounts, validateAtMost100Percent, validateIntOrPercent, validateLabelSelector } from './selectors.js';
import type { Sent } from './sent.js';
import { validateTolerations } from './tolerations.js';

export function validateDisruptionBudget(errors: FieldErrors, { spec = {} }: Sent<PodDisruptionBudget>): void {
  const { minAvailable, maxUnavailable } = spec;
  if (minAvailable !== undefined && maxUnavailable !== undefined) {
    errors.invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set');
  }
  for (const field of ['minAvailable', 'maxUnavailable'] as const) {
    validateIntOrPercent(errors, `spec.${field}`, spec[field]);
    validateAtMost100Percent(errors, `spec.${field}`, spec[field]);
  }
  if (spec.selector !== undefined) validateLabelSelector(errors, 'spec.selector', spec.selector);
  errors.oneOf('spec.unhealthyPodEvictionPolicy', spec.unhealthyPodEvictionPolicy, ['AlwaysAllow', 'IfHealthyBudget']);
}

const SYSTEM_PREFIX = 'system-';
const MAX_USER_PRIORITY = 1_000_000_000;
const SYSTEM_CLASSES: Readonly<Record<string, number>> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
};

/** What is wrong with a class that claims one of the system's names; empty for the system's own. */
function systemClassError(name: string, { value, globalDefault }: Sent<PriorityClass>): string {
  const expected = SYSTEM_CLASSES[name];
  if (expected === undefined) return `${name} is not a known system priority class`;
  if (value !== expected) return `value of ${name} PriorityClass must be ${expected}`;
  return globalDefault === true ? `globalDefault of ${name} PriorityClass must be false` : '';
}

export function validatePriorityClass(errors: FieldErrors, priority: Sent<PriorityClass>): void {
  const name = priority.metadata?.name ?? '';
  if (name.startsWith(SYSTEM_PREFIX)) {
    const why = systemClassError(name, priority);
    if (why !== '') {
      const text = "priority class names with 'system-' prefix are reserved for system use only. error: ";
      errors.forbidden('metadata.name', text + why);
    }
  } else if ((priority.value ?? 0) > MAX_USER_PRIORITY) {
    errors.forbidden('value', `maximum allowed value of a user defined priority is ${MAX_USER_PRIORITY}`);
  }
  errors.oneOf('preemptionPolicy', priority.preemptionPolicy, ['Never', 'PreemptLowerPriority']);
}

export function validatePriorityClassUpdate(
  errors: FieldErrors,
  priority: Sent<PriorityClass>,
  old: Sent<PriorityClass>,
): void {
  if ((priority.value ?? 0) !== (old.value ?? 0)) errors.forbidden('value', 'may not be changed in an update.');
  if (priority.preemptionPolicy !== old.preemptionPolicy) {
    errors.immutable('preemptionPolicy', priority.preemptionPolicy);
  }
}

export function validateRuntimeClass(errors: FieldErrors, { handler, overhead, scheduling }: Sent<RuntimeClass>): void {
  errors.check('handler', handler ?? '', dns1123Label);
  validateAmounts(errors, 'overhead.podFixed', overhead?.podFixed);
  validateLabels(errors, 'scheduling.nodeSelector', scheduling?.nodeSelector as Record<string, string> | undefined);
  validateTolerations(errors, 'scheduling.tolerations', scheduling?.tolerations);
}

export function validateRuntimeClassUpdate(
  errors: FieldErrors,
  { handler }: Sent<RuntimeClass>,
  old: Sent<RuntimeClass>,
): void {
  if (handler !== old.handler) errors.immutable('handler', handler);
}

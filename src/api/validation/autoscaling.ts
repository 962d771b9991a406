/** Rules of HorizontalPodAutoscaler, in its v2 form. */
import { pathSegmentName } from '../names.js';
import { parseQuantity } from '../quantity.js';
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
} from '../types/autoscaling-v2.js';
import type { FieldErrors } from './field-errors.js';
import { validateLabelSelector } from './selectors.js';
import type { Sent } from './sent.js';

const METRICS = {
  ContainerResource: 'containerResource',
  External: 'external',
  Object: 'object',
  Pods: 'pods',
  Resource: 'resource',
} as const;
const SOURCES = Object.values(METRICS);
/** Seconds. */
const MAX_PERIOD = 1800;
const MAX_STABILIZATION = 3600;

function validateReference(
  errors: FieldErrors,
  at: string,
  reference: Sent<CrossVersionObjectReference> | undefined,
): void {
  errors.requiredName(`${at}.kind`, reference?.kind, pathSegmentName);
  errors.requiredName(`${at}.name`, reference?.name, pathSegmentName);
}

function validateTarget(errors: FieldErrors, at: string, target: Sent<MetricTarget> | undefined): void {
  const { type, value, averageValue, averageUtilization } = target ?? {};
  if (!type) errors.required(`${at}.type`, 'must specify a metric target type');
  else if (!['Utilization', 'Value', 'AverageValue'].includes(type)) {
    errors.invalid(`${at}.type`, type, 'must be either Utilization, Value, or AverageValue');
  }
  const positive = (field: string, amount: string | number | undefined) => {
    if (amount !== undefined && parseQuantity(amount).nano <= 0n)
      errors.invalid(field, String(amount), 'must be positive');
  };
  positive(`${at}.value`, value);
  positive(`${at}.averageValue`, averageValue);
  if (averageUtilization !== undefined && averageUtilization < 1) {
    errors.invalid(`${at}.averageUtilization`, averageUtilization, 'must be greater than 0');
  }
}

function validateIdentifier(errors: FieldErrors, at: string, metric: Sent<MetricIdentifier> | undefined): void {
  errors.requiredName(`${at}.name`, metric?.name, pathSegmentName);
  if (metric?.selector !== undefined) validateLabelSelector(errors, `${at}.selector`, metric.selector);
}

function utilizationOrValue(errors: FieldErrors, at: string, target: Sent<MetricTarget> | undefined): void {
  const { averageUtilization, averageValue } = target ?? {};
  if (averageUtilization === undefined && averageValue === undefined) {
    errors.required(`${at}.averageUtilization`, 'must set either a target raw value or a target utilization');
  } else if (averageUtilization !== undefined && averageValue !== undefined) {
    errors.forbidden(`${at}.averageValue`, 'may not set both a target raw value and a target utilization');
  }
}

function validateSource(errors: FieldErrors, at: string, spec: Sent<MetricSpec>): void {
  const { object, pods, resource, containerResource, external } = spec;
  if (object !== undefined) {
    validateReference(errors, `${at}.object.describedObject`, object.describedObject);
    validateIdentifier(errors, `${at}.object.metric`, object.metric);
    validateTarget(errors, `${at}.object.target`, object.target);
    if (object.target?.value === undefined && object.target?.averageValue === undefined) {
      errors.required(`${at}.object.target.averageValue`, 'must set either a target value or averageValue');
    }
  }
  if (external !== undefined) {
    validateIdentifier(errors, `${at}.external.metric`, external.metric);
    validateTarget(errors, `${at}.external.target`, external.target);
    const { value, averageValue } = external.target ?? {};
    if (value === undefined && averageValue === undefined) {
      errors.required(
        `${at}.external.target.averageValue`,
        'must set either a target value for metric or a per-pod target',
      );
    } else if (value !== undefined && averageValue !== undefined) {
      errors.forbidden(
        `${at}.external.target.value`,
        'may not set both a target value for metric and a per-pod target',
      );
    }
  }
  if (pods !== undefined) {
    validateIdentifier(errors, `${at}.pods.metric`, pods.metric);
    validateTarget(errors, `${at}.pods.target`, pods.target);
    if (pods.target?.averageValue === undefined) {
      errors.required(`${at}.pods.target.averageValue`, 'must specify a positive target averageValue');
    }
  }
  for (const [name, source] of [
    ['containerResource', containerResource],
    ['resource', resource],
  ] as const) {
    if (source === undefined) continue;
    if (!source.name) errors.required(`${at}.${name}.name`, 'must specify a resource name');
    if ('container' in source && !source.container) {
      errors.required(`${at}.${name}.container`, 'must specify a container');
    }
    validateTarget(errors, `${at}.${name}.target`, source.target);
    utilizationOrValue(errors, `${at}.${name}.target`, source.target);
  }
}

function validateMetric(errors: FieldErrors, at: string, spec: Sent<MetricSpec>): void {
  const type = spec.type ?? '';
  if (type === '') errors.required(`${at}.type`, 'must specify a metric source type');
  else if (!Object.hasOwn(METRICS, type)) errors.notSupported(`${at}.type`, type, Object.keys(METRICS));
  validateSource(errors, at, spec);
  const expected = METRICS[type as keyof typeof METRICS] as (typeof SOURCES)[number] | undefined;
  if (expected !== undefined && spec[expected] === undefined) {
    errors.required(`${at}.${expected}`, 'must populate information for the given metric source');
  }
  for (const source of SOURCES) {
    if (spec[source] !== undefined && source !== expected) {
      errors.forbidden(`${at}.${source}`, 'must populate the given metric source only');
    }
  }
}

function validateRules(errors: FieldErrors, at: string, rules: Sent<HPAScalingRules> | undefined): void {
  if (rules === undefined) return;
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [] } = rules;
  if (window !== undefined && window < 0) {
    errors.invalid(`${at}.stabilizationWindowSeconds`, window, 'must be greater than or equal to zero');
  } else if (window !== undefined && window > MAX_STABILIZATION) {
    errors.invalid(`${at}.stabilizationWindowSeconds`, window, `must be less than or equal to ${MAX_STABILIZATION}`);
  }
  errors.oneOf(`${at}.selectPolicy`, selectPolicy, ['Disabled', 'Max', 'Min']);
  if (policies.length === 0) errors.required(`${at}.policies`, 'must specify at least one Policy');
  policies.forEach(({ type, value = 0, periodSeconds = 0 }, index) => {
    const field = `${at}.policies[${index}]`;
    errors.oneOf(`${field}.type`, type ?? '', ['Percent', 'Pods']);
    if (value <= 0) errors.invalid(`${field}.value`, value, 'must be greater than zero');
    if (periodSeconds <= 0) errors.invalid(`${field}.periodSeconds`, periodSeconds, 'must be greater than zero');
    if (periodSeconds > MAX_PERIOD) {
      errors.invalid(`${field}.periodSeconds`, periodSeconds, `must be less than or equal to ${MAX_PERIOD}`);
    }
  });
}

export function validateAutoscaler(errors: FieldErrors, { spec = {} }: Sent<HorizontalPodAutoscaler>): void {
  const { minReplicas, maxReplicas = 0 } = spec;
  if (minReplicas !== undefined && minReplicas < 1) {
    errors.invalid('spec.minReplicas', minReplicas, 'must be greater than or equal to 1');
  }
  if (maxReplicas < 1) errors.invalid('spec.maxReplicas', maxReplicas, 'must be greater than 0');
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    errors.invalid('spec.maxReplicas', maxReplicas, 'must be greater than or equal to `minReplicas`');
  }
  validateReference(errors, 'spec.scaleTargetRef', spec.scaleTargetRef);
  (spec.metrics ?? []).forEach((metric, index) => validateMetric(errors, `spec.metrics[${index}]`, metric));
  validateRules(errors, 'spec.behavior.scaleUp', spec.behavior?.scaleUp);
  validateRules(errors, 'spec.behavior.scaleDown', spec.behavior?.scaleDown);
}

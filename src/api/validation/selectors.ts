/** Rules of label selectors and resource amounts, shared by many kinds. */
import { labelValue, qualifiedName } from '../names.js';
import type { DeepReadonly, LabelSelector } from '../object.js';
import { parseQuantity } from '../quantity.js';
import type { ResourceRequirements } from '../types/core-v1.js';
import { type FieldErrors } from './field-errors.js';
import { validateLabels } from './metadata.js';

const STANDARD_RESOURCES = new Set(['cpu', 'memory', 'ephemeral-storage', 'storage']);

export function validateLabelSelector(
  errors: FieldErrors,
  field: string,
  selector: DeepReadonly<LabelSelector> | undefined,
): void {
  validateLabels(errors, `${field}.matchLabels`, selector?.matchLabels);
  (selector?.matchExpressions ?? []).forEach(({ key, operator, values = [] }, index) => {
    const at = `${field}.matchExpressions[${index}]`;
    switch (operator) {
      case 'In':
      case 'NotIn':
        if (values.length === 0) {
          errors.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        break;
      case 'Exists':
      case 'DoesNotExist':
        if (values.length > 0) {
          errors.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        break;
      default:
        errors.invalid(`${at}.operator`, operator ?? '', 'not a valid selector operator');
    }
    errors.check(`${at}.key`, key ?? '', qualifiedName);
    values.forEach((value, at2) => errors.check(`${at}.values[${at2}]`, value, labelValue));
  });
}

function validateAmount(errors: FieldErrors, field: string, name: string, amount: string | number): void {
  const quantity = parseQuantity(amount);
  errors.check(field, name, qualifiedName);
  if (!name.includes('/') && !STANDARD_RESOURCES.has(name) && !name.startsWith('hugepages-')) {
    errors.invalid(field, name, 'must be a standard resource type or fully qualified');
  }
  if (quantity.isNegative) errors.invalid(`${field}[${name}]`, String(amount), 'must be greater than or equal to 0');
  const whole = name !== 'cpu' && !STANDARD_RESOURCES.has(name);
  if (whole && quantity.milliValue % 1000 !== 0)
    errors.invalid(`${field}[${name}]`, String(amount), 'must be an integer');
}

export function validateResources(
  errors: FieldErrors,
  field: string,
  resources: DeepReadonly<ResourceRequirements> | undefined,
): void {
  if (resources === undefined) return;
  const { limits = {}, requests = {} } = resources;
  for (const [name, amount] of Object.entries(limits)) validateAmount(errors, `${field}.limits`, name, amount);
  for (const [name, amount] of Object.entries(requests)) {
    validateAmount(errors, `${field}.requests`, name, amount);
    const limit = limits[name];
    const extended = name.includes('/') || name.startsWith('hugepages-');
    if (limit === undefined) {
      if (extended) errors.required(`${field}.limits`, 'Limit must be set for non overcommitable resources');
      continue;
    }
    const order = parseQuantity(amount).compare(parseQuantity(limit));
    if (extended && order !== 0) {
      errors.invalid(`${field}.requests`, String(amount), `must be equal to ${name} limit of ${limit}`);
    } else if (order > 0) {
      errors.invalid(`${field}.requests`, String(amount), `must be less than or equal to ${name} limit of ${limit}`);
    }
  }
}

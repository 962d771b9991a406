/** Rules of label selectors and resource amounts, shared by many kinds. */
import ipaddr from 'ipaddr.js';
import { dns1123Subdomain, labelValue, qualifiedName } from '../names.js';
import type { DeepReadonly, LabelSelector } from '../object.js';
import { parseQuantity } from '../quantity.js';
import type { ResourceRequirements } from '../types/core-v1.js';
import { type FieldErrors } from './field-errors.js';
import { validateLabels } from './metadata.js';
import type { Sent } from './sent.js';

const CONTAINER_RESOURCES = new Set(['cpu', 'memory', 'ephemeral-storage']);
const STANDARD_RESOURCES = new Set(['storage', 'pods', 'services', 'secrets', 'configmaps', 'persistentvolumeclaims']);

export function validateLabelSelector(
  errors: FieldErrors,
  field: string,
  selector: Sent<LabelSelector> | undefined,
): void {
  validateLabels(errors, `${field}.matchLabels`, selector?.matchLabels as Record<string, string> | undefined);
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
      case undefined:
      default:
        errors.invalid(`${at}.operator`, operator ?? '', 'not a valid selector operator');
    }
    errors.check(`${at}.key`, key ?? '', qualifiedName);
    values.forEach((value, at2) => errors.check(`${at}.values[${at2}]`, value, labelValue));
  });
}

/** One amount of a container or an overhead, at `field[name]`. */
function validateAmount(errors: FieldErrors, field: string, name: string, amount: string | number): void {
  if (CONTAINER_RESOURCES.has(name)) {
    if (isNegative(amount)) errors.invalid(`${field}[${name}]`, String(amount), 'must be greater than or equal to 0');
    return;
  }
  const at = `${field}[${name}]`;
  errors.check(at, name, qualifiedName);
  const hugePages = name.startsWith('hugepages-');
  if (!name.includes('/') && !hugePages) {
    if (!STANDARD_RESOURCES.has(name)) errors.invalid(at, name, 'must be a standard resource type or fully qualified');
    errors.invalid(at, name, 'must be a standard resource for containers');
  } else if (name.includes('/') && !isExtended(name) && !name.split('/')[0]?.endsWith('kubernetes.io')) {
    errors.invalid(at, name, "doesn't follow extended resource name standard");
  }
  const quantity = parseQuantity(amount);
  if (quantity.isNegative) errors.invalid(at, String(amount), 'must be greater than or equal to 0');
  if (isExtended(name) && quantity.milliValue % 1000 !== 0) errors.invalid(at, String(amount), 'must be an integer');
}

const isNegative = (amount: string | number) => String(amount).startsWith('-') && parseQuantity(amount).isNegative;
const isExtended = (name: string) =>
  name.includes('/') && !name.includes('kubernetes.io/') && !name.startsWith('requests.');

/** Amounts by resource, as of `overhead.podFixed`. */
export function validateAmounts(
  errors: FieldErrors,
  field: string,
  amounts: Readonly<Record<string, string | number | undefined>> | undefined,
): void {
  for (const name in amounts) validateAmount(errors, field, name, amounts[name] ?? '0');
}

export function validateResources(
  errors: FieldErrors,
  field: string,
  resources: DeepReadonly<ResourceRequirements> | undefined,
): void {
  if (resources === undefined) return;
  const { limits, requests } = resources;
  let pages = false;
  for (const name in limits) {
    validateAmount(errors, `${field}.limits`, name, limits[name] ?? '0');
    pages ||= name.startsWith('hugepages-');
  }
  for (const name in requests) {
    const amount = requests[name] ?? '0';
    validateAmount(errors, `${field}.requests`, name, amount);
    pages ||= name.startsWith('hugepages-');
    const limit = limits?.[name];
    const exact = isExtended(name) || name.startsWith('hugepages-');
    if (limit === undefined) {
      if (exact) errors.required(`${field}.limits`, 'Limit must be set for non overcommitable resources');
      continue;
    }
    if (amount === limit) continue;
    const order = parseQuantity(amount).compare(parseQuantity(limit));
    if (exact && order !== 0) {
      errors.invalid(`${field}.requests`, String(amount), `must be equal to ${name} limit of ${limit}`);
    } else if (order > 0) {
      errors.invalid(`${field}.requests`, String(amount), `must be less than or equal to ${name} limit of ${limit}`);
    }
  }
  const computes = [limits, requests].some((list) => list?.['cpu'] !== undefined || list?.['memory'] !== undefined);
  if (pages && !computes) errors.forbidden(field, 'HugePages require cpu or memory');
}

export const BAD_IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
export const BAD_CIDR = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';

/** An address and the length of its prefix; undefined for what is none. */
export function parsedCidr(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] | undefined {
  return ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : undefined;
}

/** `acme.io/foo`: names of controllers, finalizers and the like that belong to somebody. */
export function domainPrefixedPath(errors: FieldErrors, field: string, path: string): void {
  if (!errors.present(field, path)) return;
  const slash = path.indexOf('/');
  if (slash <= 0 || slash === path.length - 1) {
    errors.invalid(field, path, 'must be a domain-prefixed path (such as "acme.io/foo")');
    return;
  }
  const host = path.slice(0, slash);
  errors.check(field, host, dns1123Subdomain);
  const rest = path.slice(slash + 1);
  if (!/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(rest)) {
    errors.invalid(field, rest, "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
  }
}

const PERCENT = /^[0-9]+%$/;
const PERCENT_TEXT =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/** A count or a percentage, neither below zero. */
export function validateIntOrPercent(errors: FieldErrors, field: string, value: number | string | undefined): void {
  if (typeof value === 'number') errors.nonNegative(field, value);
  else if (value !== undefined && !PERCENT.test(value)) errors.invalid(field, value, PERCENT_TEXT);
}

export function validateAtMost100Percent(errors: FieldErrors, field: string, value: number | string | undefined): void {
  if (typeof value === 'string' && PERCENT.test(value) && parseInt(value, 10) > 100) {
    errors.invalid(field, value, 'must not be greater than 100%');
  }
}

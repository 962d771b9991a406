/** Rules of LimitRange and ResourceQuota. */
import { qualifiedName } from '../names.js';
import { parseQuantity, type Quantity } from '../quantity.js';
import { semanticEqual } from '../strategy/equality.js';
import type { LimitRange, LimitRangeItem, ResourceQuota, ResourceQuotaSpec } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

const LIMIT_TYPES = new Set(['Pod', 'Container', 'PersistentVolumeClaim']);
const CONTAINER_RESOURCES = new Set(['cpu', 'memory', 'ephemeral-storage']);
const QUOTA_RESOURCES = new Set([
  'cpu',
  'memory',
  'ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.storage',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'persistentvolumeclaims',
  'configmaps',
  'services.nodeports',
  'services.loadbalancers',
]);
const COUNTED = new Set(['pods', 'resourcequotas', 'services', 'replicationcontrollers', 'secrets', 'configmaps']);
for (const name of ['persistentvolumeclaims', 'services.nodeports', 'services.loadbalancers']) COUNTED.add(name);

type Amounts = Readonly<Record<string, string | number | undefined>> | undefined;
const LISTS = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const;

function validateLimitResource(errors: FieldErrors, field: string, type: string, name: string): void {
  errors.check(field, name, qualifiedName);
  if (name.includes('/') || name.startsWith('hugepages-')) return;
  if (type === 'Pod' || type === 'Container') {
    if (!CONTAINER_RESOURCES.has(name)) {
      errors.invalid(field, name, 'must be a standard resource for containers');
    }
  } else if (name !== 'storage' && !CONTAINER_RESOURCES.has(name)) {
    errors.invalid(field, name, 'must be a standard resource type or fully qualified');
  }
}

/** Each of `[name, low, high, text]`: an error where the first amount is larger than the second. */
function compareAmounts(errors: FieldErrors, at: string, name: string, limit: Sent<LimitRangeItem>): void {
  const of = (list: (typeof LISTS)[number]): Quantity | undefined => {
    const amount = (limit[list] as Amounts)?.[name];
    return amount === undefined ? undefined : parseQuantity(amount);
  };
  const [max, min, fallback, request, ratio] = LISTS.map(of);
  const ordered = (
    field: string,
    a: Quantity | undefined,
    b: Quantity | undefined,
    shown: Quantity | undefined,
    text: string,
  ) => {
    if (a === undefined || b === undefined || shown === undefined || a.compare(b) <= 0) return;
    errors.invalid(
      `${at}.${field}[${name}]`,
      shown.toString(),
      text.replace('%s', a.toString()).replace('%s', b.toString()),
    );
  };
  ordered('min', min, max, min, 'min value %s is greater than max value %s');
  ordered('defaultRequest', min, request, request, 'min value %s is greater than default request value %s');
  ordered('defaultRequest', request, max, request, 'default request value %s is greater than max value %s');
  ordered(
    'defaultRequest',
    request,
    fallback,
    request,
    'default request value %s is greater than default limit value %s',
  );
  ordered('default', min, fallback, min, 'min value %s is greater than default value %s');
  ordered('default', fallback, max, max, 'default value %s is greater than max value %s');
  if (ratio === undefined) return;
  const field = `${at}.maxLimitRequestRatio[${name}]`;
  if (ratio.milliValue < 1000) errors.invalid(field, ratio.toString(), `ratio ${ratio.toString()} is less than 1`);
  if (min === undefined || max === undefined || min.isZero) return;
  const widest = Number(max.nano) / Number(min.nano);
  if (Number(ratio.nano) / 1e9 > widest) {
    errors.invalid(field, ratio.toString(), `ratio ${ratio.toString()} is greater than max/min = ${widest.toFixed(6)}`);
  }
}

export function validateLimitRange(errors: FieldErrors, { spec }: Sent<LimitRange>): void {
  const types = new Set<string>();
  (spec?.limits ?? []).forEach((limit, index) => {
    const at = `spec.limits[${index}]`;
    const type = limit.type ?? '';
    errors.check(`${at}.type`, type, qualifiedName);
    if (!type.includes('/') && !LIMIT_TYPES.has(type) && type !== '') {
      errors.invalid(`${at}.type`, type, 'must be a standard limit type or fully qualified');
    }
    if (types.has(type)) errors.duplicate(`${at}.type`, type);
    types.add(type);
    const names = new Set<string>();
    for (const list of LISTS) {
      if (type === 'Pod' && (list === 'default' || list === 'defaultRequest')) {
        if (Object.keys(limit[list] ?? {}).length > 0) {
          errors.forbidden(`${at}.${list}`, "may not be specified when `type` is 'Pod'");
        }
        continue;
      }
      for (const name of Object.keys(limit[list] ?? {})) {
        validateLimitResource(errors, `${at}.${list}[${name}]`, type, name);
        names.add(name);
      }
    }
    if (
      type === 'PersistentVolumeClaim' &&
      limit.min?.['storage'] === undefined &&
      limit.max?.['storage'] === undefined
    ) {
      errors.required(`${at}.limits`, 'either minimum or maximum storage value is required, but neither was provided');
    }
    for (const name of names) compareAmounts(errors, at, name, limit);
  });
}

/** `count/deployments.apps`, `x.storageclass.storage.k8s.io/requests.storage` and extended resources have a slash. */
function validateQuotaResource(errors: FieldErrors, field: string, name: string): void {
  errors.check(field, name, qualifiedName);
  const known = name.includes('/') || QUOTA_RESOURCES.has(name) || /^(?:requests\.)?hugepages-/.test(name);
  if (!known) errors.invalid(field, name, 'must be a standard resource for quotas');
}

function validateQuotaAmounts(errors: FieldErrors, at: string, amounts: Amounts): void {
  for (const [name, amount] of Object.entries(amounts ?? {})) {
    const field = `${at}[${name}]`;
    validateQuotaResource(errors, field, name);
    if (amount === undefined) continue;
    const quantity = parseQuantity(amount);
    if (quantity.isNegative) errors.invalid(field, String(amount), 'must be greater than or equal to 0');
    if ((COUNTED.has(name) || name.startsWith('count/')) && quantity.milliValue % 1000 !== 0) {
      errors.invalid(field, String(amount), 'must be an integer');
    }
  }
}

const POD_SCOPES = new Set([
  'Terminating',
  'NotTerminating',
  'NotBestEffort',
  'BestEffort',
  'PriorityClass',
  'CrossNamespacePodAffinity',
]);
const COMPUTE = new Set(['pods', 'cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']);

/** Whether a quota of a resource can be narrowed down by a scope. */
const scopeFits = (scope: string, resource: string) =>
  scope === 'BestEffort' ? resource === 'pods' : COMPUTE.has(resource) || resource.includes('ephemeral-storage');

function validateScopes(
  errors: FieldErrors,
  field: string,
  scopes: readonly string[],
  spec: Sent<ResourceQuotaSpec>,
): void {
  for (const scope of scopes) {
    if (!POD_SCOPES.has(scope)) {
      errors.invalid(field, scopes, 'unsupported scope');
      continue;
    }
    for (const name of Object.keys(spec.hard ?? {})) {
      if (QUOTA_RESOURCES.has(name) && !scopeFits(scope, name)) {
        errors.invalid(field, scopes, 'unsupported scope applied to resource');
      }
    }
  }
  for (const [a, b] of [
    ['BestEffort', 'NotBestEffort'],
    ['Terminating', 'NotTerminating'],
  ] as const) {
    if (scopes.includes(a) && scopes.includes(b)) errors.invalid(field, scopes, 'conflicting scopes');
  }
}

export function validateResourceQuota(errors: FieldErrors, { spec = {} }: Sent<ResourceQuota>): void {
  validateQuotaAmounts(errors, 'spec.hard', spec.hard);
  if (spec.scopes !== undefined) validateScopes(errors, 'spec.scopes', spec.scopes, spec);
  const expressions = spec.scopeSelector?.matchExpressions ?? [];
  const at = 'spec.scopeSelector.matchExpressions';
  expressions.forEach(({ scopeName = '', operator = '', values = [] }, index) => {
    const exists = scopeName !== 'PriorityClass' && POD_SCOPES.has(scopeName);
    if (exists && operator !== 'Exists') {
      errors.invalid(
        `${at}.operator`,
        operator,
        "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
      );
    }
    if ((operator === 'In' || operator === 'NotIn') && values.length === 0) {
      errors.required(
        `${at}.values`,
        "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
      );
    } else if ((operator === 'Exists' || operator === 'DoesNotExist') && values.length > 0) {
      errors.invalid(
        `${at}.values`,
        values,
        "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
      );
    } else if (!['In', 'NotIn', 'Exists', 'DoesNotExist'].includes(operator)) {
      errors.invalid(`${at}.operator`, operator, 'not a valid selector operator');
    }
    if (!POD_SCOPES.has(scopeName)) errors.invalid(`${at}[${index}].scopeName`, scopeName, 'unsupported scope');
  });
  if (expressions.length > 0) {
    const scopes = expressions.map(({ scopeName }) => scopeName ?? '').filter((scope) => POD_SCOPES.has(scope));
    validateScopes(errors, at, scopes, spec);
  }
}

export function validateResourceQuotaUpdate(
  errors: FieldErrors,
  { spec }: Sent<ResourceQuota>,
  old: Sent<ResourceQuota>,
): void {
  const sorted = (scopes: readonly string[] | undefined) => [...(scopes ?? [])].toSorted();
  if (!semanticEqual(sorted(spec?.scopes), sorted(old.spec?.scopes))) errors.immutable('spec.scopes', spec?.scopes);
  if (!semanticEqual(spec?.scopeSelector, old.spec?.scopeSelector)) {
    errors.immutable('spec.scopeSelector', spec?.scopeSelector);
  }
}

export function validateResourceQuotaStatus(errors: FieldErrors, { status }: Sent<ResourceQuota>): void {
  validateQuotaAmounts(errors, 'status.hard', status?.hard);
  validateQuotaAmounts(errors, 'status.used', status?.used);
}

/**
 * Rules of webhook configurations and of the parts they share with admission policies. Whether expressions compile is for
 * who evaluates them to say.
 */
import { dns1123Subdomain, portNumber, qualifiedName } from '../names.js';
import type {
  MatchCondition,
  MutatingWebhook,
  MutatingWebhookConfiguration,
  NamedRuleWithOperations,
  ServiceReference,
  ValidatingWebhookConfiguration,
} from '../types/admissionregistration-v1.js';
import type { FieldErrors } from './field-errors.js';
import { validateLabelSelector } from './selectors.js';
import type { Sent } from './sent.js';

const OPERATIONS = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const REVIEW_VERSIONS = ['v1', 'v1beta1'];
const MAX_CONDITIONS = 64;
const URL_FORM = 'desired format: https://host[:port]/path';

/** A name of at least three parts, as of a domain. */
function validateQualified(errors: FieldErrors, field: string, name: string | undefined): void {
  if (!errors.present(field, name)) return;
  const details = dns1123Subdomain(name);
  for (const detail of details) errors.invalid(field, name, detail);
  if (details.length === 0 && name.split('.').length < 3) {
    errors.invalid(field, name, 'should be a domain with at least three segments separated by dots');
  }
}

function validateWildcard(errors: FieldErrors, at: string, values: readonly string[], what: string): void {
  if (values.length === 0) {
    errors.required(at);
    return;
  }
  if (values.length > 1 && values.includes('*')) {
    errors.invalid(at, values, `if '*' is present, must not specify other ${what}`);
  }
}

function validateResources(errors: FieldErrors, at: string, resources: readonly string[]): void {
  if (resources.length === 0) {
    errors.required(at);
    return;
  }
  const whole = new Set<string>();
  const subresources = new Set<string>();
  resources.forEach((entry, index) => {
    const field = `${at}[${index}]`;
    if (entry === '') errors.required(field);
    if (entry === '*/*' && resources.length > 1) {
      errors.invalid(at, resources, "if '*/*' is present, must not specify other resources");
    }
    const slash = entry.indexOf('/');
    const name = slash < 0 ? entry : entry.slice(0, slash);
    const sub = slash < 0 ? '' : entry.slice(slash + 1);
    if (sub === '*') whole.add(name);
    if (whole.has(name) && sub !== '*' && sub !== '') {
      errors.invalid(field, entry, `if '${name}/*' is present, must not specify ${entry}`);
    }
    if (name === '*') subresources.add(sub);
    if (subresources.has(sub) && name !== '*' && sub !== '') {
      errors.invalid(field, entry, `if '*/${sub}' is present, must not specify ${entry}`);
    }
  });
}

export function validateRules(
  errors: FieldErrors,
  at: string,
  rules: readonly Sent<NamedRuleWithOperations>[] | undefined,
): void {
  rules?.forEach((rule, index) => {
    const field = `${at}[${index}]`;
    const { operations = [], apiGroups = [], apiVersions = [], resources = [], scope } = rule;
    validateWildcard(errors, `${field}.operations`, operations, 'operations');
    operations.forEach((operation, at2) => errors.oneOf(`${field}.operations[${at2}]`, operation, OPERATIONS));
    validateWildcard(errors, `${field}.apiGroups`, apiGroups, 'API groups');
    validateWildcard(errors, `${field}.apiVersions`, apiVersions, 'API versions');
    apiVersions.forEach((version, at2) => errors.present(`${field}.apiVersions[${at2}]`, version));
    validateResources(errors, `${field}.resources`, resources);
    errors.oneOf(`${field}.scope`, scope, ['*', 'Cluster', 'Namespaced']);
  });
}

/** Names and presence; `compile` adds what is wrong with the expressions. */
export function validateMatchConditions(
  errors: FieldErrors,
  at: string,
  conditions: readonly Sent<MatchCondition>[] | undefined,
): void {
  if (conditions === undefined) return;
  if (conditions.length > MAX_CONDITIONS) errors.tooMany(at, conditions.length, MAX_CONDITIONS);
  const names = new Set<string>();
  conditions.forEach(({ name, expression }, index) => {
    if (!(expression ?? '').trim()) errors.required(`${at}[${index}].expression`);
    if (!errors.present(`${at}[${index}].name`, name)) return;
    errors.check(`${at}[${index}].name`, name, qualifiedName);
    if (names.has(name)) errors.duplicate(`${at}[${index}].name`, name);
    names.add(name);
  });
}

function validateUrl(errors: FieldErrors, at: string, text: string): void {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    errors.required(at, `url must be a valid URL: parse ${JSON.stringify(text)}: invalid; ${URL_FORM}`);
    return;
  }
  if (url.protocol !== 'https:') {
    const text2 = `'https' is the only allowed URL scheme; ${URL_FORM}`;
    errors.invalid(at, url.protocol.slice(0, -1), text2);
  }
  if (url.host === '') errors.invalid(at, url.host, `host must be specified; ${URL_FORM}`);
  if (url.username !== '') errors.invalid(at, url.username, 'user information is not permitted in the URL');
  if (url.hash !== '') errors.invalid(at, url.hash.slice(1), 'fragments are not permitted in the URL');
  if (url.search !== '') errors.invalid(at, url.search.slice(1), 'query parameters are not permitted in the URL');
}

function validateService(errors: FieldErrors, at: string, service: Sent<ServiceReference>): void {
  errors.present(`${at}.name`, service.name, 'service name is required');
  errors.present(`${at}.namespace`, service.namespace, 'service namespace is required');
  for (const detail of portNumber(service.port ?? 443)) {
    errors.invalid(`${at}.port`, service.port, `port is not valid: ${detail}`);
  }
  const { path } = service;
  if (!path) return;
  if (!path.startsWith('/')) errors.invalid(`${at}.path`, path, "must start with a '/'");
  const steps = path.slice(1).split('/');
  if (path !== '/' && steps.slice(0, -1).includes('')) {
    errors.invalid(`${at}.path`, path, `segment[${steps.indexOf('')}] may not be empty`);
  }
}

export function validateClientConfig(
  errors: FieldErrors,
  at: string,
  config: Sent<MutatingWebhook>['clientConfig'],
): void {
  const { url, service } = config ?? {};
  if ((url === undefined) === (service === undefined)) {
    errors.required(at, 'exactly one of url or service is required');
  }
  if (url !== undefined) validateUrl(errors, `${at}.url`, url);
  if (service !== undefined) validateService(errors, `${at}.service`, service);
}

function validateWebhook(errors: FieldErrors, at: string, hook: Sent<MutatingWebhook>): void {
  validateQualified(errors, `${at}.name`, hook.name);
  validateRules(errors, `${at}.rules`, hook.rules);
  errors.oneOf(`${at}.failurePolicy`, hook.failurePolicy, ['Fail', 'Ignore']);
  errors.oneOf(`${at}.matchPolicy`, hook.matchPolicy, ['Equivalent', 'Exact']);
  const effects = ['None', 'NoneOnDryRun'];
  if (hook.sideEffects === undefined) errors.required(`${at}.sideEffects`, `must specify one of ${effects.join(', ')}`);
  else errors.oneOf(`${at}.sideEffects`, hook.sideEffects, effects);
  const seconds = hook.timeoutSeconds;
  if (seconds !== undefined && (seconds < 1 || seconds > 30)) {
    errors.invalid(`${at}.timeoutSeconds`, seconds, 'the timeout value must be between 1 and 30 seconds');
  }
  if (hook.namespaceSelector !== undefined) {
    validateLabelSelector(errors, `${at}.namespaceSelector`, hook.namespaceSelector);
  }
  if (hook.objectSelector !== undefined) validateLabelSelector(errors, `${at}.objectSelector`, hook.objectSelector);
  errors.oneOf(`${at}.reinvocationPolicy`, hook.reinvocationPolicy, ['IfNeeded', 'Never']);
  validateClientConfig(errors, `${at}.clientConfig`, hook.clientConfig);
  validateMatchConditions(errors, `${at}.matchConditions`, hook.matchConditions);
  const versions = hook.admissionReviewVersions ?? [];
  const field = `${at}.admissionReviewVersions`;
  if (versions.length === 0) errors.required(field, `must specify one of ${REVIEW_VERSIONS.join(', ')}`);
  else if (!versions.some((version) => REVIEW_VERSIONS.includes(version))) {
    errors.invalid(field, versions, `must include at least one of ${REVIEW_VERSIONS.join(', ')}`);
  }
  const seen = new Set<string>();
  versions.forEach((version, index) => {
    if (seen.has(version)) errors.invalid(`${field}[${index}]`, version, 'duplicate version');
    seen.add(version);
  });
}

export function validateWebhooks(
  errors: FieldErrors,
  { webhooks = [] }: Sent<MutatingWebhookConfiguration | ValidatingWebhookConfiguration>,
): void {
  const names = new Set<string>();
  webhooks.forEach((hook, index) => {
    const at = `webhooks[${index}]`;
    validateWebhook(errors, at, hook);
    const { name = '' } = hook;
    if (name !== '' && names.has(name)) errors.duplicate(`${at}.name`, name);
    names.add(name);
  });
}

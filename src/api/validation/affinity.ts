/** Rules of affinity and topology spread. */
import { dns1123Label, qualifiedName } from '../names.js';
import type { Affinity, PodAffinityTerm, PodSpec, TopologySpreadConstraint } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import { validateNodeSelector, validateNodeSelectorTerm } from './node-selector.js';
import { validateLabelSelector } from './selectors.js';
import type { Sent } from './sent.js';

function validateWeight(errors: FieldErrors, field: string, weight = 0): void {
  if (weight <= 0 || weight > 100) errors.invalid(field, weight, 'must be in the range 1-100');
}

function validateMatchKeys(
  errors: FieldErrors,
  at: string,
  keys: readonly string[] | undefined,
  selector: unknown,
): void {
  if (keys === undefined || keys.length === 0) return;
  if (selector === undefined) errors.forbidden(at, 'must not be specified when labelSelector is not set');
  keys.forEach((key, index) => errors.check(`${at}[${index}]`, key, qualifiedName));
}

function validateTerm(errors: FieldErrors, at: string, term: Sent<PodAffinityTerm>): void {
  if (term.labelSelector !== undefined) validateLabelSelector(errors, `${at}.labelSelector`, term.labelSelector);
  if (term.namespaceSelector !== undefined) {
    validateLabelSelector(errors, `${at}.namespaceSelector`, term.namespaceSelector);
  }
  for (const name of term.namespaces ?? []) errors.check(`${at}.namespace`, name, dns1123Label);
  validateMatchKeys(errors, `${at}.matchLabelKeys`, term.matchLabelKeys, term.labelSelector);
  validateMatchKeys(errors, `${at}.mismatchLabelKeys`, term.mismatchLabelKeys, term.labelSelector);
  // Upstream says both of an empty one.
  errors.present(`${at}.topologyKey`, term.topologyKey, 'can not be empty');
  errors.check(`${at}.topologyKey`, term.topologyKey ?? '', qualifiedName);
}

export function validateAffinity(errors: FieldErrors, at: string, affinity: Sent<Affinity> | undefined): void {
  if (affinity === undefined) return;
  const node = affinity.nodeAffinity;
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';
  if (node?.[required] !== undefined) {
    validateNodeSelector(errors, `${at}.nodeAffinity.${required}`, node[required]);
  }
  node?.[preferred]?.forEach(({ weight, preference }, index) => {
    const field = `${at}.nodeAffinity.${preferred}[${index}]`;
    validateWeight(errors, `${field}.weight`, weight);
    validateNodeSelectorTerm(errors, `${field}.preference`, preference ?? {});
  });
  for (const kind of ['podAffinity', 'podAntiAffinity'] as const) {
    affinity[kind]?.[required]?.forEach((term, index) =>
      validateTerm(errors, `${at}.${kind}.${required}[${index}]`, term),
    );
    affinity[kind]?.[preferred]?.forEach(({ weight, podAffinityTerm }, index) => {
      const field = `${at}.${kind}.${preferred}[${index}]`;
      validateWeight(errors, `${field}.weight`, weight);
      validateTerm(errors, `${field}.podAffinityTerm`, podAffinityTerm ?? {});
    });
  }
}

function validateConstraint(errors: FieldErrors, at: string, constraint: Sent<TopologySpreadConstraint>): void {
  const { maxSkew = 0, topologyKey, whenUnsatisfiable = '', minDomains, labelSelector } = constraint;
  if (maxSkew <= 0) errors.invalid(`${at}.maxSkew`, maxSkew, 'must be greater than zero');
  errors.present(`${at}.topologyKey`, topologyKey, 'can not be empty');
  errors.oneOf(`${at}.whenUnsatisfiable`, whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway']);
  if (minDomains !== undefined) {
    if (minDomains <= 0) errors.invalid(`${at}.minDomains`, minDomains, 'must be greater than 0');
    if (whenUnsatisfiable !== 'DoNotSchedule') {
      const text = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`;
      errors.invalid(`${at}.minDomains`, minDomains, text);
    }
  }
  errors.oneOf(`${at}.nodeAffinityPolicy`, constraint.nodeAffinityPolicy, ['Honor', 'Ignore']);
  errors.oneOf(`${at}.nodeTaintsPolicy`, constraint.nodeTaintsPolicy, ['Honor', 'Ignore']);
  validateMatchKeys(errors, `${at}.matchLabelKeys`, constraint.matchLabelKeys, labelSelector);
  if (labelSelector !== undefined) validateLabelSelector(errors, `${at}.labelSelector`, labelSelector);
}

export function validateSpread(
  errors: FieldErrors,
  field: string,
  constraints: Sent<PodSpec>['topologySpreadConstraints'],
): void {
  const pairs = new Set<string>();
  constraints?.forEach((constraint, index) => {
    const at = `${field}[${index}]`;
    validateConstraint(errors, at, constraint);
    const pair = `{${constraint.topologyKey ?? ''}, ${constraint.whenUnsatisfiable ?? ''}}`;
    if (pairs.has(pair)) errors.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair);
    pairs.add(pair);
  });
}

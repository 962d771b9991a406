/** Rules of ValidatingAdmissionPolicy and its binding, as far as they do not concern the meaning of expressions. */
import { cIdentifier, dns1123Label, dns1123Subdomain, qualifiedName } from '../names.js';
import type {
  MatchResources,
  ParamKind,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from '../types/admissionregistration-v1.js';
import type { FieldErrors } from './field-errors.js';
import { validateLabelSelector } from './selectors.js';
import type { Sent } from './sent.js';
import { validateMatchConditions, validateRules } from './webhooks.js';

const REASONS = ['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized'];
const ACTIONS = ['Audit', 'Deny', 'Warn'];
const MAX_AUDIT_ANNOTATIONS = 20;

function validateParamKind(errors: FieldErrors, kind: Sent<ParamKind>): void {
  const at = 'spec.paramKind';
  if (errors.present(`${at}.apiVersion`, kind.apiVersion)) {
    const parts = kind.apiVersion.split('/');
    const [group, version] = parts.length === 2 ? parts : ['', parts[0]];
    if (parts.length > 2) {
      const text = `unexpected GroupVersion string: ${kind.apiVersion}`;
      errors.invalid(`${at}.apiVersion`, kind.apiVersion, text);
    } else {
      if (group) errors.check(`${at}.apiVersion`, group, dns1123Subdomain);
      if (version) errors.check(`${at}.apiVersion`, version, dns1123Label);
    }
  }
  if (errors.present(`${at}.kind`, kind.kind)) {
    for (const detail of dns1123Label(kind.kind.toLowerCase())) {
      errors.invalid(`${at}.kind`, kind.kind, `may have mixed case, but should otherwise match: ${detail}`);
    }
  }
}

function validateMatch(errors: FieldErrors, at: string, match: Sent<MatchResources>): void {
  errors.oneOf(`${at}.matchPolicy`, match.matchPolicy, ['Equivalent', 'Exact']);
  for (const field of ['namespaceSelector', 'objectSelector'] as const) {
    if (match[field] === undefined) errors.required(`${at}.${field}`);
    else validateLabelSelector(errors, `${at}.${field}`, match[field]);
  }
  validateRules(errors, `${at}.resourceRules`, match.resourceRules);
  validateRules(errors, `${at}.excludeResourceRules`, match.excludeResourceRules);
}

export function validateAdmissionPolicy(errors: FieldErrors, { spec = {} }: Sent<ValidatingAdmissionPolicy>): void {
  const { validations = [], auditAnnotations = [], variables = [] } = spec;
  errors.requiredOneOf('spec.failurePolicy', spec.failurePolicy, ['Fail', 'Ignore']);
  if (spec.paramKind !== undefined) validateParamKind(errors, spec.paramKind);
  if (spec.matchConstraints === undefined) errors.required('spec.matchConstraints');
  else {
    validateMatch(errors, 'spec.matchConstraints', spec.matchConstraints);
    if ((spec.matchConstraints.resourceRules ?? []).length === 0)
      errors.required('spec.matchConstraints.resourceRules');
  }
  validateMatchConditions(errors, 'spec.matchConditions', spec.matchConditions);
  const names = new Set<string>();
  variables.forEach(({ name, expression }, index) => {
    const at = `spec.variables[${index}]`;
    if (errors.present(`${at}.name`, name, 'name is not specified')) {
      if (cIdentifier(name).length > 0) errors.invalid(`${at}.name`, name, 'name is not a valid CEL identifier');
      if (names.has(name)) errors.duplicate(`${at}.name`, name);
      names.add(name);
    }
    if (!(expression ?? '').trim()) errors.required(`${at}.expression`, 'expression is not specified');
  });
  if (validations.length === 0 && auditAnnotations.length === 0) {
    const text = 'validations or auditAnnotations must contain at least one item';
    errors.required('spec.validations', text);
    errors.required('spec.auditAnnotations', text);
    return;
  }
  validations.forEach(({ expression = '', message = '', messageExpression, reason }, index) => {
    const at = `spec.validations[${index}]`;
    if (!expression.trim()) errors.required(`${at}.expression`, 'expression is not specified');
    if (message !== '' && message.trim() === '') {
      errors.invalid(`${at}.message`, message, 'message must be non-empty if specified');
    } else if (message.trim().includes('\n')) {
      errors.invalid(`${at}.message`, message, 'message must not contain line breaks');
    } else if (expression.trim().includes('\n') && message.trim() === '') {
      errors.required(`${at}.message`, 'message must be specified if expression contains line breaks');
    }
    if (messageExpression && messageExpression.trim() === '') {
      const text = 'must be non-empty if specified';
      errors.invalid(`${at}.messageExpression`, messageExpression, text);
    }
    errors.oneOf(`${at}.reason`, reason, REASONS);
  });
  if (auditAnnotations.length > MAX_AUDIT_ANNOTATIONS) {
    const text = `must not have more than ${MAX_AUDIT_ANNOTATIONS} auditAnnotations`;
    errors.invalid('spec.auditAnnotations', auditAnnotations, text);
  }
  const keys = new Set<string>();
  auditAnnotations.forEach(({ key = '', valueExpression = '' }, index) => {
    const at = `spec.auditAnnotations[${index}]`;
    if (key === '') errors.required(`${at}.key`);
    else errors.check(`${at}.key`, key, qualifiedName);
    if (keys.has(key)) errors.duplicate(`${at}.key`, key);
    keys.add(key);
    if (!valueExpression.trim()) errors.required(`${at}.valueExpression`, 'valueExpression is not specified');
  });
}

export function validateAdmissionPolicyBinding(
  errors: FieldErrors,
  { spec = {} }: Sent<ValidatingAdmissionPolicyBinding>,
): void {
  errors.requiredName('spec.policyName', spec.policyName, dns1123Subdomain);
  const { paramRef, validationActions = [] } = spec;
  if (paramRef !== undefined) {
    const { name, selector, parameterNotFoundAction } = paramRef;
    if (name) {
      errors.check('spec.paramRef.name', name, dns1123Subdomain);
      if (selector !== undefined) {
        errors.forbidden('spec.paramRef.name', 'name and selector are mutually exclusive');
      }
    }
    if (selector !== undefined) {
      validateLabelSelector(errors, 'spec.paramRef.selector', selector);
      if (name) errors.forbidden('spec.paramRef.selector', 'name and selector are mutually exclusive');
    }
    if (!name && selector === undefined) {
      errors.required('spec.paramRef', 'one of name or selector must be specified');
    }
    if (parameterNotFoundAction === undefined) {
      errors.required('spec.paramRef.parameterNotFoundAction');
    } else errors.oneOf('spec.paramRef.parameterNotFoundAction', parameterNotFoundAction, ['Allow', 'Deny']);
  }
  if (spec.matchResources !== undefined) validateMatch(errors, 'spec.matchResources', spec.matchResources);
  if (validationActions.length === 0) errors.required('spec.validationActions');
  const seen = new Set<string>();
  validationActions.forEach((action, index) => {
    errors.oneOf(`spec.validationActions[${index}]`, action, ACTIONS);
    if (seen.has(action)) errors.duplicate(`spec.validationActions[${index}]`, action);
    seen.add(action);
  });
  if (seen.has('Deny') && seen.has('Warn')) {
    errors.invalid(
      'spec.validationActions',
      validationActions,
      'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
    );
  }
}

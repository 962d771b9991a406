/** Rules of node selectors, wherever they appear: affinity of pods and volumes, topologies of storage. */
import { dns1123Subdomain, labelValue, qualifiedName } from '../names.js';
import type {
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  TopologySelectorTerm,
} from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

function validateRequirement(errors: FieldErrors, at: string, requirement: Sent<NodeSelectorRequirement>): void {
  const { key = '', operator = '', values = [] } = requirement;
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
    case 'Gt':
    case 'Lt':
      if (values.length !== 1) {
        errors.required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'");
      }
      break;
    case '':
    default:
      errors.invalid(`${at}.operator`, operator, 'not a valid selector operator');
  }
  errors.check(`${at}.key`, key, qualifiedName);
  values.forEach((value, index) => errors.check(`${at}.values[${index}]`, value, labelValue));
}

function validateFieldRequirement(errors: FieldErrors, at: string, requirement: Sent<NodeSelectorRequirement>): void {
  const { key = '', operator = '', values = [] } = requirement;
  if (operator !== 'In' && operator !== 'NotIn') {
    errors.invalid(`${at}.operator`, operator, 'not a valid selector operator');
  } else if (values.length !== 1) {
    errors.required(
      `${at}.values`,
      "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
    );
  }
  if (key !== 'metadata.name') {
    errors.invalid(`${at}.key`, key, 'not a valid field selector key');
    return;
  }
  values.forEach((value, index) => errors.check(`${at}.values[${index}]`, value, dns1123Subdomain));
}

export function validateNodeSelectorTerm(errors: FieldErrors, at: string, term: Sent<NodeSelectorTerm>): void {
  (term.matchExpressions ?? []).forEach((entry, index) =>
    validateRequirement(errors, `${at}.matchExpressions[${index}]`, entry),
  );
  (term.matchFields ?? []).forEach((entry, index) =>
    validateFieldRequirement(errors, `${at}.matchFields[${index}]`, entry),
  );
}

export function validateNodeSelector(errors: FieldErrors, at: string, selector: Sent<NodeSelector>): void {
  const terms = selector.nodeSelectorTerms ?? [];
  if (terms.length === 0) {
    errors.required(`${at}.nodeSelectorTerms`, 'must have at least one node selector term');
    return;
  }
  terms.forEach((term, index) => validateNodeSelectorTerm(errors, `${at}.nodeSelectorTerms[${index}]`, term));
}

/** `allowedTopologies` of a StorageClass. */
export function validateTopologies(
  errors: FieldErrors,
  at: string,
  terms: readonly Sent<TopologySelectorTerm>[] | undefined,
): void {
  (terms ?? []).forEach(({ matchLabelExpressions = [] }, index) => {
    const keys = new Set<string>();
    matchLabelExpressions.forEach(({ key = '', values = [] }, at2) => {
      const field = `${at}[${index}].matchLabelExpressions[${at2}]`;
      if (values.length === 0) errors.required(`${field}.values`);
      const seen = new Set<string>();
      values.forEach((value, at3) => {
        if (seen.has(value)) errors.duplicate(`${field}.values[${at3}]`, value);
        seen.add(value);
      });
      errors.check(`${field}.key`, key, qualifiedName);
      if (keys.has(key)) errors.duplicate(`${field}.key`, key);
      keys.add(key);
    });
  });
}

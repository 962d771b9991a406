/** Which questions of `authorization.k8s.io` make sense (upstream's `pkg/apis/authorization/validation`). */
import { invalid } from '../../../api/errors.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import type {
  FieldSelectorAttributes,
  LabelSelectorAttributes,
  ResourceAttributes,
  SubjectAccessReviewSpec,
} from '../../../api/types/authorization-v1.js';
import type { ObjectMeta } from '../../../api/types/meta-v1.js';
import { FieldErrors } from '../../../api/validation/field-errors.js';

type Spec = Partial<SubjectAccessReviewSpec>;

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

function validateSelector(
  errors: FieldErrors,
  field: string,
  selector: FieldSelectorAttributes | LabelSelectorAttributes | undefined,
): void {
  if (!selector) return;
  const { rawSelector = '', requirements = [] } = selector;
  if (rawSelector !== '' && requirements.length > 0) {
    errors.invalid(`${field}.rawSelector`, rawSelector, 'may not specified at the same time as requirements');
  }
  requirements.forEach(({ key, operator, values = [] }, index) => {
    const at = `${field}.requirements[${index}]`;
    if (!key) errors.required(`${at}.key`, 'must be specified');
    if (!OPERATORS.includes(operator)) errors.notSupported(`${at}.operator`, operator, OPERATORS);
    else if (operator.endsWith('In') === (values.length === 0)) {
      if (operator.endsWith('In'))
        errors.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
      else errors.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    }
  });
}

function validateResource(errors: FieldErrors, attributes: ResourceAttributes | undefined): void {
  const at = 'spec.resourceAttributes';
  validateSelector(errors, `${at}.fieldSelector`, attributes?.fieldSelector);
  validateSelector(errors, `${at}.labelSelector`, attributes?.labelSelector);
}

function validateQuestion(errors: FieldErrors, { resourceAttributes, nonResourceAttributes }: Spec): void {
  if (resourceAttributes && nonResourceAttributes) {
    const detail = 'cannot be specified in combination with resourceAttributes';
    errors.invalid('spec.nonResourceAttributes', nonResourceAttributes, detail);
  }
  if (!resourceAttributes && !nonResourceAttributes) {
    const detail = 'exactly one of nonResourceAttributes or resourceAttributes must be specified';
    errors.invalid('spec.resourceAttributes', undefined, detail);
  }
  validateResource(errors, resourceAttributes);
}

function validateSubject(errors: FieldErrors, { user = '', groups = [] }: Spec): void {
  if (user === '' && groups.length === 0) {
    errors.invalid('spec.user', user, 'at least one of user or group must be specified');
  }
}

function validateMetadata(errors: FieldErrors, metadata: ObjectMeta, namespaced: boolean): void {
  const ignored = ['managedFields', 'creationTimestamp', ...(namespaced ? ['namespace'] : [])];
  const isSet = Object.entries(metadata).some(([name, value]) => !ignored.includes(name) && value !== undefined);
  if (isSet) {
    errors.invalid('metadata', metadata, namespaced ? 'must be empty except for namespace' : 'must be empty');
  }
}

/** Throws a 422 with upstream's causes. */
export function validateReview(info: ResourceInfo, namespace: string, metadata: ObjectMeta, spec: Spec): void {
  const errors = new FieldErrors();
  switch (info.kind) {
    case 'SelfSubjectAccessReview':
      validateQuestion(errors, spec);
      break;
    case 'SubjectAccessReview':
      validateQuestion(errors, spec);
      validateSubject(errors, spec);
      break;
    case 'LocalSubjectAccessReview':
      validateQuestion(errors, spec);
      validateSubject(errors, spec);
      if (spec.resourceAttributes && (spec.resourceAttributes.namespace ?? '') !== namespace) {
        const detail = 'must match metadata.namespace';
        errors.invalid('spec.resourceAttributes.namespace', spec.resourceAttributes.namespace ?? '', detail);
      }
      if (spec.nonResourceAttributes) {
        errors.invalid('spec.nonResourceAttributes', spec.nonResourceAttributes, 'disallowed on this kind of request');
      }
      break;
    default:
      return;
  }
  validateMetadata(errors, metadata, info.namespaced);
  // Upstream names no kind in these.
  if (errors.list.length > 0) throw invalid({ group: info.group, kind: '' }, '', errors.list);
}

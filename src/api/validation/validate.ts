/**
 * Validation: every field error of an object, worded as upstream. Kinds have rules of their own in `rules.ts`; all
 * others get the metadata rules and what the schema says.
 */
import type { FieldError } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { ResourceInfo } from '../schema/registry.js';
import type { Scale } from '../types/autoscaling-v1.js';
import { FieldErrors } from './field-errors.js';
import { validateMetadata, validateMetadataUpdate } from './metadata.js';
import { RULES } from './rules.js';
import { validateBySchema } from './schema-rules.js';

/** The rules of the kind, then the schema's for fields that have no complaint yet. */
function validateSpec(errors: FieldErrors, info: ResourceInfo, object: KubeObject): void {
  const rules = RULES[`${info.group}/${info.kind}`];
  rules?.rule?.(errors, object);
  const bySchema = new FieldErrors();
  validateBySchema(bySchema, info.schema, object, { required: rules === undefined, status: false });
  if (bySchema.list.length === 0) return;
  const known = new Set(errors.list.map(({ field }) => field));
  errors.list.push(...bySchema.list.filter(({ field }) => !known.has(field)));
}

/** All errors of an object that is about to be created: decoded, defaulted and prepared. Empty means valid. */
export function validateCreate(info: ResourceInfo, object: KubeObject): FieldError[] {
  const errors = new FieldErrors();
  validateMetadata(errors, info, object.metadata);
  if (info.rules !== undefined) return [...errors.list, ...info.rules.validateCreate(object)];
  RULES[`${info.group}/${info.kind}`]?.create?.(errors, object);
  validateSpec(errors, info, object);
  return errors.list;
}

/**
 * All errors of an object that is about to replace `old`, prepared by `prepareForUpdate`. For `status` the status is
 * checked and the rest was taken from `old`; immutable fields are compared for the object itself.
 */
export function validateUpdate(
  info: ResourceInfo,
  object: KubeObject,
  old: KubeObject,
  subresource: string,
): FieldError[] {
  const errors = new FieldErrors();
  validateMetadataUpdate(errors, object, old);
  validateMetadata(errors, info, object.metadata);
  if (info.rules !== undefined) return [...errors.list, ...info.rules.validateUpdate(object, old, subresource)];
  const rules = RULES[`${info.group}/${info.kind}`];
  if (subresource === 'status') {
    rules?.status?.(errors, object);
    rules?.subresources?.[subresource]?.(errors, object, old);
    validateBySchema(errors, info.schema, object, { required: false, status: true });
    return errors.list;
  }
  validateSpec(errors, info, object);
  if (subresource === '') rules?.update?.(errors, object, old);
  else rules?.subresources?.[subresource]?.(errors, object, old);
  return errors.list;
}

/** The errors of a Scale. */
export function validateScale(scale: Scale): FieldError[] {
  const errors = new FieldErrors();
  errors.nonNegative('spec.replicas', scale.spec?.replicas);
  return errors.list;
}

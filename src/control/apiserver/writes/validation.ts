/** Validation of what every object has in common, for kinds and rules that `api/validation` does not cover. */
import type { FieldError } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';

export function validateCreate(_info: ResourceInfo, object: KubeObject): FieldError[] {
  if (object.metadata.name) return [];
  return [
    {
      type: 'FieldValueRequired',
      field: 'metadata.name',
      message: 'Required value: name or generateName is required',
    },
  ];
}

export function validateUpdate(
  info: ResourceInfo,
  object: KubeObject,
  _old: KubeObject,
  _subresource: string,
): FieldError[] {
  return validateCreate(info, object);
}

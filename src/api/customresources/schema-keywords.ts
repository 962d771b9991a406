/** What the keywords of a schema hold. */
import type { JSONSchemaProps } from '../types/apiextensions-v1.js';
import type { FieldErrors } from '../validation/field-errors.js';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isStrings = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === 'string');
const isSchemas = (value: unknown) => Array.isArray(value) && value.every(isRecord);
const isSchemaMap = (value: unknown) => isRecord(value) && Object.values(value).every(isRecord);
const isRules = (value: unknown) =>
  isSchemas(value) && (value as Record<string, unknown>[]).every(({ rule }) => typeof rule === 'string');
const of = (type: string) => (value: unknown) => typeof value === type;

/** What each keyword holds. Schemas of items and of further properties arrive undecoded: they may be one of several things. */
const KEYWORDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  type: of('string'),
  format: of('string'),
  pattern: of('string'),
  title: of('string'),
  description: of('string'),
  nullable: of('boolean'),
  uniqueItems: of('boolean'),
  exclusiveMaximum: of('boolean'),
  exclusiveMinimum: of('boolean'),
  maximum: of('number'),
  minimum: of('number'),
  multipleOf: of('number'),
  maxLength: of('number'),
  minLength: of('number'),
  maxItems: of('number'),
  minItems: of('number'),
  maxProperties: of('number'),
  minProperties: of('number'),
  required: isStrings,
  enum: Array.isArray,
  properties: isSchemaMap,
  allOf: isSchemas,
  anyOf: isSchemas,
  oneOf: isSchemas,
  not: isRecord,
  items: (value) => isRecord(value) || isSchemas(value),
  additionalProperties: (value) => isRecord(value) || typeof value === 'boolean',
  'x-kubernetes-embedded-resource': of('boolean'),
  'x-kubernetes-int-or-string': of('boolean'),
  'x-kubernetes-preserve-unknown-fields': of('boolean'),
  'x-kubernetes-list-map-keys': isStrings,
  'x-kubernetes-list-type': of('string'),
  'x-kubernetes-map-type': of('string'),
  'x-kubernetes-validations': isRules,
};

/** Whether every keyword holds what it should. */
export function checkKeywords(errors: FieldErrors, schema: JSONSchemaProps, path: string): boolean {
  let fits = true;
  for (const [name, value] of Object.entries(schema)) {
    const test = Object.hasOwn(KEYWORDS, name) ? KEYWORDS[name] : undefined;
    if (value === undefined || test === undefined || test(value)) continue;
    errors.invalid(`${path}.${name}`, value, 'must be of the type that OpenAPI v3 gives it');
    fits = false;
  }
  return fits;
}

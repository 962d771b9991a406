/** What a schema of a CustomResourceDefinition must and must not say to be structural, with upstream's texts and field paths. */
import { compilePattern } from '../patterns.js';
import type { JSONSchemaProps } from '../types/apiextensions-v1.js';
import type { FieldErrors } from '../validation/field-errors.js';
import { brokenRules } from './expressions.js';
import { validateExpressions } from './expression-validation.js';
import { checkKeywords } from './schema-keywords.js';
import { prune } from './pruning.js';
import { structuralOf } from './structural.js';
import { validateUniqueLists } from './unique-lists.js';
import { validateValue } from './value-validation.js';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const asSchema = (value: unknown) => (isRecord(value) ? (value as JSONSchemaProps) : undefined);

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
/** Deeper schemas are refused: walking them would exhaust the stack. */
const MAX_DEPTH = 250;
const INT_OR_STRING = JSON.stringify([{ type: 'integer' }, { type: 'string' }]);

/** All schemas directly below, with their paths and whether they describe the value's own structure. */
function* children(schema: JSONSchemaProps, path: string): Generator<[JSONSchemaProps, string]> {
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const known = asSchema(child);
    if (known) yield [known, `${path}.properties[${name}]`];
  }
  const items = asSchema(schema.items);
  if (items) yield [items, `${path}.items`];
  const additional = asSchema(schema.additionalProperties);
  if (additional) yield [additional, `${path}.additionalProperties`];
}

function* alternatives(schema: JSONSchemaProps, path: string): Generator<[JSONSchemaProps, string]> {
  for (const kind of ['allOf', 'anyOf', 'oneOf'] as const) {
    for (const [index, child] of (schema[kind] ?? []).entries()) {
      const known = asSchema(child);
      if (known) yield [known, `${path}.${kind}[${index}]`];
    }
  }
  const not = asSchema(schema.not);
  if (not) yield [not, `${path}.not`];
}

/** Checks the schema of a whole resource. `path` is `spec.validation.openAPIV3Schema` or that of a version. */
export function validateSchema(errors: FieldErrors, schema: JSONSchemaProps, path: string): void {
  const before = errors.list.length;
  checkRoot(errors, schema, path);
  checkNode(errors, schema, path, { depth: 0, place: 'root' });
  // The rest works with schemas that are what they should be.
  if (errors.list.length > before) return;
  checkDefaults(errors, schema, path, true);
  validateExpressions(errors, schema, path);
}

function checkRoot(errors: FieldErrors, schema: JSONSchemaProps, path: string): void {
  if (schema.nullable === true) errors.forbidden(`${path}.nullable`, 'nullable cannot be true at the root');
  if (schema.default !== undefined) errors.forbidden(`${path}.default`, 'must not be set at the root');
  if (schema.type && schema.type !== 'object')
    errors.invalid(`${path}.type`, schema.type, 'must be object at the root');
  if (schema['x-kubernetes-embedded-resource'] === true) {
    errors.forbidden(`${path}.x-kubernetes-embedded-resource`, 'must not be used at the root');
  }
}

interface Place {
  readonly depth: number;
  readonly place: 'root' | 'field' | 'items' | 'value' | 'alternative';
}

function checkNode(errors: FieldErrors, schema: JSONSchemaProps, path: string, { depth, place }: Place): void {
  if (depth > MAX_DEPTH) {
    errors.forbidden(path, 'the schema is nested too deep');
    return;
  }
  if (!checkKeywords(errors, schema, path)) return;
  checkForbidden(errors, schema, path);
  if (place === 'alternative') checkAlternative(errors, schema, path);
  else checkStructure(errors, schema, path, place);
  checkValueRules(errors, schema, path);
  checkLists(errors, schema, path);
  if (schema['x-kubernetes-embedded-resource'] === true || place === 'root') checkEnvelope(errors, schema, path, place);
  for (const [child, at] of children(schema, path)) {
    const below = at.endsWith('.items') ? 'items' : at.endsWith(']') ? 'field' : 'value';
    checkNode(errors, child, at, { depth: depth + 1, place: place === 'alternative' ? 'alternative' : below });
  }
  for (const [child, at] of alternatives(schema, path)) {
    if (isIntOrStringAlternative(schema, at)) continue;
    checkNode(errors, child, at, { depth: depth + 1, place: 'alternative' });
    if (place !== 'alternative') checkComplete(errors, child, at, schema, path);
  }
}

/** The one place where alternatives may have types. */
function isIntOrStringAlternative(schema: JSONSchemaProps, at: string): boolean {
  if (schema['x-kubernetes-int-or-string'] !== true) return false;
  return /\.anyOf\[\d+\]$/.test(at) && JSON.stringify(schema.anyOf) === INT_OR_STRING;
}

const UNSUPPORTED = ['$ref', 'definitions', 'dependencies', 'additionalItems', 'patternProperties', 'id'] as const;

function checkForbidden(errors: FieldErrors, schema: JSONSchemaProps, path: string): void {
  for (const name of UNSUPPORTED) {
    if (schema[name] !== undefined) errors.forbidden(`${path}.${name}`, `${name} is not supported`);
  }
  if (schema.uniqueItems === true) {
    const why = 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic';
    errors.forbidden(`${path}.uniqueItems`, why);
  }
  if (schema.additionalProperties === false) {
    errors.forbidden(`${path}.additionalProperties`, 'additionalProperties cannot be set to false');
  }
  if (schema.additionalProperties !== undefined && Object.keys(schema.properties ?? {}).length > 0) {
    errors.forbidden(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive');
  }
  if (schema.type === 'null') {
    errors.forbidden(`${path}.type`, 'type cannot be set to null, use nullable as an alternative');
  } else if (schema.type !== undefined && schema.type !== '' && !TYPES.includes(schema.type)) {
    errors.notSupported(`${path}.type`, schema.type, TYPES);
  }
  if (Array.isArray(schema.items)) {
    errors.forbidden(`${path}.items`, 'items must be a schema object and not an array');
  }
}

const OF_STRUCTURE = ['type', 'default', 'nullable', 'title', 'description', 'additionalProperties'] as const;
const EXTENSIONS = [
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-list-type',
  'x-kubernetes-map-type',
] as const;

function checkAlternative(errors: FieldErrors, schema: JSONSchemaProps, path: string): void {
  for (const name of OF_STRUCTURE) {
    const value = schema[name];
    if (value === undefined || value === '' || value === false) continue;
    const why =
      name === 'additionalProperties' || name === 'default' ? 'undefined' : name === 'nullable' ? 'false' : 'empty';
    errors.forbidden(`${path}.${name}`, `must be ${why} to be structural`);
  }
  for (const name of EXTENSIONS) {
    const value = schema[name];
    if (value !== undefined && value !== false)
      errors.forbidden(`${path}.${name}`, 'must be undefined to be structural');
  }
  if ((schema['x-kubernetes-validations']?.length ?? 0) > 0) {
    errors.forbidden(`${path}.x-kubernetes-validations`, 'must be empty to be structural');
  }
}

function checkStructure(errors: FieldErrors, schema: JSONSchemaProps, path: string, place: Place['place']): void {
  const intOrString = schema['x-kubernetes-int-or-string'] === true;
  const preserve = schema['x-kubernetes-preserve-unknown-fields'];
  if (preserve === false) {
    errors.invalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, 'must be true or undefined');
  }
  if (intOrString) {
    if (schema.type) {
      errors.invalid(`${path}.type`, schema.type, 'must be empty if x-kubernetes-int-or-string is true');
    }
  } else if (!schema.type && (preserve !== true || place === 'root')) {
    errors.required(`${path}.type`, emptyTypeText(place));
  }
  if (schema.type === 'array' && asSchema(schema.items) === undefined && !Array.isArray(schema.items)) {
    errors.required(`${path}.items`, 'must be specified');
  }
  if (schema['x-kubernetes-embedded-resource'] !== true) return;
  if (schema.type !== 'object') {
    const why = 'must be object if x-kubernetes-embedded-resource is true';
    if (schema.type) errors.invalid(`${path}.type`, schema.type, why);
    else errors.required(`${path}.type`, why);
  }
  if (preserve !== true && Object.keys(schema.properties ?? {}).length === 0) {
    errors.required(
      `${path}.properties`,
      'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
    );
  }
}

function emptyTypeText(place: Place['place']): string {
  if (place === 'root') return 'must not be empty at the root';
  return `must not be empty for specified ${place === 'items' ? 'array items' : 'object fields'}`;
}

function checkValueRules(errors: FieldErrors, schema: JSONSchemaProps, path: string): void {
  const { pattern } = schema;
  if (pattern !== undefined && pattern !== '') {
    try {
      compilePattern(pattern);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      errors.invalid(`${path}.pattern`, pattern, `must be a valid regular expression, but isn't: ${why}`);
    }
  }
  if (schema.multipleOf !== undefined && schema.multipleOf <= 0) {
    errors.invalid(`${path}.multipleOf`, schema.multipleOf, 'must be greater than 0');
  }
}

const SCALAR_TYPES = ['boolean', 'integer', 'number', 'string'];

function checkLists(errors: FieldErrors, schema: JSONSchemaProps, path: string): void {
  const listType = schema['x-kubernetes-list-type'];
  const mapType = schema['x-kubernetes-map-type'];
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const items = asSchema(schema.items);
  if (listType !== undefined) {
    if (schema.type !== 'array') {
      const why = 'must be array if x-kubernetes-list-type is specified';
      if (schema.type) errors.invalid(`${path}.type`, schema.type, why);
      else errors.required(`${path}.type`, why);
    }
    errors.oneOf(`${path}.x-kubernetes-list-type`, listType, ['atomic', 'set', 'map']);
  }
  if (listType === 'map') {
    if (keys.length === 0) {
      errors.required(`${path}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map');
    }
    if (items === undefined) errors.required(`${path}.items`, 'must have a schema if x-kubernetes-list-type is map');
    else checkMapList(errors, items, keys, path);
  } else if (keys.length > 0) {
    const why = 'must be map if x-kubernetes-list-map-keys is non-empty';
    if (listType === undefined) errors.required(`${path}.x-kubernetes-list-type`, why);
    else errors.invalid(`${path}.x-kubernetes-list-type`, listType, why);
  }
  if (listType === 'set' && items !== undefined) checkSet(errors, items, path);
  if (mapType === undefined) return;
  if (schema.type !== 'object') {
    const why = 'must be object if x-kubernetes-map-type is specified';
    if (schema.type) errors.invalid(`${path}.type`, schema.type, why);
    else errors.required(`${path}.type`, why);
  }
  errors.oneOf(`${path}.x-kubernetes-map-type`, mapType, ['atomic', 'granular']);
}

function checkMapList(errors: FieldErrors, items: JSONSchemaProps, keys: readonly string[], path: string): void {
  if (items.type !== 'object') {
    errors.invalid(
      `${path}.items.type`,
      items.type ?? '',
      "must be object if parent array's x-kubernetes-list-type is map",
    );
  }
  const seen = new Set<string>();
  for (const [index, key] of keys.entries()) {
    const at = `${path}.x-kubernetes-list-map-keys[${index}]`;
    const property = items.properties?.[key];
    if (seen.has(key)) errors.duplicate(at, key);
    seen.add(key);
    if (property === undefined) errors.invalid(at, key, 'must refer to an existing property of the items');
    else if (!SCALAR_TYPES.includes(property.type ?? '') && property['x-kubernetes-int-or-string'] !== true) {
      errors.invalid(
        `${path}.items.properties[${key}].type`,
        property.type ?? '',
        "must be a scalar type if parent array's x-kubernetes-list-type is map",
      );
    } else if (property.default === undefined && items.required?.includes(key) !== true) {
      errors.required(
        `${path}.items.properties[${key}].default`,
        'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
      );
    }
    if (property?.nullable === true) {
      errors.forbidden(
        `${path}.items.properties[${key}].nullable`,
        'this property is in x-kubernetes-list-map-keys, so it cannot be nullable',
      );
    }
  }
  if (items.nullable === true)
    errors.forbidden(`${path}.items.nullable`, 'cannot be nullable when x-kubernetes-list-type is map');
}

function checkSet(errors: FieldErrors, items: JSONSchemaProps, path: string): void {
  if (items.nullable === true) {
    errors.forbidden(`${path}.items.nullable`, 'cannot be nullable when x-kubernetes-list-type is set');
  }
  if (items.type === 'object' && items['x-kubernetes-map-type'] !== 'atomic') {
    errors.invalid(
      `${path}.items.x-kubernetes-map-type`,
      items['x-kubernetes-map-type'] ?? '',
      'must be atomic as item of a list with x-kubernetes-list-type=set',
    );
  }
  if (items.type === 'array' && (items['x-kubernetes-list-type'] ?? 'atomic') !== 'atomic') {
    errors.invalid(
      `${path}.items.x-kubernetes-list-type`,
      items['x-kubernetes-list-type'],
      'must be atomic as item of a list with x-kubernetes-list-type=set',
    );
  }
}

/** apiVersion, kind and metadata of objects are Kubernetes' own: a schema may only restrict names. */
function checkEnvelope(errors: FieldErrors, schema: JSONSchemaProps, path: string, place: Place['place']): void {
  for (const name of ['apiVersion', 'kind'] as const) {
    const property = schema.properties?.[name];
    if (property !== undefined && property.type !== 'string') {
      errors.invalid(`${path}.properties[${name}].type`, property.type ?? '', 'must be string');
    }
  }
  const metadata = schema.properties?.['metadata'];
  if (metadata === undefined) return;
  const at = `${path}.properties[metadata]`;
  if (metadata.type !== 'object') errors.invalid(`${at}.type`, metadata.type ?? '', 'must be object');
  if (place !== 'root') return;
  const { type: _type, description: _description, properties = {}, ...rest } = metadata;
  const restricts = Object.keys(properties).some((name) => name !== 'name' && name !== 'generateName');
  if (restricts || Object.values(rest).some((value) => value !== undefined && value !== false)) {
    errors.forbidden(
      at,
      'must not specify anything other than name and generateName, but metadata is implicitly specified',
    );
  }
}

/** What an alternative speaks of must be described by the schema around it. */
function checkComplete(
  errors: FieldErrors,
  alternative: JSONSchemaProps,
  at: string,
  structure: JSONSchemaProps,
  path: string,
): void {
  for (const [name, child] of Object.entries(alternative.properties ?? {})) {
    const here = structure.properties?.[name] ?? asSchema(structure.additionalProperties);
    const known = asSchema(child);
    if (here === undefined) {
      if (structure['x-kubernetes-preserve-unknown-fields'] === true) continue;
      errors.required(`${path}.properties[${name}]`, `because it is defined in ${at}.properties[${name}]`);
    } else if (known) checkComplete(errors, known, `${at}.properties[${name}]`, here, `${path}.properties[${name}]`);
  }
  const items = asSchema(alternative.items);
  if (items !== undefined) {
    const here = asSchema(structure.items);
    if (here === undefined) errors.required(`${path}.items`, `because it is defined in ${at}.items`);
    else checkComplete(errors, items, `${at}.items`, here, `${path}.items`);
  }
  for (const [child, below] of alternatives(alternative, at)) checkComplete(errors, child, below, structure, path);
}

/** Every default must be a value that its schema takes, without fields that it does not know. */
function checkDefaults(errors: FieldErrors, schema: JSONSchemaProps, path: string, isRoot: boolean): void {
  const { default: value } = schema;
  if (value !== undefined) checkDefault(errors, schema, value, `${path}.default`);
  for (const [child, at] of children(schema, path)) {
    if (isRoot && at.endsWith('.properties[metadata]')) {
      forbidDefaults(errors, child, at);
      continue;
    }
    checkDefaults(errors, child, at, false);
  }
}

function checkDefault(errors: FieldErrors, schema: JSONSchemaProps, value: unknown, at: string): void {
  const structural = structuralOf(schema);
  let unknown = false;
  if (schema['x-kubernetes-preserve-unknown-fields'] !== true && typeof value === 'object' && value !== null) {
    prune({ value }, structuralOf({ type: 'object', properties: { value: schema } }), () => (unknown = true));
  }
  if (unknown) {
    errors.invalid(at, value, 'must not have unknown fields');
    return;
  }
  const found = [...validateValue(value, structural, at), ...validateUniqueLists(value, structural)];
  errors.list.push(...found);
  if (found.length === 0 && structural.hasRules) errors.list.push(...brokenRules(value, structural, at));
}

function forbidDefaults(errors: FieldErrors, schema: JSONSchemaProps, path: string): void {
  if (schema.default !== undefined) errors.forbidden(`${path}.default`, 'must not be set');
  for (const [child, at] of children(schema, path)) forbidDefaults(errors, child, at);
}

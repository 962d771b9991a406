/**
 * Validation of a value by an OpenAPI v3 schema, with the error texts of kube-openapi as the API server reports them. On an
 * update, what equals the old value at the same place is not judged again (ratcheting).
 */
import { isDeepStrictEqual } from 'node:util';
import type { FieldError } from '../errors.js';
import { matchesPattern } from '../patterns.js';
import type { JSONSchemaProps } from '../types/apiextensions-v1.js';
import { violatesFormat } from './formats.js';
import { goNumber, goValue } from './go-values.js';
import { joined } from './pruning.js';
import { structuralOf, type Structural } from './structural.js';

/** The place of an old value that does not exist. */
export const ABSENT = Symbol('absent');
type Old = unknown;

/** Problems of one object that are reported; more help nobody. */
const MAX_ERRORS = 100;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a composite says has no field of its own. */
const NOWHERE = '<nil>';

class Findings {
  readonly list: FieldError[] = [];

  add(type: FieldError['type'], path: string, message: string): void {
    if (this.list.length < MAX_ERRORS) this.list.push({ type, field: path === '' ? NOWHERE : path, message });
  }

  invalid(path: string, value: unknown, detail: string): void {
    this.add('FieldValueInvalid', path, `Invalid value: ${goValue(value)}: ${path} in body ${detail}`);
  }

  wrongType(path: string, shown: unknown, expected: string, actual: string): void {
    const detail = `${path} in body must be of type ${expected}: ${JSON.stringify(actual)}`;
    this.add('FieldValueTypeInvalid', path, `Invalid value: ${goValue(shown)}: ${detail}`);
  }

  composite(detail: string): void {
    this.add('FieldValueInvalid', '', `Invalid value: "": ${detail}`);
  }
}

/** All errors; `old` is the value that was here before, or `ABSENT`. */
export function validateValue(value: unknown, schema: Structural, path: string, old: Old = ABSENT): FieldError[] {
  const findings = new Findings();
  check(findings, value, schema, path, old);
  return findings.list;
}

export const unchanged = (value: unknown, old: Old) =>
  old !== ABSENT && (value === old || isDeepStrictEqual(value, old));

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function check(findings: Findings, value: unknown, schema: Structural, path: string, old: Old): void {
  if (unchanged(value, old)) return;
  const { raw } = schema;
  const expected = schema.intOrString ? 'integer,string' : schema.type;
  if (value === null) {
    if (!schema.nullable && expected !== '') findings.wrongType(path, 'null', expected, 'null');
    return;
  }
  const actual = typeOf(value);
  if (expected !== '' && !expected.split(',').includes(actual) && !(expected === 'number' && actual === 'integer')) {
    findings.wrongType(path, actual, expected, actual);
    return;
  }
  checkEnum(findings, value, raw, path);
  if (typeof value === 'string') checkString(findings, value, raw, path);
  else if (typeof value === 'number') checkNumber(findings, value, raw, path);
  else if (Array.isArray(value)) checkList(findings, value, schema, path, old);
  else if (isRecord(value)) checkRecord(findings, value, schema, path, old);
  checkComposites(findings, value, raw, path);
}

function checkEnum(findings: Findings, value: unknown, { enum: choices }: JSONSchemaProps, path: string): void {
  if (choices === undefined || choices.some((choice) => isDeepStrictEqual(choice, value))) return;
  const supported = choices.map((choice) => JSON.stringify(typeof choice === 'string' ? choice : goText(choice)));
  findings.add(
    'FieldValueNotSupported',
    path,
    `Unsupported value: ${goValue(value)}: supported values: ${supported.join(', ')}`,
  );
}

const goText = (value: unknown) => (typeof value === 'number' ? goNumber(value) : JSON.stringify(value));

function checkString(findings: Findings, value: string, raw: JSONSchemaProps, path: string): void {
  const { maxLength, minLength, pattern, format } = raw;
  // Go counts runes.
  const length = maxLength === undefined && minLength === undefined ? 0 : Array.from(value).length;
  if (maxLength !== undefined && length > maxLength) {
    findings.add('FieldValueTooLong', path, `Too long: may not be more than ${maxLength} bytes`);
  }
  if (minLength !== undefined && length < minLength) {
    findings.invalid(path, value, `should be at least ${minLength} chars long`);
  }
  if (pattern !== undefined && !patternHolds(pattern, value)) {
    findings.invalid(path, value, `should match '${pattern}'`);
  }
  if (format !== undefined && violatesFormat(value, format)) findings.wrongType(path, value, format, value);
}

/** The definition's validation refused patterns that are none; one that got past it holds for everything. */
function patternHolds(pattern: string, value: string): boolean {
  try {
    return matchesPattern(pattern, value);
  } catch {
    return true;
  }
}

function checkNumber(findings: Findings, value: number, raw: JSONSchemaProps, path: string): void {
  const { maximum, minimum, multipleOf, exclusiveMaximum, exclusiveMinimum } = raw;
  if (multipleOf !== undefined && multipleOf > 0) {
    const quotient = value / multipleOf;
    if (!Number.isInteger(Number(quotient.toPrecision(15)))) {
      findings.invalid(path, value, `should be a multiple of ${goNumber(multipleOf)}`);
    }
  }
  if (maximum !== undefined && (exclusiveMaximum === true ? value >= maximum : value > maximum)) {
    findings.invalid(
      path,
      value,
      `should be less than ${exclusiveMaximum === true ? '' : 'or equal to '}${goNumber(maximum)}`,
    );
  }
  if (minimum !== undefined && (exclusiveMinimum === true ? value <= minimum : value < minimum)) {
    findings.invalid(
      path,
      value,
      `should be greater than ${exclusiveMinimum === true ? '' : 'or equal to '}${goNumber(minimum)}`,
    );
  }
}

const tooMany = (actual: number, limit: number) => `Too many: ${actual}: must have at most ${limit} items`;

/** Finds the old item that an item stands for: in lists of maps only; in others places mean nothing. */
export function oldItems(schema: Structural, old: Old): (item: unknown, index: number) => Old {
  if (!Array.isArray(old) || schema.listType !== 'map') return () => ABSENT;
  const byKey = new Map<string, unknown>();
  for (const item of old) byKey.set(keyOfItem(item, schema), item);
  return (item) => {
    const key = keyOfItem(item, schema);
    return byKey.has(key) ? byKey.get(key) : ABSENT;
  };
}

export function keyOfItem(item: unknown, schema: Structural): string {
  if (!isRecord(item)) return JSON.stringify(item);
  return JSON.stringify(
    schema.listMapKeys.map((key) => item[key] ?? schema.items?.properties.get(key)?.raw.default ?? null),
  );
}

function checkList(findings: Findings, list: readonly unknown[], schema: Structural, path: string, old: Old): void {
  const { raw, items } = schema;
  const { maxItems, minItems } = raw;
  if (items !== undefined) {
    const before = oldItems(schema, old);
    list.forEach((item, index) => check(findings, item, items, `${path}[${index}]`, before(item, index)));
  }
  if (minItems !== undefined && list.length < minItems) {
    findings.invalid(path, list.length, `should have at least ${minItems} items`);
  }
  if (maxItems !== undefined && list.length > maxItems) {
    findings.add('FieldValueTooMany', path, tooMany(list.length, maxItems));
  }
  if (raw.uniqueItems === true && new Set(list.map((item) => JSON.stringify(item))).size < list.length) {
    findings.invalid(path, '', "shouldn't contain duplicates");
  }
}

export const oldField = (old: Old, name: string): Old =>
  isRecord(old) && Object.hasOwn(old, name) ? old[name] : ABSENT;

function checkRecord(
  findings: Findings,
  record: Readonly<Record<string, unknown>>,
  schema: Structural,
  path: string,
  old: Old,
): void {
  const { raw } = schema;
  const names = Object.keys(record);
  if (raw.minProperties !== undefined && names.length < raw.minProperties) {
    findings.invalid(path, names.length, `should have at least ${raw.minProperties} properties`);
  }
  if (raw.maxProperties !== undefined && names.length > raw.maxProperties) {
    findings.add('FieldValueTooMany', path, tooMany(names.length, raw.maxProperties));
  }
  for (const name of raw.required ?? []) {
    if (!Object.hasOwn(record, name)) findings.add('FieldValueRequired', joined(path, name), 'Required value');
  }
  for (const name of names) {
    const known = schema.properties.get(name);
    const child = known ?? schema.additional;
    if (child !== undefined) check(findings, record[name], child, joined(path, name), oldField(old, name));
  }
}

/** The errors of an alternative, by itself. */
function errorsOf(value: unknown, schema: JSONSchemaProps, path: string): FieldError[] {
  return validateValue(value, structuralOf(schema), path);
}

const fewest = (all: readonly FieldError[][]) =>
  all.reduce<FieldError[] | undefined>((best, next) => (best && best.length <= next.length ? best : next), undefined);

function checkComposites(findings: Findings, value: unknown, raw: JSONSchemaProps, path: string): void {
  const { allOf, anyOf, oneOf, not } = raw;
  const name = JSON.stringify(path);
  if (anyOf !== undefined && anyOf.length > 0) {
    const results = anyOf.map((schema) => errorsOf(value, schema, path));
    if (results.every((errors) => errors.length > 0)) {
      findings.composite(`${name} must validate at least one schema (anyOf)`);
      for (const error of fewest(results) ?? []) findings.list.push(error);
    }
  }
  if (oneOf !== undefined && oneOf.length > 0) {
    const results = oneOf.map((schema) => errorsOf(value, schema, path));
    const valid = results.filter((errors) => errors.length === 0).length;
    if (valid === 0) {
      findings.composite(`${name} must validate one and only one schema (oneOf). Found none valid`);
      for (const error of fewest(results) ?? []) findings.list.push(error);
    } else if (valid > 1) {
      findings.composite(`${name} must validate one and only one schema (oneOf). Found ${valid} valid alternatives`);
    }
  }
  if (allOf !== undefined && allOf.length > 0) {
    const results = allOf.map((schema) => errorsOf(value, schema, path));
    const failed = results.filter((errors) => errors.length > 0);
    for (const error of failed.flat()) findings.list.push(error);
    if (failed.length > 0) {
      const none = failed.length === results.length ? '. None validated' : '';
      findings.composite(`${name} must validate all the schemas (allOf)${none}`);
    }
  }
  if (isRecord(not) && errorsOf(value, not as JSONSchemaProps, path).length === 0) {
    findings.composite(`${name} must not validate the schema (not)`);
  }
}

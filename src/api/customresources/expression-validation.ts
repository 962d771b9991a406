/** `x-kubernetes-validations` of a definition: every rule compiles, and says what it has to say in one line. */
import type { JSONSchemaProps, ValidationRule } from '../types/apiextensions-v1.js';
import type { FieldErrors } from '../validation/field-errors.js';
import { mostValues, type CompiledRule } from '../cel/rules.js';
import { childCount, SchemaCost } from './expression-costs.js';
import { compiledRule } from './expressions.js';
import { JsonPath } from './json-path.js';
import { structuralOf } from './structural.js';

const REASONS = ['FieldValueRequired', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueDuplicate'];

interface Place {
  readonly isRoot: boolean;
  /** The list below which an old value cannot be found; undefined while it can. */
  readonly uncorrelatable: string | undefined;
  /** How often the schema's value can be in an object; undefined while nothing bounds it. */
  readonly count: number | undefined;
  readonly cost: SchemaCost;
}

/** Checks the rules of a structural schema and all below. */
export function validateExpressions(errors: FieldErrors, schema: JSONSchemaProps, path: string): void {
  if (!structuralOf(schema).hasRules) return;
  const cost = new SchemaCost(errors);
  visit(errors, schema, path, { isRoot: true, uncorrelatable: undefined, count: 1, cost });
  cost.check(path);
}

function visit(errors: FieldErrors, schema: JSONSchemaProps, path: string, place: Place): void {
  const structural = structuralOf(schema);
  if (!structural.hasRules) return;
  for (const [index, rule] of (schema['x-kubernetes-validations'] ?? []).entries()) {
    checkRule(errors, rule, schema, `${path}.x-kubernetes-validations[${index}]`, place);
  }
  const below = { ...place, isRoot: false, count: childCount(place.count, schema) };
  for (const [name, child] of structural.properties) {
    visit(errors, child.raw, `${path}.properties[${name}]`, below);
  }
  const { items, additional } = structural;
  if (additional) visit(errors, additional.raw, `${path}.additionalProperties`, below);
  if (!items) return;
  const uncorrelatable = place.uncorrelatable ?? (structural.listType === 'map' ? undefined : path);
  visit(errors, items.raw, `${path}.items`, { ...below, uncorrelatable });
}

function checkRule(
  errors: FieldErrors,
  rule: ValidationRule,
  schema: JSONSchemaProps,
  path: string,
  place: Place,
): void {
  if ((rule.rule ?? '').trim() === '') {
    errors.required(`${path}.rule`, 'rule is not specified');
    return;
  }
  const { message } = rule;
  if (message !== undefined && message !== '') {
    if (message.trim() === '') errors.invalid(`${path}.message`, message, 'message must be non-empty if specified');
    else if (message.includes('\n')) errors.invalid(`${path}.message`, message, 'message must not contain line breaks');
    else if (Buffer.byteLength(message) > 2048) {
      errors.invalid(
        `${path}.message`,
        `${message.slice(0, 10)}...`,
        'message must have a maximum length of 2048 characters',
      );
    }
  } else if (rule.rule.trim().includes('\n') && !rule.messageExpression) {
    errors.required(`${path}.message`, 'message must be specified if rule contains line breaks');
  }
  errors.oneOf(`${path}.reason`, rule.reason, REASONS);
  const compiled = compiledRule(rule, structuralOf(schema), place.isRoot);
  if (!compiled.rule.ok) errors.invalid(`${path}.rule`, rule.rule, compiled.rule.message);
  else {
    addCost(compiled.rule.rule, schema, `${path}.rule`, place);
    checkOldSelf(errors, rule, compiled.rule.rule.usesOldSelf, path, place);
  }
  if (rule.messageExpression !== undefined && rule.messageExpression.trim() === '') {
    errors.required(`${path}.messageExpression`, 'messageExpression must be non-empty if specified');
  } else if (compiled.message?.ok === false) {
    errors.invalid(`${path}.messageExpression`, rule.messageExpression, compiled.message.message);
  } else if (compiled.message) {
    // Only the message of the first broken rule counts, whatever the number of values.
    place.cost.add(`${path}.messageExpression`, 'messageExpression', compiled.message.rule.maxCost());
  }
  if (rule.fieldPath !== undefined && rule.fieldPath !== '') checkFieldPath(errors, rule.fieldPath, schema, path);
}

function addCost(
  { maxCost }: CompiledRule,
  schema: JSONSchemaProps,
  path: string,
  { isRoot, count, cost }: Place,
): void {
  const raw = schema as Parameters<typeof mostValues>[0];
  cost.add(path, 'rule', maxCost() * (count ?? mostValues(raw, isRoot)));
}

function checkOldSelf(
  errors: FieldErrors,
  rule: ValidationRule,
  uses: boolean,
  path: string,
  { uncorrelatable }: Place,
): void {
  if (uses && uncorrelatable !== undefined) {
    errors.invalid(
      `${path}.rule`,
      rule.rule,
      `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelatable}`,
    );
  }
  if (!uses && rule.optionalOldSelf !== undefined) {
    errors.invalid(
      `${path}.optionalOldSelf`,
      rule.optionalOldSelf,
      'optionalOldSelf may not be set if oldSelf is not used in rule',
    );
  }
}

function checkFieldPath(errors: FieldErrors, fieldPath: string, schema: JSONSchemaProps, path: string): void {
  const at = `${path}.fieldPath`;
  const refuse = (why: string) => errors.invalid(at, fieldPath, `fieldPath must be a valid path: ${why}`);
  let fields: readonly string[] | undefined;
  try {
    fields = JsonPath.parse(fieldPath).fields;
  } catch (error) {
    refuse(error instanceof Error ? error.message : String(error));
    return;
  }
  if (!/^[.[]/.test(fieldPath)) {
    refuse(`expected [ or . but got: ${fieldPath.slice(0, 1)}`);
    return;
  }
  let node = structuralOf(schema);
  for (const name of fields ?? []) {
    const child = node.child(name);
    if (child === undefined) {
      refuse('does not refer to a valid field');
      return;
    }
    node = child;
  }
}

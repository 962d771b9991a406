/**
 * `x-kubernetes-validations`: CEL rules of custom resources. Compiled when they are first needed, once for each rule of a
 * definition; all rules about one object share one budget. What did not change is not judged again.
 */
import { CostBudget } from '../cel/evaluation.js';
import { compileRule, type RuleCompilation } from '../cel/rules.js';
import type { FieldError } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { ValidationRule } from '../types/apiextensions-v1.js';
import { JsonPath } from './json-path.js';
import { joined } from './pruning.js';
import type { Structural } from './structural.js';
import { ABSENT, oldField, oldItems, unchanged } from './value-validation.js';

interface Compiled {
  readonly rule: RuleCompilation;
  readonly message: RuleCompilation | undefined;
}

const compiled = new WeakMap<ValidationRule, Compiled>();

/** Never throws; `isRoot` tells that the schema is a whole resource's. */
export function compiledRule(rule: ValidationRule, schema: Structural, isRoot: boolean): Compiled {
  let known = compiled.get(rule);
  if (known === undefined) {
    const options = { isResourceRoot: isRoot, optionalOldSelf: rule.optionalOldSelf === true };
    // The type is made of what the two have in common.
    const raw = schema.raw as Parameters<typeof compileRule>[1];
    known = {
      rule: compileRule(rule.rule, raw, options),
      message: rule.messageExpression
        ? compileRule(rule.messageExpression, raw, { ...options, purpose: 'messageExpression' })
        : undefined,
    };
    compiled.set(rule, known);
  }
  return known;
}

const BLOCKING: ReadonlySet<FieldError['type']> = new Set<FieldError['type']>([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
]);
const NOT_CHECKED =
  'Invalid value: "null": some validation rules were not checked because the object was invalid; ' +
  'correct the existing errors to complete validation';

/** The errors with those of the rules that the object breaks. Rules are not asked about objects of the wrong shape. */
export function validateRules(
  object: KubeObject,
  schema: Structural,
  old: unknown,
  errors: FieldError[],
): FieldError[] {
  if (errors.some(({ type }) => BLOCKING.has(type))) {
    return [...errors, { type: 'FieldValueInvalid', field: '<nil>', message: NOT_CHECKED }];
  }
  const run = new RuleRun();
  run.visit(object, schema, '', old, true);
  return [...errors, ...run.errors];
}

/** The error of a value by its default's rules: `path` is where the value is. */
export function brokenRules(value: unknown, schema: Structural, path: string): FieldError[] {
  const run = new RuleRun();
  run.visit(value, schema, path, ABSENT, false);
  return run.errors;
}

class RuleRun {
  readonly errors: FieldError[] = [];
  private readonly budget = new CostBudget();
  private over = false;

  visit(value: unknown, schema: Structural, path: string, old: unknown, isRoot: boolean): void {
    if (this.over || !schema.hasRules || value === null || value === undefined || unchanged(value, old)) return;
    for (const rule of schema.raw['x-kubernetes-validations'] ?? []) {
      this.apply(rule, value, schema, path, old, isRoot);
      if (this.over) return;
    }
    if (Array.isArray(value)) {
      const { items } = schema;
      if (items === undefined || !items.hasRules) return;
      const before = oldItems(schema, old);
      value.forEach((item, index) => this.visit(item, items, `${path}[${index}]`, before(item, index), false));
    } else if (typeof value === 'object') {
      for (const [name, item] of Object.entries(value)) {
        const child = schema.child(name);
        if (child?.hasRules !== true) continue;
        const at = schema.properties.has(name) ? joined(path, name) : `${path}[${name}]`;
        this.visit(item, child, at, oldField(old, name), false);
      }
    }
  }

  private apply(
    rule: ValidationRule,
    value: unknown,
    schema: Structural,
    path: string,
    old: unknown,
    isRoot: boolean,
  ): void {
    const { rule: program, message } = compiledRule(rule, schema, isRoot);
    const at = path === '' ? '<nil>' : path;
    if (!program.ok) {
      this.invalid(at, schema, `rule compile error: ${program.message}`);
      return;
    }
    const isTransition = program.rule.usesOldSelf && rule.optionalOldSelf !== true;
    if (isTransition && old === ABSENT) return;
    const input = old === ABSENT ? { self: value } : { self: value, oldSelf: old };
    const result = program.rule.evaluate(input, this.budget);
    if (!result.ok) this.failed(result, rule, schema, at);
    else if (result.value !== true) {
      const said = message?.ok === true ? message.rule.evaluate(input, this.budget) : undefined;
      const text = said?.ok === true && typeof said.value === 'string' ? said.value.trim() : '';
      const usable = text !== '' && !text.includes('\n') && text.length <= MAX_MESSAGE;
      this.broken(rule, schema, path, usable ? text : messageOf(rule));
    }
    if (this.budget.spent && !this.over) {
      this.over = true;
      this.invalid(
        at,
        schema,
        'validation failed due to running out of cost budget, no further validation rules will be run',
      );
    }
  }

  private failed(
    { message, costExceeded }: { readonly message: string; readonly costExceeded: boolean },
    rule: ValidationRule,
    schema: Structural,
    path: string,
  ): void {
    const name = (rule.message ?? '').trim() || rule.rule.trim();
    if (costExceeded) {
      this.over = true;
      const detail = `'${message}': no further validation rules will be run due to call cost exceeds limit for rule: ${name}`;
      this.invalid(path, schema, detail);
    } else if (message.startsWith('no such overload')) {
      const why = 'call arguments did not match a supported operator, function or macro signature for rule';
      this.invalid(path, schema, `'${message}': ${why}: ${name}`);
    } else this.invalid(path, schema, `${message} evaluating rule: ${name}`);
  }

  private broken(rule: ValidationRule, schema: Structural, path: string, detail: string): void {
    const below = rule.fieldPath ? pathBelow(path, rule.fieldPath) : path;
    const field = below === '' ? '<nil>' : below;
    switch (rule.reason ?? 'FieldValueInvalid') {
      case 'FieldValueForbidden':
        this.errors.push({ type: 'FieldValueForbidden', field, message: `Forbidden: ${detail}` });
        return;
      case 'FieldValueRequired':
        this.errors.push({ type: 'FieldValueRequired', field, message: `Required value: ${detail}` });
        return;
      case 'FieldValueDuplicate': {
        const message = `Duplicate value: ${JSON.stringify(schema.type)}`;
        this.errors.push({ type: 'FieldValueDuplicate', field, message });
        return;
      }
      default:
        this.invalid(field, schema, detail);
    }
  }

  private invalid(field: string, schema: Structural, detail: string): void {
    const message = `Invalid value: ${JSON.stringify(schema.type)}: ${detail}`;
    this.errors.push({ type: 'FieldValueInvalid', field, message });
  }
}

/** Longer messages of a `messageExpression` are not used. */
const MAX_MESSAGE = 5 * 1024;

const messageOf = ({ message, rule }: ValidationRule) => (message ?? '').trim() || `failed rule: ${rule.trim()}`;

function pathBelow(path: string, relative: string): string {
  try {
    return (JsonPath.parse(relative).fields ?? []).reduce(joined, path);
  } catch {
    return path;
  }
}

/**
 * Validation rules of custom resources (`x-kubernetes-validations`): compiled once per schema, evaluated for many objects.
 */
import { mostIn, sizedTypeOf, type BoundedSchema } from './cost-sizes.js';
import { compile, maxCost, type EvaluationResult } from './environment.js';
import type { CostBudget } from './evaluation.js';
import { parseExpression, type Expr } from './syntax.js';
import { typeOfSchema, type StructuralSchema } from './schema-types.js';
import { BOOL, optionalOf, STRING, type CelType } from './types.js';
import { CelOptional, fromJson } from './values.js';

/** JSON values. `oldSelf` is undefined when there is no old value. */
export interface RuleInput {
  readonly self: unknown;
  readonly oldSelf?: unknown;
}

export type RuleResult =
  | { readonly ok: true; readonly value: boolean | string }
  | { readonly ok: false; readonly message: string; readonly costExceeded: boolean };

export interface CompiledRule {
  /** The expression mentions `oldSelf`: a transition rule, which only runs on updates unless the old value is optional. */
  readonly usesOldSelf: boolean;
  /** Steps of one evaluation at most, on any value that the schema lets through. */
  readonly maxCost: () => number;
  /** Never throws. Takes its cost from the budget, which all rules about one object share. */
  evaluate(input: RuleInput, budget?: CostBudget): RuleResult;
}

export type RuleCompilation =
  | { readonly ok: true; readonly rule: CompiledRule }
  /** `compilation failed: ERROR: <input>:1:6: …`, or what the result's type must be. */
  | { readonly ok: false; readonly message: string };

export interface RuleOptions {
  /** `rule` (a truth value) unless it is a `messageExpression` (a string). */
  readonly purpose?: 'rule' | 'messageExpression';
  /** `optionalOldSelf` of the rule: `oldSelf` is an optional and the rule runs on creation, too. */
  readonly optionalOldSelf?: boolean;
  /** The schema is a whole resource's, so that `self.metadata.name` and the like are there. */
  readonly isResourceRoot?: boolean;
}

const types = new WeakMap<object, { root?: CelType; nested?: CelType }>();

/** The type of a schema; kept as long as the schema object lives. */
export function ruleType(schema: StructuralSchema, isResourceRoot: boolean): CelType {
  let known = types.get(schema);
  if (known === undefined) types.set(schema, (known = {}));
  if (isResourceRoot) return (known.root ??= typeOfSchema(schema, true));
  return (known.nested ??= typeOfSchema(schema));
}

/** How many values of a schema one request can hold. */
export function mostValues(schema: BoundedSchema, isResourceRoot: boolean): number {
  const size = sizedTypeOf(schema, isResourceRoot);
  return size === undefined ? 1 : mostIn(size);
}

/** Whether the expression mentions the name outside of fields; false for what cannot be parsed. */
export function mentions(expression: string, name: string): boolean {
  const parsed = parseExpression(expression);
  return 'expr' in parsed && mentionsIn(parsed.expr, name);
}

function mentionsIn(expr: Expr, name: string): boolean {
  const any = (...parts: readonly (Expr | undefined)[]) =>
    parts.some((part) => part !== undefined && mentionsIn(part, name));
  switch (expr.kind) {
    case 'ident':
      return expr.name === name;
    case 'literal':
      return false;
    case 'select':
      return any(expr.operand);
    case 'index':
      return any(expr.operand, expr.index);
    case 'call':
      return any(expr.target, ...expr.args);
    case 'list':
      return any(...expr.items);
    case 'map':
      return expr.entries.some((entry) => any(...entry));
    case 'and':
    case 'or':
      return any(expr.left, expr.right);
    case 'ternary':
      return any(expr.test, expr.yes, expr.no);
  }
}

export function compileRule(expression: string, schema: StructuralSchema, options: RuleOptions = {}): RuleCompilation {
  const type = ruleType(schema, options.isResourceRoot ?? false);
  const isMessage = options.purpose === 'messageExpression';
  const optionalOld = options.optionalOldSelf ?? false;
  const variables = new Map<string, CelType>([
    ['self', type],
    ['oldSelf', optionalOld ? optionalOf(type) : type],
  ]);
  const compiled = compile(expression, { variables, results: [isMessage ? STRING : BOOL] });
  if (!compiled.ok) {
    if (compiled.issues.length > 0) return { ok: false, message: `compilation failed: ${compiled.message}` };
    const message = isMessage
      ? 'messageExpression must evaluate to a string'
      : 'cel expression must evaluate to a bool';
    return { ok: false, message };
  }
  const { program } = compiled;
  const rule: CompiledRule = {
    maxCost: () => {
      const size = sizedTypeOf(schema, options.isResourceRoot ?? false);
      return maxCost(
        expression,
        variables,
        new Map([
          ['self', size],
          ['oldSelf', size],
        ]),
      );
    },
    usesOldSelf: mentions(expression, 'oldSelf'),
    evaluate({ self, oldSelf }, budget) {
      const value = fromJson(self, type);
      const old = oldSelf === undefined ? undefined : fromJson(oldSelf, type);
      const given = optionalOld ? new CelOptional(old) : old;
      const result = program.evaluate(
        (name) => (name === 'self' ? value : name === 'oldSelf' ? given : undefined),
        budget,
      );
      return checked(result, isMessage ? 'string' : 'boolean');
    },
  };
  return { ok: true, rule };
}

function checked(result: EvaluationResult, wanted: 'string' | 'boolean'): RuleResult {
  if (!result.ok) return result;
  const { value } = result;
  if (typeof value === wanted) return { ok: true, value: value as boolean | string };
  return { ok: false, message: 'no such overload', costExceeded: false };
}

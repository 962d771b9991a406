/**
 * Type checks an expression and turns it into closures, in one pass. A wrong subexpression has the type `error`, which fits
 * everywhere, so that one mistake gives one issue.
 */
import { optionalOfValue, optionalField, elementOf, logicalCode, dispatch } from './code.js';
import { fieldOf, type Builder, type Code, type Scope, type Typed } from './builder.js';
import type { Evaluation } from './evaluation.js';
import type { FunctionRegistry, Overload } from './functions.js';
import { buildMacro } from './macros.js';
import type { Expr, Issue } from './syntax.js';
import {
  assignable,
  BOOL,
  BYTES,
  DOUBLE,
  DYN,
  ERROR,
  formatType,
  INT,
  join,
  listOf,
  mapOf,
  NULL,
  optionalOf,
  STRING,
  substitute,
  TYPE,
  UINT,
  type Bindings,
  type CelType,
} from './types.js';
import {
  CelError,
  CelList,
  CelOptional,
  CelTypeValue,
  CelUint,
  LiteralMap,
  parseDuration,
  parseTimestamp,
} from './values.js';
import { compilePattern } from './library/regex.js';
import { numeric } from './equality.js';

const TYPE_NAMES = new Set([
  'bool',
  'bytes',
  'double',
  'int',
  'list',
  'map',
  'null_type',
  'string',
  'type',
  'uint',
  'optional_type',
  'google.protobuf.Timestamp',
  'google.protobuf.Duration',
  'kubernetes.URL',
  'kubernetes.Quantity',
  'net.IP',
  'net.CIDR',
]);

const INT_LIMIT = 2n ** 63n;

export class Compiler implements Builder {
  readonly issues: Issue[] = [];
  /** Inside the arguments of `format()`, where list and map literals may mix types. */
  private mixed = false;

  constructor(
    private readonly functions: FunctionRegistry,
    private readonly variables: ReadonlyMap<string, CelType>,
    /** Told the type of every subexpression. */
    private readonly types?: Map<Expr, CelType>,
  ) {}

  fail(at: number, message: string): Typed {
    this.issues.push({ at, message });
    return { type: ERROR, code: () => null };
  }

  build(expr: Expr, scope: Scope | undefined): Typed {
    const typed = this.typed(expr, scope);
    this.types?.set(expr, typed.type);
    return typed;
  }

  private typed(expr: Expr, scope: Scope | undefined): Typed {
    switch (expr.kind) {
      case 'literal':
        return this.literal(expr);
      case 'ident':
        return this.ident(expr, scope);
      case 'select':
        return this.select(expr, scope);
      case 'index':
        return this.index(expr, scope);
      case 'call':
        return this.call(expr, scope);
      case 'list':
        return this.list(expr, scope);
      case 'map':
        return this.map(expr, scope);
      case 'and':
      case 'or':
        return this.logical(expr, scope);
      case 'ternary':
        return this.ternary(expr, scope);
    }
  }

  private literal({ at, value }: Expr & { kind: 'literal' }): Typed {
    const code = () => value;
    if (typeof value === 'string') return { type: STRING, code };
    if (typeof value === 'boolean') return { type: BOOL, code };
    if (typeof value === 'number') return { type: DOUBLE, code };
    if (typeof value === 'bigint') {
      const fits = value < INT_LIMIT && value >= -INT_LIMIT;
      return fits ? { type: INT, code } : this.fail(at, 'Syntax error: invalid int literal');
    }
    if (value === null) return { type: NULL, code };
    return { type: value instanceof CelUint ? UINT : BYTES, code };
  }

  /** A declared name, without an issue when there is none. */
  lookup(name: string, scope: Scope | undefined): Typed | undefined {
    for (let at = scope; at !== undefined; at = at.outer) {
      if (at.name !== name) continue;
      const { slot } = at;
      return {
        type: at.type,
        code: (evaluation) => {
          evaluation.spend(1);
          return evaluation.locals[slot];
        },
      };
    }
    const type = this.variables.get(name);
    if (type === undefined) return undefined;
    const code = (evaluation: Evaluation) => {
      evaluation.spend(1);
      const value = evaluation.variables(name);
      if (value === undefined) throw new CelError(`no such attribute(s): ${name}`);
      return value;
    };
    return { type, code };
  }

  private ident({ at, name }: Expr & { kind: 'ident' }, scope: Scope | undefined): Typed {
    return (
      this.lookup(name, scope) ??
      typeValue(name) ??
      this.fail(at, `undeclared reference to '${name}' (in container '')`)
    );
  }

  private select(expr: Expr & { kind: 'select' }, scope: Scope | undefined): Typed {
    const { field, at } = expr;
    const qualified = expr.optional ? undefined : qualifiedName(expr);
    const root = qualified?.split('.', 1)[0] ?? '';
    if (qualified !== undefined && this.lookup(root, scope) === undefined) {
      const known = typeValue(qualified);
      if (known) return known;
    }
    const operand = this.build(expr.operand, scope);
    const inner = operand.type.kind === 'optional' ? operand.type.element : operand.type;
    const type = this.fieldType(inner, field, at);
    const { code } = operand;
    if (expr.optional || operand.type.kind === 'optional') {
      const run: Code = (evaluation) => {
        evaluation.spend(1);
        return optionalField(code(evaluation), field);
      };
      return { type: optionalOf(type), code: run };
    }
    const run: Code = (evaluation) => {
      evaluation.spend(1);
      const container = code(evaluation);
      if (container instanceof CelOptional) return optionalField(container, field);
      const value = fieldOf(container, field);
      if (value === undefined) throw new CelError(`no such key: ${field}`);
      return value;
    };
    return { type, code: run };
  }

  /** Also for `has()`. */
  fieldType(type: CelType, field: string, at: number): CelType {
    if (type.kind === 'dyn' || type.kind === 'error' || type.kind === 'param') return DYN;
    if (type.kind === 'map') return type.value;
    if (type.kind === 'object') {
      return type.fields.get(field)?.type ?? this.fail(at, `undefined field '${field}'`).type;
    }
    return this.fail(at, `type '${formatType(type)}' does not support field selection`).type;
  }

  private index(expr: Expr & { kind: 'index' }, scope: Scope | undefined): Typed {
    const operand = this.build(expr.operand, scope);
    const index = this.build(expr.index, scope);
    const container = operand.type.kind === 'optional' ? operand.type.element : operand.type;
    const type = this.elementType(expr.at, container, index.type);
    const optional = expr.optional || operand.type.kind === 'optional';
    const run: Code = (evaluation) => {
      evaluation.spend(1);
      let value = operand.code(evaluation);
      const key = index.code(evaluation);
      if (value instanceof CelOptional) {
        if (!value.present) return CelOptional.NONE;
        value = value.value;
        return optionalOfValue(elementOf(value, key));
      }
      const element = elementOf(value, key);
      if (optional) return optionalOfValue(element);
      if (element !== undefined) return element;
      const name = typeof key === 'string' || typeof key === 'bigint' ? key : (numeric(key) ?? String(key));
      throw new CelError(value instanceof CelList ? `index out of bounds: ${name}` : `no such key: ${name}`);
    };
    return { type: optional ? optionalOf(type) : type, code: run };
  }

  private elementType(at: number, container: CelType, index: CelType): CelType {
    const loose = (type: CelType) => type.kind === 'dyn' || type.kind === 'error' || type.kind === 'param';
    if (loose(container)) return DYN;
    if (container.kind === 'list' && (loose(index) || index.kind === 'int')) return container.element;
    if (container.kind === 'map' && assignable(container.key, index, new Map())) return container.value;
    return this.noOverload(at, '_[_]', false, [container, index]).type;
  }

  private noOverload(at: number, name: string, member: boolean, types: readonly CelType[]): Typed {
    const [receiver = DYN, ...rest] = types;
    const shown = member
      ? `${formatType(receiver)}.(${rest.map(formatType).join(', ')})`
      : `(${types.map(formatType).join(', ')})`;
    return this.fail(at, `found no matching overload for '${name}' applied to '${shown}'`);
  }

  private call(expr: Expr & { kind: 'call' }, scope: Scope | undefined): Typed {
    const macro = buildMacro(this, expr, scope);
    if (macro) return macro;
    const { target, name, at } = expr;
    const namespaced = target === undefined ? undefined : qualifiedName(target);
    if (namespaced !== undefined && this.lookup(namespaced.split('.', 1)[0] ?? '', scope) === undefined) {
      const overloads = this.functions.find(`${namespaced}.${name}`);
      const args = expr.args;
      if (overloads)
        return this.invoke(
          at,
          `${namespaced}.${name}`,
          false,
          overloads,
          args.map((arg) => this.build(arg, scope)),
          args,
        );
    }
    const overloads = this.functions.find(name);
    if (overloads === undefined) return this.fail(at, `undeclared reference to '${name}' (in container '')`);
    const operands = target === undefined ? expr.args : [target, ...expr.args];
    const outer = this.mixed;
    this.mixed ||= name === 'format' && target !== undefined;
    const built = operands.map((operand) => this.build(operand, scope));
    this.mixed = outer;
    return this.invoke(at, name, target !== undefined, overloads, built, operands);
  }

  private invoke(
    at: number,
    name: string,
    member: boolean,
    overloads: readonly Overload[],
    args: readonly Typed[],
    exprs: readonly Expr[],
  ): Typed {
    const types = args.map(({ type }) => type);
    if (types.some(({ kind }) => kind === 'error')) return { type: ERROR, code: () => null };
    const fitting: Overload[] = [];
    let result: CelType | undefined;
    for (const overload of overloads) {
      if (overload.member !== member || overload.params.length !== args.length) continue;
      const bindings: Bindings = new Map();
      if (!overload.params.every((param, i) => assignable(param, types[i] ?? DYN, bindings))) continue;
      const type = substitute(overload.result, bindings);
      result = result === undefined ? type : formatType(result) === formatType(type) ? result : DYN;
      fitting.push(overload);
    }
    if (result === undefined) return this.noOverload(at, name, member, types);
    this.checkLiteral(name, exprs);
    return {
      type: result,
      code: dispatch(
        fitting,
        args.map(({ code }) => code),
      ),
    };
  }

  /** Literals that can never be right are refused when the expression is compiled. */
  private checkLiteral(name: string, exprs: readonly Expr[]): void {
    const last = exprs.at(-1);
    if (last?.kind !== 'literal' || typeof last.value !== 'string') return;
    const { value, at } = last;
    const wrong =
      (name === 'duration' && parseDuration(value) === undefined) ||
      (name === 'timestamp' && parseTimestamp(value) === undefined) ||
      (['matches', 'find', 'findAll'].includes(name) && !isPattern(value));
    if (wrong) this.fail(at, `invalid ${name} argument`);
  }

  private list({ items }: Expr & { kind: 'list' }, scope: Scope | undefined): Typed {
    const built = items.map((item) => this.build(item, scope));
    const type = this.common(items, built);
    const codes = built.map(({ code }) => code);
    return {
      type: listOf(type),
      code: (evaluation) => {
        evaluation.spend(10 + codes.length * 0.1);
        return new CelList(codes.map((code) => code(evaluation)));
      },
    };
  }

  /** The one type of all items: lists and maps may not mix. */
  private common(exprs: readonly Expr[], built: readonly Typed[]): CelType {
    let type: CelType | undefined;
    for (const [i, item] of built.entries()) {
      const joined: CelType | undefined =
        type === undefined ? item.type : (join(type, item.type) ?? (this.mixed ? DYN : undefined));
      if (joined === undefined) {
        const message = `expected type '${formatType(type ?? DYN)}' but found '${formatType(item.type)}'`;
        return this.fail(exprs[i]?.at ?? 0, message).type;
      }
      type = joined;
    }
    return type ?? { kind: 'param', name: 'T' };
  }

  private map({ entries }: Expr & { kind: 'map' }, scope: Scope | undefined): Typed {
    const keys = entries.map(([key]) => this.build(key, scope));
    const values = entries.map(([, value]) => this.build(value, scope));
    const keyType = this.common(
      entries.map(([key]) => key),
      keys,
    );
    const valueType = this.common(
      entries.map(([, value]) => value),
      values,
    );
    return {
      type: mapOf(keyType, valueType),
      code: (evaluation) => {
        evaluation.spend(30 + keys.length * 0.1);
        const map = new LiteralMap();
        for (const [i, key] of keys.entries()) {
          const name = key.code(evaluation);
          if (!map.add(name, values[i]?.code(evaluation))) throw new CelError(`Failed with repeated key`);
        }
        return map;
      },
    };
  }

  /** Whether the expression may be a truth value; tells of it otherwise. */
  requireBool(expr: Expr, { type }: Typed): void {
    if (['bool', 'dyn', 'error', 'param'].includes(type.kind)) return;
    this.fail(expr.at, `expected type 'bool' but found '${formatType(type)}'`);
  }

  private logical(expr: Expr & { kind: 'and' | 'or' }, scope: Scope | undefined): Typed {
    const left = this.build(expr.left, scope);
    const right = this.build(expr.right, scope);
    this.requireBool(expr.left, left);
    this.requireBool(expr.right, right);
    return { type: BOOL, code: logicalCode(left.code, right.code, expr.kind === 'or') };
  }

  private ternary(expr: Expr & { kind: 'ternary' }, scope: Scope | undefined): Typed {
    const test = this.build(expr.test, scope);
    const yes = this.build(expr.yes, scope);
    const no = this.build(expr.no, scope);
    const type = join(yes.type, no.type);
    const decidable = ['bool', 'dyn', 'error'].includes(test.type.kind);
    if (type === undefined || !decidable) {
      return this.noOverload(expr.at, '_?_:_', false, [test.type, yes.type, no.type]);
    }
    const run: Code = (evaluation) => {
      const decided = test.code(evaluation);
      if (decided === true) return yes.code(evaluation);
      if (decided === false) return no.code(evaluation);
      throw new CelError('no such overload');
    };
    return { type, code: run };
  }
}

function typeValue(name: string): Typed | undefined {
  if (!TYPE_NAMES.has(name)) return undefined;
  const value = new CelTypeValue(name);
  return { type: TYPE, code: () => value };
}

/** `a.b.c` of plain selections. */
function qualifiedName(expr: Expr): string | undefined {
  if (expr.kind === 'ident') return expr.name;
  if (expr.kind !== 'select' || expr.optional) return undefined;
  const head = qualifiedName(expr.operand);
  return head === undefined ? undefined : `${head}.${expr.field}`;
}

function isPattern(pattern: string): boolean {
  try {
    compilePattern(pattern);
    return true;
  } catch (error) {
    if (error instanceof CelError) return false;
    throw error;
  }
}

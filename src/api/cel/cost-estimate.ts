/**
 * The most that an expression can cost on any value that its schema lets through, without running it: what definitions are refused
 * by whose rules could hold up the server. Counts as cel-go's checker does, comprehensions as what their macros expand to.
 */
import { bounded, estimateCall, MOST, sizeOf, type Estimate, type Size } from './cost-functions.js';
import type { SizedType } from './cost-sizes.js';
import type { FunctionRegistry } from './functions.js';
import type { Expr } from './syntax.js';
import { assignable, DYN, type CelType } from './types.js';
import type { Value } from './values.js';

type Call = Expr & { kind: 'call' };

interface Scope {
  readonly name: string;
  readonly value: Pick<Estimate, 'size' | 'place'>;
  readonly outer: Scope | undefined;
}

/** What a macro's loop costs beside its body: `init` and `result` once, `step` with every item. */
interface Loop {
  readonly init: number;
  readonly step: number;
  readonly result: number;
}

const LIST = 10;
const MAP = 30;

/** By macro; the accumulator is read in every step, and `@not_strictly_false` is asked where the loop may end early. */
const LOOPS: Readonly<Record<string, Loop>> = {
  all: { init: 0, step: 3, result: 1 },
  exists: { init: 0, step: 4, result: 1 },
  exists_one: { init: 0, step: 2, result: 2 },
  existsOne: { init: 0, step: 2, result: 2 },
  filter: { init: LIST, step: LIST + 3, result: 1 },
  map: { init: LIST, step: LIST + 2, result: 1 },
  transformList: { init: LIST, step: LIST + 2, result: 1 },
  transformMap: { init: MAP, step: 3, result: 1 },
  transformMapEntry: { init: MAP, step: 2, result: 1 },
};
/** Macros whose first argument, of two, is not the body but declares a second variable. */
const TWO_VARIABLES = new Set(['transformList', 'transformMap', 'transformMapEntry']);

function literalSize(value: Value): Size {
  const length = typeof value === 'string' ? Buffer.byteLength(value) : value instanceof Uint8Array ? value.length : 1;
  return { min: length, max: length };
}

class CostEstimator {
  constructor(
    private readonly types: ReadonlyMap<Expr, CelType>,
    private readonly functions: FunctionRegistry,
    private readonly roots: ReadonlyMap<string, SizedType | undefined>,
  ) {}

  visit(expr: Expr, scope: Scope | undefined): Estimate {
    const type = this.types.get(expr) ?? DYN;
    switch (expr.kind) {
      case 'literal':
        return { cost: 0, type, size: literalSize(expr.value) };
      case 'ident':
        return { cost: 1, type, ...this.variable(expr.name, scope) };
      case 'select': {
        const operand = this.visit(expr.operand, scope);
        const counted = expr.optional || ['map', 'object', 'param', 'optional'].includes(operand.type.kind);
        return { cost: operand.cost + (counted ? 1 : 0), type, place: operand.place?.fields?.get(expr.field) };
      }
      case 'index': {
        const [operand, index] = [this.visit(expr.operand, scope), this.visit(expr.index, scope)];
        return { cost: bounded(operand.cost + index.cost + 1), type, place: operand.place?.item };
      }
      case 'list':
        return {
          cost: this.sum(expr.items, scope) + LIST,
          type,
          size: { min: expr.items.length, max: expr.items.length },
        };
      case 'map': {
        const { length } = expr.entries;
        return { cost: this.sum(expr.entries.flat(), scope) + MAP, type, size: { min: length, max: length } };
      }
      case 'and':
      case 'or':
        return { cost: this.sum([expr.left, expr.right], scope), type };
      case 'ternary': {
        const [yes, no] = [this.visit(expr.yes, scope), this.visit(expr.no, scope)];
        const [a, b] = [sizeOf(yes), sizeOf(no)];
        const cost = bounded(this.visit(expr.test, scope).cost + Math.max(yes.cost, no.cost));
        return { cost, type, size: { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) } };
      }
      case 'call':
        return this.macro(expr, type, scope) ?? this.call(expr, type, scope);
    }
  }

  private sum(exprs: readonly Expr[], scope: Scope | undefined): number {
    return bounded(exprs.reduce((cost, expr) => cost + this.visit(expr, scope).cost, 0));
  }

  private variable(name: string, scope: Scope | undefined): Pick<Estimate, 'size' | 'place'> {
    for (let at = scope; at !== undefined; at = at.outer) if (at.name === name) return at.value;
    return { place: this.roots.get(name) };
  }

  /** Undefined when the call is not a macro's: what a macro declares has been given no type. */
  private macro(expr: Call, type: CelType, scope: Scope | undefined): Estimate | undefined {
    const { name, args, target } = expr;
    const [first, second, third] = args;
    if (target === undefined) {
      if (name !== 'has' || first?.kind !== 'select') return undefined;
      return { cost: this.visit(first.operand, scope).cost, type };
    }
    if (first?.kind !== 'ident' || this.types.has(first)) return undefined;
    if (name === 'bind' && second && third) {
      const init = this.visit(second, scope);
      const body = this.visit(third, { name: first.name, value: init, outer: scope });
      return { ...body, type, cost: bounded(LIST + init.cost + body.cost) };
    }
    if ((name === 'optMap' || name === 'optFlatMap') && second) {
      const operand = this.visit(target, scope);
      const body = this.visit(second, { name: first.name, value: operand, outer: scope });
      return { cost: bounded(operand.cost + body.cost + LIST + 3), type };
    }
    const loop = LOOPS[name];
    return loop && this.loop(expr, loop, target, type, scope);
  }

  private loop({ name, args }: Call, loop: Loop, target: Expr, type: CelType, outer: Scope | undefined): Estimate {
    const range = this.visit(target, outer);
    const count = sizeOf(range);
    const { place } = range;
    const isMap = range.type.kind === 'map';
    const names = args.filter((arg) => arg.kind === 'ident' && !this.types.has(arg)) as (Expr & { kind: 'ident' })[];
    const two = TWO_VARIABLES.has(name) || (names.length === 2 && args.length === 3);
    const single = isMap ? place?.key : place?.item;
    const values = two
      ? [isMap ? { place: place?.key } : { size: { min: 1, max: 1 } }, { place: place?.item }]
      : [{ place: single }];
    let scope = outer;
    for (const [i, value] of values.entries()) scope = { name: names[i]?.name ?? '', value, outer: scope };
    const bodies = args.slice(values.length);
    const each = loop.step + this.sum(bodies, scope);
    const steps = count.max === 0 ? 0 : bounded(count.max * each);
    return { cost: bounded(range.cost + loop.init + steps + loop.result), type, size: count };
  }

  private call(expr: Call, type: CelType, scope: Scope | undefined): Estimate {
    const { args: exprs, name } = expr;
    const args = exprs.map((arg) => this.visit(arg, scope));
    // What stands before the dot of `ip.isCanonical(…)` is part of the name, and has no type.
    const receiver = expr.target !== undefined && this.types.has(expr.target) ? expr.target : undefined;
    const full = expr.target !== undefined && receiver === undefined ? `${qualifier(expr.target)}.${name}` : name;
    const target = receiver && this.visit(receiver, scope);
    const operands = target ? [target, ...args] : args;
    const overloads = (this.functions.find(full) ?? []).filter(
      ({ member, params }) =>
        member === (target !== undefined) &&
        params.length === operands.length &&
        params.every((param, i) => assignable(param, operands[i]?.type ?? DYN, new Map())),
    );
    const { cost, size } = estimateCall(full, { target, args, exprs, overloads });
    return { cost: bounded(operands.reduce((sum, operand) => sum + operand.cost, cost)), type, size };
  }
}

const qualifier = (expr: Expr): string =>
  expr.kind === 'ident' ? expr.name : expr.kind === 'select' ? `${qualifier(expr.operand)}.${expr.field}` : '';

/** Steps at most; {@link MOST} when there is no telling. `types` are those that the compiler has found. */
export function estimateCost(
  expr: Expr,
  types: ReadonlyMap<Expr, CelType>,
  functions: FunctionRegistry,
  roots: ReadonlyMap<string, SizedType | undefined>,
): number {
  const { cost } = new CostEstimator(types, functions, roots).visit(expr, undefined);
  return Math.min(MOST, cost);
}

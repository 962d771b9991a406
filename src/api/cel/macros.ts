/** Macros: `has`, comprehensions over one or two variables, `cel.bind` and those of optional values. */
import { fieldOf, isSwallowable, type Builder, type Code, type Scope, type Typed } from './builder.js';
import type { Evaluation } from './evaluation.js';
import type { Expr } from './syntax.js';
import { BOOL, DYN, ERROR, formatType, INT, listOf, mapOf, optionalOf, type CelType } from './types.js';
import { CelError, CelList, CelOptional, isMap, LiteralMap, type Value } from './values.js';

type Call = Expr & { kind: 'call' };
type Quantifier = 'all' | 'exists' | 'exists_one';

/** Undefined when the call is not a macro's. */
export function buildMacro(compiler: Builder, call: Call, scope: Scope | undefined): Typed | undefined {
  const { name, args, target } = call;
  if (target === undefined) return name === 'has' && args.length === 1 ? has(compiler, call, scope) : undefined;
  if (target.kind === 'ident' && target.name === 'cel' && name === 'bind' && args.length === 3) {
    return bind(compiler, call, scope);
  }
  const two = args.length === 3;
  switch (name) {
    case 'all':
    case 'exists':
    case 'exists_one':
    case 'existsOne':
      if (args.length !== 2 && !two) return undefined;
      return quantifier(compiler, call, scope, name === 'existsOne' ? 'exists_one' : name);
    case 'filter':
      return args.length === 2 ? filter(compiler, call, scope) : undefined;
    case 'map':
      return args.length === 2 || two ? map(compiler, call, scope) : undefined;
    case 'transformList':
    case 'transformMap':
    case 'transformMapEntry':
      return two || args.length === 4 ? transform(compiler, call, scope, name) : undefined;
    case 'optMap':
    case 'optFlatMap':
      return args.length === 2 ? optionalMap(compiler, call, scope, name === 'optFlatMap') : undefined;
    default:
      return undefined;
  }
}

function has(compiler: Builder, { args, at }: Call, scope: Scope | undefined): Typed {
  const [arg] = args;
  if (arg?.kind !== 'select') return compiler.fail(arg?.at ?? at, 'invalid argument to has() macro');
  const operand = compiler.build(arg.operand, scope);
  const container = operand.type.kind === 'optional' ? operand.type.element : operand.type;
  compiler.fieldType(container, arg.field, arg.at);
  const run: Code = (evaluation) => {
    evaluation.spend(1);
    const value = operand.code(evaluation);
    if (value instanceof CelOptional) return value.present && fieldOf(value.value, arg.field) !== undefined;
    return fieldOf(value, arg.field) !== undefined;
  };
  return { type: BOOL, code: run };
}

const nameOf = (expr: Expr | undefined): string | undefined => (expr?.kind === 'ident' ? expr.name : undefined);

function declare(name: string, type: CelType, outer: Scope | undefined): Scope {
  return { name, type, slot: outer === undefined ? 0 : outer.slot + 1, outer };
}

function bind(compiler: Builder, { args, at }: Call, scope: Scope | undefined): Typed {
  const [variable, init, body] = args;
  const name = nameOf(variable);
  if (name === undefined || !init || !body) {
    return compiler.fail(variable?.at ?? at, 'cel.bind() variable names must be simple identifiers');
  }
  const value = compiler.build(init, scope);
  const inner = declare(name, value.type, scope);
  const result = compiler.build(body, inner);
  const run: Code = (evaluation) => {
    evaluation.locals[inner.slot] = value.code(evaluation);
    return result.code(evaluation);
  };
  return { type: result.type, code: run };
}

/** A range with its iteration variables declared: one (an item or a key), or two (index and item, key and value). */
interface Loop {
  readonly scope: Scope;
  readonly itemType: CelType;
  readonly keyType: CelType;
  /** Calls `step` for each item until it returns false. */
  readonly each: (evaluation: Evaluation, step: (item: Value) => boolean) => void;
}

function loop(compiler: Builder, call: Call, outer: Scope | undefined, two: boolean): Loop | undefined {
  if (call.target === undefined) return undefined;
  const range = compiler.build(call.target, outer);
  const names = [nameOf(call.args[0]), two ? nameOf(call.args[1]) : ''];
  const [first, second] = names;
  if (first === undefined || second === undefined) {
    compiler.fail(call.args[first === undefined ? 0 : 1]?.at ?? call.at, 'argument must be a simple name');
    return undefined;
  }
  const types = rangeTypes(compiler, call.target, range.type);
  const single = types.isMap ? types.key : types.item;
  const one = declare(first, two ? types.key : single, outer);
  const scope = two ? declare(second, types.item, one) : one;
  const each: Loop['each'] = (evaluation, step) => {
    const collection = range.code(evaluation);
    const { locals } = evaluation;
    if (collection instanceof CelList) {
      for (let i = 0; i < collection.size; i++) {
        evaluation.spend(1);
        const item = collection.get(i);
        locals[one.slot] = two ? BigInt(i) : item;
        if (two) locals[scope.slot] = item;
        if (!step(item)) return;
      }
    } else if (isMap(collection)) {
      for (const key of collection.keys()) {
        evaluation.spend(1);
        locals[one.slot] = key;
        if (two) locals[scope.slot] = collection.find(key);
        if (!step(key)) return;
      }
    } else throw new CelError('no such overload');
  };
  return { scope, itemType: single, keyType: types.key, each };
}

function rangeTypes(compiler: Builder, expr: Expr, type: CelType): { isMap: boolean; key: CelType; item: CelType } {
  if (type.kind === 'list') return { isMap: false, key: INT, item: type.element };
  if (type.kind === 'map') return { isMap: true, key: type.key, item: type.value };
  if (type.kind === 'dyn' || type.kind === 'param') return { isMap: false, key: DYN, item: DYN };
  if (type.kind !== 'error') {
    compiler.fail(
      expr.at,
      `expression of type '${formatType(type)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
    );
  }
  return { isMap: false, key: ERROR, item: ERROR };
}

const NOTHING: Typed = { type: ERROR, code: () => null };

function truth(value: Value): boolean {
  if (typeof value !== 'boolean') throw new CelError('no such overload');
  return value;
}

function predicate(compiler: Builder, expr: Expr, scope: Scope): Code {
  const test = compiler.build(expr, scope);
  compiler.requireBool(expr, test);
  return (evaluation) => truth(test.code(evaluation));
}

function quantifier(compiler: Builder, call: Call, outer: Scope | undefined, kind: Quantifier): Typed {
  const over = loop(compiler, call, outer, call.args.length === 3);
  const body = call.args.at(-1);
  if (!over || !body) return NOTHING;
  const test = predicate(compiler, body, over.scope);
  if (kind === 'exists_one') {
    const code: Code = (evaluation) => {
      let count = 0;
      over.each(evaluation, () => {
        if (test(evaluation) === true) count++;
        return true;
      });
      return count === 1;
    };
    return { type: BOOL, code };
  }
  const decisive = kind === 'exists';
  const code: Code = (evaluation) => {
    let decided = false;
    let failure: unknown;
    over.each(evaluation, () => {
      try {
        decided = test(evaluation) === decisive;
      } catch (error) {
        if (!isSwallowable(error)) throw error;
        failure ??= error;
      }
      return !decided;
    });
    if (decided) return decisive;
    if (failure !== undefined) throw failure;
    return !decisive;
  };
  return { type: BOOL, code };
}

function filter(compiler: Builder, call: Call, outer: Scope | undefined): Typed {
  const over = loop(compiler, call, outer, false);
  const body = call.args[1];
  if (!over || !body) return NOTHING;
  const test = predicate(compiler, body, over.scope);
  const code: Code = (evaluation) => {
    const kept: Value[] = [];
    over.each(evaluation, (item) => {
      if (test(evaluation) === true) kept.push(item);
      return true;
    });
    return new CelList(kept);
  };
  return { type: listOf(over.itemType), code };
}

/** `map(x, f)` and `map(x, test, f)`. */
function map(compiler: Builder, call: Call, outer: Scope | undefined): Typed {
  const over = loop(compiler, call, outer, false);
  const body = call.args.at(-1);
  const condition = call.args.length === 3 ? call.args[1] : undefined;
  if (!over || !body) return NOTHING;
  return collect(compiler, over, condition, body);
}

function collect(compiler: Builder, over: Loop, condition: Expr | undefined, body: Expr): Typed {
  const test = condition === undefined ? undefined : predicate(compiler, condition, over.scope);
  const value = compiler.build(body, over.scope);
  const code: Code = (evaluation) => {
    const made: Value[] = [];
    over.each(evaluation, () => {
      if (test === undefined || test(evaluation) === true) made.push(value.code(evaluation));
      return true;
    });
    return new CelList(made);
  };
  return { type: listOf(value.type), code };
}

function transform(compiler: Builder, call: Call, outer: Scope | undefined, name: string): Typed {
  const over = loop(compiler, call, outer, true);
  const body = call.args.at(-1);
  const condition = call.args.length === 4 ? call.args[2] : undefined;
  if (!over || !body) return NOTHING;
  if (name === 'transformList') return collect(compiler, over, condition, body);
  const test = condition === undefined ? undefined : predicate(compiler, condition, over.scope);
  const value = compiler.build(body, over.scope);
  const keySlot = over.scope.outer?.slot ?? 0;
  const wholeEntry = name === 'transformMapEntry';
  const code: Code = (evaluation) => {
    const made = new LiteralMap();
    over.each(evaluation, () => {
      if (test !== undefined && test(evaluation) !== true) return true;
      if (wholeEntry) addEntries(made, value.code(evaluation));
      else made.add(evaluation.locals[keySlot], value.code(evaluation));
      return true;
    });
    return made;
  };
  if (wholeEntry) return { type: value.type.kind === 'map' ? value.type : mapOf(DYN, DYN), code };
  return { type: mapOf(over.keyType, value.type), code };
}

function addEntries(made: LiteralMap, entries: Value): void {
  if (!isMap(entries)) throw new CelError('no such overload');
  for (const key of entries.keys()) {
    if (!made.add(key, entries.find(key))) throw new CelError(`insert failed: key already exists`);
  }
}

function optionalMap(compiler: Builder, call: Call, outer: Scope | undefined, flat: boolean): Typed {
  const [variable, body] = call.args;
  const name = nameOf(variable);
  if (name === undefined || !body || !call.target) {
    return compiler.fail(variable?.at ?? call.at, `${call.name}() variable name must be a simple identifier`);
  }
  const operand = compiler.build(call.target, outer);
  const inner = declare(name, operand.type.kind === 'optional' ? operand.type.element : DYN, outer);
  const value = compiler.build(body, inner);
  const code: Code = (evaluation) => {
    const optional = operand.code(evaluation);
    if (!(optional instanceof CelOptional)) throw new CelError('no such overload');
    if (!optional.present) return CelOptional.NONE;
    evaluation.locals[inner.slot] = optional.value;
    const result = value.code(evaluation);
    return flat ? result : new CelOptional(result);
  };
  return { type: flat ? value.type : optionalOf(value.type), code };
}

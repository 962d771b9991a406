/** What the compiler and the macros build closures from. */
import type { Evaluation } from './evaluation.js';
import type { Expr } from './syntax.js';
import type { CelType } from './types.js';
import { CelError, CelObject, isMap, type Value } from './values.js';

export type Code = (evaluation: Evaluation) => Value;

export interface Typed {
  readonly type: CelType;
  readonly code: Code;
}

/** Names that comprehensions have declared, innermost first. */
export interface Scope {
  readonly name: string;
  readonly type: CelType;
  readonly slot: number;
  readonly outer: Scope | undefined;
}

/** The compiler as macros see it. */
export interface Builder {
  build(expr: Expr, scope: Scope | undefined): Typed;
  /** Notes an issue; the result fits everywhere. */
  fail(at: number, message: string): Typed;
  fieldType(type: CelType, field: string, at: number): CelType;
  requireBool(expr: Expr, typed: Typed): void;
}

/** Undefined when the container has no such field. */
export function fieldOf(container: Value, field: string): Value {
  if (container instanceof CelObject || isMap(container)) return container.find(field);
  throw new CelError('no such overload');
}

/** Running out of steps, and bugs, end the evaluation whatever the other side says. */
export const isSwallowable = (error: unknown): boolean => error instanceof CelError && error.constructor === CelError;

/** The closures that need more than a line: optional access, elements, logic, dispatch by the values' types. */
import { fieldOf, isSwallowable, type Code } from './builder.js';
import { traversalCost } from './evaluation.js';
import { numeric } from './equality.js';
import { accepts, type Overload } from './functions.js';
import { DYN } from './types.js';
import { CelError, CelList, CelOptional, isMap, type Value } from './values.js';

export const optionalOfValue = (value: Value): CelOptional =>
  value === undefined ? CelOptional.NONE : new CelOptional(value);

export function optionalField(container: Value, field: string): CelOptional {
  if (!(container instanceof CelOptional)) return optionalOfValue(fieldOf(container, field));
  return container.present ? optionalOfValue(fieldOf(container.value, field)) : CelOptional.NONE;
}

export function elementOf(container: Value, key: Value): Value {
  if (container instanceof CelList) {
    const index = numeric(key);
    if (index === undefined || (typeof index === 'number' && !Number.isInteger(index)))
      throw new CelError('no such overload');
    return index < 0 || index >= container.size ? undefined : container.get(Number(index));
  }
  if (isMap(container)) return container.find(key);
  throw new CelError('no such overload');
}

/** Errors of one side do not count when the other side decides. */
export function logicalCode(left: Code, right: Code, decisive: boolean): Code {
  return (evaluation) => {
    let failure: unknown;
    for (const side of [left, right]) {
      try {
        const value = side(evaluation);
        if (value === decisive) return decisive;
        if (value !== !decisive) failure ??= new CelError('no such overload');
      } catch (error) {
        if (!isSwallowable(error)) throw error;
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
    return !decisive;
  };
}

export function dispatch(overloads: readonly Overload[], codes: readonly Code[]): Code {
  return (evaluation) => {
    let cost = 1;
    const args: Value[] = [];
    for (let i = 0; i < codes.length; i++) {
      args[i] = codes[i]?.(evaluation);
      cost += traversalCost(args[i]);
    }
    evaluation.spend(cost);
    for (const overload of overloads) {
      let fits = true;
      for (let i = 0; fits && i < args.length; i++) fits = accepts(overload.params[i] ?? DYN, args[i]);
      if (!fits) continue;
      return overload.run(args, evaluation);
    }
    throw new CelError('no such overload');
  };
}

/** Functions of optional values; `?` in selections and the macros are the compiler's. */
import type { FunctionTable } from '../functions.js';
import { CelError, CelOptional } from '../values.js';
import { isZeroValue } from './standard.js';

const optional = (value: unknown): CelOptional => value as CelOptional;

export const optionalsLibrary: FunctionTable = {
  '@optional.of(T): optional<T>': ([value]) => new CelOptional(value),
  '@optional.none(): optional<T>': () => CelOptional.NONE,
  '@optional.ofNonZeroValue(T): optional<T>': ([value]) =>
    isZeroValue(value) ? CelOptional.NONE : new CelOptional(value),
  'optional<T>.hasValue(): bool': ([value]) => optional(value).present,
  'optional<T>.value(): T': ([value]) => {
    if (!optional(value).present) throw new CelError('optional.none() dereference');
    return optional(value).value;
  },
  'optional<T>.or(optional<T>): optional<T>': ([value, other]) => (optional(value).present ? value : other),
  'optional<T>.orValue(T): T': ([value, other]) => (optional(value).present ? optional(value).value : other),
};

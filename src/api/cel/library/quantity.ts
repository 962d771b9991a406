/** `quantity()`: resource quantities. */
import { parseQuantity, Quantity, QuantityError } from '../../quantity.js';
import type { FunctionTable } from '../functions.js';
import { CelError, CelOpaque, type Value } from '../values.js';

const NANO = 1_000_000_000n;
const MAX_INT = 2n ** 63n - 1n;

class QuantityValue extends CelOpaque {
  readonly typeName = 'kubernetes.Quantity';
  constructor(readonly quantity: Quantity) {
    super();
  }
  equals(other: CelOpaque): boolean {
    return other instanceof QuantityValue && other.quantity.equals(this.quantity);
  }
}

const of = (value: Value): Quantity => (value as QuantityValue).quantity;
const wrap = (quantity: Quantity) => new QuantityValue(quantity);

function parse(text: string): Quantity {
  try {
    return parseQuantity(text);
  } catch (error) {
    if (error instanceof QuantityError) throw new CelError(error.message, { cause: error });
    throw error;
  }
}

function isQuantity(text: string): boolean {
  try {
    parseQuantity(text);
    return true;
  } catch (error) {
    if (error instanceof QuantityError) return false;
    throw error;
  }
}

const isInteger = ({ nano }: Quantity): boolean =>
  nano % NANO === 0n && nano / NANO <= MAX_INT && nano / NANO >= -MAX_INT - 1n;

function asInteger(quantity: Quantity): bigint {
  if (!isInteger(quantity)) throw new CelError('cannot convert value to integer');
  return quantity.nano / NANO;
}

const Q = 'kubernetes.Quantity';
export const quantityLibrary: FunctionTable = {
  [`quantity(string): ${Q}`]: ([text]) => wrap(parse(text as string)),
  'isQuantity(string): bool': ([text]) => isQuantity(text as string),
  [`${Q}.sign(): int`]: ([a]) => (of(a).nano > 0n ? 1n : of(a).nano < 0n ? -1n : 0n),
  [`${Q}.isInteger(): bool`]: ([a]) => isInteger(of(a)),
  [`${Q}.asInteger(): int`]: ([a]) => asInteger(of(a)),
  [`${Q}.asApproximateFloat(): double`]: ([a]) => Number(of(a).nano) / 1e9,
  [`${Q}.isGreaterThan(${Q}): bool`]: ([a, b]) => of(a).compare(of(b)) > 0,
  [`${Q}.isLessThan(${Q}): bool`]: ([a, b]) => of(a).compare(of(b)) < 0,
  [`${Q}.compareTo(${Q}): int`]: ([a, b]) => BigInt(of(a).compare(of(b))),
  [`${Q}.add(${Q}): ${Q}`]: ([a, b]) => wrap(of(a).add(of(b))),
  [`${Q}.add(int): ${Q}`]: ([a, b]) => wrap(of(a).add(Quantity.of(b as bigint))),
  [`${Q}.sub(${Q}): ${Q}`]: ([a, b]) => wrap(of(a).sub(of(b))),
  [`${Q}.sub(int): ${Q}`]: ([a, b]) => wrap(of(a).sub(Quantity.of(b as bigint))),
};

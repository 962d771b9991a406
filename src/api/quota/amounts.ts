/** Lists of resource amounts and their arithmetic (apiserver `pkg/quota/v1/resources`). Pure; exact. */
import { parseQuantity, Quantity } from '../quantity.js';

/** Amounts by resource name. */
export type Amounts = ReadonlyMap<string, Quantity>;

export type QuantityMap = Readonly<Record<string, string | number>> | undefined;

export const ONE = Quantity.of(1);

/** What is not a quantity is left out: validation refuses it elsewhere. */
export function amountsOf(quantities: QuantityMap): Map<string, Quantity> {
  const out = new Map<string, Quantity>();
  for (const name in quantities) {
    try {
      out.set(name, parseQuantity(quantities[name] ?? '0'));
    } catch {
      // See above.
    }
  }
  return out;
}

export function addTo(total: Map<string, Quantity>, more: Amounts): void {
  for (const [name, amount] of more) {
    const present = total.get(name);
    total.set(name, present === undefined ? amount : present.add(amount));
  }
}

/** Raises every amount to at least the other's. */
export function raiseTo(total: Map<string, Quantity>, other: Amounts): void {
  for (const [name, amount] of other) {
    const present = total.get(name);
    if (present === undefined || present.compare(amount) < 0) total.set(name, amount);
  }
}

/** What `after` has more than `before`, resource by resource; what is not more is left out. */
export function increase(after: Amounts, before: Amounts): Amounts {
  const out = new Map<string, Quantity>();
  for (const [name, amount] of after) {
    const had = before.get(name);
    const more = had === undefined ? amount : amount.sub(had);
    if (!more.isZero && !more.isNegative) out.set(name, more);
  }
  return out;
}

export const sortedNames = (amounts: Iterable<string>): string[] => [...amounts].toSorted();

/** As the API shows it, by name. */
export const toQuantityMap = (amounts: Amounts): Record<string, string> =>
  Object.fromEntries(
    sortedNames(amounts.keys()).map((name) => [name, (amounts.get(name) ?? Quantity.ZERO).toString()]),
  );

/** `cpu=1,pods=2`, as messages name amounts. */
export const describeAmounts = (amounts: Amounts): string =>
  sortedNames(amounts.keys())
    .map((name) => `${name}=${(amounts.get(name) ?? Quantity.ZERO).toString()}`)
    .join(',');

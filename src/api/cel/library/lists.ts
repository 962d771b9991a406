/** Kubernetes' list functions and cel-go's sets. */
import type { Evaluation } from '../evaluation.js';
import { compare, equal } from '../equality.js';
import type { FunctionTable, Implementation } from '../functions.js';
import { CelDuration, CelError, CelUint, type CelList, type Value } from '../values.js';
import { int, noOverload } from './standard.js';

/** Comparing texts takes time by their length. */
function order(a: Value, b: Value, evaluation: Evaluation): number {
  evaluation.spend(typeof a === 'string' ? 1 + a.length * 0.1 : 1);
  const result = compare(a, b);
  if (result === undefined) throw noOverload();
  return result;
}

function isSorted(list: CelList, evaluation: Evaluation): boolean {
  for (let i = 1; i < list.size; i++) if (order(list.get(i - 1), list.get(i), evaluation) > 0) return false;
  return true;
}

function extreme(list: CelList, sign: number, name: string, evaluation: Evaluation): Value {
  if (list.size === 0) throw new CelError(`${name} called on empty list`);
  let best = list.get(0);
  for (let i = 1; i < list.size; i++) {
    const item = list.get(i);
    if (order(item, best, evaluation) * sign > 0) best = item;
  }
  return best;
}

function add(a: Value, b: Value): Value {
  if (typeof a === 'bigint' && typeof b === 'bigint') return int(a + b);
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a instanceof CelUint && b instanceof CelUint) return new CelUint(a.value + b.value);
  if (a instanceof CelDuration && b instanceof CelDuration) return new CelDuration(int(a.ns + b.ns));
  throw noOverload();
}

const SUM_OF = [
  ['int', 0n],
  ['uint', new CelUint(0n)],
  ['double', 0],
  ['duration', new CelDuration(0n)],
  ['dyn', 0n],
] as const;

function sum(list: CelList, zero: Value): Value {
  let total = list.size === 0 ? zero : list.get(0);
  if (list.size > 0 && list.size < 2)
    return add(total, typeof total === 'object' ? zero : typeof total === 'number' ? 0 : 0n);
  for (let i = 1; i < list.size; i++) total = add(total, list.get(i));
  return total;
}

const lists: Record<string, Implementation> = {
  'list<T>.indexOf(T): int': ([list, item], evaluation) => {
    const all = list as CelList;
    for (let i = 0; i < all.size; i++) if (equal(all.get(i), item, evaluation)) return BigInt(i);
    return -1n;
  },
  'list<T>.lastIndexOf(T): int': ([list, item], evaluation) => {
    const all = list as CelList;
    for (let i = all.size - 1; i >= 0; i--) if (equal(all.get(i), item, evaluation)) return BigInt(i);
    return -1n;
  },
};
for (const type of ['int', 'uint', 'double', 'bool', 'string', 'bytes', 'timestamp', 'duration', 'dyn']) {
  lists[`list<${type}>.isSorted(): bool`] = ([list], evaluation) => isSorted(list as CelList, evaluation);
  lists[`list<${type}>.min(): ${type}`] = ([list], evaluation) => extreme(list as CelList, -1, 'min', evaluation);
  lists[`list<${type}>.max(): ${type}`] = ([list], evaluation) => extreme(list as CelList, 1, 'max', evaluation);
}
for (const [type, zero] of SUM_OF)
  lists[`list<${type}>.sum(): ${type}`] = ([list], evaluation) => {
    evaluation.spend((list as CelList).size);
    return sum(list as CelList, zero);
  };

export const listsLibrary: FunctionTable = lists;

function has(list: CelList, item: Value, evaluation: Evaluation): boolean {
  for (const other of list) {
    if (equal(item, other, evaluation)) return true;
  }
  return false;
}

const containsAll = (list: CelList, items: CelList, evaluation: Evaluation): boolean => {
  for (const item of items) if (!has(list, item, evaluation)) return false;
  return true;
};

export const setsLibrary: FunctionTable = {
  '@sets.contains(list<T>, list<T>): bool': ([a, b], evaluation) => containsAll(a as CelList, b as CelList, evaluation),
  '@sets.equivalent(list<T>, list<T>): bool': ([a, b], evaluation) =>
    containsAll(a as CelList, b as CelList, evaluation) && containsAll(b as CelList, a as CelList, evaluation),
  '@sets.intersects(list<T>, list<T>): bool': ([a, b], evaluation) => {
    for (const item of a as CelList) if (has(b as CelList, item, evaluation)) return true;
    return false;
  },
};

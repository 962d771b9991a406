/** CEL's equality and order. Values of different types are unequal, except that numbers compare by value. */
import {
  CelDuration,
  CelList,
  CelObject,
  CelOpaque,
  CelOptional,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  isMap,
  type CelMap,
  type Value,
} from './values.js';

const NUMBERS = new Set(['bigint', 'number']);

/** The number as something that JavaScript compares exactly with other such numbers. */
export function numeric(value: Value): number | bigint | undefined {
  if (NUMBERS.has(typeof value)) return value as number | bigint;
  return value instanceof CelUint ? value.value : undefined;
}

/** Is told of every step of a comparison; throws to end it. */
export interface Meter {
  spend(cost: number): void;
}

export function equal(a: Value, b: Value, meter?: Meter): boolean {
  meter?.spend(typeof a === 'string' ? 1 + a.length * 0.1 : 1);
  if (a === b) return true;
  const left = numeric(a);
  // oxlint-disable-next-line eqeqeq -- ints and doubles compare by value
  if (left !== undefined) return left == numeric(b);
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  if (a instanceof CelList) return b instanceof CelList && listsEqual(a, b, meter);
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof CelTimestamp) return b instanceof CelTimestamp && a.ns === b.ns;
  if (a instanceof CelDuration) return b instanceof CelDuration && a.ns === b.ns;
  if (a instanceof CelTypeValue) return b instanceof CelTypeValue && a.name === b.name;
  if (a instanceof CelOpaque) return b instanceof CelOpaque && a.typeName === b.typeName && a.equals(b);
  if (a instanceof CelOptional) {
    if (!(b instanceof CelOptional) || a.present !== b.present) return false;
    return !a.present || equal(a.value, b.value, meter);
  }
  if (a instanceof CelObject) return b instanceof CelObject && objectsEqual(a, b, meter);
  return isMap(a) && isMap(b) && mapsEqual(a, b, meter);
}

function objectsEqual(a: CelObject, b: CelObject, meter: Meter | undefined): boolean {
  if (a.raw === b.raw) return true;
  for (const name of a.type.fields.keys()) {
    const left = a.find(name);
    const right = b.find(name);
    if (left === undefined || right === undefined ? left !== right : !equal(left, right, meter)) return false;
  }
  return true;
}

function mapsEqual(a: CelMap, b: CelMap, meter: Meter | undefined): boolean {
  if (a.size !== b.size) return false;
  for (const key of a.keys()) {
    const other = b.find(key);
    if (other === undefined || !equal(a.find(key), other, meter)) return false;
  }
  return true;
}

function listsEqual(a: CelList, b: CelList, meter: Meter | undefined): boolean {
  if (a.size !== b.size) return false;
  if (a.type?.listType !== undefined) return unorderedEqual(a, b, meter);
  for (let i = 0; i < a.size; i++) if (!equal(a.get(i), b.get(i), meter)) return false;
  return true;
}

/** Sets and lists of type map: the same elements in any order. */
function unorderedEqual(a: CelList, b: CelList, meter: Meter | undefined): boolean {
  const keyOf = itemKey(a);
  const rest = new Map<string, Value[]>();
  for (const item of b) {
    const key = keyOf(item);
    const same = rest.get(key);
    if (same) same.push(item);
    else rest.set(key, [item]);
  }
  for (const item of a) {
    const same = rest.get(keyOf(item));
    const at = same?.findIndex((other) => equal(item, other, meter)) ?? -1;
    if (same === undefined || at < 0) return false;
    same.splice(at, 1);
  }
  return true;
}

/** What tells items of a set or of a list of type map apart, as text. */
export function itemKey(list: CelList): (item: Value) => string {
  const keys = list.type?.mapKeys;
  if (list.type?.listType !== 'map' || keys === undefined) return (item) => scalarKey(item);
  return (item) =>
    keys
      .map((key) => scalarKey(item instanceof CelObject ? item.find(key) : isMap(item) ? item.find(key) : item))
      .join('\u0000');
}

const scalarKey = (value: Value): string => {
  const number = numeric(value);
  if (number !== undefined) return `n${number}`;
  return typeof value === 'string' ? `s${value}` : typeof value === 'boolean' ? `b${value}` : 'o';
};

/** `+` of sets and of lists of type map: the right one's items take the place of those with the same key. */
export function mergeLists(a: CelList, b: CelList): CelList {
  const keyOf = itemKey(a);
  const merged = new Map<string, Value>();
  for (const item of a) merged.set(keyOf(item), item);
  for (const item of b) merged.set(keyOf(item), item);
  return new CelList([...merged.values()], undefined, a.type);
}

/** Negative, zero or positive; undefined when the values have no order. */
export function compare(a: Value, b: Value): number | undefined {
  const left = numeric(a);
  const right = numeric(b);
  if (left !== undefined && right !== undefined) return left < right ? -1 : left > right ? 1 : 0;
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  if (a instanceof CelTimestamp && b instanceof CelTimestamp) return Number(a.ns > b.ns) - Number(a.ns < b.ns);
  if (a instanceof CelDuration && b instanceof CelDuration) return Number(a.ns > b.ns) - Number(a.ns < b.ns);
  return undefined;
}

/** Strings order by code point. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    // Halves of surrogate pairs stand for code points past all others.
    if (x !== y) return (x >= 0xd800 && x <= 0xdfff ? x + 0x10000 : x) - (y >= 0xd800 && y <= 0xdfff ? y + 0x10000 : y);
  }
  return a.length - b.length;
}

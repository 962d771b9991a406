/** CEL's standard operators, conversions and functions on numbers, text, collections and time. */
import { compare, equal, mergeLists, numeric } from '../equality.js';
import type { FunctionTable, Implementation } from '../functions.js';
import { matchesPattern } from './regex.js';
import {
  CelDuration,
  CelError,
  CelList,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  formatDuration,
  formatTimestamp,
  inTimestampRange,
  isMap,
  parseDuration,
  parseTimestamp,
  typeNameOf,
  type CelMap,
  type Value,
} from '../values.js';

const MAX_INT = 2n ** 63n - 1n;
const MIN_INT = -(2n ** 63n);
const MAX_UINT = 2n ** 64n - 1n;
const SECOND = 1_000_000_000n;

export const noOverload = () => new CelError('no such overload');

export function int(value: bigint): bigint {
  if (value > MAX_INT || value < MIN_INT) throw new CelError('integer overflow');
  return value;
}

function uint(value: bigint): CelUint {
  if (value > MAX_UINT || value < 0n) throw new CelError('unsigned integer overflow');
  return new CelUint(value);
}

function timestamp(ns: bigint): CelTimestamp {
  if (!inTimestampRange(ns)) throw new CelError('timestamp overflow');
  return new CelTimestamp(ns);
}

const duration = (ns: bigint): CelDuration => new CelDuration(int(ns));

/** A function of two ints, of two uints and of two doubles. */
function arithmetic(
  operator: string,
  whole: (a: bigint, b: bigint) => bigint,
  real?: (a: number, b: number) => number,
): FunctionTable {
  return {
    [`${operator}(int, int): int`]: ([a, b]) => int(whole(a as bigint, b as bigint)),
    [`${operator}(uint, uint): uint`]: ([a, b]) => uint(whole((a as CelUint).value, (b as CelUint).value)),
    ...(real ? { [`${operator}(double, double): double`]: ([a, b]) => real(a as number, b as number) } : {}),
  };
}

function nonZero(divisor: bigint, message: string): bigint {
  if (divisor === 0n) throw new CelError(message);
  return divisor;
}

const ORDERED = ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'timestamp', 'duration'];
const NUMERIC = ['int', 'uint', 'double'];

function ordering(operator: string, fits: (order: number) => boolean): FunctionTable {
  const run: Implementation = ([a, b]) => {
    const order = compare(a, b);
    if (order === undefined) throw noOverload();
    // Nothing is less than, equal to or greater than NaN.
    if (Number.isNaN(a) || Number.isNaN(b)) return false;
    return fits(order);
  };
  const table: Record<string, Implementation> = {};
  for (const type of ORDERED) table[`${operator}(${type}, ${type}): bool`] = run;
  for (const left of NUMERIC) {
    for (const right of NUMERIC) if (left !== right) table[`${operator}(${left}, ${right}): bool`] = run;
  }
  return table;
}

const ns = (value: Value): bigint => (value as CelTimestamp | CelDuration).ns;

const operators: FunctionTable = {
  ...arithmetic(
    '_+_',
    (a, b) => a + b,
    (a, b) => a + b,
  ),
  ...arithmetic(
    '_-_',
    (a, b) => a - b,
    (a, b) => a - b,
  ),
  ...arithmetic(
    '_*_',
    (a, b) => a * b,
    (a, b) => a * b,
  ),
  ...arithmetic(
    '_/_',
    (a, b) => a / nonZero(b, 'division by zero'),
    (a, b) => a / b,
  ),
  ...arithmetic('_%_', (a, b) => a % nonZero(b, 'modulus by zero')),
  ...ordering('_<_', (order) => order < 0),
  ...ordering('_<=_', (order) => order <= 0),
  ...ordering('_>_', (order) => order > 0),
  ...ordering('_>=_', (order) => order >= 0),
  '_==_(T, T): bool': ([a, b], evaluation) => equal(a, b, evaluation),
  '_!=_(T, T): bool': ([a, b], evaluation) => !equal(a, b, evaluation),
  '!_(bool): bool': ([a]) => a !== true,
  '-_(int): int': ([a]) => int(-(a as bigint)),
  '-_(double): double': ([a]) => -(a as number),
  '_+_(string, string): string': ([a, b]) => (a as string) + (b as string),
  '_+_(bytes, bytes): bytes': ([a, b]) => new Uint8Array(Buffer.concat([a as Uint8Array, b as Uint8Array])),
  '_+_(list<T>, list<T>): list<T>': ([a, b]) => concat(a as CelList, b as CelList),
  '_+_(timestamp, duration): timestamp': ([a, b]) => timestamp(ns(a) + ns(b)),
  '_+_(duration, timestamp): timestamp': ([a, b]) => timestamp(ns(a) + ns(b)),
  '_+_(duration, duration): duration': ([a, b]) => duration(ns(a) + ns(b)),
  '_-_(timestamp, timestamp): duration': ([a, b]) => duration(ns(a) - ns(b)),
  '_-_(timestamp, duration): timestamp': ([a, b]) => timestamp(ns(a) - ns(b)),
  '_-_(duration, duration): duration': ([a, b]) => duration(ns(a) - ns(b)),
  '@@in(T, list<T>): bool': ([item, list], evaluation) => {
    for (const other of list as CelList) if (equal(item, other, evaluation)) return true;
    return false;
  },
  '@@in(K, map<K, V>): bool': ([key, map]) => (map as CelMap).find(key) !== undefined,
};

function concat(a: CelList, b: CelList): CelList {
  if (a.type?.listType !== undefined) return mergeLists(a, b);
  return new CelList([...a, ...b]);
}

const conversionError = (from: string, to: string, value: string) =>
  new CelError(`type conversion error from '${from}' to '${to}': ${value}`);

function wholeOf(value: number): bigint {
  if (!Number.isFinite(value)) throw new CelError('integer overflow');
  return BigInt(Math.trunc(value));
}

function parseWhole(text: string): bigint {
  if (!/^[+-]?\d{1,40}$/.test(text)) throw new CelError(`strconv.ParseInt: parsing "${text}": invalid syntax`);
  return BigInt(text.replace(/^\+/, ''));
}

const BOOLS: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
};

function parseBool(text: string): boolean {
  const value = Object.hasOwn(BOOLS, text) ? BOOLS[text] : undefined;
  if (value === undefined) throw conversionError('string', 'bool', text);
  return value;
}

function parseDouble(text: string): number {
  if (/^[+-]?(inf|infinity)$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (/^nan$/i.test(text)) return Number.NaN;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) throw conversionError('string', 'double', text);
  return Number(text);
}

/** As Go prints it: an exponent from 21 digits on. */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value).replace(/e([+-])(\d)$/, 'e$10$2');
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CelError('invalid UTF-8 in bytes, cannot convert to string');
  }
}

function orFail<T>(value: T | undefined, message: string): T {
  if (value === undefined) throw new CelError(message);
  return value;
}

const conversions: FunctionTable = {
  'dyn(T): dyn': ([a]) => a,
  'type(T): type': ([a]) => new CelTypeValue(typeNameOf(a)),
  'bool(bool): bool': ([a]) => a,
  'bool(string): bool': ([a]) => parseBool(a as string),
  'bytes(bytes): bytes': ([a]) => a,
  'bytes(string): bytes': ([a]) => new Uint8Array(Buffer.from(a as string)),
  'double(double): double': ([a]) => a,
  'double(int): double': ([a]) => Number(a),
  'double(uint): double': ([a]) => Number((a as CelUint).value),
  'double(string): double': ([a]) => parseDouble(a as string),
  'int(int): int': ([a]) => a,
  'int(uint): int': ([a]) => int((a as CelUint).value),
  'int(double): int': ([a]) => int(wholeOf(a as number)),
  'int(string): int': ([a]) => int(parseWhole(a as string)),
  'int(timestamp): int': ([a]) => BigInt(Math.floor(Number(ns(a) / 1_000_000n) / 1000)),
  'int(duration): int': ([a]) => ns(a),
  'uint(uint): uint': ([a]) => a,
  'uint(int): uint': ([a]) => uint(a as bigint),
  'uint(double): uint': ([a]) => uint(wholeOf(a as number)),
  'uint(string): uint': ([a]) => uint(parseWhole(a as string)),
  'string(string): string': ([a]) => a,
  'string(bool): string': ([a]) => String(a),
  'string(int): string': ([a]) => String(a),
  'string(uint): string': ([a]) => String((a as CelUint).value),
  'string(double): string': ([a]) => formatDouble(a as number),
  'string(bytes): string': ([a]) => decodeUtf8(a as Uint8Array),
  'string(timestamp): string': ([a]) => formatTimestamp(a as CelTimestamp),
  'string(duration): string': ([a]) => formatDuration(a as CelDuration),
  'timestamp(timestamp): timestamp': ([a]) => a,
  'timestamp(int): timestamp': ([a]) => timestamp((a as bigint) * SECOND),
  'timestamp(string): timestamp': ([a]) =>
    orFail(
      a !== '' && String(a).length > 10 ? parseTimestamp(a as string) : undefined,
      `parsing time "${String(a)}": cannot parse`,
    ),
  'duration(duration): duration': ([a]) => a,
  'duration(int): duration': ([a]) => duration(a as bigint),
  'duration(string): duration': ([a]) =>
    orFail(parseDuration(a as string), `time: invalid duration ${JSON.stringify(a)}`),
};

/** Characters, not UTF-16 units. */
export const textSize = (text: string): bigint => {
  let size = 0n;
  for (const _ of text) size++;
  return size;
};

const collections: FunctionTable = {
  'size(string): int': ([a]) => textSize(a as string),
  'size(bytes): int': ([a]) => BigInt((a as Uint8Array).length),
  'size(list<T>): int': ([a]) => BigInt((a as CelList).size),
  'size(map<K, V>): int': ([a]) => BigInt((a as CelMap).size),
  'string.size(): int': ([a]) => textSize(a as string),
  'bytes.size(): int': ([a]) => BigInt((a as Uint8Array).length),
  'list<T>.size(): int': ([a]) => BigInt((a as CelList).size),
  'map<K, V>.size(): int': ([a]) => BigInt((a as CelMap).size),
  'string.contains(string): bool': ([a, b]) => (a as string).includes(b as string),
  'string.startsWith(string): bool': ([a, b]) => (a as string).startsWith(b as string),
  'string.endsWith(string): bool': ([a, b]) => (a as string).endsWith(b as string),
  'string.matches(string): bool': ([a, b], evaluation) => matchesPattern(a as string, b as string, evaluation),
  'matches(string, string): bool': ([a, b], evaluation) => matchesPattern(a as string, b as string, evaluation),
};

type Calendar = Readonly<
  Record<'year' | 'month' | 'day' | 'hour' | 'minute' | 'second' | 'weekday' | 'dayOfYear', number>
>;

/** The offset of a fixed zone (`+01:30`) in minutes. */
function fixedOffset(zone: string): number | undefined {
  const match = /^([+-]?)(\d{2}):(\d{2})$/.exec(zone);
  if (match === null) return undefined;
  const minutes = Number(match[2]) * 60 + Number(match[3]);
  return match[1] === '-' ? -minutes : minutes;
}

function localMs(utcMs: number, zone: string): number {
  if (zone === '' || zone === 'UTC') return utcMs;
  const offset = fixedOffset(zone);
  if (offset !== undefined) return utcMs + offset * 60_000;
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', ...PARTS });
    const part = Object.fromEntries(format.formatToParts(utcMs).map(({ type, value }) => [type, Number(value)]));
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
    return Date.UTC(year, month - 1, day, hour, minute, second) + (((utcMs % 1000) + 1000) % 1000);
  } catch {
    throw new CelError(`unknown time zone ${zone}`);
  }
}

const PARTS = {
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
} as const;

function calendar(time: CelTimestamp, zone: string): Calendar {
  const date = new Date(localMs(Math.floor(Number(time.ns / 1_000_000n)), zone));
  const start = Date.UTC(date.getUTCFullYear(), 0, 1);
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth(),
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    weekday: date.getUTCDay(),
    dayOfYear: Math.floor((date.getTime() - start) / 86_400_000),
  };
}

const GETTERS: Readonly<Record<string, (parts: Calendar) => number>> = {
  getFullYear: ({ year }) => year,
  getMonth: ({ month }) => month,
  getDate: ({ day }) => day,
  getDayOfMonth: ({ day }) => day - 1,
  getDayOfWeek: ({ weekday }) => weekday,
  getDayOfYear: ({ dayOfYear }) => dayOfYear,
  getHours: ({ hour }) => hour,
  getMinutes: ({ minute }) => minute,
  getSeconds: ({ second }) => second,
};

const time: Record<string, Implementation> = {
  'timestamp.getMilliseconds(): int': ([a]) => (((ns(a) / 1_000_000n) % 1000n) + 1000n) % 1000n,
  'timestamp.getMilliseconds(string): int': ([a]) => (((ns(a) / 1_000_000n) % 1000n) + 1000n) % 1000n,
  'duration.getHours(): int': ([a]) => ns(a) / (3600n * SECOND),
  'duration.getMinutes(): int': ([a]) => ns(a) / (60n * SECOND),
  'duration.getSeconds(): int': ([a]) => ns(a) / SECOND,
  'duration.getMilliseconds(): int': ([a]) => ns(a) / 1_000_000n,
};
for (const [name, get] of Object.entries(GETTERS)) {
  time[`timestamp.${name}(): int`] = ([a]) => BigInt(get(calendar(a as CelTimestamp, '')));
  time[`timestamp.${name}(string): int`] = ([a, zone]) => BigInt(get(calendar(a as CelTimestamp, zone as string)));
}

export const standardLibrary: readonly FunctionTable[] = [operators, conversions, collections, time];

/** The zero of every type, for `optional.ofNonZeroValue`. */
export function isZeroValue(value: Value): boolean {
  if (value === null || value === false || value === '') return true;
  const number = numeric(value);
  // oxlint-disable-next-line eqeqeq -- zero of ints and doubles alike
  if (number !== undefined) return number == 0;
  if (value instanceof CelList) return value.size === 0;
  if (value instanceof Uint8Array) return value.length === 0;
  if (value instanceof CelDuration) return value.ns === 0n;
  return isMap(value) && value.size === 0;
}

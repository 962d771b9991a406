/**
 * Values of CEL at run time: null, boolean, string, number (double), bigint (int), Uint8Array and the classes here.
 * JSON objects are wrapped, not copied: a field is converted when it is read.
 */
import { DYN, type CelType, type ListType, type ObjectType } from './types.js';

export type Value = unknown;

/** Why an evaluation failed. `message` is shown to users. */
export class CelError extends Error {
  readonly code = 'ERR_CEL_EVALUATION';
}

export class CelUint {
  constructor(readonly value: bigint) {}
}

/** Nanoseconds since 1970. */
export class CelTimestamp {
  constructor(readonly ns: bigint) {}
}

export class CelDuration {
  constructor(readonly ns: bigint) {}
}

export class CelOptional {
  static readonly NONE = new CelOptional(undefined);
  constructor(readonly value: Value) {}
  get present(): boolean {
    return this.value !== undefined;
  }
}

/** The value of `int`, `type(x)`, …. */
export class CelTypeValue {
  constructor(readonly name: string) {}
}

/** A value with functions only: a quantity, an address, a URL. */
export abstract class CelOpaque {
  abstract readonly typeName: string;
  abstract equals(other: CelOpaque): boolean;
}

type Convert = (raw: unknown) => Value;

export class CelList {
  constructor(
    private readonly items: readonly unknown[],
    /** How items become values; absent when they are. */
    private readonly convert?: Convert,
    readonly type?: ListType,
  ) {}

  get size(): number {
    return this.items.length;
  }

  get(index: number): Value {
    const item = this.items[index];
    return this.convert ? this.convert(item) : item;
  }

  *[Symbol.iterator](): Iterator<Value> {
    for (let i = 0; i < this.items.length; i++) yield this.get(i);
  }
}

/** Maps: by key in their canonical form, see {@link mapKey}. */
export interface CelMap {
  readonly size: number;
  /** Undefined when there is none. */
  find(key: Value): Value;
  keys(): Iterable<Value>;
}

export class LiteralMap implements CelMap {
  private readonly entries = new Map<string, readonly [Value, Value]>();

  /** False when the key is there already. */
  add(key: Value, value: Value): boolean {
    const text = mapKey(key);
    if (text === undefined) throw new CelError(`unsupported key type: ${typeNameOf(key)}`);
    if (this.entries.has(text)) return false;
    this.entries.set(text, [key, value]);
    return true;
  }

  get size(): number {
    return this.entries.size;
  }

  find(key: Value): Value {
    const text = mapKey(key);
    return text === undefined ? undefined : this.entries.get(text)?.[1];
  }

  *keys(): Iterable<Value> {
    for (const [key] of this.entries.values()) yield key;
  }
}

/** A JSON object whose properties are the keys. */
export class JsonMap implements CelMap {
  constructor(
    readonly raw: Readonly<Record<string, unknown>>,
    private readonly convert: Convert,
  ) {}

  get size(): number {
    return Object.keys(this.raw).length;
  }

  find(key: Value): Value {
    if (typeof key !== 'string' || !Object.hasOwn(this.raw, key)) return undefined;
    const value = this.raw[key];
    return value === undefined ? undefined : this.convert(value);
  }

  keys(): Iterable<Value> {
    return Object.keys(this.raw);
  }
}

/** A JSON object with declared fields. */
export class CelObject {
  constructor(
    readonly raw: Readonly<Record<string, unknown>>,
    readonly type: ObjectType,
  ) {}

  /** Undefined when the field is absent or not declared. */
  find(name: string): Value {
    const field = this.type.fields.get(name);
    if (field === undefined || !Object.hasOwn(this.raw, field.property)) return undefined;
    const value = this.raw[field.property];
    return value === undefined ? undefined : fromJson(value, field.type);
  }
}

export const isMap = (value: Value): value is CelMap => value instanceof LiteralMap || value instanceof JsonMap;

/** Numbers that are equal are one key whatever their type. Undefined for what cannot be a key. */
export function mapKey(key: Value): string | undefined {
  if (typeof key === 'string') return `s${key}`;
  if (typeof key === 'boolean') return `b${key}`;
  if (typeof key === 'bigint') return `n${key}`;
  if (typeof key === 'number') return Number.isInteger(key) ? `n${BigInt(key)}` : `n${key}`;
  return key instanceof CelUint ? `n${key.value}` : undefined;
}

const isRecord = (raw: unknown): raw is Record<string, unknown> => typeof raw === 'object' && raw !== null;

/** JSON without a schema: whole numbers are ints, as upstream's unstructured objects. */
export function fromAnyJson(raw: unknown): Value {
  if (typeof raw === 'number') return Number.isSafeInteger(raw) ? BigInt(raw) : raw;
  if (Array.isArray(raw)) return new CelList(raw, fromAnyJson);
  if (isRecord(raw)) return isCelValue(raw) ? raw : new JsonMap(raw, fromAnyJson);
  return raw === undefined ? null : raw;
}

const isCelValue = (raw: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(raw);
  return prototype !== Object.prototype && prototype !== null;
};

const converters = new WeakMap<CelType, Convert>();

function converterFor(type: CelType): Convert {
  if (type.kind === 'dyn') return fromAnyJson;
  let convert = converters.get(type);
  if (convert === undefined) {
    convert = (raw) => fromJson(raw, type);
    converters.set(type, convert);
  }
  return convert;
}

/** The JSON value as a value of the declared type. What does not fit the type is given as it is. */
export function fromJson(raw: unknown, type: CelType = DYN): Value {
  if (raw === null || raw === undefined) return null;
  if (type.kind === 'double') return raw;
  if (type.kind === 'int') return typeof raw === 'number' && Number.isInteger(raw) ? BigInt(raw) : fromAnyJson(raw);
  if (typeof raw === 'string') return fromText(raw, type);
  if (Array.isArray(raw)) {
    return type.kind === 'list' ? new CelList(raw, converterFor(type.element), type) : fromAnyJson(raw);
  }
  if (!isRecord(raw) || isCelValue(raw)) return fromAnyJson(raw);
  if (type.kind === 'map') return new JsonMap(raw, converterFor(type.value));
  return type.kind === 'object' ? new CelObject(raw, type) : fromAnyJson(raw);
}

/** Times, durations and bytes are strings in JSON. */
function fromText(text: string, { kind }: CelType): Value {
  if (kind === 'timestamp') return parseTimestamp(text) ?? text;
  if (kind === 'duration') return parseDuration(text) ?? text;
  return kind === 'bytes' ? new Uint8Array(Buffer.from(text, 'base64')) : text;
}

const PRIMITIVES: Readonly<Record<string, string>> = {
  boolean: 'bool',
  string: 'string',
  bigint: 'int',
  number: 'double',
};

/** CEL's name of the value's type. */
export function typeNameOf(value: Value): string {
  const primitive = PRIMITIVES[typeof value];
  if (primitive !== undefined) return primitive;
  if (value === null || value === undefined) return 'null_type';
  if (value instanceof CelUint) return 'uint';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof CelList) return 'list';
  if (value instanceof CelTimestamp) return 'google.protobuf.Timestamp';
  if (value instanceof CelDuration) return 'google.protobuf.Duration';
  if (value instanceof CelOptional) return 'optional_type';
  if (value instanceof CelTypeValue) return 'type';
  if (value instanceof CelOpaque) return value.typeName;
  if (value instanceof CelObject) return value.type.name;
  return 'map';
}

const SECOND = 1_000_000_000n;
const DATE_TIME = /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2}))?$/;
const MIN_SECONDS = -62135596800n;
const MAX_SECONDS = 253402300799n;

export const inTimestampRange = (ns: bigint): boolean => ns >= MIN_SECONDS * SECOND && ns < (MAX_SECONDS + 1n) * SECOND;

/** RFC 3339 date-times and dates. */
export function parseTimestamp(text: string): CelTimestamp | undefined {
  const match = DATE_TIME.exec(text);
  if (match === null) return undefined;
  const [, year = '', month = '', day = '', hour = '00', minute = '00', second = '00', fraction = '', zone = 'Z'] =
    match;
  const offset = zone.toUpperCase();
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${offset}`);
  if (Number.isNaN(ms)) return undefined;
  return new CelTimestamp(BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0')));
}

const UNITS: Readonly<Record<string, bigint>> = {
  h: 3600n * SECOND,
  m: 60n * SECOND,
  s: SECOND,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ns: 1n,
};

/** Go's durations: `1h30m`, `-1.5s`. */
export function parseDuration(text: string): CelDuration | undefined {
  const sign = text.startsWith('-') ? -1n : 1n;
  const body = text.replace(/^[+-]/, '');
  if (body === '0') return new CelDuration(0n);
  const part = /(\d*)(?:\.(\d*))?(h|ms|m|s|us|µs|μs|ns)/y;
  let ns = 0n;
  let at = 0;
  while (at < body.length) {
    part.lastIndex = at;
    const match = part.exec(body);
    if (match === null) return undefined;
    const [whole, digits = '', fraction = '', unit = ''] = match;
    if ((digits === '' && fraction === '') || whole.length > 40) return undefined;
    const scale = UNITS[unit] ?? 0n;
    ns += BigInt(digits || '0') * scale;
    if (fraction !== '') ns += (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length);
    at += whole.length;
  }
  if (body === '' || ns > 2n ** 63n - 1n) return undefined;
  return new CelDuration(sign * ns);
}

export function formatDuration({ ns }: CelDuration): string {
  const sign = ns < 0n ? '-' : '';
  const magnitude = ns < 0n ? -ns : ns;
  return `${sign}${decimal(magnitude)}s`;
}

const decimal = (ns: bigint): string => {
  const fraction = String(ns % SECOND)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${ns / SECOND}${fraction === '' ? '' : `.${fraction}`}`;
};

export function formatTimestamp({ ns }: CelTimestamp): string {
  const seconds = ns >= 0n ? ns / SECOND : -((-ns + SECOND - 1n) / SECOND);
  const rest = ns - seconds * SECOND;
  const fraction = rest === 0n ? '' : `.${String(rest).padStart(9, '0').replace(/0+$/, '')}`;
  return `${isoSeconds(seconds)}${fraction}Z`;
}

const isoSeconds = (seconds: bigint): string =>
  fromEpoch(Number(seconds) * 1000)
    .toISOString()
    .slice(0, 19);
/** A calendar for a given instant: no clock is read. */
export const fromEpoch = (ms: number): Date => new Date(ms);

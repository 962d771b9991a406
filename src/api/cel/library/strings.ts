/** The extended string functions, by characters (code points) as cel-go counts them, and `format`. */
import type { Evaluation } from '../evaluation.js';
import type { FunctionTable } from '../functions.js';
import {
  CelDuration,
  CelError,
  CelList,
  CelObject,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  formatDuration,
  formatTimestamp,
  isMap,
  typeNameOf,
  type Value,
} from '../values.js';
import { formatDouble } from './standard.js';

const chars = (text: string): string[] => Array.from(text);
const outOfRange = (index: bigint) => new CelError(`index out of range: ${index}`);
// oxlint-disable-next-line no-control-regex -- all of ASCII
const isAscii = (text: string) => /^[\u0000-\u007f]*$/.test(text);

function charAt(text: string, index: bigint): string {
  const all = chars(text);
  if (index < 0n || index > BigInt(all.length)) throw outOfRange(index);
  return all[Number(index)] ?? '';
}

function indexOf(text: string, part: string, offset: bigint): bigint {
  if (isAscii(text)) {
    if (offset < 0n || offset > BigInt(text.length)) throw outOfRange(offset);
    return BigInt(text.indexOf(part, Number(offset)));
  }
  const all = chars(text);
  if (offset < 0n || offset > BigInt(all.length)) throw outOfRange(offset);
  const rest = all.slice(Number(offset)).join('');
  const at = rest.indexOf(part);
  return at < 0 ? -1n : offset + BigInt(chars(rest.slice(0, at)).length);
}

function lastIndexOf(text: string, part: string, offset?: bigint): bigint {
  const all = chars(text);
  if (offset !== undefined && (offset < 0n || offset >= BigInt(all.length))) throw outOfRange(offset);
  const size = chars(part).length;
  const head = offset === undefined ? text : all.slice(0, Number(offset) + size).join('');
  const at = head.lastIndexOf(part);
  return at < 0 ? -1n : BigInt(chars(head.slice(0, at)).length);
}

function substring(text: string, start: bigint, end?: bigint): string {
  const all = chars(text);
  const size = BigInt(all.length);
  const stop = end ?? size;
  if (start < 0n || start > size) throw outOfRange(start);
  if (stop < 0n || stop > size) throw outOfRange(stop);
  if (start > stop) throw new CelError(`invalid substring range. start: ${start}, end: ${stop}`);
  return all.slice(Number(start), Number(stop)).join('');
}

function replace(text: string, from: string, to: string, limit: bigint, evaluation: Evaluation): string {
  const parts = from === '' ? ['', ...chars(text), ''] : text.split(from);
  const joints = parts.length - 1;
  const count = limit < 0n || limit > BigInt(joints) ? joints : Number(limit);
  // Paid before: the result may be far larger than both texts.
  evaluation.spend((text.length + count * to.length) * 0.1);
  const head = parts.slice(0, count).map((part) => part + to);
  return head.join('') + parts.slice(count).join(from);
}

function split(text: string, separator: string, limit: bigint): CelList {
  if (limit === 0n) return new CelList([]);
  const parts = separator === '' ? chars(text) : text.split(separator);
  if (limit < 0n || BigInt(parts.length) <= limit) return new CelList(parts);
  const head = parts.slice(0, Number(limit) - 1);
  return new CelList([...head, parts.slice(Number(limit) - 1).join(separator)]);
}

function join(list: CelList, separator: string, evaluation: Evaluation): string {
  const texts: string[] = [];
  for (const item of list) {
    if (typeof item !== 'string') throw new CelError('no such overload');
    evaluation.spend((item.length + separator.length) * 0.1 + 0.1);
    texts.push(item);
  }
  return texts.join(separator);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

// oxlint-disable-next-line no-control-regex -- what is escaped
const SPECIAL = /[\u0007\b\f\n\r\t\v\\"]/g;
const quote = (text: string): string => `"${text.replace(SPECIAL, (char) => ESCAPES[char] ?? char)}"`;

export const stringsLibrary: FunctionTable = {
  'string.charAt(int): string': ([a, index]) => charAt(a as string, index as bigint),
  'string.indexOf(string): int': ([a, part]) => indexOf(a as string, part as string, 0n),
  'string.indexOf(string, int): int': ([a, part, at]) => indexOf(a as string, part as string, at as bigint),
  'string.lastIndexOf(string): int': ([a, part]) => lastIndexOf(a as string, part as string),
  'string.lastIndexOf(string, int): int': ([a, part, at]) => lastIndexOf(a as string, part as string, at as bigint),
  'string.lowerAscii(): string': ([a]) => (a as string).replace(/[A-Z]+/g, (run) => run.toLowerCase()),
  'string.upperAscii(): string': ([a]) => (a as string).replace(/[a-z]+/g, (run) => run.toUpperCase()),
  'string.replace(string, string): string': ([a, from, to], evaluation) =>
    replace(a as string, from as string, to as string, -1n, evaluation),
  'string.replace(string, string, int): string': ([a, from, to, limit], evaluation) =>
    replace(a as string, from as string, to as string, limit as bigint, evaluation),
  'string.split(string): list<string>': ([a, separator]) => split(a as string, separator as string, -1n),
  'string.split(string, int): list<string>': ([a, separator, limit]) =>
    split(a as string, separator as string, limit as bigint),
  'string.substring(int): string': ([a, start]) => substring(a as string, start as bigint),
  'string.substring(int, int): string': ([a, start, end]) => substring(a as string, start as bigint, end as bigint),
  'string.trim(): string': ([a]) => (a as string).trim(),
  'string.reverse(): string': ([a]) =>
    chars(a as string)
      .reverse()
      .join(''),
  'list<string>.join(): string': ([list], evaluation) => join(list as CelList, '', evaluation),
  'list<string>.join(string): string': ([list, separator], evaluation) =>
    join(list as CelList, separator as string, evaluation),
  '@strings.quote(string): string': ([a]) => quote(a as string),
  'string.format(list<dyn>): string': ([a, args], evaluation) => format(a as string, args as CelList, evaluation),
};

const CLAUSE = /%(?:\.(\d+))?([a-zA-Z%])/g;

function format(template: string, args: CelList, evaluation: Evaluation): string {
  let next = 0;
  const result = template.replace(CLAUSE, (_clause, precision: string | undefined, verb: string) => {
    if (verb === '%') return '%';
    if (next >= args.size) throw new CelError(`index ${next} out of range`);
    const text = formatClause(
      verb,
      precision === undefined ? undefined : Number(precision),
      args.get(next++),
      evaluation,
    );
    evaluation.spend(text.length * 0.1);
    return text;
  });
  if (template.replaceAll('%%', '').endsWith('%')) throw new CelError('unexpected end of string');
  return result;
}

/** Digits after the point at most: more would only be zeros. */
const MAX_PRECISION = 100;

function formatClause(verb: string, precision: number | undefined, value: Value, evaluation: Evaluation): string {
  switch (verb) {
    case 's':
      return formatAny(value, evaluation);
    case 'd':
      if (typeof value === 'bigint') return String(value);
      if (value instanceof CelUint) return String(value.value);
      if (typeof value === 'number' && !Number.isFinite(value)) return formatDouble(value).replace('+Inf', 'Infinity');
      throw new CelError(
        `error during formatting: decimal clause can only be used on integers, was given ${typeNameOf(value)}`,
      );
    case 'f':
      return real(value, verb).toFixed(Math.min(precision ?? 6, MAX_PRECISION));
    case 'e':
      return real(value, verb)
        .toExponential(Math.min(precision ?? 6, MAX_PRECISION))
        .replace(/e([+-])(\d)$/, 'e$10$2');
    case 'b':
      if (typeof value === 'boolean') return value ? '1' : '0';
      return whole(value, 'binary').toString(2);
    case 'x':
    case 'X': {
      const hex =
        typeof value === 'string' || value instanceof Uint8Array
          ? Buffer.from(value as string).toString('hex')
          : whole(value, 'hex').toString(16);
      return verb === 'X' ? hex.toUpperCase() : hex;
    }
    case 'o':
      return whole(value, 'octal').toString(8);
    default:
      throw new CelError(
        `error during formatting: could not parse formatting clause: unrecognized formatting clause "${verb}"`,
      );
  }
}

function real(value: Value, verb: string): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof CelUint) return Number(value.value);
  const clause = verb === 'f' ? 'fixed-point' : 'scientific';
  throw new CelError(
    `error during formatting: ${clause} clause can only be used on doubles, was given ${typeNameOf(value)}`,
  );
}

function whole(value: Value, clause: string): bigint {
  if (typeof value === 'bigint') return value;
  if (value instanceof CelUint) return value.value;
  throw new CelError(
    `error during formatting: ${clause} clause can only be used on integers, was given ${typeNameOf(value)}`,
  );
}

/** `%s` of any value, recursively; paid by item. */
export function formatAny(value: Value, evaluation: Evaluation): string {
  evaluation.spend(1);
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return formatDouble(value);
  if (value instanceof CelUint) return String(value.value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (value instanceof CelTimestamp) return formatTimestamp(value);
  if (value instanceof CelDuration) return formatDuration(value);
  if (value instanceof CelTypeValue) return value.name;
  if (value instanceof CelList) return `[${formatItems([...value], evaluation).join(', ')}]`;
  if (isMap(value)) {
    const keys = [...value.keys()];
    const names = formatItems(keys, evaluation);
    const values = formatItems(
      keys.map((key) => value.find(key)),
      evaluation,
    );
    const entries = names.map((name, i) => `${name}: ${values[i] ?? ''}`);
    return `{${entries.sort().join(', ')}}`;
  }
  if (value instanceof CelObject) throw new CelError(`error during formatting: no formatting for ${value.type.name}`);
  throw new CelError(
    'error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps',
  );
}

function formatItems(values: readonly Value[], evaluation: Evaluation): string[] {
  return values.map((value) => {
    const text = formatAny(value, evaluation);
    evaluation.spend(text.length * 0.1);
    return text;
  });
}

/**
 * CEL's static types, written once as text: `list<map<string, dyn>>`. Single capital letters are type parameters of
 * function signatures.
 */

export interface ObjectType {
  readonly kind: 'object';
  readonly name: string;
  /** By the name that expressions use (escaped). */
  readonly fields: ReadonlyMap<string, ObjectField>;
}

export interface ObjectField {
  /** The JSON property. */
  readonly property: string;
  readonly type: CelType;
}

export interface ListType {
  readonly kind: 'list';
  readonly element: CelType;
  /** How lists of custom resources compare and add: sets and maps ignore the order. */
  readonly listType?: 'set' | 'map';
  readonly mapKeys?: readonly string[];
}

export type CelType =
  | { readonly kind: 'dyn' | 'bool' | 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'null' | 'type' }
  | { readonly kind: 'timestamp' | 'duration' | 'error' }
  | ListType
  | { readonly kind: 'map'; readonly key: CelType; readonly value: CelType }
  | { readonly kind: 'optional'; readonly element: CelType }
  /** A type with functions only, such as `kubernetes.Quantity`. */
  | { readonly kind: 'opaque'; readonly name: string }
  | { readonly kind: 'param'; readonly name: string }
  | ObjectType;

const simple = <K extends string>(kind: K): { readonly kind: K } => Object.freeze({ kind });
export const DYN = simple('dyn');
export const BOOL = simple('bool');
export const INT = simple('int');
export const UINT = simple('uint');
export const DOUBLE = simple('double');
export const STRING = simple('string');
export const BYTES = simple('bytes');
export const NULL = simple('null');
export const TYPE = simple('type');
export const TIMESTAMP = simple('timestamp');
export const DURATION = simple('duration');
/** What a wrong subexpression has: it fits everywhere, so that one mistake is told once. */
export const ERROR = simple('error');
export const listOf = (element: CelType): CelType => ({ kind: 'list', element });
export const mapOf = (key: CelType, value: CelType): CelType => ({ kind: 'map', key, value });
export const optionalOf = (element: CelType): CelType => ({ kind: 'optional', element });
export const LIST_OF_DYN = listOf(DYN);

const SIMPLE = new Map<string, CelType>(
  [DYN, BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, TYPE, TIMESTAMP, DURATION].map((type) => [type.kind, type]),
);

/** The type that `text` names. Names that are not CEL's are opaque types. Throws on a malformed text (a bug). */
export function parseType(text: string): CelType {
  const source = text.trim();
  const known = SIMPLE.get(source);
  if (known !== undefined) return known;
  if (/^[A-Z]$/.test(source)) return { kind: 'param', name: source };
  const generic = /^(list|map|optional)<(.*)>$/.exec(source);
  if (generic === null) return { kind: 'opaque', name: source };
  const [, head, inner = ''] = generic;
  if (head === 'list') return listOf(parseType(inner));
  if (head === 'optional') return optionalOf(parseType(inner));
  const [key = '', value = ''] = splitTopLevel(inner);
  return mapOf(parseType(key), parseType(value));
}

/** The parts between commas that are not inside angle brackets. */
export function splitTopLevel(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '<') depth++;
    else if (text[i] === '>') depth--;
    else if (text[i] === ',' && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  const last = text.slice(start);
  if (last.trim() !== '' || parts.length > 0) parts.push(last);
  return parts;
}

/** The type as error texts show it. */
export function formatType(type: CelType): string {
  if (type.kind === 'list') return `list(${formatType(type.element)})`;
  if (type.kind === 'map') return `map(${formatType(type.key)}, ${formatType(type.value)})`;
  if (type.kind === 'optional') return `optional_type(${formatType(type.element)})`;
  if (type.kind === 'object' || type.kind === 'opaque' || type.kind === 'param') return type.name;
  return SHOWN[type.kind] ?? type.kind;
}

const SHOWN: Readonly<Record<string, string>> = {
  timestamp: 'google.protobuf.Timestamp',
  duration: 'google.protobuf.Duration',
  error: '!error!',
};

/** Type parameters found so far. */
export type Bindings = Map<string, CelType>;

/** `type` with its parameters replaced; those without a binding are dyn. */
export function substitute(type: CelType, bindings: Bindings): CelType {
  if (type.kind === 'param') return bindings.get(type.name) ?? DYN;
  if (type.kind === 'list') return { ...type, element: substitute(type.element, bindings) };
  if (type.kind === 'optional') return optionalOf(substitute(type.element, bindings));
  if (type.kind === 'map') return mapOf(substitute(type.key, bindings), substitute(type.value, bindings));
  return type;
}

const NULLABLE = new Set(['timestamp', 'duration', 'object', 'opaque', 'optional', 'null']);

/** Whether a value of type `actual` may be where `expected` is asked for; binds parameters of `expected`. */
export function assignable(expected: CelType, actual: CelType, bindings: Bindings): boolean {
  if (expected.kind === 'param') {
    const bound = bindings.get(expected.name);
    if (bound === undefined || bound.kind === 'dyn') {
      bindings.set(expected.name, actual);
      return true;
    }
    return (
      assignable(bound, actual, bindings) || (assignable(actual, bound, bindings) && widen(bindings, expected.name))
    );
  }
  if (expected.kind === 'dyn' || actual.kind === 'dyn' || expected.kind === 'error' || actual.kind === 'error') {
    return true;
  }
  // What an empty list or map holds is still open.
  if (actual.kind === 'param') return true;
  if (actual.kind === 'null') return NULLABLE.has(expected.kind);
  if (expected.kind === 'list') return actual.kind === 'list' && assignable(expected.element, actual.element, bindings);
  if (expected.kind === 'optional') {
    return actual.kind === 'optional' && assignable(expected.element, actual.element, bindings);
  }
  if (expected.kind === 'map') {
    if (actual.kind !== 'map') return false;
    return assignable(expected.key, actual.key, bindings) && assignable(expected.value, actual.value, bindings);
  }
  if (expected.kind === 'object') return actual.kind === 'object' && expected.name === actual.name;
  if (expected.kind === 'opaque') return actual.kind === 'opaque' && expected.name === actual.name;
  return expected.kind === actual.kind;
}

function widen(bindings: Bindings, name: string): true {
  bindings.set(name, DYN);
  return true;
}

/** The type that holds values of both, if there is one besides dyn. */
export function join(a: CelType, b: CelType): CelType | undefined {
  if (a.kind === 'error' || b.kind === 'error') return ERROR;
  if (a.kind === 'dyn' || b.kind === 'dyn') return DYN;
  if (assignable(a, b, new Map())) return a.kind === 'null' ? b : a;
  if (assignable(b, a, new Map())) return b;
  return undefined;
}

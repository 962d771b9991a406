/**
 * Decodes untrusted JSON into an API object as Go's decoder would: types are checked, unknown fields are dropped (and
 * reported), `null` means absent, and what Go leaves out when it encodes is left out here, so that equal objects have
 * equal JSON. The input is never changed; the result shares nothing mutable with it except inside untyped fields.
 */
import { badRequest } from '../errors.js';
import type { KubeObject } from '../object.js';
import { QuantityError, canonicalQuantity } from '../quantity.js';
import { apiVersionOf } from '../resource.js';
import type { KindInfo, ResourceInfo } from './registry.js';
import type { FieldNode, ListNode, MapNode, ObjectNode, ScalarNode, SchemaNode } from './schema.js';

/** What to do about unknown and duplicate fields: the `fieldValidation` parameter. */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

export interface Decoded {
  readonly object: KubeObject;
  /** Texts for `Warning:` headers. */
  readonly warnings: string[];
}

/** Upstream reports no more than this many strict errors. */
const MAX_STRICT_ERRORS = 100;
/** Deeper input is refused; recursive types would otherwise overflow the stack. */
const MAX_DEPTH = 200;

class Walk {
  readonly unknown: string[] = [];
  constructor(readonly trackUnknown: boolean) {}
}

/** Where a value is: a linked list, turned into text only for an error. */
interface Path {
  readonly parent: Path | undefined;
  /** The field's name, `[3]` or `[key]`. */
  readonly part: string | number;
  readonly depth: number;
  readonly struct: ObjectNode | undefined;
}

class DecodeError extends Error {}

/** Go's decoder names the innermost struct and then the whole path of fields without indexes. */
function goField(path: Path | undefined): string {
  const fields: string[] = [];
  let struct: ObjectNode | undefined;
  for (let at = path; at !== undefined; at = at.parent) {
    if (at.struct === undefined) continue;
    struct ??= at.struct;
    fields.push(String(at.part));
  }
  const where = fields.toReversed().join('.');
  return `${struct?.typeName ?? ''}.${where}`;
}

function pathText(path: Path | undefined, last: string): string {
  let text = last;
  for (let at = path; at !== undefined; at = at.parent) {
    if (typeof at.part === 'number') text = `[${at.part}]${text.startsWith('[') ? '' : '.'}${text}`;
    else text = `${at.part}${text.startsWith('[') ? '' : '.'}${text}`;
  }
  return text;
}

const jsonType = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;

const GO_SCALARS: Readonly<Record<ScalarNode['type'], string>> = {
  string: 'string',
  bytes: '[]uint8',
  boolean: 'bool',
  int32: 'int32',
  int64: 'int64',
  number: 'float64',
  quantity: 'resource.Quantity',
  intOrString: 'intstr.IntOrString',
  time: 'v1.Time',
  microTime: 'v1.MicroTime',
  duration: 'v1.Duration',
};

function goType(node: SchemaNode): string {
  switch (node.kind) {
    case 'scalar':
      return GO_SCALARS[node.type];
    case 'any':
      return 'interface {}';
    case 'list':
      return `[]${goType(node.items)}`;
    case 'map':
      return `map[string]${goType(node.values)}`;
    case 'object':
      return node.name === '' ? 'map[string]interface {}' : `${node.packageName}.${node.typeName}`;
  }
}

function mismatch(value: unknown, node: SchemaNode, path: Path | undefined): DecodeError {
  const shown = typeof value === 'number' && !fitsScalar(node) ? 'number' : describe(value, node);
  if (path === undefined)
    return new DecodeError(`json: cannot unmarshal ${shown} into Go value of type ${goType(node)}`);
  return new DecodeError(
    `json: cannot unmarshal ${shown} into Go struct field ${goField(path)} of type ${goType(node)}`,
  );
}

const fitsScalar = (node: SchemaNode) => node.kind === 'scalar' && (node.type === 'int32' || node.type === 'int64');
const describe = (value: unknown, node: SchemaNode) =>
  typeof value === 'number' && fitsScalar(node) ? `number ${value}` : jsonType(value);

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

/** RFC 3339 in UTC, to the second (Time) or microsecond (MicroTime), as Go writes it. */
function timeText(value: string, micro: boolean): string {
  const ms = TIME.test(value) ? Date.parse(value) : NaN;
  if (Number.isNaN(ms)) {
    const layout = micro ? '2006-01-02T15:04:05.000000Z07:00' : '2006-01-02T15:04:05Z07:00';
    throw new DecodeError(
      `parsing time ${JSON.stringify(value)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(value)} as "2006"`,
    );
  }
  if (!micro) return value.length === 20 ? value : `${new Date(ms).toISOString().slice(0, 19)}Z`;
  const fraction = (/\.(\d+)/.exec(value)?.[1] ?? '').slice(0, 6).padEnd(6, '0');
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction}Z`;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function bytesText(value: string): string {
  const clean = value.includes('\n') || value.includes('\r') ? value.replace(/[\r\n]/g, '') : value;
  if (!BASE64.test(clean)) {
    const bad = /[^A-Za-z0-9+/]/.exec(clean)?.index ?? clean.length - (clean.length % 4);
    throw new DecodeError(`illegal base64 data at input byte ${bad}`);
  }
  return clean;
}

function decodeScalar(value: unknown, node: ScalarNode, path: Path | undefined): unknown {
  switch (node.type) {
    case 'string':
    case 'duration':
      if (typeof value === 'string') return value;
      break;
    case 'boolean':
      if (typeof value === 'boolean') return value;
      break;
    case 'int32':
      if (Number.isInteger(value) && Math.abs(value as number) <= 2147483648 && value !== 2147483648) return value;
      break;
    case 'int64':
      if (Number.isInteger(value)) return value;
      break;
    case 'number':
      if (typeof value === 'number') return value;
      break;
    case 'bytes':
      if (typeof value === 'string') return bytesText(value);
      break;
    case 'quantity':
      if (typeof value === 'string') return canonicalQuantity(value.trim());
      if (typeof value === 'number') return canonicalQuantity(value);
      throw new QuantityError(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
      );
    case 'intOrString':
      if (typeof value === 'string' || Number.isInteger(value)) return value;
      if (typeof value === 'number')
        throw new DecodeError(`json: cannot unmarshal number ${value} into Go value of type int32`);
      throw new DecodeError(`json: cannot unmarshal ${jsonType(value)} into Go value of type int32`);
    case 'time':
    case 'microTime':
      if (typeof value === 'string') return timeText(value, node.type === 'microTime');
      throw new DecodeError(`json: cannot unmarshal ${jsonType(value)} into Go value of type string`);
  }
  throw mismatch(value, node, path);
}

/** What Go leaves in place of a `null` item or map value. Undefined: nothing sensible, keep null out. */
function zeroOf(node: SchemaNode): unknown {
  switch (node.kind) {
    case 'any':
      return null;
    case 'list':
      return [];
    case 'map':
    case 'object':
      return {};
    case 'scalar':
      if (node.type === 'boolean') return false;
      if (node.type === 'int32' || node.type === 'int64' || node.type === 'number') return 0;
      return node.type === 'quantity' ? '0' : '';
  }
}

function decodeList(value: unknown, node: ListNode, path: Path | undefined, walk: Walk): unknown[] {
  if (!Array.isArray(value)) throw mismatch(value, node, path);
  const depth = (path?.depth ?? 0) + 1;
  return value.map((item: unknown, index) =>
    item === null
      ? zeroOf(node.items)
      : decodeNode(item, node.items, { parent: path, part: index, depth, struct: undefined }, walk),
  );
}

function decodeMap(value: unknown, node: MapNode, path: Path | undefined, walk: Walk): unknown {
  if (typeof value !== 'object' || Array.isArray(value)) throw mismatch(value, node, path);
  const out: Record<string, unknown> = {};
  const depth = (path?.depth ?? 0) + 1;
  const { values } = node;
  for (const [key, item] of Object.entries(value as Record<string, unknown>)) {
    const decoded =
      item === null
        ? zeroOf(values)
        : decodeNode(item, values, { parent: path, part: key, depth, struct: undefined }, walk);
    if (key === '__proto__') Object.defineProperty(out, key, { value: decoded, enumerable: true, writable: true });
    else out[key] = decoded;
  }
  return out;
}

/** Whether Go's encoder leaves the value out: `omitempty` on a field that is not a pointer. */
function isOmitted(value: unknown, { go, node }: FieldNode): boolean {
  if (go.pointer || !go.omitEmpty) return false;
  switch (node.kind) {
    case 'list':
      return (value as unknown[]).length === 0;
    case 'map':
      return Object.keys(value as object).length === 0;
    case 'scalar':
      return value === '' || value === 0 || value === false;
    case 'object':
    case 'any':
      return false;
  }
}

function decodeStruct(value: unknown, node: ObjectNode, path: Path | undefined, walk: Walk): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw mismatch(value, node, path);
  const out: Record<string, unknown> = {};
  const { fields } = node;
  const depth = (path?.depth ?? 0) + 1;
  if (depth > MAX_DEPTH) throw new DecodeError('json: exceeded max depth');
  for (const name of Object.keys(value)) {
    const field = fields.get(name);
    const item = (value as Record<string, unknown>)[name];
    if (field === undefined) {
      if (node.preserveUnknown) {
        if (name !== '__proto__') out[name] = item;
      } else if (walk.trackUnknown && walk.unknown.length < MAX_STRICT_ERRORS) {
        walk.unknown.push(`unknown field "${pathText(path, name)}"`);
      }
      continue;
    }
    if (item === null || item === undefined) continue;
    const decoded = decodeNode(item, field.node, { parent: path, part: name, depth, struct: node }, walk);
    if (!isOmitted(decoded, field)) out[name] = decoded;
  }
  return out;
}

function decodeNode(value: unknown, node: SchemaNode, path: Path | undefined, walk: Walk): unknown {
  switch (node.kind) {
    case 'scalar':
      return decodeScalar(value, node, path);
    case 'object':
      return decodeStruct(value, node, path, walk);
    case 'list':
      return decodeList(value, node, path, walk);
    case 'map':
      return decodeMap(value, node, path, walk);
    case 'any':
      return value;
  }
}

const cannotHandle = ({ version, kind }: KindInfo, why: string) =>
  badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${why}`);

/** The 400 of `Strict` field validation. */
export const refuseStrictly = (info: KindInfo, findings: readonly string[]) =>
  cannotHandle(info, `strict decoding error: ${findings.slice(0, MAX_STRICT_ERRORS).join(', ')}`);

/**
 * Decodes an object of a known kind. `apiVersion` and `kind` are set from `info`; a differing one in the input is the
 * caller's to judge. Throws a 400 with upstream's text for wrong types, and in `Strict` mode for unknown fields;
 * `duplicates` are the body parser's findings (`duplicate field "spec.x"`), treated like unknown fields.
 */
export function decodeObject(
  info: KindInfo,
  input: unknown,
  mode: FieldValidation,
  duplicates: readonly string[] = [],
): Decoded {
  const { rules } = info as Partial<ResourceInfo>;
  if (rules !== undefined) return rules.decode(input, mode, duplicates);
  const walk = new Walk(mode !== 'Ignore');
  let object: Record<string, unknown>;
  try {
    object = decodeStruct(input, info.schema, undefined, walk);
  } catch (error) {
    if (error instanceof DecodeError || error instanceof QuantityError) throw cannotHandle(info, error.message);
    throw error;
  }
  const findings = mode === 'Ignore' ? [] : [...duplicates, ...walk.unknown];
  if (mode === 'Strict' && findings.length > 0) throw refuseStrictly(info, findings);
  const { apiVersion: _apiVersion, kind: _kind, metadata = {}, ...rest } = object;
  const decoded = { apiVersion: apiVersionOf(info), kind: info.kind, metadata, ...rest } as KubeObject;
  return { object: decoded, warnings: findings };
}

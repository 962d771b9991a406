/**
 * What of a schema decides ownership: which values are owned as a whole, and how the others are taken apart. Compiled from
 * schema nodes when a kind is first written, and shared.
 */
import type { AnyNode, FieldNode, ListNode, ObjectNode, ScalarType, SchemaNode } from '../schema/schema.js';
import { fieldElement, keyPrefixes, valueElement } from './path-element.js';

/** Owned as one value. `of` is what may stand there. */
export interface LeafType {
  readonly kind: 'leaf';
  readonly of: ScalarType | 'list' | 'map' | 'any';
}

export interface StructField {
  readonly element: string;
  readonly type: OwnedType;
  /**
   * What Go has where JSON shows nothing (an empty struct, a zero, null): such a field is never absent, so nobody comes to own
   * it by filling it in. Undefined: the field can be absent.
   */
  readonly absent: unknown;
}

export interface StructType {
  readonly kind: 'struct';
  field(name: string): StructField | undefined;
  /** Whether the schema names the field, rather than taking any. */
  declares(name: string): boolean;
}

export interface MapType {
  readonly kind: 'map';
  readonly values: OwnedType;
}

export interface KeyedListType {
  readonly kind: 'keyed';
  /** Sorted. */
  readonly keys: readonly string[];
  /** What stands before each key's value in a path element. */
  readonly prefixes: readonly string[];
  readonly defaults: readonly unknown[];
  readonly items: OwnedType;
}

export interface SetType {
  readonly kind: 'set';
  readonly items: OwnedType;
}

/** No schema: maps are taken apart, all else is owned as one value. */
export interface DeducedType {
  readonly kind: 'deduced';
}

export type OwnedType = LeafType | StructType | MapType | KeyedListType | SetType | DeducedType;

const DEDUCED: DeducedType = Object.freeze({ kind: 'deduced' });
export const ANY_LEAF: LeafType = Object.freeze({ kind: 'leaf', of: 'any' });
export const LIST_LEAF: LeafType = Object.freeze({ kind: 'leaf', of: 'list' });
export const MAP_LEAF: LeafType = Object.freeze({ kind: 'leaf', of: 'map' });
export const DEDUCED_MAP: MapType = Object.freeze({ kind: 'map', values: DEDUCED });

const EMPTY_LIST: readonly unknown[] = Object.freeze([]);
const EMPTY_MAP = Object.freeze({});
const ZEROS: Readonly<Partial<Record<ScalarType, unknown>>> = {
  string: '',
  boolean: false,
  int32: 0,
  int64: 0,
  number: 0,
};

class CompiledStruct implements StructType {
  readonly kind = 'struct';
  readonly #fields = new Map<string, StructField>();
  constructor(private readonly node: ObjectNode) {}

  declares(name: string): boolean {
    return this.node.fields.has(name);
  }

  field(name: string): StructField | undefined {
    const known = this.#fields.get(name);
    if (known !== undefined) return known;
    const declared = this.node.fields.get(name);
    if (declared === undefined) {
      return this.node.preserveUnknown ? { element: fieldElement(name), type: DEDUCED, absent: undefined } : undefined;
    }
    const field = { element: fieldElement(name), type: fieldType(declared), absent: absentOf(declared) };
    this.#fields.set(name, field);
    return field;
  }
}

function absentOf({ go, node }: FieldNode): unknown {
  if (node.kind === 'object') return go.pointer && go.omitEmpty ? undefined : EMPTY_MAP;
  if (go.omitEmpty) return undefined;
  switch (node.kind) {
    case 'list':
      return EMPTY_LIST;
    case 'map':
      return EMPTY_MAP;
    case 'scalar':
      return go.pointer ? null : (ZEROS[node.type] ?? null);
    case 'any':
      return null;
  }
}

function fieldType({ node, listType, listMapKeys, atomicMap }: FieldNode): OwnedType {
  if (node.kind === 'list') return listTypeOf(node, listType, listMapKeys);
  if (atomicMap && (node.kind === 'object' || node.kind === 'map')) return MAP_LEAF;
  return typeOfNode(node);
}

function listTypeOf({ items }: ListNode, listType: ListNode['listType'], keys: readonly string[]): OwnedType {
  if (listType === 'set') return { kind: 'set', items: typeOfNode(items) };
  if (listType !== 'map' || items.kind !== 'object' || keys.length === 0) return LIST_LEAF;
  const sorted = keys.toSorted();
  const defaults = sorted.map((key) => items.fields.get(key)?.default);
  return { kind: 'keyed', keys: sorted, prefixes: keyPrefixes(sorted), defaults, items: typeOfNode(items) };
}

const anyType = ({ deduced }: AnyNode): OwnedType => (deduced === true ? DEDUCED : ANY_LEAF);

const compiled = new WeakMap<SchemaNode, OwnedType>();

/** The type of a node that is no field: the object itself, items of lists, values of maps. */
export function typeOfNode(node: SchemaNode): OwnedType {
  let type = compiled.get(node);
  if (type === undefined) compiled.set(node, (type = compileNode(node)));
  return type;
}

function compileNode(node: SchemaNode): OwnedType {
  switch (node.kind) {
    case 'scalar':
      return { kind: 'leaf', of: node.type };
    case 'any':
      return anyType(node);
    case 'list':
      return listTypeOf(node, node.listType, node.listMapKeys ?? []);
    case 'map':
      return node.atomic === true ? MAP_LEAF : { kind: 'map', values: typeOfNode(node.values) };
    case 'object':
      return node.atomic === true ? MAP_LEAF : new CompiledStruct(node);
  }
}

export type JsonMap = Readonly<Record<string, unknown>>;

export const isMap = (value: unknown): value is JsonMap =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a JSON map holds under a name: never what objects inherit. */
export function at(map: JsonMap, name: string): unknown {
  const value = name === '__proto__' && !Object.hasOwn(map, name) ? undefined : map[name];
  return typeof value === 'function' ? undefined : value;
}

/** Sets an own property, whatever its name. */
export function put(map: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') map[name] = value;
  else Object.defineProperty(map, name, { value, enumerable: true, writable: true, configurable: true });
}

/** A deduced type resolved by the value (or values) that stand there. */
export const resolved = (type: OwnedType, value: unknown): Exclude<OwnedType, DeducedType> =>
  type.kind !== 'deduced' ? type : isMap(value) ? DEDUCED_MAP : ANY_LEAF;

/** An item that cannot be told from others: why. */
export class ItemError extends Error {}

/** The path element of a list's item. Throws {@link ItemError}. */
export function itemElement(type: KeyedListType | SetType, item: unknown): string {
  if (type.kind === 'set') {
    if (item === null || typeof item !== 'object') return valueElement(item);
    const what = Array.isArray(item) ? 'lists' : 'maps';
    throw new ItemError(`not supported: associative list with ${what} as elements`);
  }
  if (item === null) throw new ItemError('associative list with keys may not have a null element');
  if (!isMap(item)) throw new ItemError('associative list with keys may not have non-map elements');
  let element = '';
  for (let i = 0; i < type.keys.length; i++) {
    const key = type.keys[i] as string;
    const value = item[key] ?? type.defaults[i];
    if (value === undefined) {
      throw new ItemError(
        `associative list with keys has an element that omits key field ${JSON.stringify(key)} ` +
          "(and doesn't have default value)",
      );
    }
    element += type.prefixes[i] + JSON.stringify(value);
  }
  return `${element}}`;
}

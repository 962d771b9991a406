/**
 * How an object is laid out for merging. The schema's merge keys decide: maps merge field by field, associative lists are
 * maps keyed by their merge keys with the order beside them, everything else (scalars, atomic lists, entries that only
 * make sense whole, such as a port or a toleration) is one leaf, kept as JSON text.
 *
 * `toShape` and `fromShape` are inverse for every value; pure.
 */

/** What of an OpenAPI schema matters here. */
export interface SchemaNode {
  readonly $ref?: string;
  readonly allOf?: readonly SchemaNode[];
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: string;
}

export type Layout =
  | { readonly kind: 'leaf' }
  | { readonly kind: 'map'; readonly fields: ReadonlyMap<string, Layout>; readonly other: Layout }
  | { readonly kind: 'list'; readonly keys: readonly string[]; readonly item: Layout }
  | { readonly kind: 'set' };

const LEAF: Layout = { kind: 'leaf' };
/** For kinds without a schema: maps all the way down, lists whole. */
export const GENERIC_LAYOUT: Layout = (() => {
  const self = { kind: 'map' as const, fields: new Map<string, Layout>(), other: LEAF as Layout };
  self.other = self;
  return self;
})();

/** List items that people edit field by field; all other items are written whole. */
const EDITED_BY_FIELD = /\.(Container|EphemeralContainer)$/;
const MAX_DEPTH = 24;

/** Compiles the layout of a schema. `resolve` finds `$ref` targets; unknown ones and recursion end in leaves. */
export function layoutOf(schema: SchemaNode, resolve: (ref: string) => SchemaNode | undefined, depth = 0): Layout {
  const ref = schema.$ref ?? schema.allOf?.[0]?.$ref;
  if (ref) {
    const target = resolve(ref);
    return target && depth < MAX_DEPTH ? layoutOf(target, resolve, depth + 1) : LEAF;
  }
  if (schema['x-kubernetes-map-type'] === 'atomic') return LEAF;
  if (schema.type === 'array') return listLayout(schema, resolve, depth);
  if (schema.properties) {
    const fields = new Map<string, Layout>();
    for (const [name, property] of Object.entries(schema.properties)) {
      fields.set(name, layoutOf(property, resolve, depth + 1));
    }
    return { kind: 'map', fields, other: LEAF };
  }
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') {
    return { kind: 'map', fields: new Map(), other: layoutOf(schema.additionalProperties, resolve, depth + 1) };
  }
  return LEAF;
}

function listLayout(schema: SchemaNode, resolve: (ref: string) => SchemaNode | undefined, depth: number): Layout {
  const keys = schema['x-kubernetes-list-map-keys'];
  if (schema['x-kubernetes-list-type'] === 'set') return { kind: 'set' };
  if (schema['x-kubernetes-list-type'] !== 'map' || !keys || !schema.items) return LEAF;
  const itemRef = schema.items.$ref ?? schema.items.allOf?.[0]?.$ref ?? '';
  const item = EDITED_BY_FIELD.test(itemRef) ? layoutOf(schema.items, resolve, depth + 1) : LEAF;
  return { kind: 'list', keys, item };
}

/** A laid out value: a leaf's JSON text, or a map of laid out values. */
export type Shaped = string | { [key: string]: Shaped };

export function sameShape(a: Shaped, b: Shaped): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && sameShape(a[key] as Shaped, b[key] as Shaped));
}

/** Holds the order of an associative list; sorts before every key, and no merge key can equal it. */
export const ORDER = '\u0000order';

/** The engine hands maps out as plain objects, where this key would vanish. */
const PROTO = '\u0000proto';
const escaped = (key: string) => (key === '__proto__' ? PROTO : key);
export const unescaped = (key: string) => (key === PROTO ? '__proto__' : key);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function toShape(value: unknown, layout: Layout): Shaped {
  switch (layout.kind) {
    case 'leaf':
      return JSON.stringify(value);
    case 'map': {
      if (!isObject(value)) return JSON.stringify(value);
      const fields = Object.entries(value).filter(([, field]) => field !== undefined);
      return Object.fromEntries(
        fields.map(([key, field]) => [escaped(key), toShape(field, layout.fields.get(key) ?? layout.other)]),
      );
    }
    case 'list':
      return listToShape(value, (item) => keyOfItem(item, layout.keys), layout.item);
    case 'set':
      return listToShape(value, (item) => JSON.stringify(item), LEAF);
  }
}

function keyOfItem(item: unknown, keys: readonly string[]): string | undefined {
  return isObject(item) ? JSON.stringify(keys.map((key) => item[key] ?? null)) : undefined;
}

function listToShape(value: unknown, keyOf: (item: unknown) => string | undefined, item: Layout): Shaped {
  if (!Array.isArray(value)) return JSON.stringify(value);
  const out: { [key: string]: Shaped } = {};
  const order: string[] = [];
  for (const entry of value) {
    const key = keyOf(entry);
    // Upstream allows duplicates in some such lists (env): then the list is kept whole.
    if (key === undefined || key in out) return JSON.stringify(value);
    out[key] = toShape(entry, item);
    order.push(key);
  }
  out[ORDER] = JSON.stringify(order);
  return out;
}

/** The value back. Entries that the order does not name (added on the other side of a split) follow in key order. */
export function fromShape(shaped: Shaped, layout: Layout): unknown {
  if (typeof shaped === 'string') return JSON.parse(shaped) as unknown;
  if (layout.kind === 'list' || layout.kind === 'set') {
    const item = layout.kind === 'list' ? layout.item : LEAF;
    const ordered = typeof shaped[ORDER] === 'string' ? (JSON.parse(shaped[ORDER]) as string[]) : [];
    const present = ordered.filter((key) => Object.hasOwn(shaped, key));
    const rest = Object.keys(shaped).filter((key) => key !== ORDER && !ordered.includes(key));
    return [...present, ...rest.toSorted()].map((key) => fromShape(shaped[key] as Shaped, item));
  }
  return Object.fromEntries(
    Object.entries(shaped).map(([key, inner]) => {
      const of = layout.kind === 'map' ? (layout.fields.get(key) ?? layout.other) : LEAF;
      return [unescaped(key), fromShape(inner, of)];
    }),
  );
}

/**
 * How large the values of a schema can be: what a static estimate of costs starts from. A value that the schema does not bound is
 * as large as a request can be. The figures are those of Kubernetes, so that the same definitions are refused.
 */
import { escapeProperty, type StructuralSchema } from './schema-types.js';

/** The largest request that upstream assumes, in bytes. */
export const MAX_REQUEST_BYTES = 3 * 1024 * 1024;

/** Lengths of JSON texts, quotes included. */
const BRACKETS = 2;
const SHORTEST: Readonly<Record<string, number>> = { boolean: 4, number: 1, integer: 1 };
const MAX_TIME = 32;
const DATE = 12;
const MIN_DATE_TIME = 21;
const MIN_DURATION = 3;
/** What a pair of a map has beside its value: quotes, a character of the key, colon and comma. */
const PAIR = 6;
/** The longest encoding of a character; `maxLength` counts characters, costs count bytes. */
const BYTES_PER_CHARACTER = 4;

export interface BoundedSchema extends StructuralSchema {
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly default?: unknown;
}

export interface SizedType {
  /** Bytes of a text, items of a list, entries of a map; 0 for everything else. */
  readonly max: number;
  /** Bytes of the shortest JSON. */
  readonly min: number;
  /** By the name that expressions use. */
  readonly fields?: ReadonlyMap<string, SizedType>;
  readonly item?: SizedType;
  readonly key?: SizedType;
}

const limitOf = (limit: number | undefined) => (limit === undefined ? undefined : Math.max(0, limit));
const TEXT: SizedType = { max: MAX_REQUEST_BYTES - BRACKETS, min: BRACKETS };
const KEY: SizedType = { max: 0, min: BRACKETS };

function textSize({ format, maxLength, enum: values }: BoundedSchema): SizedType {
  const limit = limitOf(maxLength);
  switch (format ?? '') {
    case 'byte':
      return { ...TEXT, max: limit ?? TEXT.max };
    case 'duration':
      return { max: MAX_TIME, min: MIN_DURATION };
    case 'date':
      return { max: DATE, min: DATE };
    case 'date-time':
      return { max: MAX_TIME, min: MIN_DATE_TIME };
    default:
      break;
  }
  if (limit !== undefined) return { ...TEXT, max: limit * BYTES_PER_CHARACTER };
  const texts = (values ?? []).filter((value): value is string => typeof value === 'string');
  return texts.length === 0 ? TEXT : { ...TEXT, max: Math.max(...texts.map((text) => Buffer.byteLength(text))) };
}

function objectSize(schema: BoundedSchema, isResource: boolean): SizedType | undefined {
  const { additionalProperties, properties = {}, required = [] } = schema;
  if (typeof additionalProperties === 'object') {
    const item = sizedTypeOf(additionalProperties);
    if (item === undefined) return undefined;
    const max = limitOf(schema.maxProperties) ?? Math.floor((MAX_REQUEST_BYTES - BRACKETS) / (item.min + PAIR));
    return { max, min: BRACKETS, item, key: KEY };
  }
  const fields = new Map<string, SizedType>();
  let min = BRACKETS;
  for (const [property, field] of Object.entries(properties) as [string, BoundedSchema][]) {
    const size = sizedTypeOf(field);
    if (size === undefined) continue;
    const name = escapeProperty(property);
    if (name !== undefined) fields.set(name, size);
    // Quotes, colon and comma; what has a default need not be sent.
    if (required.includes(property) && field.default === undefined) min += property.length + size.min + 4;
  }
  if (isResource) {
    const metadata = new Map([
      ...(fields.get('metadata')?.fields ?? []),
      ['name', TEXT],
      ['generateName', TEXT],
    ] as const);
    fields.set('apiVersion', TEXT).set('kind', TEXT).set('metadata', { max: 0, min: BRACKETS, fields: metadata });
  }
  return { max: 0, min, fields };
}

/** Undefined for what expressions cannot see. `isResource`: the schema is a whole resource's. */
export function sizedTypeOf(schema: BoundedSchema, isResource = false): SizedType | undefined {
  if (schema['x-kubernetes-int-or-string'] === true) return { ...TEXT, min: 1 };
  switch (schema.type ?? '') {
    case 'array': {
      const item = schema.items && sizedTypeOf(schema.items);
      if (item === undefined) return undefined;
      const max = limitOf(schema.maxItems) ?? Math.floor((MAX_REQUEST_BYTES - BRACKETS) / (item.min + 1));
      return { max, min: BRACKETS, item };
    }
    case 'object':
      return objectSize(schema, isResource || schema['x-kubernetes-embedded-resource'] === true);
    case 'string':
      return textSize(schema);
    default: {
      const min = SHORTEST[schema.type ?? ''];
      return min === undefined ? undefined : { max: 0, min };
    }
  }
}

/** How many values of this size fit into one request. */
export const mostIn = (size: SizedType): number => Math.floor(MAX_REQUEST_BYTES / (size.min + 1));

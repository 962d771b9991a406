/** Structural schemas of custom resources as CEL types, with Kubernetes' escaping of property names. */
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  mapOf,
  STRING,
  TIMESTAMP,
  type CelType,
  type ObjectField,
} from './types.js';

/** The parts of a structural schema that give a type. */
export interface StructuralSchema {
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, StructuralSchema>>;
  readonly additionalProperties?: StructuralSchema | boolean;
  readonly items?: StructuralSchema;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
}

const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);
const ESCAPED: Readonly<Record<string, string>> = {
  __: '__underscores__',
  '.': '__dot__',
  '-': '__dash__',
  '/': '__slash__',
};

/** The name that an expression uses for the property; undefined for properties that expressions cannot name. */
export function escapeProperty(property: string): string | undefined {
  if (!/^[A-Za-z_./-][A-Za-z0-9_./-]*$/.test(property)) return undefined;
  if (RESERVED.has(property)) return `__${property}__`;
  return property.replace(/__|[./-]/g, (part) => ESCAPED[part] ?? part);
}

const METADATA: StructuralSchema = {
  type: 'object',
  properties: { name: { type: 'string' }, generateName: { type: 'string' } },
};
const RESOURCE_FIELDS: Readonly<Record<string, StructuralSchema>> = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata: METADATA,
};

const STRING_FORMATS: Readonly<Record<string, CelType>> = {
  byte: BYTES,
  duration: DURATION,
  date: TIMESTAMP,
  'date-time': TIMESTAMP,
};

const SCALARS: Readonly<Record<string, CelType>> = { boolean: BOOL, number: DOUBLE, integer: INT };

let nextName = 0;

/** @param isRoot The schema is a whole resource's: `apiVersion`, `kind`, `metadata.name` and `generateName` are there. */
export function typeOfSchema(schema: StructuralSchema, isRoot = false): CelType {
  if (schema['x-kubernetes-int-or-string'] === true) return DYN;
  switch (schema.type ?? '') {
    case 'object':
      return objectType(schema, isRoot || schema['x-kubernetes-embedded-resource'] === true);
    case 'array':
      return listType(schema);
    case 'string':
      return STRING_FORMATS[schema.format ?? ''] ?? STRING;
    default:
      return SCALARS[schema.type ?? ''] ?? DYN;
  }
}

function listType(schema: StructuralSchema): CelType {
  const element = schema.items === undefined ? DYN : typeOfSchema(schema.items);
  const type = schema['x-kubernetes-list-type'];
  if (type === 'set') return { kind: 'list', element, listType: 'set' };
  if (type !== 'map') return { kind: 'list', element };
  const mapKeys = (schema['x-kubernetes-list-map-keys'] ?? []).map((key) => escapeProperty(key) ?? key);
  return { kind: 'list', element, listType: 'map', mapKeys };
}

function objectType(schema: StructuralSchema, isResource: boolean): CelType {
  const { additionalProperties: values } = schema;
  if (typeof values === 'object') return mapOf(STRING, typeOfSchema(values));
  const properties = { ...schema.properties };
  if (isResource) {
    for (const [name, field] of Object.entries(RESOURCE_FIELDS)) {
      const declared = properties[name];
      properties[name] =
        name === 'metadata' ? { ...METADATA, properties: { ...METADATA.properties, ...declared?.properties } } : field;
    }
  } else if (schema.properties === undefined && schema['x-kubernetes-preserve-unknown-fields'] === true) return DYN;
  else if (values === true) return mapOf(STRING, DYN);
  const fields = new Map<string, ObjectField>();
  for (const [property, field] of Object.entries(properties)) {
    const name = escapeProperty(property);
    if (name !== undefined) fields.set(name, { property, type: typeOfSchema(field) });
  }
  return { kind: 'object', name: `object${nextName++}`, fields };
}

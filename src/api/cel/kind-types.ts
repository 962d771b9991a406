/** Kinds' schemas as CEL types, made as far as an expression goes into them: some schemas contain themselves. */
import type { SchemaNode, ScalarType } from '../schema/schema.js';
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  STRING,
  TIMESTAMP,
  type CelType,
  type ObjectField,
} from './types.js';
import { escapeProperty } from './schema-types.js';

const SCALARS: Readonly<Record<ScalarType, CelType>> = {
  string: STRING,
  bytes: BYTES,
  boolean: BOOL,
  int32: INT,
  int64: INT,
  number: DOUBLE,
  quantity: DYN,
  intOrString: DYN,
  time: TIMESTAMP,
  microTime: TIMESTAMP,
  duration: DURATION,
};

const known = new WeakMap<SchemaNode, CelType>();

export function typeOfNode(node: SchemaNode): CelType {
  let type = known.get(node);
  if (type === undefined) known.set(node, (type = make(node)));
  return type;
}

function make(node: SchemaNode): CelType {
  switch (node.kind) {
    case 'scalar':
      return SCALARS[node.type];
    case 'any':
      return DYN;
    case 'list':
      return listOf(typeOfNode(node.items));
    case 'map':
      return mapOf(STRING, typeOfNode(node.values));
    case 'object':
      if (node.preserveUnknown) return DYN;
      return {
        kind: 'object',
        name: node.name === '' ? node.typeName : node.name,
        get fields() {
          const fields = new Map<string, ObjectField>();
          for (const [property, field] of node.fields) {
            const of = field.node;
            const typed: ObjectField = {
              property,
              get type() {
                return typeOfNode(of);
              },
            };
            // Policies see objects without escapes, too.
            fields.set(property, typed);
            fields.set(escapeProperty(property) ?? property, typed);
          }
          return fields;
        },
      };
  }
}

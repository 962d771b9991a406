/**
 * A definition's schema as it is published for clients (OpenAPI v2 and v3): the metadata has its real type, and where unknown
 * fields are kept nothing is said, so that clients do not refuse what the server takes.
 */
import type { ResourceRef } from '../resource.js';
import type { JSONSchemaProps } from '../types/apiextensions-v1.js';

type Schema = Record<string, unknown>;

const META_REF = '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const DESCRIPTIONS = {
  apiVersion:
    'APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources',
  kind: 'Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds',
  metadata:
    "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
};

/** `components.schemas[schemaName]` of OpenAPI v3. */
export function publishedSchema({ group, version, kind }: ResourceRef, schema: JSONSchemaProps): Schema {
  const { properties, ...rest } = schema;
  return {
    ...rest,
    type: 'object',
    properties: {
      ...properties,
      apiVersion: { description: DESCRIPTIONS.apiVersion, type: 'string' },
      kind: { description: DESCRIPTIONS.kind, type: 'string' },
      metadata: { description: DESCRIPTIONS.metadata, allOf: [{ $ref: META_REF }], default: {} },
    },
    'x-kubernetes-group-version-kind': [{ group, version, kind }],
  };
}

export const publishedListSchema = (ref: ResourceRef, listKind: string, itemRef: string): Schema => ({
  description: `${listKind} is a list of ${ref.kind}`,
  type: 'object',
  required: ['items'],
  properties: {
    apiVersion: { description: DESCRIPTIONS.apiVersion, type: 'string' },
    items: {
      description: `List of ${ref.resource}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md`,
      type: 'array',
      items: { allOf: [{ $ref: itemRef }], default: {} },
    },
    kind: { description: DESCRIPTIONS.kind, type: 'string' },
    metadata: {
      description:
        'Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds',
      allOf: [{ $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta' }],
      default: {},
    },
  },
  'x-kubernetes-group-version-kind': [{ group: ref.group, version: ref.version, kind: listKind }],
});

const V2_REF = '#/definitions/';

/**
 * The schema in OpenAPI v2's dialect for kubectl's client side: what v2 cannot say is dropped, and so are the type and the fields
 * below it where unknown fields are kept (at the root the fields stay for `kubectl explain`), int-or-string and nullable values.
 */
export function v2Schema(schema: Schema): Schema {
  const reference = refOf(schema);
  if (reference !== undefined) {
    const description = schema['description'];
    return {
      ...(description === undefined ? {} : { description }),
      $ref: reference.replace(/^#\/components\/schemas\//, V2_REF),
    };
  }
  const out: Schema = {};
  for (const [key, value] of Object.entries(schema)) {
    switch (key) {
      case 'properties':
        out[key] = Object.fromEntries(
          Object.entries(value as Schema).map(([name, child]) => [name, v2Schema(child as Schema)]),
        );
        break;
      case 'items':
      case 'additionalProperties':
        out[key] = typeof value === 'object' && value !== null ? v2Schema(value as Schema) : value;
        break;
      case 'nullable':
      case 'oneOf':
      case 'anyOf':
      case 'allOf':
      case 'not':
      case 'default':
      case 'x-kubernetes-validations':
        break;
      default:
        out[key] = value;
    }
  }
  const open = schema['x-kubernetes-preserve-unknown-fields'] === true;
  if (open || schema['nullable'] === true || schema['x-kubernetes-int-or-string'] === true) {
    const isRoot = schema['x-kubernetes-group-version-kind'] !== undefined;
    if (!isRoot) for (const key of ['type', 'properties', 'items', 'additionalProperties', 'required']) delete out[key];
    else if (open) for (const key of ['type', 'properties', 'required']) delete out[key];
  }
  return out;
}

function refOf(schema: Schema): string | undefined {
  const own = schema['$ref'];
  if (typeof own === 'string') return own;
  const all = schema['allOf'];
  const first = Array.isArray(all) && all.length === 1 ? (all[0] as Schema)['$ref'] : undefined;
  return typeof first === 'string' ? first : undefined;
}

/** OpenAPI v2 as JSON, and in the protobuf encoding that kubectl up to 1.28 insists on. */
import protobuf from 'protobufjs';
import type { KindRegistry } from '../../../api/schema/registry.js';
import type { OpenApiSchema } from '../../../api/schema/schema.js';
import { describedPaths, isWrite, PATCH_TYPES, WRITE_PARAMETERS, type DescribedPath, type Operation } from './paths.js';
import { OPENAPI_V2_MESSAGES } from './v2-messages.js';

export const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

const V3_REF = '#/components/schemas/';
const V2_REF = '#/definitions/';
const DROPPED = new Set(['nullable', 'oneOf', 'anyOf', 'not', 'default', 'allOf']);

/** A v3 schema in the v2 dialect. */
function downgrade(schema: OpenApiSchema): Record<string, unknown> {
  const reference = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  if (reference !== undefined) return { $ref: reference.replace(V3_REF, V2_REF) };
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (DROPPED.has(key)) continue;
    if (key === 'properties') {
      out[key] = Object.fromEntries(
        Object.entries(value as Record<string, OpenApiSchema>).map(([name, child]) => [name, downgrade(child)]),
      );
    } else if (key === 'items' || (key === 'additionalProperties' && typeof value === 'object')) {
      out[key] = downgrade(value as OpenApiSchema);
    } else out[key] = value;
  }
  return out;
}

function operationDocument({ info }: DescribedPath, operation: Operation): Record<string, unknown> {
  const { group, version, kind, schemaName } = info;
  const schema = { $ref: V2_REF + schemaName };
  const parameters: Record<string, unknown>[] = isWrite(operation)
    ? [
        {
          name: 'body',
          in: 'body',
          required: true,
          schema: operation.method === 'patch' ? { type: 'object' } : schema,
        },
        ...WRITE_PARAMETERS.map((name) => ({ name, in: 'query', type: 'string', uniqueItems: true })),
      ]
    : [];
  return {
    consumes: operation.method === 'patch' ? [...PATCH_TYPES] : ['*/*'],
    produces: ['application/json'],
    operationId: `${operation.action}${kind}`,
    parameters,
    responses: { 200: { description: 'OK', schema } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': { group, version, kind },
  };
}

function buildDocument(registry: KindRegistry): Record<string, unknown> {
  const paths: Record<string, unknown> = {};
  for (const described of describedPaths(registry.all())) {
    paths[described.path] = Object.fromEntries(
      described.operations.map((operation) => [operation.method, operationDocument(described, operation)]),
    );
  }
  const definitions = Object.fromEntries(
    Object.entries(registry.compiler.schemas).map(([name, schema]) => [name, downgrade(schema)]),
  );
  return { swagger: '2.0', info: { title: 'skein', version: 'v1.32.0' }, paths, definitions };
}

// The gnostic message form: maps are lists of named values, extensions carry YAML text.

type Message = Record<string, unknown>;
const named = (name: string, value: unknown): Message => ({ name, value });
const extensions = (source: object): Message[] =>
  Object.entries(source)
    .filter(([key]) => key.startsWith('x-'))
    // JSON is YAML.
    .map(([key, value]) => named(key, { yaml: JSON.stringify(value) }));

function schemaMessage(schema: Message): Message {
  const { properties, items, additionalProperties, type } = schema;
  const enumeration = schema['enum'] as unknown[] | undefined;
  return {
    ...(schema['$ref'] === undefined ? {} : { Ref: schema['$ref'] }),
    ...(schema['format'] === undefined ? {} : { format: schema['format'] }),
    ...(schema['description'] === undefined ? {} : { description: schema['description'] }),
    ...(schema['required'] === undefined ? {} : { required: schema['required'] }),
    ...(enumeration === undefined ? {} : { enum: enumeration.map((value) => ({ yaml: JSON.stringify(value) })) }),
    ...(typeof type === 'string' ? { type: { value: [type] } } : {}),
    ...(items === undefined ? {} : { items: { schema: [schemaMessage(items as Message)] } }),
    ...(properties === undefined
      ? {}
      : {
          properties: {
            additionalProperties: Object.entries(properties as Message).map(([name, child]) =>
              named(name, schemaMessage(child as Message)),
            ),
          },
        }),
    ...(additionalProperties === undefined
      ? {}
      : {
          additionalProperties:
            typeof additionalProperties === 'boolean'
              ? { boolean: additionalProperties }
              : { schema: schemaMessage(additionalProperties as Message) },
        }),
    vendorExtension: extensions(schema),
  };
}

function parameterMessage(parameter: Message): Message {
  const { name, schema, required } = parameter;
  if (parameter['in'] === 'body') {
    return { parameter: { bodyParameter: { name, in: 'body', required, schema: schemaMessage(schema as Message) } } };
  }
  const query = { name, in: 'query', type: 'string', uniqueItems: true };
  return { parameter: { nonBodyParameter: { queryParameterSubSchema: query } } };
}

function operationMessage(operation: Message): Message {
  const responses = operation['responses'] as Record<string, Message>;
  return {
    operationId: operation['operationId'],
    consumes: operation['consumes'],
    produces: operation['produces'],
    parameters: (operation['parameters'] as Message[]).map(parameterMessage),
    responses: {
      responseCode: Object.entries(responses).map(([code, { description, schema }]) =>
        named(code, { response: { description, schema: { schema: schemaMessage(schema as Message) } } }),
      ),
    },
    vendorExtension: extensions(operation),
  };
}

function encodeDocument(document: Message): Buffer {
  const type = protobuf.Root.fromJSON(OPENAPI_V2_MESSAGES).lookupType('openapi.v2.Document');
  const message = {
    swagger: '2.0',
    info: document['info'],
    paths: {
      path: Object.entries(document['paths'] as Record<string, Record<string, Message>>).map(([path, operations]) =>
        named(
          path,
          Object.fromEntries(Object.entries(operations).map(([method, value]) => [method, operationMessage(value)])),
        ),
      ),
    },
    definitions: {
      additionalProperties: Object.entries(document['definitions'] as Record<string, Message>).map(([name, schema]) =>
        named(name, schemaMessage(schema)),
      ),
    },
  };
  return Buffer.from(type.encode(type.fromObject(message)).finish());
}

/** Both forms are built when first asked for (about 100 ms) and kept. */
export class OpenApiV2 {
  private document: Record<string, unknown> | undefined;
  private jsonBytes: Buffer | undefined;
  private protobufBytes: Buffer | undefined;

  constructor(private readonly registry: KindRegistry) {}

  /** Forgets what was built: the kinds have changed. */
  invalidate(): void {
    this.document = undefined;
    this.jsonBytes = undefined;
    this.protobufBytes = undefined;
  }

  json(): Buffer {
    return (this.jsonBytes ??= Buffer.from(JSON.stringify(this.built())));
  }

  protobuf(): Buffer {
    return (this.protobufBytes ??= encodeDocument(this.built()));
  }

  private built(): Record<string, unknown> {
    return (this.document ??= buildDocument(this.registry));
  }
}

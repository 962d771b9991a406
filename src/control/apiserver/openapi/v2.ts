/** OpenAPI v2 as JSON, and in the protobuf encoding that kubectl up to 1.28 insists on. */
import protobuf from 'protobufjs';
import { v2Schema } from '../../../api/customresources/published-schema.js';
import type { KindRegistry, ResourceInfo } from '../../../api/schema/registry.js';
import type { BuiltInSchemas } from './built-in-schemas.js';
import { customSchemas } from './custom-schemas.js';
import {
  describedPaths,
  isWrite,
  patchTypes,
  producedTypes,
  WRITE_PARAMETERS,
  type DescribedPath,
  type Operation,
} from './paths.js';
import { OPENAPI_V2_MESSAGES } from './v2-messages.js';

export const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

const V2_REF = '#/definitions/';

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
    consumes: operation.method === 'patch' ? patchTypes(info) : ['*/*'],
    produces: producedTypes(info),
    operationId: `${operation.action}${kind}`,
    parameters,
    responses: { 200: { description: 'OK', schema } },
    'x-kubernetes-action': operation.action,
    'x-kubernetes-group-version-kind': { group, version, kind },
  };
}

type Document = Record<'paths' | 'definitions', Record<string, unknown>>;

const HEAD = { swagger: '2.0', info: { title: 'skein', version: 'v1.32.0' } };

function buildDocument(infos: readonly ResourceInfo[], schemas: Readonly<Record<string, object>>): Document {
  const paths: Record<string, unknown> = {};
  for (const described of describedPaths(infos)) {
    paths[described.path] = Object.fromEntries(
      described.operations.map((operation) => [operation.method, operationDocument(described, operation)]),
    );
  }
  const definitions = Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, v2Schema(schema as Record<string, unknown>)]),
  );
  return { paths, definitions };
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

let documentType: protobuf.Type | undefined;

/** `head` only once: encoded documents are joined by appending, which is how protobuf merges messages. */
function encodeDocument({ paths, definitions }: Document, head: object): Buffer {
  documentType ??= protobuf.Root.fromJSON(OPENAPI_V2_MESSAGES).lookupType('openapi.v2.Document');
  const message = {
    ...head,
    paths: {
      path: Object.entries(paths as Record<string, Record<string, Message>>).map(([path, operations]) =>
        named(
          path,
          Object.fromEntries(Object.entries(operations).map(([method, value]) => [method, operationMessage(value)])),
        ),
      ),
    },
    definitions: {
      additionalProperties: Object.entries(definitions as Record<string, Message>).map(([name, schema]) =>
        named(name, schemaMessage(schema)),
      ),
    },
  };
  return Buffer.from(documentType.encode(documentType.fromObject(message)).finish());
}

/** The entries of an object without the braces. */
const entriesText = (record: object) => JSON.stringify(record).slice(1, -1);
const joinTexts = (parts: readonly string[]) => parts.filter((part) => part !== '').join(',');

/**
 * Both forms are built when first asked for (about 100 ms) and kept. The part of the built-in kinds never changes; that of custom
 * resources is made anew when their kinds have changed.
 */
export class OpenApiV2 {
  private builtIn: Document | undefined;
  private builtInProtobuf: Buffer | undefined;
  private custom: { readonly generation: number; readonly document: Document } | undefined;
  private readonly answers = new Map<'json' | 'protobuf', { readonly generation: number; readonly bytes: Buffer }>();

  constructor(
    private readonly registry: KindRegistry,
    private readonly builtInSchemas: BuiltInSchemas,
  ) {}

  json(): Buffer {
    return this.answer('json', () => {
      const [fixed, custom] = [this.builtInDocument(), this.customDocument()];
      const paths = joinTexts([entriesText(fixed.paths), entriesText(custom.paths)]);
      const definitions = joinTexts([entriesText(fixed.definitions), entriesText(custom.definitions)]);
      return Buffer.from(`{${entriesText(HEAD)},"paths":{${paths}},"definitions":{${definitions}}}`);
    });
  }

  protobuf(): Buffer {
    return this.answer('protobuf', () => {
      this.builtInProtobuf ??= encodeDocument(this.builtInDocument(), HEAD);
      return Buffer.concat([this.builtInProtobuf, encodeDocument(this.customDocument(), {})]);
    });
  }

  private answer(form: 'json' | 'protobuf', make: () => Buffer): Buffer {
    const { generation } = this.registry;
    let known = this.answers.get(form);
    if (known?.generation !== generation) {
      known = { generation, bytes: make() };
      this.answers.set(form, known);
    }
    return known.bytes;
  }

  private builtInDocument(): Document {
    const { registry } = this;
    return (this.builtIn ??= buildDocument(
      registry.all().filter(({ custom }) => !custom),
      this.builtInSchemas.all(),
    ));
  }

  private customDocument(): Document {
    const { generation } = this.registry;
    if (this.custom?.generation !== generation) {
      const infos = this.registry.all().filter(({ custom }) => custom);
      this.custom = { generation, document: buildDocument(infos, customSchemas(infos)) };
    }
    return this.custom.document;
  }
}

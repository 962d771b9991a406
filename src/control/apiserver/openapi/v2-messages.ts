/**
 * The part of gnostic's `openapi.v2` messages that the document uses, with their field numbers (github.com/google/gnostic
 * openapiv2/OpenAPIv2.proto), as a protobufjs descriptor.
 */
import type { INamespace } from 'protobufjs';

type Field = readonly [name: string, type: string, id: number];
const one = (...fields: Field[]) => Object.fromEntries(fields.map(([name, type, id]) => [name, { type, id }]));
const many = (...fields: Field[]) =>
  Object.fromEntries(fields.map(([name, type, id]) => [name, { rule: 'repeated' as const, type, id }]));
const namedPair = (type: string) => ({ fields: one(['name', 'string', 1], ['value', type, 2]) });

export const OPENAPI_V2_MESSAGES: INamespace = {
  nested: {
    openapi: {
      nested: {
        v2: {
          nested: {
            Any: { fields: one(['yaml', 'string', 2]) },
            NamedAny: namedPair('Any'),
            Info: { fields: one(['title', 'string', 1], ['version', 'string', 2]) },
            Document: {
              fields: one(
                ['swagger', 'string', 1],
                ['info', 'Info', 2],
                ['paths', 'Paths', 8],
                ['definitions', 'Definitions', 9],
              ),
            },
            Paths: { fields: many(['path', 'NamedPathItem', 2]) },
            NamedPathItem: namedPair('PathItem'),
            PathItem: {
              fields: one(
                ['get', 'Operation', 2],
                ['put', 'Operation', 3],
                ['post', 'Operation', 4],
                ['delete', 'Operation', 5],
                ['patch', 'Operation', 8],
              ),
            },
            Operation: {
              fields: {
                ...one(['operationId', 'string', 5], ['responses', 'Responses', 9]),
                ...many(
                  ['produces', 'string', 6],
                  ['consumes', 'string', 7],
                  ['parameters', 'ParametersItem', 8],
                  ['vendorExtension', 'NamedAny', 13],
                ),
              },
            },
            ParametersItem: { fields: one(['parameter', 'Parameter', 1]) },
            Parameter: {
              fields: one(['bodyParameter', 'BodyParameter', 1], ['nonBodyParameter', 'NonBodyParameter', 2]),
            },
            BodyParameter: {
              fields: one(['name', 'string', 2], ['in', 'string', 3], ['required', 'bool', 4], ['schema', 'Schema', 5]),
            },
            NonBodyParameter: { fields: one(['queryParameterSubSchema', 'QueryParameterSubSchema', 3]) },
            QueryParameterSubSchema: {
              fields: one(
                ['in', 'string', 2],
                ['name', 'string', 4],
                ['type', 'string', 6],
                ['uniqueItems', 'bool', 19],
              ),
            },
            Responses: { fields: many(['responseCode', 'NamedResponseValue', 1]) },
            NamedResponseValue: namedPair('ResponseValue'),
            ResponseValue: { fields: one(['response', 'Response', 1]) },
            Response: { fields: one(['description', 'string', 1], ['schema', 'SchemaItem', 2]) },
            SchemaItem: { fields: one(['schema', 'Schema', 1]) },
            Definitions: { fields: many(['additionalProperties', 'NamedSchema', 1]) },
            NamedSchema: namedPair('Schema'),
            Properties: { fields: many(['additionalProperties', 'NamedSchema', 1]) },
            ItemsItem: { fields: many(['schema', 'Schema', 1]) },
            TypeItem: { fields: many(['value', 'string', 1]) },
            AdditionalPropertiesItem: { fields: one(['schema', 'Schema', 1], ['boolean', 'bool', 2]) },
            Schema: {
              fields: {
                ...one(
                  ['Ref', 'string', 1],
                  ['format', 'string', 2],
                  ['description', 'string', 4],
                  ['additionalProperties', 'AdditionalPropertiesItem', 21],
                  ['type', 'TypeItem', 22],
                  ['items', 'ItemsItem', 23],
                  ['properties', 'Properties', 25],
                ),
                ...many(['required', 'string', 19], ['enum', 'Any', 20], ['vendorExtension', 'NamedAny', 31]),
              },
            },
          },
        },
      },
    },
  },
};

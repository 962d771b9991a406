/**
 * The messages of `apiextensions.k8s.io/v1`, `apiregistration.k8s.io/v1` and `metrics.k8s.io/v1beta1`, which the packaged
 * descriptor of `k8s.io/api` lacks: field numbers, types and Go's pointers as in those groups' published `generated.proto` and
 * types. Fields go by their JSON names (`$ref` without the dollar), as the wire carries no names.
 */
import type { IType } from 'protobufjs';

const PACKAGE = '.k8s.io.apimachinery.pkg';
const META = `${PACKAGE}.apis.meta.v1`;
const TIME = `${META}.Time`;
const QUANTITY = `${PACKAGE}.api.resource.Quantity`;

/** `*`: a pointer in Go, `[]`: repeated, `{}`: a map from strings. */
type Shape = '' | '*' | '[]' | '{}';
type Fields = Readonly<Record<string, readonly [id: number, type: string, shape?: Shape]>>;
type Messages = Readonly<Record<string, Fields>>;

const kind = (name: string): Messages => ({
  [name]: {
    metadata: [1, `${META}.ObjectMeta`],
    spec: [2, `${name}Spec`],
    status: [3, `${name}Status`],
  },
  ...list(name),
});
const list = (name: string): Messages => ({
  [`${name}List`]: { metadata: [1, `${META}.ListMeta`], items: [2, name, '[]'] },
});
const condition: Fields = {
  type: [1, 'string'],
  status: [2, 'string'],
  lastTransitionTime: [3, TIME],
  reason: [4, 'string'],
  message: [5, 'string'],
};

const SCHEMA_PROPS: Fields = {
  id: [1, 'string'],
  $schema: [2, 'string'],
  $ref: [3, 'string', '*'],
  description: [4, 'string'],
  type: [5, 'string'],
  format: [6, 'string'],
  title: [7, 'string'],
  default: [8, 'JSON', '*'],
  maximum: [9, 'double', '*'],
  exclusiveMaximum: [10, 'bool'],
  minimum: [11, 'double', '*'],
  exclusiveMinimum: [12, 'bool'],
  maxLength: [13, 'int64', '*'],
  minLength: [14, 'int64', '*'],
  pattern: [15, 'string'],
  maxItems: [16, 'int64', '*'],
  minItems: [17, 'int64', '*'],
  uniqueItems: [18, 'bool'],
  multipleOf: [19, 'double', '*'],
  enum: [20, 'JSON', '[]'],
  maxProperties: [21, 'int64', '*'],
  minProperties: [22, 'int64', '*'],
  required: [23, 'string', '[]'],
  items: [24, 'JSONSchemaPropsOrArray', '*'],
  allOf: [25, 'JSONSchemaProps', '[]'],
  oneOf: [26, 'JSONSchemaProps', '[]'],
  anyOf: [27, 'JSONSchemaProps', '[]'],
  not: [28, 'JSONSchemaProps', '*'],
  properties: [29, 'JSONSchemaProps', '{}'],
  additionalProperties: [30, 'JSONSchemaPropsOrBool', '*'],
  patternProperties: [31, 'JSONSchemaProps', '{}'],
  dependencies: [32, 'JSONSchemaPropsOrStringArray', '{}'],
  additionalItems: [33, 'JSONSchemaPropsOrBool', '*'],
  definitions: [34, 'JSONSchemaProps', '{}'],
  externalDocs: [35, 'ExternalDocumentation', '*'],
  example: [36, 'JSON', '*'],
  nullable: [37, 'bool'],
  'x-kubernetes-preserve-unknown-fields': [38, 'bool', '*'],
  'x-kubernetes-embedded-resource': [39, 'bool'],
  'x-kubernetes-int-or-string': [40, 'bool'],
  'x-kubernetes-list-map-keys': [41, 'string', '[]'],
  'x-kubernetes-list-type': [42, 'string', '*'],
  'x-kubernetes-map-type': [43, 'string', '*'],
  'x-kubernetes-validations': [44, 'ValidationRule', '[]'],
};

const APIEXTENSIONS: Messages = {
  ...kind('CustomResourceDefinition'),
  CustomResourceDefinitionSpec: {
    group: [1, 'string'],
    names: [3, 'CustomResourceDefinitionNames'],
    scope: [4, 'string'],
    versions: [7, 'CustomResourceDefinitionVersion', '[]'],
    conversion: [9, 'CustomResourceConversion', '*'],
    preserveUnknownFields: [10, 'bool'],
  },
  CustomResourceDefinitionStatus: {
    conditions: [1, 'CustomResourceDefinitionCondition', '[]'],
    acceptedNames: [2, 'CustomResourceDefinitionNames'],
    storedVersions: [3, 'string', '[]'],
  },
  CustomResourceDefinitionCondition: condition,
  CustomResourceDefinitionNames: {
    plural: [1, 'string'],
    singular: [2, 'string'],
    shortNames: [3, 'string', '[]'],
    kind: [4, 'string'],
    listKind: [5, 'string'],
    categories: [6, 'string', '[]'],
  },
  CustomResourceDefinitionVersion: {
    name: [1, 'string'],
    served: [2, 'bool'],
    storage: [3, 'bool'],
    schema: [4, 'CustomResourceValidation', '*'],
    subresources: [5, 'CustomResourceSubresources', '*'],
    additionalPrinterColumns: [6, 'CustomResourceColumnDefinition', '[]'],
    deprecated: [7, 'bool'],
    deprecationWarning: [8, 'string', '*'],
    selectableFields: [9, 'SelectableField', '[]'],
  },
  CustomResourceColumnDefinition: {
    name: [1, 'string'],
    type: [2, 'string'],
    format: [3, 'string'],
    description: [4, 'string'],
    priority: [5, 'int32'],
    jsonPath: [6, 'string'],
  },
  CustomResourceConversion: { strategy: [1, 'string'], webhook: [2, 'WebhookConversion', '*'] },
  WebhookConversion: {
    clientConfig: [2, 'WebhookClientConfig', '*'],
    conversionReviewVersions: [3, 'string', '[]'],
  },
  WebhookClientConfig: { service: [1, 'ServiceReference', '*'], caBundle: [2, 'bytes'], url: [3, 'string', '*'] },
  ServiceReference: {
    namespace: [1, 'string'],
    name: [2, 'string'],
    path: [3, 'string', '*'],
    port: [4, 'int32', '*'],
  },
  CustomResourceSubresources: {
    status: [1, 'CustomResourceSubresourceStatus', '*'],
    scale: [2, 'CustomResourceSubresourceScale', '*'],
  },
  CustomResourceSubresourceStatus: {},
  CustomResourceSubresourceScale: {
    specReplicasPath: [1, 'string'],
    statusReplicasPath: [2, 'string'],
    labelSelectorPath: [3, 'string', '*'],
  },
  CustomResourceValidation: { openAPIV3Schema: [1, 'JSONSchemaProps', '*'] },
  SelectableField: { jsonPath: [1, 'string'] },
  ExternalDocumentation: { description: [1, 'string'], url: [2, 'string'] },
  ValidationRule: {
    rule: [1, 'string'],
    message: [2, 'string'],
    messageExpression: [3, 'string'],
    reason: [4, 'string', '*'],
    fieldPath: [5, 'string'],
    optionalOldSelf: [6, 'bool', '*'],
  },
  JSON: { raw: [1, 'bytes'] },
  JSONSchemaProps: SCHEMA_PROPS,
  JSONSchemaPropsOrArray: { schema: [1, 'JSONSchemaProps', '*'], jSONSchemas: [2, 'JSONSchemaProps', '[]'] },
  JSONSchemaPropsOrBool: { allows: [1, 'bool'], schema: [2, 'JSONSchemaProps', '*'] },
  JSONSchemaPropsOrStringArray: { schema: [1, 'JSONSchemaProps', '*'], property: [2, 'string', '[]'] },
};

const APIREGISTRATION: Messages = {
  ...kind('APIService'),
  APIServiceSpec: {
    service: [1, 'ServiceReference', '*'],
    group: [2, 'string'],
    version: [3, 'string'],
    insecureSkipTLSVerify: [4, 'bool'],
    caBundle: [5, 'bytes'],
    groupPriorityMinimum: [7, 'int32'],
    versionPriority: [8, 'int32'],
  },
  APIServiceStatus: { conditions: [1, 'APIServiceCondition', '[]'] },
  APIServiceCondition: condition,
  ServiceReference: { namespace: [1, 'string'], name: [2, 'string'], port: [3, 'int32', '*'] },
};

const MEASURED: Fields = {
  metadata: [1, `${META}.ObjectMeta`],
  timestamp: [2, TIME],
  window: [3, `${META}.Duration`],
};

const METRICS: Messages = {
  NodeMetrics: { ...MEASURED, usage: [4, QUANTITY, '{}'] },
  ...list('NodeMetrics'),
  PodMetrics: { ...MEASURED, containers: [4, 'ContainerMetrics', '[]'] },
  ...list('PodMetrics'),
  ContainerMetrics: { name: [1, 'string'], usage: [2, QUANTITY, '{}'] },
};

/** Beside the packages of `k8s.io/api`, where messages are looked for by group and version. */
export const EXTENSION_PACKAGES: readonly { readonly name: string; readonly messages: Messages }[] = [
  { name: 'k8s.io.api.apiextensions.v1', messages: APIEXTENSIONS },
  { name: 'k8s.io.api.apiregistration.v1', messages: APIREGISTRATION },
  { name: 'k8s.io.api.metrics.v1beta1', messages: METRICS },
];

/** The library takes no name that begins with a dollar. */
export const protobufName = (json: string): string => json.replace(/^\$/, '');

/** The messages of a package as protobufjs describes them. */
export function descriptorsOf(messages: Messages): Record<string, IType> {
  const fieldOf = ([id, type, shape]: Fields[string]) => ({
    id,
    type,
    ...(shape === '[]' ? { rule: 'repeated' } : {}),
    ...(shape === '{}' ? { keyType: 'string' } : {}),
  });
  const each = Object.entries(messages).map(([name, fields]): [string, IType] => [
    name,
    {
      edition: 'proto2',
      fields: Object.fromEntries(Object.entries(fields).map(([json, field]) => [protobufName(json), fieldOf(field)])),
    },
  ]);
  return Object.fromEntries(each);
}

/** A message's fields as the table of Go fields has them. */
export const goFieldsOf = (fields: Fields): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(fields).map(([name, [, , shape]]) => [name, shape === '*' ? '*?' : '?']));

/**
 * OpenAPI v3 schemas compiled to a graph of nodes without references, so that no request resolves one. Struct nodes are
 * filled in when they are first used; recursive types are cycles in the graph.
 */

/** The parts of an OpenAPI v3 schema (with Kubernetes' extensions) that are used here. */
export interface OpenApiSchema {
  readonly $ref?: string;
  readonly description?: string;
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, OpenApiSchema>>;
  readonly additionalProperties?: OpenApiSchema | boolean;
  readonly items?: OpenApiSchema;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly oneOf?: readonly OpenApiSchema[];
  readonly allOf?: readonly OpenApiSchema[];
  readonly nullable?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-patch-merge-key'?: string;
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-group-version-kind'?: readonly { group: string; version: string; kind: string }[];
}

export type ScalarType =
  | 'string'
  | 'bytes'
  | 'boolean'
  | 'int32'
  | 'int64'
  | 'number'
  | 'quantity'
  | 'intOrString'
  | 'time'
  | 'microTime'
  | 'duration';

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly type: ScalarType;
}

/** Anything goes through unchanged: RawExtension, FieldsV1, JSON. */
export interface AnyNode {
  readonly kind: 'any';
  /** Server-side apply goes into maps of it (custom resources that preserve unknown fields); otherwise it is one value. */
  readonly deduced?: boolean;
}

export interface ListNode {
  readonly kind: 'list';
  readonly items: SchemaNode;
  /** As `FieldNode.listType`, also for lists that are no field: items of lists, values of maps. */
  readonly listType?: FieldNode['listType'];
  readonly listMapKeys?: readonly string[];
}

export interface MapNode {
  readonly kind: 'map';
  readonly values: SchemaNode;
  readonly atomic?: boolean;
}

export interface ObjectNode {
  readonly kind: 'object';
  /** The full schema name; empty for inline objects of custom resources. */
  readonly name: string;
  /** The Go type's short name as error texts show it: `DeploymentSpec`. */
  readonly typeName: string;
  /** The Go package's last part: `v1`. */
  readonly packageName: string;
  readonly fields: ReadonlyMap<string, FieldNode>;
  readonly required: readonly string[];
  /** Unknown fields are kept (custom resources only). */
  readonly preserveUnknown: boolean;
  /** Server-side apply replaces the struct as a whole, wherever it occurs. */
  readonly atomic?: boolean;
}

export type SchemaNode = ScalarNode | AnyNode | ListNode | MapNode | ObjectNode;

/** How a field of a struct is encoded by Go. */
export interface GoField {
  readonly pointer: boolean;
  readonly omitEmpty: boolean;
}

export interface FieldNode {
  readonly name: string;
  readonly node: SchemaNode;
  readonly go: GoField;
  readonly enum: readonly string[] | undefined;
  readonly default: unknown;
  /** How lists merge: by server-side apply's rules. Maps and structs may be `atomic`. */
  readonly listType: 'atomic' | 'set' | 'map' | undefined;
  readonly listMapKeys: readonly string[];
  /** Whether a map or struct is replaced as a whole by server-side apply. */
  readonly atomicMap: boolean;
  /** Strategic merge patch: lists of structs merge by this key. */
  readonly patchMergeKey: string | undefined;
  /** Strategic merge patch: `merge`, `replace`, `retainKeys`. */
  readonly patchStrategies: readonly string[];
}

/** `io.k8s.api.core.v1.Pod` -> JSON field -> `*`, `?`, `*?` or the empty string; `$inline` lists embedded structs. */
export type GoFieldsTable = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;

const REF_PREFIX = '#/components/schemas/';
const ANY: AnyNode = Object.freeze({ kind: 'any' });
const DEDUCED: AnyNode = Object.freeze({ kind: 'any', deduced: true });
const anyOf = (schema: OpenApiSchema) => (schema['x-kubernetes-preserve-unknown-fields'] === true ? DEDUCED : ANY);
const isAtomicMap = (schema: OpenApiSchema) => schema['x-kubernetes-map-type'] === 'atomic';
const SCALARS = new Map<ScalarType, ScalarNode>();
const scalar = (type: ScalarType): ScalarNode => {
  const known = SCALARS.get(type);
  if (known !== undefined) return known;
  const node: ScalarNode = Object.freeze({ kind: 'scalar', type });
  SCALARS.set(type, node);
  return node;
};

/** Types whose JSON form is not what their schema says. */
const SPECIAL: Readonly<Record<string, SchemaNode>> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': scalar('quantity'),
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': scalar('intOrString'),
  'io.k8s.apimachinery.pkg.apis.meta.v1.Time': scalar('time'),
  'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime': scalar('microTime'),
  'io.k8s.apimachinery.pkg.apis.meta.v1.Duration': scalar('duration'),
  'io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1': ANY,
  'io.k8s.apimachinery.pkg.runtime.RawExtension': ANY,
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON': ANY,
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray': ANY,
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool': ANY,
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray': ANY,
};

const NO_GO: GoField = Object.freeze({ pointer: true, omitEmpty: true });
const GO_FLAGS: Readonly<Record<string, GoField>> = {
  '': Object.freeze({ pointer: false, omitEmpty: false }),
  '*': Object.freeze({ pointer: true, omitEmpty: false }),
  '?': Object.freeze({ pointer: false, omitEmpty: true }),
  '*?': NO_GO,
};

/** An object node whose fields are compiled on first use, so that loading all kinds costs nothing. */
class LazyObjectNode implements ObjectNode {
  readonly kind = 'object';
  readonly typeName: string;
  readonly packageName: string;
  readonly required: readonly string[];
  readonly preserveUnknown: boolean;
  readonly atomic: boolean;
  #compile: (() => ReadonlyMap<string, FieldNode>) | undefined;
  #fields: ReadonlyMap<string, FieldNode> = new Map();

  constructor(
    readonly name: string,
    schema: OpenApiSchema,
    compile: () => ReadonlyMap<string, FieldNode>,
  ) {
    const parts = name.split('.');
    this.typeName = parts.at(-1) ?? '';
    this.packageName = parts.at(-2) ?? '';
    this.required = schema.required ?? [];
    this.preserveUnknown = schema['x-kubernetes-preserve-unknown-fields'] === true;
    this.atomic = isAtomicMap(schema);
    this.#compile = compile;
  }

  get fields(): ReadonlyMap<string, FieldNode> {
    if (this.#compile !== undefined) {
      this.#fields = this.#compile();
      this.#compile = undefined;
    }
    return this.#fields;
  }
}

/** Compiles the named schemas of one document. One instance serves all kinds; nodes are shared. */
export class SchemaCompiler {
  readonly #named = new Map<string, SchemaNode>();

  constructor(
    /** `components.schemas`. */
    readonly schemas: Readonly<Record<string, OpenApiSchema>>,
    private readonly goFields: GoFieldsTable,
  ) {}

  /** The node of a named schema. Throws for an unknown name: the data has no dangling references. */
  named(name: string): SchemaNode {
    const known = this.#named.get(name) ?? SPECIAL[name];
    if (known !== undefined) return known;
    const schema = this.schemas[name];
    if (schema === undefined) throw new Error(`unknown schema ${name}`);
    const node = this.compile(schema, name);
    this.#named.set(name, node);
    return node;
  }

  /** The node of an inline schema, e.g. of a CustomResourceDefinition. `name` is empty for those. */
  compile(schema: OpenApiSchema, name = ''): SchemaNode {
    const target = refOf(schema);
    if (target !== undefined) return this.named(target);
    if (schema['x-kubernetes-int-or-string'] === true) return scalar('intOrString');
    switch (schema.type) {
      case 'object':
        return this.#object(schema, name);
      case 'array':
        return {
          kind: 'list',
          items: schema.items === undefined ? ANY : this.compile(schema.items),
          listType: schema['x-kubernetes-list-type'],
          listMapKeys: schema['x-kubernetes-list-map-keys'] ?? [],
        };
      case 'string':
        return scalar(schema.format === 'byte' ? 'bytes' : 'string');
      case 'boolean':
        return scalar('boolean');
      case 'integer':
        return scalar(schema.format === 'int32' ? 'int32' : 'int64');
      case 'number':
        return scalar('number');
      case undefined:
      default:
        return anyOf(schema);
    }
  }

  #object(schema: OpenApiSchema, name: string): SchemaNode {
    const { properties, additionalProperties } = schema;
    if (properties === undefined) {
      if (additionalProperties !== undefined && typeof additionalProperties === 'object') {
        return { kind: 'map', values: this.compile(additionalProperties), atomic: isAtomicMap(schema) };
      }
      if (additionalProperties === true) return anyOf(schema);
      // A custom resource's bare `type: object` prunes everything unless it preserves unknown fields.
      if (name === '' && schema['x-kubernetes-preserve-unknown-fields'] === true) return DEDUCED;
    }
    return new LazyObjectNode(name, schema, () => {
      const flags = name === '' ? undefined : flattenFlags(this.goFields, name);
      return new Map(
        Object.entries(properties ?? {}).map(([field, child]) => [field, this.#field(field, child, flags)]),
      );
    });
  }

  #field(name: string, schema: OpenApiSchema, flags: ReadonlyMap<string, GoField> | undefined): FieldNode {
    const target = refOf(schema);
    const mapType = schema['x-kubernetes-map-type'] ?? (target && this.schemas[target]?.['x-kubernetes-map-type']);
    const choices = schema.enum ?? (target === undefined ? undefined : this.schemas[target]?.enum);
    return {
      name,
      node: this.compile(schema),
      go: flags?.get(name) ?? NO_GO,
      enum: choices?.filter((value) => typeof value === 'string'),
      default: schema.default,
      listType: schema['x-kubernetes-list-type'],
      listMapKeys: schema['x-kubernetes-list-map-keys'] ?? [],
      atomicMap: mapType === 'atomic',
      patchMergeKey: schema['x-kubernetes-patch-merge-key'],
      patchStrategies: schema['x-kubernetes-patch-strategy']?.split(',') ?? [],
    };
  }
}

function refOf(schema: OpenApiSchema): string | undefined {
  const ref = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  return ref?.startsWith(REF_PREFIX) === true ? ref.slice(REF_PREFIX.length) : undefined;
}

/** A struct's fields with those of the structs it embeds. */
function flattenFlags(table: GoFieldsTable, name: string): ReadonlyMap<string, GoField> {
  const flags = new Map<string, GoField>();
  const visit = (type: string) => {
    const entry = table[type];
    if (entry === undefined) return;
    for (const [field, flag] of Object.entries(entry)) {
      if (field === '$inline' && typeof flag !== 'string') {
        const prefix = type.slice(0, type.lastIndexOf('.') + 1);
        for (const embedded of flag) visit(embedded.includes('.') ? embedded : `${prefix}${embedded}`);
      } else if (typeof flag === 'string') {
        flags.set(field, GO_FLAGS[flag] ?? NO_GO);
      }
    }
  };
  visit(name);
  return flags;
}

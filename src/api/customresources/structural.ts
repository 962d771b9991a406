/**
 * A structural schema, read from the definition's JSON when a part of it is first used: registering a definition with
 * megabytes of schema costs nothing, and a node's patterns and defaults are prepared once. Tolerant of nonsense, which
 * the definition's own validation reports.
 */
import type { JSONSchemaProps } from '../types/apiextensions-v1.js';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const nodes = new WeakMap<object, Structural>();

/** The node of a schema: the same for the same (frozen) JSON. */
export function structuralOf(schema: JSONSchemaProps): Structural {
  let node = nodes.get(schema);
  if (node === undefined) nodes.set(schema, (node = new Structural(schema)));
  return node;
}

export class Structural {
  readonly type: string;
  readonly nullable: boolean;
  readonly preserveUnknown: boolean;
  readonly embedded: boolean;
  readonly intOrString: boolean;
  readonly listType: 'atomic' | 'set' | 'map';
  readonly listMapKeys: readonly string[];
  readonly atomicMap: boolean;
  #properties: ReadonlyMap<string, Structural> | undefined;
  #hasDefaults: boolean | undefined;
  #hasEmbedded: boolean | undefined;
  #hasRules: boolean | undefined;
  #hasUniqueLists: boolean | undefined;

  constructor(readonly raw: JSONSchemaProps) {
    this.type = typeof raw.type === 'string' ? raw.type : '';
    this.nullable = raw.nullable === true;
    this.preserveUnknown = raw['x-kubernetes-preserve-unknown-fields'] === true;
    this.embedded = raw['x-kubernetes-embedded-resource'] === true;
    this.intOrString = raw['x-kubernetes-int-or-string'] === true;
    const listType = raw['x-kubernetes-list-type'];
    this.listType = listType === 'set' || listType === 'map' ? listType : 'atomic';
    this.listMapKeys = raw['x-kubernetes-list-map-keys'] ?? [];
    this.atomicMap = raw['x-kubernetes-map-type'] === 'atomic';
  }

  get hasDefault(): boolean {
    return this.raw.default !== undefined;
  }

  get properties(): ReadonlyMap<string, Structural> {
    return (this.#properties ??= new Map(
      Object.entries(isRecord(this.raw.properties) ? this.raw.properties : {})
        .filter(([, schema]) => isRecord(schema))
        .map(([name, schema]) => [name, structuralOf(schema)]),
    ));
  }

  get items(): Structural | undefined {
    const { items } = this.raw;
    return isRecord(items) ? structuralOf(items as JSONSchemaProps) : undefined;
  }

  /** Undefined: no further properties, unless `additional` is set without a schema. */
  get additional(): Structural | undefined {
    const { additionalProperties } = this.raw;
    return isRecord(additionalProperties) ? structuralOf(additionalProperties as JSONSchemaProps) : undefined;
  }

  get allowsAdditional(): boolean {
    const { additionalProperties } = this.raw;
    return additionalProperties === true || isRecord(additionalProperties);
  }

  /** Whether this node or one below has a default. */
  get hasDefaults(): boolean {
    return (this.#hasDefaults ??= this.hasDefault || this.someChild((child) => child.hasDefaults));
  }

  /** Whether this node or one below is an object of its own. */
  get hasEmbedded(): boolean {
    return (this.#hasEmbedded ??= this.embedded || this.someChild((child) => child.hasEmbedded));
  }

  /** Whether this node or one below has `x-kubernetes-validations`. */
  get hasRules(): boolean {
    return (this.#hasRules ??=
      (this.raw['x-kubernetes-validations']?.length ?? 0) > 0 || this.someChild((child) => child.hasRules));
  }

  /** Whether this node or one below is a list whose items or keys must differ. */
  get hasUniqueLists(): boolean {
    return (this.#hasUniqueLists ??= this.listType !== 'atomic' || this.someChild((child) => child.hasUniqueLists));
  }

  private someChild(test: (child: Structural) => boolean): boolean {
    for (const child of this.properties.values()) if (test(child)) return true;
    const { items, additional } = this;
    return (items !== undefined && test(items)) || (additional !== undefined && test(additional));
  }

  /** The schema of a property, whether it is named or not. */
  child(name: string): Structural | undefined {
    return this.properties.get(name) ?? this.additional;
  }
}

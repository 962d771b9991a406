/** What a CustomResourceDefinition says about the objects of one of its versions: the seam to the generic write path. */
import type { FieldError } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { Decoded, FieldValidation } from '../schema/decode.js';
import type { Scale } from '../types/autoscaling-v1.js';

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
  /** Null: an empty cell. Dates as they are in the object. */
  value(object: KubeObject): string | number | boolean | null;
}

export interface CustomResourceRules {
  /** As `decodeObject`, without types: those are the validation's. Throws a 400. */
  decode(input: unknown, mode: FieldValidation, duplicates: readonly string[]): Decoded;
  /** Fills in defaults in place. */
  applyDefaults(object: KubeObject): void;
  validateCreate(object: KubeObject): FieldError[];
  /** What did not change is not judged again. */
  validateUpdate(object: KubeObject, old: KubeObject, subresource: string): FieldError[];
  toScale(object: KubeObject): Scale & KubeObject;
  fromScale(object: KubeObject, scale: Scale): KubeObject;
  readonly columns: readonly PrinterColumn[];
  /** Field paths besides name and namespace that selectors may use, without the leading dot. */
  readonly selectableFields: readonly string[];
  /** For the `Warning:` header of every request; undefined unless the version is deprecated. */
  readonly deprecation: string | undefined;
  /** Whether clients may use the version; the storage version is known even if not. */
  readonly served: boolean;
  /** The definition is being deleted: no new objects. */
  readonly terminating: boolean;
  /** The schema that is published for clients: `components.schemas[schemaName]`. */
  publishedSchema(): Readonly<Record<string, unknown>>;
}

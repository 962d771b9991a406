/**
 * The kinds of a CustomResourceDefinition: one for each served version, with the rules for its objects. Made once for each state
 * of a definition and cheap to make: schemas are looked into when the first object comes.
 */
import { rememberingView, type StorageView } from '../conversion/conversion.js';
import { internalError, type FieldError } from '../errors.js';
import type { KubeObject } from '../object.js';
import type { ResourceRef } from '../resource.js';
import { apiVersionOf } from '../resource.js';
import { decodeObject, refuseStrictly, type Decoded, type FieldValidation } from '../schema/decode.js';
import type { KindInfo, KindRegistry, ResourceInfo } from '../schema/registry.js';
import type { ObjectNode, OpenApiSchema } from '../schema/schema.js';
import type {
  CustomResourceConversion,
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
  JSONSchemaProps,
} from '../types/apiextensions-v1.js';
import type { Scale } from '../types/autoscaling-v1.js';
import { printerColumns } from './columns.js';
import { defaultedObject } from './defaulting.js';
import { mapEmbedded, validateEmbedded } from './embedded.js';
import { validateRules } from './expressions.js';
import { prune } from './pruning.js';
import { publishedSchema } from './published-schema.js';
import type { CustomResourceRules, PrinterColumn } from './rules.js';
import { fieldsOf, scaled, scaleOf } from './scale.js';
import { isTerminating, servedNames } from './status.js';
import { structuralOf, type Structural } from './structural.js';
import { validateUniqueLists } from './unique-lists.js';
import { ABSENT, validateValue } from './value-validation.js';

/** Whatever does not say what it holds keeps nothing: validation asks for a schema. */
const NO_SCHEMA: JSONSchemaProps = Object.freeze({ type: 'object' });

const META = '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const ENVELOPE: OpenApiSchema = Object.freeze({
  type: 'object',
  properties: { apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: { $ref: META } },
  'x-kubernetes-preserve-unknown-fields': true,
});

const envelopes = new WeakMap<KindRegistry, ObjectNode>();

/** What is typed in every custom resource: its metadata. */
function envelopeOf(registry: KindRegistry): ObjectNode {
  let node = envelopes.get(registry);
  if (node === undefined) {
    const compiled = registry.compiler.compile(ENVELOPE);
    if (compiled.kind !== 'object') throw new Error('the envelope of custom resources is an object');
    envelopes.set(registry, (node = compiled));
  }
  return node;
}

export const schemaOf = (version: CustomResourceDefinitionVersion): JSONSchemaProps =>
  version.schema?.openAPIV3Schema ?? NO_SCHEMA;

export const storageVersionOf = ({ spec }: CustomResourceDefinition): CustomResourceDefinitionVersion | undefined =>
  spec.versions.find(({ storage }) => storage);

const made = new WeakMap<KindRegistry, WeakMap<CustomResourceDefinition, readonly ResourceInfo[]>>();

/**
 * The kinds of a definition (frozen, as the store holds it): those served, and that of the storage version, as which the
 * cluster's own components know its objects. None while its names are not accepted.
 */
export function kindsOf(registry: KindRegistry, definition: CustomResourceDefinition): readonly ResourceInfo[] {
  let byDefinition = made.get(registry);
  if (byDefinition === undefined) made.set(registry, (byDefinition = new WeakMap()));
  let kinds = byDefinition.get(definition);
  if (kinds === undefined) byDefinition.set(definition, (kinds = makeKinds(registry, definition)));
  return kinds;
}

function makeKinds(registry: KindRegistry, definition: CustomResourceDefinition): readonly ResourceInfo[] {
  const { spec } = definition;
  const names = servedNames(definition);
  const storage = storageVersionOf(definition);
  if (names === undefined || storage === undefined) return [];
  const envelope = envelopeOf(registry);
  return spec.versions
    .filter((version) => version.served || version === storage)
    .map((version) => {
      const ref: ResourceRef = {
        group: spec.group,
        version: version.name,
        resource: names.plural,
        kind: names.kind,
        namespaced: spec.scope === 'Namespaced',
      };
      return registry.customInfo({
        ...ref,
        singular: names.singular ?? names.kind.toLowerCase(),
        listKind: names.listKind ?? `${names.kind}List`,
        shortNames: names.shortNames ?? [],
        categories: names.categories ?? [],
        subresources: (['status', 'scale'] as const).filter((name) => version.subresources?.[name] !== undefined),
        schema: schemaOf(version) as OpenApiSchema,
        view: viewOfVersion(ref, version, storage, spec.conversion),
        rules: new VersionRules(ref, definition, version, envelope),
      });
    });
}

/**
 * By the strategy `None` the version's name changes; by `Webhook` the objects are converted elsewhere. Each version's schema
 * prunes and defaults what is shown.
 */
function viewOfVersion(
  ref: ResourceRef,
  version: CustomResourceDefinitionVersion,
  storage: CustomResourceDefinitionVersion,
  conversion: CustomResourceConversion | undefined,
): StorageView {
  const storageRef: ResourceRef = { ...ref, version: storage.name };
  const [shown, kept] = [apiVersionOf(ref), apiVersionOf(storageRef)];
  const schema = () => structuralOf(schemaOf(version));
  const webhook = conversion?.strategy === 'Webhook' ? conversion.webhook : undefined;
  const renamed = (object: KubeObject, apiVersion: string): KubeObject => {
    if (object.apiVersion === apiVersion) return object;
    if (webhook) throw internalError(new Error(`${ref.kind} ${apiVersion} needs its conversion webhook`));
    return { ...object, apiVersion };
  };
  const shape = (object: KubeObject) => defaultedObject(prune(object, schema()), schema());
  return rememberingView(
    {
      storage: storageRef,
      toStorage: (object) =>
        object.apiVersion === kept ? object : prune(renamed(object, kept), structuralOf(schemaOf(storage))),
      fromStorage: (stored) => shape(renamed(stored, shown)),
    },
    webhook && {
      webhook,
      shown,
      kept,
      settle: (original, converted) => {
        const settled = withMetadataOf(original, converted);
        return converted.apiVersion === shown ? shape(settled) : prune(settled, structuralOf(schemaOf(storage)));
      },
    },
  );
}

/** Only labels and annotations are the webhook's to change. */
function withMetadataOf({ metadata }: KubeObject, converted: KubeObject): KubeObject {
  const { labels, annotations } = (converted.metadata as KubeObject['metadata'] | undefined) ?? {};
  const { labels: _labels, annotations: _annotations, ...kept } = metadata;
  return {
    ...converted,
    metadata: {
      ...kept,
      ...(labels && Object.keys(labels).length > 0 ? { labels } : {}),
      ...(annotations && Object.keys(annotations).length > 0 ? { annotations } : {}),
    },
  };
}

class VersionRules implements CustomResourceRules {
  readonly deprecation: string | undefined;
  readonly terminating: boolean;
  private readonly envelope: KindInfo;
  private printed: readonly PrinterColumn[] | undefined;

  constructor(
    private readonly ref: ResourceRef,
    definition: CustomResourceDefinition,
    private readonly version: CustomResourceDefinitionVersion,
    envelope: ObjectNode,
  ) {
    this.envelope = { group: ref.group, version: ref.version, kind: ref.kind, schema: envelope };
    this.terminating = isTerminating(definition);
    this.deprecation =
      version.deprecated === true
        ? (version.deprecationWarning ?? `${apiVersionOf(ref)} ${ref.kind} is deprecated`)
        : undefined;
  }

  private get schema(): Structural {
    return structuralOf(schemaOf(this.version));
  }

  get columns(): readonly PrinterColumn[] {
    return (this.printed ??= printerColumns(this.version.additionalPrinterColumns));
  }

  get selectableFields(): readonly string[] {
    return (this.version.selectableFields ?? []).map(({ jsonPath }) => fieldsOf(jsonPath).join('.'));
  }

  decode(input: unknown, mode: FieldValidation, duplicates: readonly string[]): Decoded {
    const { schema, envelope } = this;
    const decoded = decodeObject(envelope, input, mode === 'Ignore' ? 'Ignore' : 'Warn', duplicates);
    const findings = [...decoded.warnings];
    const typed = mapEmbedded(decoded.object, schema, '', (embedded, path) => {
      if (embedded['metadata'] === undefined || embedded['metadata'] === null) return embedded;
      const inner = decodeObject(envelope, { metadata: embedded['metadata'] }, 'Warn');
      findings.push(...inner.warnings.map((text) => text.replace('"metadata.', `"${path}.metadata.`)));
      return { ...embedded, metadata: inner.object.metadata };
    }) as KubeObject;
    const object = prune(typed, schema, (path) => findings.push(`unknown field "${path}"`));
    if (mode === 'Strict' && findings.length > 0) throw refuseStrictly(envelope, findings);
    return { object: object === decoded.object ? object : { ...object }, warnings: mode === 'Ignore' ? [] : findings };
  }

  applyDefaults(object: KubeObject): void {
    const filled = defaultedObject(object, this.schema);
    if (filled === object) return;
    for (const name of Object.keys(object)) {
      if (!Object.hasOwn(filled, name)) delete (object as unknown as Record<string, unknown>)[name];
    }
    Object.assign(object, filled);
  }

  get served(): boolean {
    return this.version.served;
  }

  validateCreate(object: KubeObject): FieldError[] {
    return this.validate(object, ABSENT);
  }

  validateUpdate(object: KubeObject, old: KubeObject): FieldError[] {
    return this.validate(object, old);
  }

  private validate(object: KubeObject, old: KubeObject | typeof ABSENT): FieldError[] {
    const { schema } = this;
    const errors = [
      ...validateValue(object, schema, '', old),
      ...validateEmbedded(object, schema),
      ...validateUniqueLists(object, schema, old),
      ...this.validateScale(object),
    ];
    return schema.hasRules ? validateRules(object, schema, old, errors) : errors;
  }

  private validateScale(object: KubeObject): FieldError[] {
    const paths = this.version.subresources?.scale;
    if (paths === undefined) return [];
    return [paths.specReplicasPath, paths.statusReplicasPath].flatMap((path): FieldError[] => {
      let value: unknown = object;
      for (const name of fieldsOf(path)) value = (value as Record<string, unknown> | null | undefined)?.[name];
      if (typeof value !== 'number' || value >= 0) return [];
      const message = `Invalid value: ${value}: should be a non-negative integer`;
      return [{ type: 'FieldValueInvalid', field: path, message }];
    });
  }

  toScale(object: KubeObject): Scale & KubeObject {
    return scaleOf(object, this.scalePaths());
  }

  fromScale(object: KubeObject, scale: Scale): KubeObject {
    return scaled(object, scale, this.scalePaths());
  }

  private scalePaths() {
    const paths = this.version.subresources?.scale;
    if (paths === undefined) throw new Error(`${this.ref.kind} has no scale subresource`);
    return paths;
  }

  publishedSchema(): Readonly<Record<string, unknown>> {
    return publishedSchema(this.ref, schemaOf(this.version));
  }
}

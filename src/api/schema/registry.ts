/**
 * The registry of kinds: what exists, under which names, with which verbs and schema. Built-in kinds come from
 * `api/data/`; kinds of CustomResourceDefinitions are registered and removed at run time. Look-ups are synchronous maps.
 */
import { builtInView, type StorageView } from '../conversion/conversion.js';
import type { CustomResourceRules } from '../customresources/rules.js';
import type { ResourceRef } from '../resource.js';
import { loadData } from './data.js';
import { CATEGORIES, SHORT_NAMES } from './discovery-names.js';
import { type GoFieldsTable, type ObjectNode, type OpenApiSchema, type SchemaNode, SchemaCompiler } from './schema.js';

/** A kind and its schema, with or without a resource of its own (`Scale`, `Eviction`, `DeleteOptions` have none). */
export interface KindInfo {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly schema: ObjectNode;
}

export interface SubresourceInfo {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}

export interface ResourceInfo extends ResourceRef, KindInfo {
  readonly verbs: readonly string[];
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** By name: `status`, `scale`, `log`, … */
  readonly subresources: ReadonlyMap<string, SubresourceInfo>;
  /** The name in the OpenAPI document: `io.k8s.api.core.v1.Pod`. */
  readonly schemaName: string;
  /** Whether the kind is a custom resource's. */
  readonly custom: boolean;
  /** `PodList`, unless a definition calls it otherwise. */
  readonly listKind: string;
  /** How stored objects are shown in this version; undefined for a resource that is stored as it is. */
  readonly view: StorageView | undefined;
  /** What the definition of a custom resource says about its objects; undefined for built-in kinds. */
  readonly rules: CustomResourceRules | undefined;
}

export interface GroupInfo {
  readonly group: string;
  /** Preferred first. */
  readonly versions: readonly string[];
}

/** What a CustomResourceDefinition contributes for one version. */
export interface CustomKind extends ResourceRef {
  readonly singular?: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly subresources?: readonly ('status' | 'scale')[];
  readonly listKind?: string;
  /** `spec.versions[].schema.openAPIV3Schema`. */
  readonly schema: OpenApiSchema;
  readonly view?: StorageView;
  readonly rules?: CustomResourceRules;
}

interface RawResource {
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

export const STANDARD_VERBS: readonly string[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];
const SUBRESOURCE_VERBS: readonly string[] = ['get', 'patch', 'update'];
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';

const keyOf = (group: string, version: string, name: string) => `${group}/${version}/${name}`;

function splitGroupVersion(text: string): { group: string; version: string } {
  const slash = text.indexOf('/');
  return slash < 0 ? { group: '', version: text } : { group: text.slice(0, slash), version: text.slice(slash + 1) };
}

/** `kind` in `resources.json` is `v1/Pod` or `apps/v1/Deployment`. */
function splitKind(text: string): { group: string; version: string; kind: string } {
  const slash = text.lastIndexOf('/');
  return { ...splitGroupVersion(text.slice(0, slash)), kind: text.slice(slash + 1) };
}

const objectNode = (node: SchemaNode, name: string): ObjectNode => {
  if (node.kind !== 'object') throw new Error(`${name} is not an object type`);
  return node;
};

export class KindRegistry {
  readonly #resources = new Map<string, ResourceInfo>();
  readonly #byKind = new Map<string, ResourceInfo>();
  readonly #kindSchemas = new Map<string, string>();
  readonly #kinds = new Map<string, KindInfo>();
  readonly #generations = new Map<string, number>();
  readonly #builtInGroups = new Set<string>();
  #generation = 0;
  #all: readonly ResourceInfo[] | undefined;
  #groups: readonly GroupInfo[] | undefined;

  private constructor(readonly compiler: SchemaCompiler) {}

  /** Reads the built-in kinds from disk (about 20 ms). Each call makes an independent registry. */
  static load(): KindRegistry {
    const schemas = loadData('schemas') as Record<string, OpenApiSchema>;
    const resources = loadData('resources') as Record<string, Record<string, RawResource>>;
    const registry = new KindRegistry(new SchemaCompiler(schemas, loadData('go-fields') as GoFieldsTable));
    registry.#indexSchemas(schemas);
    for (const [groupVersion, entries] of Object.entries(resources)) registry.#addBuiltIn(groupVersion, entries);
    for (const { group } of registry.all()) registry.#builtInGroups.add(group);
    return registry;
  }

  /** Whether the group is Kubernetes' own; the core group is the empty text. */
  isBuiltInGroup(group: string): boolean {
    return this.#builtInGroups.has(group);
  }

  /** Every resource, in the order of registration (by group/version and name for the built-in ones). */
  all(): readonly ResourceInfo[] {
    this.#all ??= [...this.#resources.values()];
    return this.#all;
  }

  find(group: string, version: string, resource: string): ResourceInfo | undefined {
    return this.#resources.get(keyOf(group, version, resource));
  }

  byKind(group: string, version: string, kind: string): ResourceInfo | undefined {
    return this.#byKind.get(keyOf(group, version, kind));
  }

  /** Any kind with a schema, also those without a resource: `autoscaling/v1 Scale`, `policy/v1 Eviction`, `v1 Binding`. */
  kindInfo(group: string, version: string, kind: string): KindInfo | undefined {
    const key = keyOf(group, version, kind);
    const known = this.#byKind.get(key) ?? this.#kinds.get(key);
    if (known !== undefined) return known;
    const schemaName = this.#kindSchemas.get(key) ?? (kind.endsWith('Options') ? `${META}.${kind}` : '');
    if (this.compiler.schemas[schemaName] === undefined) return undefined;
    const node = this.compiler.named(schemaName);
    if (node.kind !== 'object') return undefined;
    const info: KindInfo = Object.freeze({ group, version, kind, schema: node });
    this.#kinds.set(key, info);
    return info;
  }

  /** All groups with their versions, the core group first. */
  groups(): readonly GroupInfo[] {
    return (this.#groups ??= this.#computeGroups());
  }

  #computeGroups(): readonly GroupInfo[] {
    const versions = new Map<string, string[]>();
    for (const { group, version } of this.all()) {
      const list = versions.get(group) ?? [];
      if (!list.includes(version)) list.push(version);
      versions.set(group, list);
    }
    return [...versions]
      .map(([group, list]) => ({ group, versions: list.toSorted(compareVersions) }))
      .toSorted((a, b) => (a.group < b.group ? -1 : 1));
  }

  /** The resources of one group and version. */
  resources(group: string, version: string): readonly ResourceInfo[] {
    return this.all().filter((info) => info.group === group && info.version === version);
  }

  /** What `register` would add; nothing is registered. Cheap: schemas are compiled when they are first used. */
  customInfo(kind: CustomKind): ResourceInfo {
    const { properties, ...rest } = kind.schema;
    const schema = this.compiler.compile({
      ...rest,
      type: 'object',
      properties: {
        ...properties,
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { $ref: `#/components/schemas/${META}.ObjectMeta` },
      },
    });
    const subresources = new Map<string, SubresourceInfo>();
    for (const name of kind.subresources ?? []) {
      subresources.set(
        name,
        name === 'scale'
          ? { group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: SUBRESOURCE_VERBS }
          : { group: kind.group, version: kind.version, kind: kind.kind, verbs: SUBRESOURCE_VERBS },
      );
    }
    return Object.freeze({
      group: kind.group,
      version: kind.version,
      resource: kind.resource,
      kind: kind.kind,
      namespaced: kind.namespaced,
      verbs: STANDARD_VERBS,
      singular: kind.singular ?? kind.kind.toLowerCase(),
      shortNames: kind.shortNames ?? [],
      categories: kind.categories ?? [],
      subresources,
      schemaName: `${kind.group.split('.').toReversed().join('.')}.${kind.version}.${kind.kind}`,
      schema: objectNode(schema, kind.kind),
      custom: true,
      listKind: kind.listKind ?? `${kind.kind}List`,
      view: kind.view,
      rules: kind.rules,
    });
  }

  /** Adds or replaces a custom resource's kind. Built-in kinds cannot be replaced: returns undefined for those. */
  register(kind: CustomKind): ResourceInfo | undefined {
    return this.registerInfo(this.customInfo(kind));
  }

  /** As `register`, with what `customInfo` made. */
  registerInfo(info: ResourceInfo): ResourceInfo | undefined {
    const present = this.find(info.group, info.version, info.resource);
    if (present === info) return info;
    if (present !== undefined && !present.custom) return undefined;
    if (present !== undefined) this.unregister(info.group, info.version, info.resource);
    this.#changed(info);
    return this.#add(info);
  }

  /** Counts the changes of one group and version, so that documents made of it can be kept until then. */
  generationOf(group: string, version: string): number {
    return this.#generations.get(`${group}/${version}`) ?? 0;
  }

  /** Counts all changes. */
  get generation(): number {
    return this.#generation;
  }

  /** Removes a custom resource's kind; does nothing for others. */
  unregister(group: string, version: string, resource: string): void {
    const info = this.find(group, version, resource);
    if (info?.custom !== true) return;
    this.#resources.delete(keyOf(group, version, resource));
    this.#byKind.delete(keyOf(group, version, info.kind));
    this.#all = undefined;
    this.#changed(info);
  }

  #changed({ group, version }: ResourceInfo): void {
    this.#generation += 1;
    const name = `${group}/${version}`;
    this.#generations.set(name, (this.#generations.get(name) ?? 0) + 1);
    this.#groups = undefined;
  }

  #indexSchemas(schemas: Readonly<Record<string, OpenApiSchema>>): void {
    for (const [name, schema] of Object.entries(schemas)) {
      const kinds = schema['x-kubernetes-group-version-kind'] ?? [];
      for (const { group, version, kind } of kinds) this.#kindSchemas.set(keyOf(group, version, kind), name);
    }
  }

  #addBuiltIn(groupVersion: string, entries: Readonly<Record<string, RawResource>>): void {
    const { group, version } = splitGroupVersion(groupVersion);
    for (const [resource, raw] of Object.entries(entries)) {
      if (resource.includes('/')) continue;
      const { kind } = splitKind(raw.kind);
      const schemaName = this.#kindSchemas.get(keyOf(group, version, kind));
      if (schemaName === undefined) throw new Error(`no schema for ${groupVersion} ${kind}`);
      this.#addCompiled(group, version, resource, raw, kind, schemaName, subresourcesOf(resource, entries));
    }
  }

  #addCompiled(
    group: string,
    version: string,
    resource: string,
    raw: RawResource,
    kind: string,
    schemaName: string,
    subresources: ReadonlyMap<string, SubresourceInfo>,
  ): void {
    this.#add({
      group,
      version,
      resource,
      kind,
      namespaced: raw.namespaced,
      verbs: raw.verbs,
      singular: kind.toLowerCase(),
      shortNames: SHORT_NAMES[`${group}/${resource}`] ?? [],
      categories: CATEGORIES[`${group}/${resource}`] ?? [],
      subresources,
      schemaName,
      schema: objectNode(this.compiler.named(schemaName), schemaName),
      custom: false,
      listKind: `${kind}List`,
      view: builtInView(group, version, resource),
      rules: undefined,
    });
  }

  #add(info: ResourceInfo): ResourceInfo {
    Object.freeze(info);
    this.#resources.set(keyOf(info.group, info.version, info.resource), info);
    this.#byKind.set(keyOf(info.group, info.version, info.kind), info);
    this.#all = undefined;
    return info;
  }
}

function subresourcesOf(
  resource: string,
  entries: Readonly<Record<string, RawResource>>,
): ReadonlyMap<string, SubresourceInfo> {
  const found = new Map<string, SubresourceInfo>();
  const prefix = `${resource}/`;
  for (const [path, raw] of Object.entries(entries)) {
    if (path.startsWith(prefix)) found.set(path.slice(prefix.length), { ...splitKind(raw.kind), verbs: raw.verbs });
  }
  return found;
}

/** Kubernetes' version priority: GA before beta before alpha, higher numbers first. */
export function compareVersions(a: string, b: string): number {
  const rank = (text: string): readonly number[] => {
    const match = /^v([0-9]+)(?:(alpha|beta)([0-9]+))?$/.exec(text);
    if (match === null) return [0, 0, 0];
    const stage = match[2] === undefined ? 3 : match[2] === 'beta' ? 2 : 1;
    return [stage, Number(match[1]), Number(match[3] ?? 0)];
  };
  const [ra, rb] = [rank(a), rank(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (rb[i] ?? 0) - (ra[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The objects of a store as manifests, one by one. */
import type { KubeObject } from '../../api/object.js';
import type { CustomResourceDefinition } from '../../api/types/apiextensions-v1.js';
import { KindRegistry, type ResourceInfo } from '../../api/schema/registry.js';
import { REGISTRY_OBJECT } from '../../store/replication/peer-registry.js';
import { objectsIn, type StoredObject, type StoreProblem } from './store-files.js';

export interface DumpSelection {
  /** As people write it: `deploy`, `deployments.apps`, `Deployment`; all types unless told. */
  readonly type?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly secrets: boolean;
}

export interface DumpEvents {
  onProblem(problem: StoreProblem): void;
  /** A Secret that was not asked for. */
  onSecret(): void;
}

const DEFINITIONS = 'customresourcedefinitions';

/** With `apiVersion` and `kind`, and without the bookkeeping of who manages which field. */
export async function* dumpObjects(
  path: string,
  selection: DumpSelection,
  events: DumpEvents,
): AsyncGenerator<KubeObject> {
  const kinds = await kindsOf(path);
  for await (const object of objectsIn(path, (problem) => events.onProblem(problem))) {
    const { group, resource, name, namespace } = object.key;
    if (group === REGISTRY_OBJECT.group) continue;
    const kind = kinds.get(`${resource}.${group}`);
    if (selection.type !== undefined && !isCalled(object, kind, selection.type.toLowerCase())) continue;
    if (selection.name !== undefined && selection.name !== name) continue;
    if (selection.namespace !== undefined && selection.namespace !== namespace) continue;
    if (group === '' && resource === 'secrets' && !selection.secrets) events.onSecret();
    else yield manifestOf(object, kind);
  }
}

interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly names: readonly string[];
}

const apiVersionOf = (group: string, version: string) => (group === '' ? version : `${group}/${version}`);

/** By resource and group, the version that is stored: built-in kinds, and those that definitions in the store make. */
async function kindsOf(path: string): Promise<Map<string, Kind>> {
  const kinds = new Map<string, Kind>();
  for (const info of KindRegistry.load().all()) {
    const key = `${info.resource}.${info.group}`;
    if (!kinds.has(key) && info.view === undefined) kinds.set(key, builtIn(info));
  }
  for await (const { key, value } of objectsIn(path, () => undefined)) {
    if (key.resource === DEFINITIONS) {
      const { spec } = value as unknown as CustomResourceDefinition;
      const { names, group, versions } = spec;
      const stored = versions.find(({ storage }) => storage)?.name ?? '';
      kinds.set(`${names.plural}.${group}`, {
        apiVersion: apiVersionOf(group, stored),
        kind: names.kind,
        names: [names.plural, names.singular ?? '', names.kind.toLowerCase(), ...(names.shortNames ?? [])],
      });
    }
  }
  return kinds;
}

const builtIn = ({ group, version, kind, resource, singular, shortNames }: ResourceInfo): Kind => ({
  apiVersion: apiVersionOf(group, version),
  kind,
  names: [resource, singular, kind.toLowerCase(), ...shortNames],
});

function isCalled({ key }: StoredObject, kind: Kind | undefined, type: string): boolean {
  const [name = '', ...suffix] = type.split('.');
  const group = suffix.join('.');
  return (kind?.names ?? [key.resource]).includes(name) && (group === '' || group === key.group);
}

function manifestOf({ value, key }: StoredObject, kind: Kind | undefined): KubeObject {
  const { managedFields: _, ...metadata } = value.metadata;
  return {
    apiVersion: kind?.apiVersion ?? apiVersionOf(key.group, ''),
    kind: kind?.kind ?? key.resource,
    ...value,
    metadata,
  };
}

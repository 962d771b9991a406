/** What the server serves, by discovery, and how people name it: plural, singular, kind, short name, `resource.group`. */
import type { ResourceRef } from '../api/resource.js';
import type { HttpConnection } from '../client/http-connection.js';
import { CliError } from './failure.js';

export interface ServedResource extends ResourceRef {
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
}

/** `apidiscovery.k8s.io/v2`, as far as it is read here. */
interface GroupDiscoveryList {
  readonly items?: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions?: readonly { readonly version: string; readonly resources?: readonly DiscoveredResource[] }[];
  }[];
}

interface DiscoveredResource {
  readonly resource: string;
  readonly responseKind?: { readonly group?: string; readonly version?: string; readonly kind?: string };
  readonly scope?: string;
  readonly singularResource?: string;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

const ACCEPT = ['v2', 'v2beta1']
  .map((version) => `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`)
  .join(',');

export class ServedResources {
  constructor(readonly all: readonly ServedResource[]) {}

  /** Asks the server. The order is the server's: core first, preferred versions first. */
  static async discover(connection: HttpConnection): Promise<ServedResources> {
    const lists = await Promise.all(
      ['/api', '/apis'].map((path) => connection.json<GroupDiscoveryList>({ path, accept: ACCEPT })),
    );
    return new ServedResources(lists.flatMap(resourcesOf));
  }

  /** By kind and `apiVersion`, as manifests name it. */
  byKind(apiVersion: string, kind: string): ServedResource | undefined {
    return this.all.find((info) => info.kind === kind && apiVersionOf(info) === apiVersion);
  }

  /**
   * By what a person typed: `deploy`, `Deployments`, `deployments.apps`, `deployments.v1.apps`. The preferred version of
   * the first group that has it.
   */
  find(typed: string): ServedResource | undefined {
    const [name = '', ...suffix] = typed.toLowerCase().split('.');
    const named = this.all.filter((info) => names(info).includes(name));
    const group = suffix.join('.');
    if (group === '') return named[0];
    const [version, ...rest] = suffix;
    return (
      named.find((info) => info.group === group) ??
      named.find((info) => info.version === version && info.group === rest.join('.')) ??
      // As kubectl: a unique beginning of the group is enough.
      named.find((info) => info.group.startsWith(`${group}.`))
    );
  }

  /** {@link find} for a comma list with categories such as `all`. Throws as kubectl words it. */
  require(typed: string): ServedResource[] {
    const found: ServedResource[] = [];
    for (const part of typed.split(',').filter((text) => text !== '')) {
      const category = this.all.filter((info) => info.categories.includes(part) && info.verbs.includes('list'));
      const one = this.find(part);
      if (!one && category.length === 0) throw new CliError(`the server doesn't have a resource type "${part}"`);
      for (const info of one ? [one] : preferred(category)) if (!found.includes(info)) found.push(info);
    }
    if (found.length === 0) throw new CliError('you must specify a resource type');
    return found;
  }
}

const apiVersionOf = ({ group, version }: ResourceRef) => (group ? `${group}/${version}` : version);
const names = ({ resource, singular, shortNames, kind }: ServedResource) => [
  resource,
  singular || kind.toLowerCase(),
  ...shortNames,
];

/** One version of each resource: the first. */
function preferred(infos: readonly ServedResource[]): ServedResource[] {
  const seen = new Set<string>();
  return infos.filter(({ group, resource }) => {
    const key = `${group}/${resource}`;
    return !seen.has(key) && seen.add(key);
  });
}

function resourcesOf({ items = [] }: GroupDiscoveryList): ServedResource[] {
  return items.flatMap(({ metadata, versions = [] }) =>
    versions.flatMap(({ version, resources = [] }) =>
      resources.map((found) => ({
        group: metadata?.name ?? '',
        version,
        resource: found.resource,
        kind: found.responseKind?.kind ?? '',
        namespaced: found.scope === 'Namespaced',
        singular: found.singularResource ?? '',
        shortNames: found.shortNames ?? [],
        categories: found.categories ?? [],
        verbs: found.verbs ?? [],
      })),
    ),
  );
}

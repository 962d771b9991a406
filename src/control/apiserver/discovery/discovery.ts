/** Discovery documents, plain and aggregated, made from the registry. */
import type { GroupInfo, KindRegistry, ResourceInfo, SubresourceInfo } from '../../../api/schema/registry.js';
import { apiVersionOf } from '../../../api/resource.js';
import { unknownPath } from '../unknown-path.js';
import type { AggregatedResource } from './aggregated-form.js';

const FORMAT = 'apidiscovery.k8s.io';

export interface DiscoveryAnswer {
  readonly contentType: string;
  readonly body: object;
}

/** Which aggregated version an Accept header asks for first; undefined: the plain document. */
export function aggregatedVersion(accept: string | undefined): 'v2' | 'v2beta1' | undefined {
  for (const entry of (accept ?? '').split(',')) {
    if (!entry.includes(`g=${FORMAT}`)) {
      if (entry.trim().startsWith('application/json')) return undefined;
      continue;
    }
    if (/v=v2(?:;|$)/.test(entry.trim())) return 'v2';
    if (/v=v2beta1(?:;|$)/.test(entry.trim())) return 'v2beta1';
  }
  return undefined;
}

/** What is served, by whomever, in the order in which it is shown. A registry is one: of what this server serves itself. */
export interface ShownGroups {
  groups(): readonly GroupInfo[];
  /** What another server says of its version; undefined: the version is this server's own. */
  remote?(group: string, version: string): RemoteVersion | undefined;
}

export interface RemoteVersion {
  readonly resources: readonly AggregatedResource[];
  /** Stale: the server did not answer when it was asked last. */
  readonly freshness: 'Current' | 'Stale';
  /** Where the server has its OpenAPI v3 document; absent: it has none. */
  readonly openApi?: string;
}

const groupVersions = (shown: ShownGroups, group: string) =>
  shown.groups().find((entry) => entry.group === group)?.versions ?? [];

/** `GET /api`. */
export const legacyVersions = (address: string) => ({
  kind: 'APIVersions',
  versions: ['v1'],
  serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
});

function groupEntry(shown: ShownGroups, group: string) {
  const versions = groupVersions(shown, group).map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions, preferredVersion: versions[0] };
}

/** `GET /apis`. */
export const groupList = (shown: ShownGroups) => ({
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: shown
    .groups()
    .filter(({ group }) => group !== '')
    .map(({ group }) => groupEntry(shown, group)),
});

/** `GET /apis/{group}`. Throws a 404. */
export function groupDocument(registry: KindRegistry, group: string, shown: ShownGroups = registry) {
  if (group === '' || groupVersions(shown, group).length === 0) throw unknownPath(registry, group);
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(shown, group) };
}

const sortedByName = (infos: readonly ResourceInfo[]) => infos.toSorted((a, b) => (a.resource < b.resource ? -1 : 1));
/** `connect` is a verb of authorization only; discovery lists what it is reached with. */
const shownVerbs = (verbs: readonly string[]) => (verbs.includes('connect') ? ['create', 'get'] : verbs);

function kindFields(info: ResourceInfo, sub: SubresourceInfo) {
  const same = sub.group === info.group && sub.version === info.version;
  return { ...(same ? {} : { group: sub.group, version: sub.version }), kind: sub.kind };
}

/** `GET /api/v1` and `GET /apis/{group}/{version}`. Throws a 404. */
export function resourceList(registry: KindRegistry, group: string, version: string) {
  const infos = registry.resources(group, version);
  if (infos.length === 0) throw unknownPath(registry, group);
  const resources = sortedByName(infos).flatMap((info) => [
    {
      name: info.resource,
      singularName: info.singular,
      namespaced: info.namespaced,
      kind: info.kind,
      verbs: info.verbs,
      ...(info.shortNames.length ? { shortNames: info.shortNames } : {}),
      ...(info.categories.length ? { categories: info.categories } : {}),
    },
    ...[...info.subresources].map(([name, sub]) => ({
      name: `${info.resource}/${name}`,
      singularName: '',
      namespaced: info.namespaced,
      ...kindFields(info, sub),
      verbs: shownVerbs(sub.verbs),
    })),
  ]);
  return {
    kind: 'APIResourceList',
    ...(group === '' ? {} : { apiVersion: 'v1' }),
    groupVersion: apiVersionOf({ group, version }),
    resources,
  };
}

function aggregatedResource(info: ResourceInfo): AggregatedResource {
  const { group, version, kind } = info;
  return {
    resource: info.resource,
    responseKind: { group, version, kind },
    scope: info.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: info.singular,
    verbs: info.verbs,
    ...(info.shortNames.length ? { shortNames: info.shortNames } : {}),
    ...(info.categories.length ? { categories: info.categories } : {}),
    ...(info.subresources.size
      ? {
          subresources: [...info.subresources].map(([name, sub]) => ({
            subresource: name,
            responseKind: { group: sub.group, version: sub.version, kind: sub.kind },
            verbs: shownVerbs(sub.verbs),
          })),
        }
      : {}),
  };
}

/** `GET /api` or `/apis` in the aggregated form. */
export function aggregated(
  registry: KindRegistry,
  core: boolean,
  version: 'v2' | 'v2beta1',
  shown: ShownGroups = registry,
): DiscoveryAnswer {
  const entryOf = (group: string, name: string) => {
    const remote = shown.remote?.(group, name);
    if (remote) return { version: name, resources: remote.resources, freshness: remote.freshness };
    const resources = sortedByName(registry.resources(group, name)).map(aggregatedResource);
    return { version: name, resources, freshness: 'Current' };
  };
  const items = shown
    .groups()
    .filter(({ group }) => (group === '') === core)
    .map(({ group, versions }) => ({
      metadata: { ...(group === '' ? {} : { name: group }), creationTimestamp: null },
      versions: versions.map((name) => entryOf(group, name)),
    }));
  return {
    contentType: `application/json;g=${FORMAT};v=${version};as=APIGroupDiscoveryList`,
    body: { kind: 'APIGroupDiscoveryList', apiVersion: `${FORMAT}/${version}`, metadata: {}, items },
  };
}

/** Resources in the form of aggregated discovery (`apidiscovery.k8s.io/v2 APIResourceDiscovery`), from the older form. */

export interface ResponseKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export interface AggregatedSubresource {
  readonly subresource: string;
  readonly responseKind: ResponseKind;
  readonly verbs: readonly string[];
}

export interface AggregatedResource {
  readonly resource: string;
  readonly responseKind: ResponseKind;
  readonly scope: 'Namespaced' | 'Cluster';
  readonly singularResource: string;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly subresources?: readonly AggregatedSubresource[];
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];

/** An `APIResourceList` as another server sent it. Entries without a name are left out. Throws when it is none. */
export function asAggregated(
  { group, version }: { readonly group: string; readonly version: string },
  list: unknown,
): AggregatedResource[] {
  const entries: unknown = isRecord(list) ? list['resources'] : undefined;
  if (!Array.isArray(entries)) throw new Error('no list of resources');
  const given = entries.filter(isRecord);
  const responseKind = (entry: Record<string, unknown>): ResponseKind => ({
    group: textOf(entry['group']) || group,
    version: textOf(entry['version']) || version,
    kind: textOf(entry['kind']),
  });
  const subresources = new Map<string, AggregatedSubresource[]>();
  for (const entry of given) {
    const [resource = '', subresource] = textOf(entry['name']).split('/');
    if (subresource === undefined) continue;
    const found = { subresource, responseKind: responseKind(entry), verbs: textsOf(entry['verbs']) };
    subresources.set(resource, [...(subresources.get(resource) ?? []), found]);
  }
  return given.flatMap((entry): AggregatedResource[] => {
    const resource = textOf(entry['name']);
    if (resource === '' || resource.includes('/')) return [];
    const [shortNames, categories] = [textsOf(entry['shortNames']), textsOf(entry['categories'])];
    const below = subresources.get(resource);
    return [
      {
        resource,
        responseKind: responseKind(entry),
        scope: entry['namespaced'] === true ? 'Namespaced' : 'Cluster',
        singularResource: textOf(entry['singularName']),
        verbs: textsOf(entry['verbs']),
        ...(shortNames.length ? { shortNames } : {}),
        ...(categories.length ? { categories } : {}),
        ...(below ? { subresources: below } : {}),
      },
    ];
  });
}

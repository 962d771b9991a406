/** Everything that this server answers for: its own kinds, and what aggregated servers serve in place of them or besides. */
import type { GroupInfo, KindRegistry } from '../../../api/schema/registry.js';
import type { RemoteVersion, ShownGroups } from '../discovery/discovery.js';
import type { RemoteApis } from './remote-apis.js';
import type { RemoteDiscovery } from './remote-discovery.js';

export class ServedGroups implements ShownGroups {
  private kept: { readonly of: string; readonly groups: readonly GroupInfo[] } | undefined;

  constructor(
    private readonly registry: KindRegistry,
    private readonly apis: RemoteApis,
    private readonly discovery: Pick<RemoteDiscovery, 'of'>,
  ) {}

  groups(): readonly GroupInfo[] {
    const of = `${this.registry.generation}/${this.apis.generation}`;
    if (this.kept?.of !== of) this.kept = { of, groups: this.apis.ordered(this.merged()) };
    return this.kept.groups;
  }

  remote(group: string, version: string): RemoteVersion | undefined {
    const api = this.apis.find(group, version);
    return api && this.discovery.of(api);
  }

  private merged(): GroupInfo[] {
    const versions = new Map(this.registry.groups().map((entry) => [entry.group, entry.versions]));
    for (const [group, remote] of this.apis.versions()) {
      versions.set(group, [...new Set([...(versions.get(group) ?? []), ...remote])]);
    }
    return [...versions].map(([group, list]) => ({ group, versions: list }));
  }
}

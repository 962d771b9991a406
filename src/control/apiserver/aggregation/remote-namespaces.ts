/**
 * What aggregated servers keep in a namespace is deleted with it, as by upstream's namespace controller. What such a server has is
 * known by its discovery: a namespace stays until every server has answered once, and until those that have objects in
 * namespaces are there.
 */
import type { AggregatedResource } from '../discovery/aggregated-form.js';
import { isRecord } from '../discovery/aggregated-form.js';
import { connectionText } from '../proxy/connection-text.js';
import type { RemoteApi, RemoteApis } from './remote-apis.js';
import type { RemoteDiscovery } from './remote-discovery.js';
import type { OwnRequest, RemoteServers } from './remote-servers.js';

export interface Emptied {
  /** Groups and versions of which nobody knows what they have, with why. */
  readonly undiscovered: string[];
  readonly failures: string[];
  /** How many objects are left, by resource. */
  readonly remaining: Map<string, number>;
}

const TIMEOUT_MS = 10_000;
/** Objects that are looked at in one go; the rest is when these are gone. */
const PAGE = 500;
const UNABLE = 'the server is currently unable to handle the request';

const isEmptied = ({ scope, verbs }: AggregatedResource) =>
  scope === 'Namespaced' && verbs.includes('list') && verbs.includes('delete');

export class RemoteNamespaces {
  constructor(
    private readonly apis: Pick<RemoteApis, 'list'>,
    private readonly discovery: Pick<RemoteDiscovery, 'of'>,
    private readonly servers: Pick<RemoteServers, 'ask'>,
  ) {}

  /** Deletes what is there and says what is left. */
  async empty(namespace: string): Promise<Emptied> {
    const emptied: Emptied = { undiscovered: [], failures: [], remaining: new Map() };
    const seen = new Set<string>();
    for (const api of this.apis.list()) {
      const { resources, freshness } = this.discovery.of(api);
      const concerned = resources.filter(isEmptied);
      const isUnknown = freshness === 'Stale' && resources.length === 0;
      if (isUnknown || (concerned.length > 0 && !api.isAvailable)) {
        emptied.undiscovered.push(`${api.group}/${api.version}: ${UNABLE}`);
        continue;
      }
      for (const { resource } of concerned) {
        // Another version shows the same objects.
        const name = `${resource}.${api.group}`;
        if (!seen.has(name)) await this.emptyOf(api, resource, namespace, emptied);
        seen.add(name);
      }
    }
    return emptied;
  }

  private async emptyOf(api: RemoteApi, resource: string, namespace: string, emptied: Emptied): Promise<void> {
    const path = `/apis/${api.group}/${api.version}/namespaces/${namespace}/${resource}`;
    const list = async () => {
      const body = await this.answer(api, { path: `${path}?limit=${PAGE}` });
      const items: unknown = isRecord(body) ? body['items'] : undefined;
      return Array.isArray(items) ? items.filter(isRecord) : [];
    };
    try {
      const found = await list();
      for (const { metadata } of found) {
        if (!isRecord(metadata) || metadata['deletionTimestamp'] !== undefined) continue;
        const options = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' };
        const name = encodeURIComponent(String(metadata['name']));
        await this.answer(api, { method: 'DELETE', path: `${path}/${name}`, body: options });
      }
      const left = found.length === 0 ? 0 : (await list()).length;
      if (left > 0) emptied.remaining.set(`${resource}.${api.group}`, left);
    } catch (error) {
      const why = error instanceof Error ? connectionText(error) : String(error);
      emptied.failures.push(`${resource}.${api.group}: ${why}`);
    }
  }

  /** Gone meanwhile is as good. */
  private async answer(api: RemoteApi, request: OwnRequest): Promise<unknown> {
    const { status, body } = await this.servers.ask(api, request, TIMEOUT_MS);
    if (status === 404 || status === 409) return undefined;
    if (status < 200 || status > 299) throw new Error(`${request.method ?? 'GET'} ${request.path}: ${status}`);
    return JSON.parse(body.toString());
  }
}

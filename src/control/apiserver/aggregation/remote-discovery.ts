/**
 * What aggregated servers say that they serve. Asked when an APIService changes and every minute, by each peer for itself. What a
 * server said last is kept while it does not answer, marked as stale, as kube-aggregator does.
 */
import type { Clock } from '../../../base/clock.js';
import type { Logger } from '../../../base/log.js';
import type { Metrics } from '../../../base/metrics.js';
import { Controller } from '../../../client/controller.js';
import { asAggregated, isRecord } from '../discovery/aggregated-form.js';
import type { RemoteVersion } from '../discovery/discovery.js';
import type { RemoteApi, RemoteApis } from './remote-apis.js';
import type { RemoteServers } from './remote-servers.js';

/** Of a server that never answered. */
const UNKNOWN: RemoteVersion = Object.freeze({ resources: [], freshness: 'Stale' });
const REFRESH_MS = 60_000;
/** After a failure. */
const RETRY_MS = 5_000;
const TIMEOUT_MS = 5_000;
const WORKERS = 4;

interface Deps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly apis: Pick<RemoteApis, 'named'>;
  readonly servers: Pick<RemoteServers, 'ask'>;
}

export class RemoteDiscovery {
  /** To be started; its queue takes the names of APIServices that changed. */
  readonly refresher: Controller;
  private readonly known = new Map<string, RemoteVersion>();

  constructor(private readonly deps: Deps) {
    this.refresher = new Controller(deps, {
      name: 'aggregated-discovery',
      workers: WORKERS,
      waitFor: [],
      reconcile: (name) => this.refresh(name),
    });
  }

  of({ name }: RemoteApi): RemoteVersion {
    return this.known.get(name) ?? UNKNOWN;
  }

  private async refresh(name: string): Promise<{ requeueAfterMs: number } | undefined> {
    const api = this.deps.apis.named(name);
    if (!api) {
      this.known.delete(name);
      return undefined;
    }
    const found = await this.ask(api);
    // Gone meanwhile: what has told of that runs this again.
    if (!this.deps.apis.named(name)) return undefined;
    this.known.set(name, found ?? { ...this.of(api), freshness: 'Stale' });
    return { requeueAfterMs: found ? REFRESH_MS : RETRY_MS };
  }

  private async ask(api: RemoteApi): Promise<RemoteVersion | undefined> {
    const { servers } = this.deps;
    const path = `/apis/${api.group}/${api.version}`;
    try {
      const { status, body } = await servers.ask(api, { path }, TIMEOUT_MS);
      if (status !== 200) return undefined;
      const resources = asAggregated(api, JSON.parse(body.toString()));
      const openApi = await this.openApiOf(api, path.slice(1));
      return { resources, freshness: 'Current', ...(openApi === undefined ? {} : { openApi }) };
    } catch {
      // The APIService's condition says why.
      return undefined;
    }
  }

  private async openApiOf(api: RemoteApi, path: string): Promise<string | undefined> {
    try {
      const { status, body } = await this.deps.servers.ask(api, { path: '/openapi/v3' }, TIMEOUT_MS);
      const index: unknown = status === 200 ? JSON.parse(body.toString()) : undefined;
      const paths = isRecord(index) ? index['paths'] : undefined;
      const entry = isRecord(paths) ? paths[path] : undefined;
      const url = isRecord(entry) ? entry['serverRelativeURL'] : undefined;
      // Only there would it come to the server again.
      return typeof url === 'string' && url.split('?')[0] === `/openapi/v3/${path}` ? url : undefined;
    } catch {
      return undefined;
    }
  }
}

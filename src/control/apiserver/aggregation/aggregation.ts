/**
 * Aggregated API servers, as kube-aggregator serves them: requests for a version whose APIService names a Service go there, in the
 * name of who asks. Authentication, authorization, audit and fairness come before, here; admission is the other server's. Each
 * peer forwards what it is asked itself, by what its own store knows.
 */
import type { Duplex } from 'node:stream';
import type { Logger } from '../../../base/log.js';
import type { Metrics } from '../../../base/metrics.js';
import type { Service } from '../../../base/lifecycle.js';
import { serviceUnavailable } from '../../../api/errors.js';
import type { KindRegistry } from '../../../api/schema/registry.js';
import type { APIService } from '../../../api/types/apiregistration-v1.js';
import type { UserInfo } from '../../../security/authn/user.js';
import type { FollowedResource } from '../../../store/follower.js';
import type { ShownGroups } from '../discovery/discovery.js';
import type { ApiRequest, ApiResponse } from '../http/exchange.js';
import { sendText } from '../http/response.js';
import { connectionText } from '../proxy/connection-text.js';
import { forwardedHeaders, forwardExchange, tunnelExchange } from '../proxy/forwarding.js';
import { UnresolvedService } from '../proxy/service-resolver.js';
import { frontProxyHeaders, withoutClaims } from './front-proxy-headers.js';
import { RemoteApis, remoteApiOf, type RemoteApi } from './remote-apis.js';
import { RemoteDiscovery } from './remote-discovery.js';
import { RemoteNamespaces } from './remote-namespaces.js';
import { RemoteServers, type RemoteRequest, type RemoteServersDeps } from './remote-servers.js';
import { ServedGroups } from './served-groups.js';

export interface AggregationDeps extends RemoteServersDeps {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly registry: KindRegistry;
  /** Waits until this peer has applied what was acknowledged before, at whichever peer. */
  readonly fresh: () => Promise<void>;
}

/** A request as it is to be passed on. */
export interface AggregatedRequest {
  readonly request: ApiRequest;
  readonly user: UserInfo;
  /** Under which both servers record it. */
  readonly auditId: string;
  readonly url: URL;
}

/** Upstream's text, for every server that cannot be asked. */
const UNAVAILABLE = 'service unavailable';
/** How many ways to the server are tried in one check, and how long it may take, as kube-aggregator does. */
const CHECK_ATTEMPTS = 5;
const CHECK_TIMEOUT_MS = 6_000;

/** Why a request cannot be passed on: told as text, as upstream's aggregator does. */
class Unreachable extends Error {
  readonly code = 'ERR_REMOTE_UNREACHABLE';
}

export class Aggregation implements Service {
  readonly name = 'aggregation';
  readonly groups: ShownGroups;
  /** What other servers keep in namespaces. */
  readonly namespaces: RemoteNamespaces;
  private readonly apis: RemoteApis;
  private readonly servers: RemoteServers;
  private readonly discovery: RemoteDiscovery;

  constructor(private readonly deps: AggregationDeps) {
    const { registry } = deps;
    this.servers = new RemoteServers(deps);
    this.apis = new RemoteApis(
      (group) => registry.isBuiltInGroup(group),
      (name) => this.discovery.refresher.queue.add(name),
    );
    this.discovery = new RemoteDiscovery({ ...deps, apis: this.apis, servers: this.servers });
    this.groups = new ServedGroups(registry, this.apis, this.discovery);
    this.namespaces = new RemoteNamespaces(this.apis, this.discovery, this.servers);
  }

  /** To be followed in the store before requests are served. */
  get followed(): FollowedResource {
    return this.apis;
  }

  start(): Promise<void> {
    return this.discovery.refresher.start();
  }

  async stop(): Promise<void> {
    await this.discovery.refresher.stop();
    this.servers.close();
  }

  /**
   * Passes a request on and its answer back: with 503 when the server is not available or does not answer. False: this server is the
   * one to answer, and nothing was done.
   */
  async forward(asked: AggregatedRequest, response: ApiResponse): Promise<boolean> {
    const api = this.apis.at(asked.url.pathname);
    if (!api) return false;
    const sent = passedOn(asked, false);
    try {
      const open = await this.open(api);
      await forwardExchange(asked.request, response, { open: () => open(sent), failure: unreachable });
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      await sendText(asked.request, response, 503, `${error.message}\n`);
    }
    return true;
  }

  /** The same for a connection that changes its protocol. Throws a 503. */
  async tunnel(asked: AggregatedRequest, socket: Duplex, head: Buffer): Promise<boolean> {
    const api = this.apis.at(asked.url.pathname);
    if (!api) return false;
    const sent = passedOn(asked, true);
    try {
      const open = await this.open(api);
      await tunnelExchange(socket, head, { open: () => open(sent), failure: unreachable });
    } catch (error) {
      throw error instanceof Unreachable ? serviceUnavailable(error.message) : error;
    }
    return true;
  }

  /** Whether a server answers where every one must; resolves with what is wrong, undefined when nothing is. */
  async check(service: APIService): Promise<string | undefined> {
    const api = remoteApiOf(service);
    if (!api) return undefined;
    const path = `/apis/${api.group}/${api.version}`;
    const where = `https://${api.service.name}.${api.service.namespace}.svc:${api.service.port}${path}`;
    const attempt = async () => {
      const { status } = await this.servers.ask(api, { path }, CHECK_TIMEOUT_MS);
      if (status < 200 || status > 299) throw new Error(`bad status from ${where}: ${status}`);
    };
    try {
      await Promise.any(Array.from({ length: CHECK_ATTEMPTS }, attempt));
      return undefined;
    } catch (error) {
      const [first] = error instanceof AggregateError ? (error.errors as readonly unknown[]) : [error];
      return `failing or missing response from ${where}: ${first instanceof Error ? connectionText(first) : String(first)}`;
    }
  }

  /** What this peer knows may be older than what the client has seen at another one: looked at once more before it is refused. */
  private async open(api: RemoteApi) {
    const opener = async (candidate: RemoteApi | undefined) => {
      if (candidate?.isAvailable !== true) throw new Unreachable(UNAVAILABLE);
      return (await this.servers.opener(candidate)).open;
    };
    try {
      return await opener(api);
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof UnresolvedService)) throw error;
    }
    await this.deps.fresh().catch(() => undefined);
    try {
      return await opener(this.apis.named(api.name));
    } catch (error) {
      throw error instanceof UnresolvedService ? new Unreachable(UNAVAILABLE, { cause: error }) : error;
    }
  }
}

const unreachable = (error: Error): Error =>
  new Unreachable(`error trying to reach service: ${connectionText(error)}`, { cause: error });

function passedOn({ request, user, auditId, url }: AggregatedRequest, upgrade: boolean): RemoteRequest {
  return {
    method: request.method ?? 'GET',
    path: `${url.pathname}${url.search}`,
    headers: {
      ...withoutClaims(forwardedHeaders(request, upgrade)),
      'audit-id': auditId,
      ...frontProxyHeaders(user),
    },
  };
}

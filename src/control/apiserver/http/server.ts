/**
 * The HTTPS front of a peer: authentication, authorization, routing. Every answer is Kubernetes' own: objects, tables,
 * `Status` failures. Nothing is kept per client but open watches and upgraded connections, which end with the server.
 */
import { setMaxListeners } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../../base/clock.js';
import type { Service } from '../../../base/lifecycle.js';
import { errorText, type Logger } from '../../../base/log.js';
import { uuid, type Random } from '../../../base/random.js';
import { ApiError, methodNotAllowed } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { KindRegistry } from '../../../api/schema/registry.js';
import { type Authenticator, bearerTokenOf } from '../../../security/authn/authenticator.js';
import { ANONYMOUS_USER, type UserInfo } from '../../../security/authn/user.js';
import type { AuthorizationAttributes, Authorizer } from '../../../security/authz/authorizer.js';
import type { ServiceAccounts } from '../../../security/serviceaccounts/service-accounts.js';
import type { ObjectStore } from '../../../store/object-store.js';
import { addAuditAnnotations } from '../audit/annotations.js';
import type { Aggregation } from '../aggregation/aggregation.js';
import type { AuditLog } from '../audit/audit-log.js';
import { TooManyRequests, type Fairness } from '../fairness/fairness.js';
import { listWidth } from '../fairness/seats.js';
import { connectSubject } from '../webhooks/connection.js';
import type { WebhookStage } from '../webhooks/webhook-stage.js';
import type { NodeProxy } from '../proxy/node-proxy.js';
import { ObjectReads } from '../reads/object-reads.js';
import { METRICS_GROUP } from '../resourcemetrics/kinds.js';
import type { ResourceMetrics } from '../resourcemetrics/resource-metrics.js';
import { unknownPath } from '../unknown-path.js';
import { attributesOf, decisionAnnotations, refusal, type Target } from './access.js';
import { actingUser } from './impersonation.js';
import { connectionOf, dropBody, refuseMore, type ApiRequest, type ApiResponse } from './exchange.js';
import { observerOf } from './exchange-observer.js';
import { Listener, type Front, type ListenerHandlers, type ListenerOptions } from './listener.js';
import { FrontThread, type SpawnFront } from '../front/front-thread.js';
import { PathHandler, type HealthCheck } from './path-handler.js';
import { parseResourcePath, verbOf, type ApiVerb, type ResourcePath } from './request-info.js';
import { ResourceHandler } from './resource-handler.js';
import { handleReview, isReview } from './reviews.js';
import { sendError, sendText, warningHeader } from './response.js';
import { handleTokenRequest, isTokenRequest } from './token-request.js';
import { DEFAULT_WATCH_LIMITS, type WatchStreamLimits } from './watch-stream.js';

export interface ApiServerDeps {
  /** Judges what is no write: exec, attach, port-forward, proxying, tokens. Without it all of that is admitted. */
  readonly admission?: Pick<WebhookStage, 'admit'>;
  readonly store: ObjectStore;
  readonly reads?: ObjectReads;
  readonly registry: KindRegistry;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Issues service account tokens; without it the `token` subresource is not served. */
  readonly serviceAccounts?: ServiceAccounts;
  /** Named checks of `/healthz`, `/livez` and `/readyz`. */
  readonly health?: readonly HealthCheck[];
  /** The text of `/metrics` in Prometheus' format. */
  readonly metricsText?: () => Promise<string>;
  /** Reaches kubelets; without it logs, exec and proxying answer 503. */
  readonly nodes?: NodeProxy;
  /** Passes on what other servers answer; without it everything is answered here. */
  readonly aggregation?: Aggregation;
  /** Answers `metrics.k8s.io`; without it its kinds are unknown. */
  readonly resourceMetrics?: ResourceMetrics;
  /** Records requests; without it nothing is recorded. */
  readonly audit?: AuditLog;
  /** Divides the server among its users; without it everybody is served at once. */
  readonly fairness?: Fairness;
  /** Paths beside the Kubernetes API. */
  readonly extension?: PathExtension;
  /** Starts the thread that holds TLS connections. */
  readonly spawnFront?: SpawnFront;
}

/** Serves paths of its own on the API's port. */
export interface PathExtension {
  /** Answers before anybody is authenticated: false when the path is not one of those. */
  handleOpen(request: ApiRequest, response: ApiResponse, url: URL): Promise<boolean>;
  /** The object that a request is about: who may do that with it may make the request. */
  standsFor?(method: string, url: URL): { readonly path: ResourcePath; readonly verb: ApiVerb } | undefined;
  /**
   * Answers for a user who may use the path (`authorize` on non-resource paths, or on what the request stands for): false when
   * the path is unknown.
   */
  handle(request: ApiRequest, response: ApiResponse, url: URL): Promise<boolean>;
}

export interface ApiServerOptions extends Omit<ListenerOptions, 'feedBytes'> {
  /** Bytes of a request body; 3 MiB unless told. */
  readonly bodyBytes?: number;
  /** Within how many milliseconds the body of a write must have arrived; 60,000 unless told. */
  readonly bodyMs?: number;
  readonly watch?: WatchStreamLimits;
  /** Who a plain-HTTP request is made by, instead of authenticating (tests only). */
  readonly insecureUser?: UserInfo;
}

/** What is answered on: a response, or the connection once the protocol has changed. */
interface Answered {
  statusCode: number;
  setHeader?(name: string, value: string | readonly string[]): unknown;
  once(event: 'close', listener: () => void): unknown;
}

const upgraded = (socket: Duplex): Answered => ({
  statusCode: 101,
  once: (event, listener) => socket.once(event, listener),
});

/** The id that the client, or a proxy before this server, has given to the request. */
function auditIdOf({ headers }: ApiRequest): string | undefined {
  const id = headers['audit-id'];
  return typeof id === 'string' && /^[\w.-]{1,64}$/.test(id) ? id : undefined;
}

const urlOf = (request: ApiRequest) => new URL(request.url ?? '/', 'https://localhost');

interface Routed {
  /** Who sent the request; `user` is who it counts as. */
  readonly requester: UserInfo;
  readonly user: UserInfo;
  readonly target: Target | undefined;
  readonly attributes: AuthorizationAttributes;
  readonly auditId: string;
}

/** Seconds after which a client that was turned away may come again, as upstream says it. */
const RETRY_AFTER_SECONDS = 1;

export class ApiServer implements Service {
  readonly name = 'apiserver';
  readonly reads: ObjectReads;
  private readonly stopping = new AbortController();
  private readonly resources: ResourceHandler;
  private readonly paths: PathHandler;
  private readonly listener: Front;

  constructor(
    private readonly deps: ApiServerDeps,
    private readonly options: ApiServerOptions,
  ) {
    // Every watch listens to it.
    setMaxListeners(0, this.stopping.signal);
    this.reads = deps.reads ?? new ObjectReads(deps);
    const limits = {
      bodyBytes: options.bodyBytes ?? 3 * 1024 * 1024,
      bodyMs: options.bodyMs ?? 60_000,
      watch: options.watch ?? DEFAULT_WATCH_LIMITS,
    };
    this.resources = new ResourceHandler(
      { ...deps, reads: this.reads, fanOut: () => this.listener.fanOut() },
      limits,
      this.stopping.signal,
    );
    this.paths = new PathHandler({
      ...deps,
      fresh: () => this.reads.fresh(undefined),
      ...(deps.serviceAccounts ? { openId: deps.serviceAccounts.documents } : {}),
      ...(deps.aggregation ? { groups: deps.aggregation.groups } : {}),
    });
    const handlers: ListenerHandlers = {
      request: (request, response) => void this.serve(request, response),
      upgrade: (request, socket, head) => void this.upgrade(request, socket, head),
    };
    const frontDeps = { ...deps, ...(deps.spawnFront ? { spawn: deps.spawnFront } : {}) };
    const { tls, ...plain } = { ...options, feedBytes: limits.watch.bufferBytes };
    this.listener = tls
      ? new FrontThread(frontDeps, { ...plain, tls }, handlers)
      : new Listener(deps.clock, plain, handlers);
  }

  /** Where the server listens. Throws before it has started. */
  get address(): AddressInfo {
    return this.listener.address;
  }

  start(): Promise<void> {
    return this.listener.start();
  }

  async stop(): Promise<void> {
    // Ends watches, which would keep their connections open.
    this.stopping.abort(new Error('the API server stops'));
    await this.listener.stop();
  }

  private async serve(request: ApiRequest, response: ApiResponse): Promise<void> {
    response.on('error', () => undefined);
    try {
      await this.answer(request, response);
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof TooManyRequests)) {
        this.logFailure(request, error);
      }
      if (response.headersSent) response.destroy();
      else if (error instanceof TooManyRequests) await this.turnAway(request, response, error);
      else await sendError(request, response, error);
      // A body that nobody reads would keep the connection busy.
      dropBody(request);
    }
  }

  private logFailure({ method, url }: ApiRequest, error: unknown): void {
    this.deps.log.error('request failed', { method, path: url, error: errorText(error) });
  }

  private async turnAway(request: ApiRequest, response: ApiResponse, error: TooManyRequests): Promise<void> {
    response.setHeader('Retry-After', RETRY_AFTER_SECONDS);
    response.setHeader('X-Kubernetes-PF-FlowSchema-UID', error.flowSchemaUid);
    response.setHeader('X-Kubernetes-PF-PriorityLevel-UID', error.priorityLevelUid);
    await sendText(request, response, 429, `${error.message}\n`);
  }

  private async answer(request: ApiRequest, response: ApiResponse): Promise<void> {
    const { extension } = this.deps;
    const url = urlOf(request);
    if (extension && (await extension.handleOpen(request, response, url))) return;
    const routed = await this.route(request, response, url);
    const release = await this.seat(response, routed);
    try {
      await this.dispatch(request, response, url, routed);
    } finally {
      release();
    }
  }

  /** Waits for the server to have time for this request. What lasts (watches, logs, proxied connections) holds no seat. */
  private async seat(response: ApiResponse, { target, attributes }: Routed): Promise<() => void> {
    const { fairness } = this.deps;
    if (!fairness) return () => undefined;
    const gone = () => {
      const left = new AbortController();
      response.once('close', () => left.abort());
      return left.signal;
    };
    const { release, flowSchemaUid, priorityLevelUid } = await fairness.admit(attributes, this.widthOf(target), gone);
    response.setHeader('X-Kubernetes-PF-FlowSchema-UID', flowSchemaUid);
    response.setHeader('X-Kubernetes-PF-PriorityLevel-UID', priorityLevelUid);
    const lasts =
      target && (target.verb === 'watch' || target.verb === 'connect' || this.isNodeBound(target.path, target.verb));
    if (lasts) release();
    return release;
  }

  /** Lists take seats by what they went through the last time. */
  private widthOf(target: Target | undefined): number {
    if (target?.verb !== 'list') return 1;
    const { path } = target;
    return listWidth(this.reads.sizes.of(path, path.namespace === '' ? undefined : path.namespace));
  }

  private async dispatch(
    request: ApiRequest,
    response: ApiResponse,
    url: URL,
    { user, target, attributes, auditId }: Routed,
  ): Promise<void> {
    const { aggregation, extension } = this.deps;
    const passedOn = async () => (await aggregation?.forward({ request, user, auditId, url }, response)) === true;
    if (await passedOn()) return;
    if (!target) {
      if (extension && (await extension.handle(request, response, url))) return;
      await this.paths.handle(request, response, url);
      return;
    }
    const { path, verb } = target;
    if (this.isNodeBound(path, verb)) {
      await this.admitConnection(response, target, user, url);
      await this.nodes().forward(request, response, path, url);
      return;
    }
    const info = await this.kindOf(path);
    if (!info) {
      // Another peer may just have been told who serves it.
      if (await passedOn()) return;
      throw unknownPath(this.deps.registry, path.group);
    }
    const call = {
      request,
      response,
      query: url.searchParams,
      user,
      path,
      verb,
      info,
      id: uuid(this.deps.random),
      attributes,
    };
    const { serviceAccounts, resourceMetrics } = this.deps;
    if (resourceMetrics && path.group === METRICS_GROUP) await resourceMetrics.handle(call);
    else if (verb === 'create' && isReview(info))
      await handleReview(call, this.deps.authorizer, this.deps.authenticator);
    else if (serviceAccounts && isTokenRequest(call))
      await handleTokenRequest(call, serviceAccounts, this.deps.registry, this.deps.admission);
    else await this.resources.handle(call);
  }

  private isNodeBound({ group, resource, subresource }: ResourcePath, verb: ApiVerb): boolean {
    if (group !== '') return false;
    return verb === 'connect' || (verb === 'get' && resource === 'pods' && subresource === 'log');
  }

  private async admitConnection(answered: Answered, { path, verb }: Target, user: UserInfo, url: URL): Promise<void> {
    const { admission } = this.deps;
    if (verb !== 'connect' || !admission) return;
    const subject = connectSubject(path, user, url);
    const { warnings, annotations } = await admission.admit(subject, (patched) => patched as KubeObject);
    addAuditAnnotations(answered, annotations);
    if (warnings.length > 0) answered.setHeader?.('Warning', warnings.map(warningHeader));
  }

  private nodes(): NodeProxy {
    if (!this.deps.nodes) throw new ApiError(503, 'ServiceUnavailable', 'this server cannot reach nodes');
    return this.deps.nodes;
  }

  /** A kind that another peer has just been given is looked for again once this one is up to date. */
  private async kindOf({ group, version, resource }: ResourcePath) {
    const { registry } = this.deps;
    const known = registry.find(group, version, resource);
    if (known || group === '') return known;
    await this.reads.fresh(undefined);
    return registry.find(group, version, resource);
  }

  private async upgrade(request: ApiRequest, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const answered = upgraded(socket);
    try {
      const url = urlOf(request);
      const { target, user, auditId } = await this.route(request, answered, url);
      if (await this.deps.aggregation?.tunnel({ request, user, auditId, url }, socket, head)) return;
      if (!target || !this.isNodeBound(target.path, target.verb)) throw methodNotAllowed();
      await this.admitConnection(answered, target, user, url);
      await this.nodes().tunnel(request, socket, head, target.path, url);
    } catch (error) {
      if (!(error instanceof ApiError)) this.logFailure(request, error);
      const failure = error instanceof ApiError ? error : new ApiError(500, 'InternalError', errorText(error));
      const body = JSON.stringify(failure.toStatus());
      answered.statusCode = failure.code;
      observerOf(request)?.answer?.(failure.code, Buffer.from(body), 'application/json');
      socket.end(
        `HTTP/1.1 ${failure.code} ${failure.reason || 'Error'}\r\nContent-Type: application/json\r\n` +
          `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      );
    }
  }

  /** Who asks for what, and whether they may. Throws 401, 403 and 404. */
  private async route(request: ApiRequest, response: Answered, url: URL): Promise<Routed> {
    const receivedMs = this.deps.clock.nowMs();
    const auditId = auditIdOf(request) ?? uuid(this.deps.random);
    response.setHeader?.('Audit-Id', auditId);
    const method = request.method ?? 'GET';
    const path = parseResourcePath(url.pathname);
    const verb = path && verbOf(method, path, url.searchParams);
    const target = path && verb ? { path, verb } : undefined;
    const { audit, authorizer, extension } = this.deps;
    let requester;
    try {
      requester = await this.authenticate(request);
    } catch (error) {
      audit?.unauthenticated(request, auditId, verb ?? method.toLowerCase());
      refuseMore(request);
      throw error;
    }
    if (requester.name === ANONYMOUS_USER) refuseMore(request);
    if (path && !verb) throw methodNotAllowed();
    const user = actingUser(request, requester, authorizer);
    const meant = path ? target : extension?.standsFor?.(method, url);
    const attributes = attributesOf(user, meant, url, method);
    const decision = authorizer.authorize(attributes);
    audit?.follow({
      request,
      response,
      auditId,
      receivedMs,
      attributes,
      ...(user === requester ? {} : { impersonator: requester }),
      annotations: decisionAnnotations(decision),
    });
    if (decision.decision !== 'allow') throw refusal(attributes, decision.reason);
    return { requester, user, target, attributes, auditId };
  }

  private async authenticate(request: ApiRequest): Promise<UserInfo> {
    if (this.options.insecureUser && !this.options.tls && !request.headers.authorization)
      return this.options.insecureUser;
    const { certificate } = connectionOf(request);
    const bearerToken = bearerTokenOf(request.headers.authorization);
    return this.deps.authenticator.authenticate({
      ...(certificate ? { certificate } : {}),
      ...(bearerToken === undefined ? {} : { bearerToken }),
    });
  }
}

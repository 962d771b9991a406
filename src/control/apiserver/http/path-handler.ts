/** Requests that are not about resources: discovery, OpenAPI, version, health, metrics. */
import { methodNotAllowed, PageNotFound } from '../../../api/errors.js';
import type { KindRegistry } from '../../../api/schema/registry.js';
import {
  JWKS_PATH,
  type OpenIdDocuments,
  OPENID_CONFIGURATION_PATH,
} from '../../../security/serviceaccounts/service-accounts.js';
import * as discovery from '../discovery/discovery.js';
import { BuiltInSchemas } from '../openapi/built-in-schemas.js';
import { OPENAPI_V2_PROTOBUF, OpenApiV2 } from '../openapi/v2.js';
import { OpenApiV3 } from '../openapi/v3.js';
import { connectionOf, type ApiRequest, type ApiResponse } from './exchange.js';
import { plainFormat } from './negotiation.js';
import { sendBytes, sendJson, sendObject, sendText } from './response.js';

export interface HealthCheck {
  readonly name: string;
  /** Undefined when all is well, else what is wrong. */
  check(): string | undefined | Promise<string | undefined>;
  /** Failing makes `/livez` fail too, not just `/readyz`. */
  readonly live: boolean;
}

export const VERSION = Object.freeze({
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.3+skein',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
});

export interface PathHandlerDeps {
  readonly registry: KindRegistry;
  /** Waits until this peer knows every kind that was established before, at whichever peer; fails when that cannot be told. */
  readonly fresh?: () => Promise<void>;
  readonly health?: readonly HealthCheck[];
  readonly metricsText?: () => Promise<string>;
  /** What is served, other servers' part included; without it what `registry` has. */
  readonly groups?: discovery.ShownGroups;
  /** Who issues service account tokens, and with what keys. */
  readonly openId?: OpenIdDocuments;
}

/** What the paths that are served begin with. */
const ROOTS = new Set([
  '',
  'version',
  'healthz',
  'livez',
  'readyz',
  'metrics',
  'api',
  'apis',
  'openapi',
  '.well-known',
  'openid',
]);

export class PathHandler {
  private readonly openApiV2: OpenApiV2;
  private readonly openApiV3: OpenApiV3;
  private readonly shown: discovery.ShownGroups;

  constructor(private readonly deps: PathHandlerDeps) {
    const builtIn = new BuiltInSchemas(deps.registry);
    this.shown = deps.groups ?? deps.registry;
    this.openApiV2 = new OpenApiV2(deps.registry, builtIn);
    this.openApiV3 = new OpenApiV3(deps.registry, builtIn, this.shown);
  }

  async handle(request: ApiRequest, response: ApiResponse, url: URL): Promise<void> {
    const path = url.pathname.length > 1 ? url.pathname.replace(/\/$/, '') : url.pathname;
    const [, first = '', ...rest] = path.split('/');
    const reads = request.method === 'GET' || request.method === 'HEAD';
    if (!reads && ROOTS.has(first)) throw methodNotAllowed();
    switch (first) {
      case '':
        return sendJson(request, response, 200, { paths: this.rootPaths() });
      case 'version':
        return sendJson(request, response, 200, VERSION);
      case 'healthz':
      case 'livez':
      case 'readyz':
        return this.health(request, response, first, rest[0], url.searchParams);
      case 'metrics':
        if (!this.deps.metricsText) throw new PageNotFound();
        return sendText(
          request,
          response,
          200,
          await this.deps.metricsText(),
          'text/plain; version=0.0.4; charset=utf-8',
        );
      case 'api':
      case 'apis':
        return this.discovery(request, response, first, rest);
      case 'openapi':
        return this.openApi(request, response, rest);
      case '.well-known':
      case 'openid':
        return this.openIdDocument(request, response, path);
      default:
        throw new PageNotFound();
    }
  }

  private rootPaths(): string[] {
    const groups = this.shown
      .groups()
      .filter(({ group }) => group !== '')
      .flatMap(({ group, versions }) => [`/apis/${group}`, ...versions.map((version) => `/apis/${group}/${version}`)]);
    return [
      '/api',
      '/api/v1',
      '/apis',
      ...(this.deps.openId ? [OPENID_CONFIGURATION_PATH] : []),
      ...groups,
      '/healthz',
      '/livez',
      '/openapi/v2',
      '/openapi/v3',
      ...(this.deps.openId ? [JWKS_PATH] : []),
      '/readyz',
      '/version',
    ];
  }

  private async discovery(
    request: ApiRequest,
    response: ApiResponse,
    root: 'api' | 'apis',
    parts: readonly string[],
  ): Promise<void> {
    const { registry } = this.deps;
    if (root === 'apis') await this.upToDate();
    if (parts.length === 0) {
      const version = discovery.aggregatedVersion(request.headers.accept);
      const headers = { Vary: 'Accept' };
      if (version) {
        const { contentType, body } = discovery.aggregated(registry, root === 'api', version, this.shown);
        return sendJson(request, response, 200, body, { contentType, headers });
      }
      const { localAddress = '', localPort = 0 } = connectionOf(request);
      const plain =
        root === 'api' ? discovery.legacyVersions(`${localAddress}:${localPort}`) : discovery.groupList(this.shown);
      return sendObject(request, response, 200, plain, plainFormat(request.headers.accept), { headers });
    }
    const [group = '', version] = root === 'api' ? ['', ...parts] : parts;
    const document =
      version === undefined
        ? discovery.groupDocument(registry, group, this.shown)
        : discovery.resourceList(registry, group, version);
    return sendObject(request, response, 200, document, plainFormat(request.headers.accept));
  }

  /** Discovery answers from what is here when no sequencer is in reach. */
  private async upToDate(): Promise<void> {
    await this.deps.fresh?.().catch(() => undefined);
  }

  private async openApi(request: ApiRequest, response: ApiResponse, parts: readonly string[]): Promise<void> {
    const [version, ...rest] = parts;
    await this.upToDate();
    if (version === 'v2' && rest.length === 0) {
      const accept = request.headers.accept ?? '';
      // These clients compare the answer's type with this text, not with what they asked for.
      const binary = accept.includes('com.github.proto-openapi.spec.v2');
      const bytes = binary ? this.openApiV2.protobuf() : this.openApiV2.json();
      const contentType = binary ? OPENAPI_V2_PROTOBUF : 'application/json';
      return sendBytes(request, response, 200, bytes, { contentType, headers: { Vary: 'Accept' } });
    }
    if (version !== 'v3') throw new PageNotFound();
    if (rest.length === 0) return sendJson(request, response, 200, this.openApiV3.index());
    const { bytes, hash } = this.openApiV3.document(rest.join('/'));
    return sendBytes(request, response, 200, bytes, { headers: { Etag: `"${hash}"` } });
  }

  private openIdDocument(request: ApiRequest, response: ApiResponse, path: string): Promise<void> {
    const { openId } = this.deps;
    // As long as upstream lets them be kept: a new key verifies before it signs.
    const headers = { 'Cache-Control': 'public, max-age=3600' };
    if (openId && path === OPENID_CONFIGURATION_PATH) {
      return sendJson(request, response, 200, openId.configuration(), { headers });
    }
    if (openId && path === JWKS_PATH) {
      return sendJson(request, response, 200, openId.jwks(), { headers, contentType: 'application/jwk-set+json' });
    }
    throw new PageNotFound();
  }

  private async health(
    request: ApiRequest,
    response: ApiResponse,
    endpoint: 'healthz' | 'livez' | 'readyz',
    only: string | undefined,
    query: URLSearchParams,
  ): Promise<void> {
    const excluded = new Set(query.getAll('exclude'));
    const checks = (this.deps.health ?? []).filter(
      ({ name, live }) =>
        (endpoint !== 'livez' || live) && (only === undefined || name === only) && !excluded.has(name),
    );
    if (only !== undefined && only !== 'ping' && checks.length === 0) throw new PageNotFound();
    const lines = ['[+]ping ok'];
    let failed = false;
    for (const check of checks) {
      const trouble = await check.check();
      if (trouble !== undefined) failed = true;
      lines.push(trouble === undefined ? `[+]${check.name} ok` : `[-]${check.name} failed: ${trouble}`);
    }
    if (failed) return sendText(request, response, 500, `${lines.join('\n')}\n${endpoint} check failed\n`);
    const verbose = query.has('verbose');
    return sendText(request, response, 200, verbose ? `${lines.join('\n')}\n${endpoint} check passed\n` : 'ok');
  }
}

/** The API of this peer: the Kubernetes API server, skein's own paths beside it, and the client of local components. */
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { rfc3339 } from '../base/clock.js';
import type { VersionRange } from '../base/version-range.js';
import { uuid, type Random } from '../base/random.js';
import { ServiceGroup, type Service } from '../base/lifecycle.js';
import { ApiError, type Status } from '../api/errors.js';
import type { KindRegistry } from '../api/schema/registry.js';
import { InProcessClient } from '../control/apiserver/client.js';
import { VERSION } from '../control/apiserver/http/path-handler.js';
import { ApiServer, type PathExtension } from '../control/apiserver/http/server.js';
import { createApiPipeline, type ApiPipeline } from '../control/apiserver/pipeline.js';
import { NodeProxy } from '../control/apiserver/proxy/node-proxy.js';
import { registerMetricsKinds } from '../control/apiserver/resourcemetrics/kinds.js';
import { ResourceMetrics } from '../control/apiserver/resourcemetrics/resource-metrics.js';
import { DEFAULT_SAMPLER, UsageSampler, type SamplerOptions } from '../control/apiserver/resourcemetrics/sampler.js';
import type { ObjectReads } from '../control/apiserver/reads/object-reads.js';
import type { Authenticator } from '../security/authn/authenticator.js';
import type { Authorizer } from '../security/authz/authorizer.js';
import { handleJoin } from '../security/ca/join-server.js';
import { createToken, parseToken } from '../security/ca/token.js';
import type { ServiceAccounts } from '../security/serviceaccounts/service-accounts.js';
import type { ObjectStore } from '../store/object-store.js';
import { FIRST_FORMAT, FORMATS, formatRefusal } from '../store/formats.js';
import type { Replica } from '../store/replication/replica.js';
import type { AgentBase } from './base.js';
import type { Certificates } from './certificates.js';
import type { AgentConfig } from './config.js';
import { createAudit } from './audit.js';
import { processHarm } from './chaos.js';
import { fencedStore } from './fencing.js';
import { kubernetesIp, type Enrolment } from './identity.js';
import { createApiEndpoints, createNodeHeartbeats } from './liveness.js';
import type { PeerRemoval } from './peer-removal.js';
import type { HistoryDeps } from './history-endpoint.js';
import type { Mesh } from './mesh.js';
import type { Store } from './store.js';
import { createSkeinEndpoints } from './skein-endpoints.js';
import { describeStatus } from './status.js';
import { storeWarnings } from './store-damage.js';
import { createTokenStore } from './tokens.js';

/** Sockets to one kubelet at most; each open log or exec takes one. */
const SOCKETS_PER_NODE = 256;

export interface Api {
  readonly reads: ObjectReads;
  readonly client: InProcessClient;
  readonly serviceAccounts: ServiceAccounts;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly aggregation: ApiPipeline['aggregation'];
  readonly frontProxy: ApiPipeline['frontProxy'];
  /** What keeps the server's indexes current; to be started before it. */
  readonly followers: Service;
  /** A client whose writes are refused once the role has another holder. */
  clientFor(role: string, epoch: number): InProcessClient;
  /** The HTTPS server. */
  createServer(importImage: (archive: Readable) => Promise<readonly string[]>): ApiServer;
}

export function createApi(
  base: AgentBase,
  config: AgentConfig,
  address: string,
  enrolment: Enrolment & { readonly certificates: Certificates },
  mesh: Mesh,
  { replica, writes }: Store,
  registry: KindRegistry,
): Api {
  const { clock, random, metrics } = base;
  const { identity } = enrolment;
  const pipeline = createApiPipeline(
    {
      ...base,
      registry,
      store: replica,
      writes,
      clusterSecret: identity.clusterSecret,
      heartbeats: createNodeHeartbeats(mesh.membership, clock),
    },
    { clusterDomain: config.clusterDomain },
  );
  const { reads, client } = pipeline;
  const { certificates } = enrolment;
  const agent = new HttpsAgent({ keepAlive: true, maxSockets: SOCKETS_PER_NODE });
  registerMetricsKinds(registry);
  const nodes = new NodeProxy({
    store: replica,
    reads,
    dialer: { request: (options) => httpsRequest({ ...options, agent, ...certificates.tls }) },
  });
  const sampler = new UsageSampler({ clock, kubelets: nodes }, samplerOptions(config));
  const audit = createAudit(base, config);
  return {
    ...pipeline,
    followers: audit
      ? new ServiceGroup('apiserver-parts', [pipeline.followers, audit.file], base.log)
      : pipeline.followers,
    clientFor: fencedClients(replica, pipeline, random),
    createServer: (importImage) =>
      new ApiServer(
        {
          ...pipeline.server,
          ...(audit ? { audit: audit.log } : {}),
          health: [
            { name: 'store', live: false, check: () => (replica.view ? undefined : 'no sequencer is in reach') },
          ],
          metricsText: () => metrics.render(),
          nodes,
          resourceMetrics: new ResourceMetrics({ reads, clock, sampler }),
          extension: createExtension(base, config, address, enrolment, mesh, replica, client, importImage, {
            registry,
            past: (key) => replica.past(key),
            fresh: () => reads.fresh(undefined),
          }),
        },
        { port: config.apiPort, host: '0.0.0.0', tls: certificates.tls, renewals: certificates },
      ),
  };
}

/** Clients for terms of roles: see {@link Api.clientFor}. */
export function fencedClients(store: ObjectStore, pipeline: ApiPipeline, random: Random): Api['clientFor'] {
  const { reads } = pipeline;
  return (role, epoch) =>
    new InProcessClient({ store: pipeline.admitting(fencedStore(store, { role, epoch })), reads, random });
}

const samplerOptions = (config: AgentConfig): SamplerOptions => ({
  ...DEFAULT_SAMPLER,
  maxAgeMs: config.metricsAgeSeconds * 1000,
  timeoutMs: config.metricsTimeoutSeconds * 1000,
  maxBytes: config.metricsMegabytes * 1024 * 1024,
  concurrency: config.metricsNodesAtOnce,
});

function createExtension(
  base: AgentBase,
  config: AgentConfig,
  address: string,
  { identity, ca }: Enrolment,
  mesh: Mesh,
  replica: Replica,
  client: InProcessClient,
  importImage: (archive: Readable) => Promise<readonly string[]>,
  history: HistoryDeps,
): PathExtension {
  const { clock, random } = base;
  const { clusterId, clusterCidr, serviceCidr } = identity;
  const { membership } = mesh;
  const tokens = createTokenStore(client);
  const endpoints = createApiEndpoints(membership);
  const joinDeps = {
    ...base,
    ca,
    tokens,
    facts: { clusterId, clusterCidr, serviceCidr },
    clusterSecret: identity.clusterSecret,
    serviceIp: kubernetesIp(serviceCidr),
    certificateLifeMs: config.certificateHours * 3_600_000,
    holdersOf: (name: string) =>
      membership
        .members()
        .filter((member) => member.name === name)
        .map(({ id, liveness }) => ({ peerId: id, alive: liveness !== 'dead' })),
    unfit: (formats: VersionRange) =>
      formatRefusal({ formats: FORMATS, level: replica.level }, { formats, level: FIRST_FORMAT }),
    peers: () => membership.members().map(({ id, addresses }) => ({ id, addresses })),
  };
  return createSkeinEndpoints({
    caPem: identity.caCertPem,
    status: () => describeStatus(clusterId, replica, mesh, clock.monotonicMs(), storeWarnings(config.dataDir, replica)),
    join: (body) => handleJoin(joinDeps, body),
    tokens: {
      create: async (ttlSeconds) => {
        // This peer first: it is certainly up to date on the token.
        const others = endpoints.current().map(({ ip, port }) => `${ip}:${port}`);
        const addresses = [...new Set([`${address}:${config.apiPort}`, ...others])];
        const request = { addresses, caHash: ca.hash, ttlMs: ttlSeconds * 1000 };
        const token = await createToken({ clock, random, store: tokens }, request);
        const { id, expiresMs } = parseToken(token, clock.nowMs());
        return { token, id, expires: rfc3339(expiresMs) };
      },
      list: async () => (await tokens.list()).map(({ id, expiresMs }) => ({ id, expires: rfc3339(expiresMs) })),
      revoke: (id) => tokens.revoke(id),
    },
    removePeer: async (name, force) => {
      const request: PeerRemoval = { removePeer: { name, force } };
      const { code, body } = await replica.write(uuid(random), request);
      if (code >= 300) throw ApiError.fromStatus(body as Partial<Status>);
      return body;
    },
    importImage,
    history,
    conflicts: { registry: history.registry, conflicts: () => replica.conflicts, fresh: () => history.fresh() },
    backup: {
      fresh: () => history.fresh(),
      snapshot: () => replica.snapshot(),
      facts: { clusterId, clusterCidr, serviceCidr, version: VERSION.gitVersion },
      keys: { caCertPem: ca.certPem, caKeyPem: ca.keyPem, clusterSecret: identity.clusterSecret },
      nowMs: () => clock.nowMs(),
    },
    chaos: {
      ...base,
      enabled: config.chaos,
      living: () => membership.members().filter(({ liveness }) => liveness !== 'dead').length,
      harm: processHarm((seconds) => mesh.isolate(seconds)),
    },
  });
}

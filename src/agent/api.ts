/** The API of this peer: the Kubernetes API server, skein's own paths beside it, and the client of local components. */
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { rfc3339 } from '../base/clock.js';
import { uuid } from '../base/random.js';
import { ServiceGroup, type Service } from '../base/lifecycle.js';
import { ApiError, type Status } from '../api/errors.js';
import type { KindRegistry } from '../api/schema/registry.js';
import { InProcessClient } from '../control/apiserver/client.js';
import { WebhookConversions } from '../control/apiserver/customresources/webhook-conversions.js';
import { DEFAULT_FAIRNESS, Fairness } from '../control/apiserver/fairness/fairness.js';
import { createWebhooks } from '../control/apiserver/webhooks/index.js';
import { ApiServer, type PathExtension } from '../control/apiserver/http/server.js';
import { NodeProxy } from '../control/apiserver/proxy/node-proxy.js';
import { registerMetricsKinds } from '../control/apiserver/resourcemetrics/kinds.js';
import { ResourceMetrics } from '../control/apiserver/resourcemetrics/resource-metrics.js';
import { UsageSampler } from '../control/apiserver/resourcemetrics/sampler.js';
import { ObjectReads } from '../control/apiserver/reads/object-reads.js';
import { Authenticator } from '../security/authn/authenticator.js';
import type { Authorizer } from '../security/authz/authorizer.js';
import { createClusterAuthorization } from '../security/authz/cluster-authorizer.js';
import { handleJoin } from '../security/ca/join-server.js';
import { createToken, parseToken } from '../security/ca/token.js';
import { createServiceAccounts, type ServiceAccounts } from '../security/serviceaccounts/service-accounts.js';
import { StoreFollower } from '../store/follower.js';
import type { Replica } from '../store/replication/replica.js';
import type { AgentBase } from './base.js';
import type { AgentConfig } from './config.js';
import { createAudit } from './audit.js';
import { fencedStore } from './fencing.js';
import { kubernetesIp, type Enrolment } from './identity.js';
import { createApiEndpoints } from './liveness.js';
import type { PeerRemoval } from './majority.js';
import type { Mesh } from './mesh.js';
import type { Store } from './store.js';
import { createSkeinEndpoints } from './skein-endpoints.js';
import { describeStatus } from './status.js';
import { createTokenStore } from './tokens.js';

/** Sockets to one kubelet at most; each open log or exec takes one. */
const SOCKETS_PER_NODE = 256;

export interface Api {
  readonly reads: ObjectReads;
  readonly client: InProcessClient;
  readonly serviceAccounts: ServiceAccounts;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  /** What keeps the server's indexes current; to be started before it. */
  readonly followers: Service;
  /** A client whose writes are refused once the role has another holder. */
  clientFor(role: string, epoch: number): InProcessClient;
  /** The HTTPS server. */
  createServer(importImage: (archive: IncomingMessage) => Promise<readonly string[]>): ApiServer;
}

export function createApi(
  base: AgentBase,
  config: AgentConfig,
  address: string,
  enrolment: Enrolment,
  mesh: Mesh,
  { replica, rehearsalAdmission, useAuthorizer }: Store,
  registry: KindRegistry,
): Api {
  const { clock, random, metrics } = base;
  const { identity } = enrolment;
  const conversions = new WebhookConversions({ random, webhooks: { post: (call) => webhooks.client.post(call) } });
  const reads = new ObjectReads({ store: replica, clock, conversions });
  const serviceAccounts = createServiceAccounts(
    {
      ...base,
      clusterSecret: identity.clusterSecret,
      lookups: {
        get: (group, resource, namespace, name) => replica.get({ group, resource, namespace, name }),
        fresh: () => reads.fresh(undefined),
      },
    },
    { clusterDomain: config.clusterDomain },
  );
  const tls = { key: identity.keyPem, cert: identity.certPem, ca: identity.caCertPem };
  const agent = new HttpsAgent({ ...tls, keepAlive: true, maxSockets: SOCKETS_PER_NODE });
  const authenticator = new Authenticator([serviceAccounts.authenticator]);
  const authorization = createClusterAuthorization(replica);
  registerMetricsKinds(registry);
  const nodes = new NodeProxy({
    store: replica,
    reads,
    dialer: { request: (options) => httpsRequest({ ...options, agent, ...tls }) },
  });
  useAuthorizer(authorization.authorizer);
  const webhooks = createWebhooks({
    ...base,
    registry,
    store: replica,
    admission: rehearsalAdmission,
    authorizer: authorization.authorizer,
  });
  const store = webhooks.stage.wrap(replica);
  const client = new InProcessClient({ store, reads, random, serviceAccounts });
  const audit = createAudit(base, config);
  const fairness = new Fairness(clock, DEFAULT_FAIRNESS, metrics);
  return {
    reads,
    client,
    serviceAccounts,
    authenticator,
    authorizer: authorization.authorizer,
    followers: new ServiceGroup(
      'apiserver-followers',
      [
        new StoreFollower('apiserver-indexes', replica, [
          ...fairness.followed(),
          ...authorization.followed,
          ...webhooks.followed,
        ]),
        webhooks.client,
        ...(audit ? [audit.file] : []),
      ],
      base.log,
    ),
    clientFor: (role, epoch) =>
      new InProcessClient({ store: webhooks.stage.wrap(fencedStore(replica, { role, epoch })), reads, random }),
    createServer: (importImage) =>
      new ApiServer(
        {
          ...base,
          store,
          reads,
          registry,
          connections: webhooks.stage,
          authenticator,
          serviceAccounts,
          authorizer: authorization.authorizer,
          fairness,
          ...(audit ? { audit: audit.log } : {}),
          health: [
            { name: 'store', live: false, check: () => (replica.view ? undefined : 'no sequencer is in reach') },
          ],
          metricsText: () => metrics.render(),
          nodes,
          resourceMetrics: new ResourceMetrics({ reads, clock, sampler: new UsageSampler({ clock, kubelets: nodes }) }),
          extension: createExtension(base, config, address, enrolment, mesh, replica, client, importImage),
        },
        { port: config.apiPort, host: '0.0.0.0', tls },
      ),
  };
}

function createExtension(
  base: AgentBase,
  config: AgentConfig,
  address: string,
  { identity, ca }: Enrolment,
  { membership }: Mesh,
  replica: Replica,
  client: InProcessClient,
  importImage: (archive: IncomingMessage) => Promise<readonly string[]>,
): PathExtension {
  const { clock, random } = base;
  const { clusterId, clusterCidr, serviceCidr } = identity;
  const tokens = createTokenStore(client);
  const endpoints = createApiEndpoints(membership);
  const joinDeps = {
    ...base,
    ca,
    tokens,
    facts: { clusterId, clusterCidr, serviceCidr },
    clusterSecret: identity.clusterSecret,
    serviceIp: kubernetesIp(serviceCidr),
    holdersOf: (name: string) =>
      membership
        .members()
        .filter((member) => member.name === name)
        .map(({ id, liveness }) => ({ peerId: id, alive: liveness !== 'dead' })),
    peers: () => membership.members().map(({ id, addresses }) => ({ id, addresses })),
  };
  return createSkeinEndpoints({
    caPem: identity.caCertPem,
    status: () => describeStatus(clusterId, replica, membership, clock.monotonicMs()),
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
  });
}

/**
 * An API server put together, in two halves: what the sequencer runs for every write, which the store is made with, and what a peer
 * answers requests with, which is made with the store. Whoever serves the API (the agent, tests, measurements) serves this one.
 */
import type { Clock } from '../../base/clock.js';
import { ServiceGroup, type Service } from '../../base/lifecycle.js';
import type { Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Random } from '../../base/random.js';
import type { KindRegistry } from '../../api/schema/registry.js';
import type { AdmissionChain } from '../../security/admission/admission.js';
import {
  createDefaultAdmission,
  DEFAULT_ADMISSION,
  type AdmissionOptions,
} from '../../security/admission/default-plugins.js';
import type { ServiceAllocation } from '../../security/admission/service-allocation.js';
import { Authenticator } from '../../security/authn/authenticator.js';
import { NO_OPINION, type Authorizer } from '../../security/authz/authorizer.js';
import { createClusterAuthorization } from '../../security/authz/cluster-authorizer.js';
import { FrontProxy } from '../../security/ca/front-proxy.js';
import { createServiceAccounts, type ServiceAccounts } from '../../security/serviceaccounts/service-accounts.js';
import { StoreFollower, type FollowedResource } from '../../store/follower.js';
import { revokedPeerKey } from '../../store/replication/revoked-peer.js';
import type { ObjectStore, WriteExecutor } from '../../store/object-store.js';
import { Aggregation } from './aggregation/aggregation.js';
import { InProcessClient } from './client.js';
import { createKindFollower } from './customresources/kind-follower.js';
import { WebhookConversions } from './customresources/webhook-conversions.js';
import { DEFAULT_FAIRNESS, Fairness } from './fairness/fairness.js';
import type { ApiServerDeps } from './http/server.js';
import type { NodeHeartbeats } from './reads/node-leases.js';
import { ObjectReads } from './reads/object-reads.js';
import { createPolicyPlugins, createWebhooks } from './webhooks/index.js';
import { createWriteExecutor } from './writes/executor.js';

const NOBODY: Authorizer = { authorize: () => NO_OPINION };

export interface WritePipeline {
  /** What the store runs for every `WriteRequest`. */
  readonly executor: WriteExecutor;
  /** To be called when the sequencer changes: another one may have given out what is not applied here yet. */
  reset(): void;
  /** For rehearsals of writes, which must not touch what the sequencer's plugins remember. */
  readonly rehearsal: AdmissionChain;
  readonly followed: readonly FollowedResource[];
  /** Who decides what the expressions of admission policies ask; nothing is allowed before. */
  useAuthorizer(authorizer: Authorizer): void;
}

export function createWritePipeline(
  deps: { readonly registry: KindRegistry; readonly random: Random },
  options: AdmissionOptions = DEFAULT_ADMISSION,
): WritePipeline {
  let authorizer = NOBODY;
  const policies = createPolicyPlugins(deps.registry, () => authorizer);
  const admission = createDefaultAdmission(deps, options, policies);
  const rehearsal = createDefaultAdmission(deps, options, policies);
  const allocations = [admission.services, rehearsal.services];
  return {
    executor: createWriteExecutor({ ...deps, admission: admission.chain }),
    reset: () => {
      for (const allocation of allocations) allocation.observe(undefined);
    },
    rehearsal: rehearsal.chain,
    followed: allocations.map(servicesFor),
    useAuthorizer: (given) => {
      authorizer = given;
    },
  };
}

/** Tells an allocator of Services that other sequencers wrote, so that it need not list them for every allocation. */
const servicesFor = (allocation: ServiceAllocation): FollowedResource => ({
  group: '',
  resource: 'services',
  reset: () => allocation.observe(undefined),
  changed: ({ type, object }) => {
    if (type !== 'DELETED') allocation.observe(object);
  },
});

export interface ApiPipelineDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly registry: KindRegistry;
  /** Made with the executor of `writes`. */
  readonly store: ObjectStore;
  readonly writes: WritePipeline;
  /** What keys of service account tokens and of the front proxy are derived from; the same on every peer. */
  readonly clusterSecret: Uint8Array;
  readonly heartbeats?: NodeHeartbeats;
}

export interface ApiPipelineOptions {
  /** The cluster's DNS domain; `cluster.local` unless told. */
  readonly clusterDomain?: string;
}

export interface ApiPipeline {
  readonly reads: ObjectReads;
  /** Of components in this process. */
  readonly client: InProcessClient;
  readonly serviceAccounts: ServiceAccounts;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly aggregation: Aggregation;
  /** By whom aggregated servers know this one. */
  readonly frontProxy: FrontProxy;
  /** What an `ApiServer` cannot do without, and what keeps it from being overrun. */
  readonly server: Omit<ApiServerDeps, 'health' | 'metricsText' | 'nodes' | 'resourceMetrics' | 'audit' | 'extension'>;
  /** Keeps kinds and indexes current: to be started when the store has, before requests are served. */
  readonly followers: Service;
  /** The store, or another view of it, with admission webhooks in front of its writes. */
  admitting(store: ObjectStore): ObjectStore;
}

export function createApiPipeline(deps: ApiPipelineDeps, options: ApiPipelineOptions = {}): ApiPipeline {
  const { clock, random, log, metrics, registry, store, writes } = deps;
  const conversions = new WebhookConversions({ random, webhooks: { post: (call) => webhooks.client.post(call) } });
  const { heartbeats } = deps;
  const reads = new ObjectReads({ store, clock, conversions, ...(heartbeats ? { heartbeats } : {}) });
  const lookups = {
    get: (group: string, resource: string, namespace: string, name: string) =>
      store.get({ group, resource, namespace, name }),
    fresh: () => reads.fresh(undefined),
  };
  const serviceAccounts = createServiceAccounts({ ...deps, lookups }, options);
  const isRevoked = (peer: string) => store.get(revokedPeerKey(peer)) !== undefined;
  const authenticator = new Authenticator([serviceAccounts.authenticator], isRevoked);
  const { authorizer, followed } = createClusterAuthorization(store);
  writes.useAuthorizer(authorizer);
  const webhooks = createWebhooks({
    clock,
    random,
    log,
    registry,
    store,
    admission: writes.rehearsal,
    authorizer,
    converted: (remote, objects) => reads.converted(remote, objects),
  });
  const fairness = new Fairness(clock, DEFAULT_FAIRNESS, metrics);
  const frontProxy = new FrontProxy({ clock, random }, deps.clusterSecret);
  const aggregation = new Aggregation({
    clock,
    random,
    log,
    metrics,
    registry,
    objects: store,
    frontProxy,
    fresh: () => reads.fresh(undefined),
  });
  const admitting = webhooks.stage.wrap(store);
  const indexes = [aggregation.followed, ...fairness.followed(), ...followed, ...webhooks.followed, ...writes.followed];
  return {
    reads,
    client: new InProcessClient({ store: admitting, reads, random, serviceAccounts }),
    serviceAccounts,
    authenticator,
    authorizer,
    aggregation,
    frontProxy,
    server: {
      clock,
      random,
      log,
      registry,
      store: admitting,
      reads,
      admission: webhooks.stage,
      authenticator,
      serviceAccounts,
      authorizer,
      fairness,
      aggregation,
    },
    followers: new ServiceGroup(
      'apiserver-followers',
      [
        createKindFollower(store, registry, log),
        new StoreFollower('apiserver-indexes', store, indexes, log),
        webhooks.client,
        aggregation,
      ],
      log,
    ),
    admitting: (view) => webhooks.stage.wrap(view),
  };
}

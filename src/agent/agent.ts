/**
 * The composition root: one machine's agent. Configuration in, ordered start, ordered stop; the only place that joins the
 * store to the mesh.
 *
 * ```
 * identity -> membership, transport -> replica -> API server -> roles (by the view), node
 * ```
 */
import '../base/polyfill.js';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { rfc3339, systemClock, type Clock } from '../base/clock.js';
import { deferred } from '../base/deferred.js';
import { ServiceGroup, type Service } from '../base/lifecycle.js';
import { errorText, type Logger } from '../base/log.js';
import { systemRandom, type Random } from '../base/random.js';
import { NODES, type ResourceRef } from '../api/resource.js';
import { KindRegistry } from '../api/schema/registry.js';
import type { Node } from '../api/types/core-v1.js';
import { createEventRecorder } from '../client/event-recorder.js';
import { Informer } from '../client/informer.js';
import { InProcessClient } from '../control/apiserver/client.js';
import { VERSION } from '../control/apiserver/http/path-handler.js';
import { ApiServer } from '../control/apiserver/http/server.js';
import { NodeProxy } from '../control/apiserver/proxy/node-proxy.js';
import { ObjectReads } from '../control/apiserver/reads/object-reads.js';
import { createWriteExecutor } from '../control/apiserver/writes/executor.js';
import { ServiceFollower } from '../control/apiserver/writes/service-follower.js';
import { createControllers } from '../control/controllers/index.js';
import { createPodCidrAllocator } from '../control/controllers/nodeipam/pod-cidr-allocator.js';
import { createScheduler } from '../control/scheduler/scheduler.js';
import { createLogger } from '../observability/log.js';
import { PrometheusMetrics } from '../observability/metrics.js';
import type { AddressBook, AddressBookEntry } from '../p2p/libp2p/admission.js';
import { Libp2pTransport } from '../p2p/libp2p/transport.js';
import { Membership } from '../p2p/membership.js';
import { PeerExchange } from '../p2p/peer-exchange.js';
import type { PeerId } from '../p2p/transport.js';
import { createDefaultAdmission, DEFAULT_ADMISSION } from '../security/admission/default-plugins.js';
import { Authenticator } from '../security/authn/authenticator.js';
import { baseAuthorizer } from '../security/authz/authorizer.js';
import { judgeHello, membershipHello } from '../security/ca/founding.js';
import { handleJoin } from '../security/ca/join-server.js';
import { createToken, parseToken } from '../security/ca/token.js';
import { LevelDisk } from '../store/level-disk.js';
import { DEFAULT_REPLICA_OPTIONS } from '../store/replication/context.js';
import { Replica } from '../store/replication/replica.js';
import type { AgentConfig } from './config.js';
import { fencedExecutor, fencedStore } from './fencing.js';
import { createMergeReporter, warningExecutor } from './honesty.js';
import { dnsIp, enrol, kubernetesIp, type Enrolment } from './identity.js';
import { createKindPolicies } from './kind-policies.js';
import { createApiEndpoints, createNodeLiveness } from './liveness.js';
import { defaultAddress } from './machine.js';
import { createNode } from './node.js';
import { createPeerNetwork } from './peer-network.js';
import { RoleLeases } from './role-leases.js';
import { RoleRunner } from './roles.js';
import { createSkeinEndpoints } from './skein-endpoints.js';
import { describeStatus } from './status.js';
import { createTokenStore } from './tokens.js';

interface Base {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: PrometheusMetrics;
}

/**
 * Runs an agent until the signal aborts, then stops it cleanly; containers keep running. Throws with one clear line when
 * it cannot start, or when its disk fails while it runs.
 */
export async function runAgent(config: AgentConfig, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  const log = createLogger({ level: config.logLevel, format: config.logFormat, nowMs: () => systemClock.nowMs() });
  const metrics = new PrometheusMetrics();
  metrics.collectProcess();
  const base: Base = { clock: systemClock, random: systemRandom, log, metrics };
  raisePriority(config, log);
  const address = config.address ?? (await defaultAddress());
  const enrolment = await enrol(base, config, address);
  const failure = deferred<never>();
  failure.promise.catch(() => undefined);
  const agent = await assemble(base, config, address, enrolment, failure.reject);
  try {
    await agent.start();
  } catch (error) {
    throw plainStartError(error);
  }
  log.info('ready', {
    node: enrolment.identity.nodeName,
    api: `https://${address}:${config.apiPort}`,
    cluster: enrolment.identity.clusterId,
  });
  try {
    await Promise.race([failure.promise, aborted(signal)]);
  } finally {
    await agent.stop();
    log.info('stopped');
  }
}

/** A taken port in words. */
function plainStartError(error: unknown): unknown {
  const { code, address, port } = error as { code?: string; address?: string; port?: number };
  if (code !== 'EADDRINUSE') return error;
  return new Error(`the address ${address}:${port} is in use: another agent, or give other ports`, { cause: error });
}

/** A loaded machine must not be taken for a dead one. Processes of the `process` runtime would inherit it, so not there. */
function raisePriority(config: AgentConfig, log: Logger): void {
  if (config.runtime !== 'docker') return;
  try {
    setPriority(config.niceness);
  } catch (error) {
    log.debug('runs at ordinary priority', { error: errorText(error) });
  }
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

async function assemble(
  base: Base,
  config: AgentConfig,
  address: string,
  enrolment: Enrolment,
  onFailure: (error: unknown) => void,
): Promise<Service> {
  const { clock, random, log, metrics } = base;
  const { identity, ca } = enrolment;
  const { nodeName, clusterCidr, serviceCidr } = identity;

  // The mesh.
  const transport = new Libp2pTransport(base, {
    privateKey: identity.peerKey,
    name: nodeName,
    listen: { host: address, port: config.p2pPort },
    clusterSecret: identity.clusterSecret,
    mdns: config.mdns,
    book: fileAddressBook(join(config.dataDir, 'peers.json'), log),
    admission: {
      hello: (self) => membershipHello(identity, self.addresses),
      admit: (peerId, hello) => {
        const verdict = judgeHello(identity, peerId, hello, clock.nowMs());
        if (!verdict.ok) return verdict;
        return { ok: true, peer: { id: peerId as PeerId, name: verdict.nodeName, addresses: verdict.addresses } };
      },
    },
  });
  for (const { id, addresses } of enrolment.peers) {
    transport.addAddresses({ ...(id === undefined ? {} : { id: id as PeerId }), addresses });
  }
  const membership = new Membership(base, transport);
  const exchange = new PeerExchange(base, transport);
  membership.setAttributes({
    address,
    apiPort: config.apiPort,
    kubeletPort: config.kubeletPort,
    version: VERSION.gitVersion,
  });

  // The store.
  const registry = KindRegistry.load();
  const admission = createDefaultAdmission(base, {
    services: { ...DEFAULT_ADMISSION.services, serviceCidr },
    tolerations: { notReadySeconds: config.tolerationSeconds, unreachableSeconds: config.tolerationSeconds },
  });
  const executor = createWriteExecutor({ registry, random, admission: admission.chain });
  const outOfReach = () =>
    membership
      .members()
      .filter(({ liveness }) => liveness === 'dead')
      .map(({ name }) => name);
  const replica: Replica = new Replica(
    {
      ...base,
      disk: new LevelDisk(join(config.dataDir, 'store')),
      network: createPeerNetwork(transport, membership),
      policies: createKindPolicies(registry),
      executor: fencedExecutor(warningExecutor(executor, outOfReach), () => replica.view),
    },
    {
      ...DEFAULT_REPLICA_OPTIONS,
      ack: config.ack,
      fsync: config.fsync,
      historyEvents: config.historyEvents,
      logBytes: config.logMegabytes * 2 ** 20,
      logFrames: 100_000,
      replies: 10_000,
      tombstoneRetentionMs: config.tombstoneRetentionHours * 3_600_000,
      flushDelayMs: 100,
      mayFound: enrolment.founded,
    },
  );

  const serviceFollower = new ServiceFollower(replica, admission.services);

  // The API.
  const reads = new ObjectReads({ store: replica, clock });
  const client = new InProcessClient({ store: replica, reads, random });
  const tls = { key: identity.keyPem, cert: identity.certPem, ca: identity.caCertPem };
  const peerAgent = new HttpsAgent({ ...tls, keepAlive: true, maxSockets: 256 });
  const node = await createNode(
    { ...base, client },
    {
      config,
      nodeName,
      address,
      clusterCidr,
      serviceCidr,
      tls,
      peerServers: () =>
        membership
          .members()
          .filter(({ liveness, id }) => liveness !== 'dead' && id !== transport.self.id)
          .map(({ attributes }) => `${String(attributes['address'])}:${String(attributes['kubeletPort'])}`),
      isCurrent: () => replica.view !== undefined,
    },
  );
  const tokens = createTokenStore(client);
  const endpoints = createApiEndpoints(membership);
  const apiServer = new ApiServer(
    {
      ...base,
      store: replica,
      reads,
      registry,
      authenticator: new Authenticator(),
      authorizer: baseAuthorizer,
      health: [{ name: 'store', live: false, check: () => (replica.view ? undefined : 'no sequencer is in reach') }],
      metricsText: () => metrics.render(),
      nodes: new NodeProxy({
        store: replica,
        reads,
        dialer: { request: (options) => httpsRequest({ ...options, agent: peerAgent, ...tls }) },
      }),
      extension: createSkeinEndpoints({
        caPem: identity.caCertPem,
        status: () => describeStatus(identity.clusterId, replica, membership, clock.monotonicMs()),
        join: (body) =>
          handleJoin(
            {
              ...base,
              ca,
              tokens,
              facts: { clusterId: identity.clusterId, clusterCidr, serviceCidr },
              clusterSecret: identity.clusterSecret,
              serviceIp: kubernetesIp(serviceCidr),
              holdersOf: (name) =>
                membership
                  .members()
                  .filter((member) => member.name === name)
                  .map(({ id, liveness }) => ({ peerId: id, alive: liveness !== 'dead' })),
              peers: () => membership.members().map(({ id, addresses }) => ({ id, addresses })),
            },
            body,
          ),
        tokens: {
          create: async (ttlSeconds) => {
            // This peer first: it is certainly up to date on the token.
            const others = endpoints.current().map(({ ip, port }) => `${ip}:${port}`);
            const addresses = [...new Set([`${address}:${config.apiPort}`, ...others])];
            const token = await createToken(
              { clock, random, store: tokens },
              { addresses, caHash: ca.hash, ttlMs: ttlSeconds * 1000 },
            );
            const { id, expiresMs } = parseToken(token, clock.nowMs());
            return { token, id, expires: rfc3339(expiresMs) };
          },
          list: async () => (await tokens.list()).map(({ id, expiresMs }) => ({ id, expires: rfc3339(expiresMs) })),
          revoke: (id) => tokens.revoke(id),
        },
        importImage: (archive) => node.importImage(archive),
      }),
    },
    { port: config.apiPort, host: '0.0.0.0', tls },
  );

  // The roles, when the view gives them to this peer.
  const clientFor = (role: string, epoch: number) =>
    new InProcessClient({ store: fencedStore(replica, { role, epoch }), reads, random });
  const roles = new RoleRunner(
    clock,
    transport.self.id,
    {
      scheduler: (epoch) => createScheduler({ ...base, client: clientFor('scheduler', epoch) }),
      controllers: (epoch) => {
        const environment = { ...base, client: clientFor('controllers', epoch) };
        const nodes = new Informer<Node>(environment, NODES);
        return new ServiceGroup(
          'controllers',
          [
            createControllers(environment, {
              nodeLiveness: createNodeLiveness(membership),
              apiEndpoints: endpoints,
              kubernetesIp: kubernetesIp(serviceCidr),
              dnsIp: dnsIp(serviceCidr),
              caPem: identity.caCertPem,
              deletableResources: () => deletable(registry),
            }),
            createPodCidrAllocator({ ...environment, nodes }, { clusterCidr }),
            nodes,
          ],
          log,
        );
      },
    },
    log,
  );
  const leases = new RoleLeases(
    { ...base, client },
    {
      isSequencer: () => replica.currentMode === 'leading',
      nameOf: (peer) => membership.members().find(({ id }) => id === peer)?.name,
    },
  );
  const watchers: Service = {
    name: 'view-listeners',
    start: () => {
      replica.subscribe({
        onView: (view) => {
          // Another sequencer may have given out addresses that are not applied here yet.
          serviceFollower.reset();
          roles.onView(view);
          leases.onView(view);
        },
        onMerge: createMergeReporter({
          reader: replica,
          metrics,
          events: createEventRecorder({ ...base, client }, { component: 'skein' }),
        }),
        onFailure: (error) => onFailure(new Error(`the disk failed: ${errorText(error)}`, { cause: error })),
      });
      return Promise.resolve();
    },
    stop: () => Promise.resolve(),
  };
  return new ServiceGroup(
    'agent',
    [membership, exchange, transport, replica, serviceFollower, apiServer, roles, leases.controller, watchers, node],
    log,
  );
}

/** Everything that can be listed, watched and deleted. */
function deletable(registry: KindRegistry): ResourceRef[] {
  const needed = ['list', 'watch', 'delete'];
  return registry.all().filter(({ verbs }) => needed.every((verb) => verbs.includes(verb)));
}

/** Known peers in a file, so that a machine that boots finds the others. */
function fileAddressBook(path: string, log: Logger): AddressBook {
  return {
    async load() {
      try {
        return JSON.parse(await readFile(path, 'utf8')) as AddressBookEntry[];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
          log.warn('the address book cannot be read; peers will be learnt anew', { error: errorText(error) });
        }
        return [];
      }
    },
    async save(entries) {
      await writeFile(`${path}.new`, JSON.stringify(entries), { mode: 0o600 });
      await rename(`${path}.new`, path);
    },
  };
}

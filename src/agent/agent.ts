/**
 * The composition root: one machine's agent. Configuration in, ordered start, ordered stop; the only place that joins the
 * store to the mesh.
 *
 * ```
 * identity -> mesh (membership, transport) -> replica -> API server -> roles (by the view), node
 * ```
 */
import '../base/polyfill.js';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../base/clock.js';
import { deferred } from '../base/deferred.js';
import { ServiceGroup, type Service } from '../base/lifecycle.js';
import { errorText, type Logger } from '../base/log.js';
import { systemRandom } from '../base/random.js';
import { KindRegistry } from '../api/schema/registry.js';
import { createLogger } from '../observability/log.js';
import { PrometheusMetrics } from '../observability/metrics.js';
import { LevelDisk } from '../store/level-disk.js';
import { createApi } from './api.js';
import type { AgentBase } from './base.js';
import type { AgentConfig } from './config.js';
import { createControlPlane } from './control-plane.js';
import { Gate, Gatekeeper } from './gate.js';
import { Certificates } from './certificates.js';
import { enrol, kubernetesIp, type Enrolment } from './identity.js';
import { defaultAddress } from './machine.js';
import { createMesh } from './mesh.js';
import { createNode } from './node.js';
import { createStore } from './store.js';
import { StoreConditions } from './store-damage.js';

/**
 * Runs an agent until the signal aborts, then stops it cleanly; containers keep running. Throws with one clear line when
 * it cannot start, or when its disk fails while it runs.
 */
export async function runAgent(config: AgentConfig, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  const log = createLogger({ level: config.logLevel, format: config.logFormat, nowMs: () => systemClock.nowMs() });
  const metrics = new PrometheusMetrics();
  metrics.collectProcess();
  const base: AgentBase = { clock: systemClock, random: systemRandom, log, metrics };
  raisePriority(config, log);
  const address = config.address ?? (await defaultAddress());
  const enrolment = await enrol(base, config, address);
  const failure = deferred<never>();
  failure.promise.catch(() => undefined);
  const agent = await assemble(base, config, address, enrolment, (error) => failure.reject(error));
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

const removedText = (dataDir: string) =>
  `this machine was removed from the cluster; to bring it back, empty ${dataDir} and join with a new token`;

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
  base: AgentBase,
  config: AgentConfig,
  address: string,
  enrolment: Enrolment,
  onFailure: (error: unknown) => void,
): Promise<Service> {
  const { identity } = enrolment;
  const registry = KindRegistry.load();
  const gate = new Gate();
  const mesh = createMesh(base, config, address, enrolment, gate);
  const disk = new LevelDisk(join(config.dataDir, 'store'));
  const store = createStore(base, config, enrolment, mesh, registry, disk);
  const { replica } = store;
  const certificates = new Certificates(base, enrolment.ca, identity, {
    dataDir: config.dataDir,
    apiUrl: `https://${address}:${config.apiPort}`,
    request: { addresses: [address], serviceIp: kubernetesIp(identity.serviceCidr) },
    lifeMs: config.certificateHours * 3_600_000,
  });
  const api = createApi(base, config, address, { ...enrolment, certificates }, mesh, store, registry);
  const node = await createNode(
    { ...base, client: api.client },
    {
      config,
      nodeName: identity.nodeName,
      address,
      clusterCidr: identity.clusterCidr,
      serviceCidr: identity.serviceCidr,
      certificates,
      peerServers: () =>
        mesh.membership
          .members()
          .filter(({ liveness, id }) => liveness !== 'dead' && id !== mesh.transport.self.id)
          .map(({ attributes }) => `${String(attributes['address'])}:${String(attributes['kubeletPort'])}`),
      isCurrent: () => replica.view !== undefined,
      access: api,
    },
  );
  const server = api.createServer((archive) => node.importImage(archive));
  const gatekeeper = new Gatekeeper(base, gate, mesh, replica, () => onFailure(new Error(removedText(config.dataDir))));
  const control = createControlPlane(base, config, enrolment, mesh, store, api, registry, onFailure);
  const damage = new StoreConditions({ ...base, client: api.client, replica }, config.dataDir, identity.nodeName);
  const services = [
    ...mesh.services,
    replica,
    gatekeeper,
    certificates,
    api.followers,
    server,
    ...control,
    damage,
    node,
  ];
  return new ServiceGroup('agent', services, base.log);
}

/**
 * A cluster of whole simulated agents: the composition of real ones with a simulated mesh, disk, clock and container engine.
 * What is not there: HTTPS (clients are in the process), the proxy, DNS and the machine's network, and signatures (service
 * account tokens, certificates), whose duration no simulated clock knows.
 */
import { fencedClients } from '../agent/api.js';
import { loadConfig } from '../agent/config.js';
import { createControlPlane, type ControlPlaneSettings } from '../agent/control-plane.js';
import { createKubelet } from '../agent/kubelet.js';
import { createStore, type StoreSettings } from '../agent/store.js';
import { NODES } from '../api/resource.js';
import { KindRegistry } from '../api/schema/registry.js';
import type { Node } from '../api/types/core-v1.js';
import { noMetrics } from '../base/metrics.js';
import type { Client } from '../client/client.js';
import { Informer } from '../client/informer.js';
import { createApiPipeline } from '../control/apiserver/pipeline.js';
import { Membership } from '../p2p/membership.js';
import { SimCluster, type ProcessParts, type SimClusterOptions, type SimPeer, type SimProcess } from './sim-cluster.js';
import { SimMachine } from './sim-machine.js';
import { runtimeOn, SimFiles } from './sim-runtime.js';

const { clusterCidr, serviceCidr, ...SETTINGS } = loadConfig({ name: 'simulated' }, {}, undefined);
const IDENTITY = { clusterCidr, serviceCidr, caCertPem: 'a certificate' };
const CLUSTER_SECRET = new Uint8Array(32).fill(7);
const KUBELET_PORT = 10_250;

export interface SimAgent extends SimProcess {
  /** The API of this peer, as components of its process have it. */
  readonly client: Client;
}

export interface WholeClusterOptions extends Omit<SimClusterOptions, 'process' | 'settings' | 'documentLimits'> {
  /** Differences from an agent's default configuration. */
  readonly settings?: Partial<StoreSettings & ControlPlaneSettings>;
}

function createAgent(parts: ProcessParts, machine: SimMachine, settings: WholeClusterOptions['settings']): SimAgent {
  const { id, clock, random, log, transport, disk, mayFound } = parts;
  const base = { clock, random, log, metrics: noMetrics };
  const registry = KindRegistry.load();
  const membership = new Membership(base, transport);
  const { address, facts } = machine;
  membership.setAttributes({ address, apiPort: 6443, kubeletPort: KUBELET_PORT, version: 'simulated' });
  const mesh = { transport, membership };
  const enrolment = { identity: IDENTITY, founded: mayFound };
  const store = createStore(base, { ...SETTINGS, ...settings }, enrolment, mesh, registry, disk);
  const { replica, writes } = store;
  const pipeline = createApiPipeline({ ...base, registry, store: replica, writes, clusterSecret: CLUSTER_SECRET });
  const frontProxy = {
    isCurrent: (pem: string) => pem === IDENTITY.caCertPem,
    authorityPem: () => Promise.resolve(IDENTITY.caCertPem),
  };
  const api = { ...pipeline, frontProxy, clientFor: fencedClients(replica, pipeline, random) };
  const ca = { signRequest: () => Promise.reject(new Error('nothing is signed in a simulation')) };
  const control = createControlPlane(
    base,
    { ...SETTINGS, ...settings },
    { identity: IDENTITY, ca },
    mesh,
    store,
    api,
    registry,
    (error) => log.error('the agent would end', { error: String(error) }),
  );
  const node = { ...base, client: api.client };
  const nodes = new Informer<Node>(node, NODES);
  const { kubelet, registration } = createKubelet(
    {
      ...node,
      nodes,
      runtime: runtimeOn(machine.runtime, clock),
      machine: facts,
      files: (sources) => new SimFiles(machine.files, sources),
    },
    {
      nodeName: id,
      address,
      kubeletPort: KUBELET_PORT,
      root: '/',
      tmpfs: false,
      clusterDns: { servers: [], domain: 'cluster.local' },
      hostDns: { servers: [], searches: [], options: [] },
      isCurrent: () => replica.view !== undefined,
    },
  );
  const services = [pipeline.followers, ...control, nodes, kubelet, registration];
  return { membership, replica, services, client: api.client };
}

export class WholeCluster {
  readonly sim: SimCluster;
  readonly machines = new Map<string, SimMachine>();
  private readonly agents = new Map<string, SimAgent>();

  constructor({ settings = {}, ...options }: WholeClusterOptions) {
    const process = (parts: ProcessParts) => {
      const agent = createAgent(parts, this.machineOf(parts.id), settings);
      this.agents.set(parts.id, agent);
      return agent;
    };
    this.sim = new SimCluster({ ...options, process });
    for (const [i, { id }] of this.sim.peers.entries()) {
      this.machines.set(id, new SimMachine(this.sim.clock, i, options.seed * 977 + i));
    }
  }

  /** The client of a peer that runs. */
  clientOf({ id, isUp }: SimPeer): Client {
    const agent = this.agents.get(id);
    if (!agent || !isUp) throw new Error(`${id} is down`);
    return agent.client;
  }

  machineOf(id: string): SimMachine {
    const machine = this.machines.get(id);
    if (!machine) throw new Error(`there is no machine ${id}`);
    return machine;
  }

  /** The plug: the agent, what it did not sync, and all containers are gone. */
  async losePower(peer: SimPeer): Promise<void> {
    peer.crash({ powerLoss: true });
    await this.machineOf(peer.id).reboot();
  }
}

/** What this machine runs as a node: runtime, images, pod network, kubelet and its servers, proxy, DNS. */
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { launchedCommand } from '../base/launcher.js';
import { ServiceGroup, type Service } from '../base/lifecycle.js';
import { NODES } from '../api/resource.js';
import type { Node } from '../api/types/core-v1.js';
import { Informer } from '../client/informer.js';
import { ImageServer } from '../node/images/image-server.js';
import { HttpPeerImages, STATUS_PATH } from '../node/images/peer-images.js';
import type { MachineFacts } from '../node/kubelet/node-registration.js';
import { KubeletServer } from '../node/kubelet/server/kubelet-server.js';
import { NodeNetwork } from '../node/network/network.js';
import { createProxy } from '../node/proxy/proxy.js';
import { DockerRuntime } from '../node/runtime/docker/docker-runtime.js';
import { FakeRuntime } from '../node/runtime/fake/fake-runtime.js';
import { shellProgram } from '../node/runtime/fake/shell-program.js';
import { ProcessRuntime } from '../node/runtime/process/process-runtime.js';
import type { PodNetwork, Runtime } from '../node/runtime/runtime.js';
import type { Certificates } from './certificates.js';
import type { AgentConfig } from './config.js';
import { dnsIp } from './identity.js';
import { createKubelet, type NodeDeps } from './kubelet.js';
import { kubeletAuthorization, type KubeletAccess } from './kubelet-access.js';
import { readMachineFacts } from './machine.js';
import { machineResolvers, NodeDns, resolvLines } from './node-dns.js';

export interface NodeSettings {
  readonly config: AgentConfig;
  readonly nodeName: string;
  readonly address: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly certificates: Pick<Certificates, 'tls' | 'onRenewal'>;
  /** `host:port` of the other live peers' node servers. */
  readonly peerServers: () => readonly string[];
  /** True once the local copy of the cluster's state is as new as the group's. */
  readonly isCurrent: () => boolean;
  /** Who a caller of the kubelet is, and what it may. */
  readonly access: KubeletAccess;
}

export interface LocalNode extends Service {
  importImage(archive: Readable): Promise<readonly string[]>;
}

const IMAGE_REQUEST_TIMEOUT_MS = 10_000;

export async function createNode(deps: NodeDeps, settings: NodeSettings): Promise<LocalNode> {
  const { config, nodeName, address } = settings;
  const nodes = new Informer<Node>(deps, NODES);
  const dns = new NodeDns(deps, { nodeName, clusterDomain: config.clusterDomain });
  const onNetworkReady = (gateway: string) => {
    dns.serveAt(gateway);
    // The node may call itself ready now.
    registration.refresh();
  };
  const network = usesPodNetwork(config)
    ? new NodeNetwork(
        { ...deps, command: launchedCommand, nodes, onReady: (gateway) => onNetworkReady(gateway) },
        { nodeName, clusterCidr: settings.clusterCidr, stateDir: join(config.dataDir, 'network') },
      )
    : undefined;
  const runtime = createRuntime(deps, config, nodeName, network);
  const machine = await readMachineFacts(config.dataDir);
  const peers = new HttpPeerImages(peerImageClient(settings), deps.random, deps.log);
  const { images, kubelet, registration } = createKubelet(
    {
      ...deps,
      runtime,
      machine,
      nodes,
      peers,
      ...(network ? { networkProblem: () => (network.ready ? undefined : 'the pod network is not ready') } : {}),
    },
    {
      nodeName,
      address,
      kubeletPort: config.kubeletPort,
      root: config.dataDir,
      tmpfs: process.getuid?.() === 0,
      clusterDns: {
        servers: network ? [dnsIp(settings.serviceCidr)] : machineResolvers(),
        domain: config.clusterDomain,
      },
      hostDns: {
        servers: machineResolvers(),
        searches: resolvLines('/etc/resolv.conf', 'search'),
        options: resolvLines('/etc/resolv.conf', 'options'),
      },
      isCurrent: settings.isCurrent,
    },
  );
  const imageServer = new ImageServer(runtime, deps.log);
  const server = new KubeletServer(
    { ...deps, pods: kubelet, runtime, nodeName, machineSpec: () => machineSpec(machine) },
    {
      host: address,
      port: config.kubeletPort,
      ...(config.readOnlyPort === 0 ? {} : { readOnlyPort: config.readOnlyPort }),
      tls: { ...settings.certificates.tls, requestCert: true, rejectUnauthorized: false },
      renewals: settings.certificates,
      authorize: kubeletAuthorization(settings.access, nodeName),
      extra: [
        (request, response) => {
          if (!request.url?.startsWith(STATUS_PATH)) return false;
          void imageServer.handle(request, response);
          return true;
        },
      ],
    },
  );
  const proxy = createProxy(
    { ...deps, command: launchedCommand },
    { mode: config.proxyMode, nodeName, clusterCidr: settings.clusterCidr },
  );
  const runtimeService: Service = { name: 'runtime', start: () => runtime.start(), stop: () => runtime.stop() };
  // The node's network is told of lost sandboxes before pods ask it for addresses.
  const leftovers: Service = {
    name: 'network-leftovers',
    start: async () => network?.retain((await runtime.list()).sandboxes.map(({ id }) => id)),
    stop: () => Promise.resolve(),
  };
  const group = new ServiceGroup(
    'node',
    [runtimeService, nodes, ...(network ? [network, leftovers] : []), dns, server, kubelet, registration, proxy],
    deps.log,
  );
  return {
    name: 'node',
    start: () => group.start(),
    stop: () => group.stop(),
    importImage: (archive) => images.importArchive(archive),
  };
}

/** cAdvisor's MachineInfo, as `/spec` shows it. */
const machineSpec = (machine: MachineFacts) => ({
  num_cores: machine.cpus,
  memory_capacity: machine.memoryBytes,
  machine_id: machine.machineId,
  system_uuid: machine.systemUuid,
  boot_id: machine.bootId,
});

const usesPodNetwork = (config: AgentConfig) => config.runtime === 'docker';

function createRuntime(
  deps: NodeDeps,
  config: AgentConfig,
  nodeName: string,
  network: PodNetwork | undefined,
): Runtime {
  const stateDirectory = join(config.dataDir, 'runtime');
  switch (config.runtime) {
    case 'docker':
      return new DockerRuntime(
        { ...deps, ...(network ? { network } : {}) },
        { dockerHost: config.dockerHost, stateDirectory, scope: nodeName },
      );
    case 'process':
      return new ProcessRuntime(deps, { stateDirectory });
    case 'fake':
      return new FakeRuntime(deps, { programs: shellProgram });
  }
}

function peerImageClient({ certificates, peerServers }: NodeSettings) {
  return {
    peers: peerServers,
    request: (peer: string, path: string) =>
      new Promise<IncomingMessage>((resolve, reject) => {
        const request = httpsRequest(
          `https://${peer}${path}`,
          { ...certificates.tls, timeout: IMAGE_REQUEST_TIMEOUT_MS },
          resolve,
        );
        request.once('timeout', () => request.destroy(new Error('no answer in time')));
        request.once('error', reject);
        request.end();
      }),
  };
}

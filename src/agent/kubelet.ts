/** The kubelet of this machine put together: what registers its node, gets its images and runs its pods. */
import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/log.js';
import type { Metrics } from '../base/metrics.js';
import type { Random } from '../base/random.js';
import type { Node } from '../api/types/core-v1.js';
import type { Client } from '../client/client.js';
import type { Informer } from '../client/informer.js';
import { VERSION } from '../control/apiserver/http/path-handler.js';
import { ImageManager } from '../node/images/image-manager.js';
import type { PeerImages } from '../node/images/peer-images.js';
import { Kubelet, type KubeletDeps } from '../node/kubelet/kubelet.js';
import { NodeRegistration, type MachineFacts } from '../node/kubelet/node-registration.js';
import type { ClusterDns, DnsSettings } from '../node/kubelet/pod-network-files.js';
import type { Runtime } from '../node/runtime/runtime.js';

export interface NodeDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface NodeKubeletDeps extends NodeDeps, Pick<KubeletDeps, 'files'> {
  readonly runtime: Runtime;
  readonly machine: MachineFacts;
  /** All nodes; started by the caller. */
  readonly nodes: Informer<Node>;
  /** Absent: images come from registries only. */
  readonly peers?: PeerImages;
  /** Undefined while the pod network works, else why it does not. */
  readonly networkProblem?: () => string | undefined;
}

export interface NodeKubeletSettings {
  readonly nodeName: string;
  readonly address: string;
  readonly kubeletPort: number;
  /** The node's data directory. */
  readonly root: string;
  readonly tmpfs: boolean;
  readonly clusterDns: ClusterDns;
  readonly hostDns: DnsSettings;
  /** True once the local copy of the cluster's state is as new as the group's. */
  readonly isCurrent: () => boolean;
}

export interface NodeKubelet {
  readonly images: ImageManager;
  /** To be started in this order. */
  readonly kubelet: Kubelet;
  readonly registration: NodeRegistration;
}

export function createKubelet(deps: NodeKubeletDeps, settings: NodeKubeletSettings): NodeKubelet {
  const { machine, nodes } = deps;
  const { nodeName, address } = settings;
  const images = new ImageManager(deps);
  const registration = new NodeRegistration(deps, {
    nodeName,
    addresses: [address],
    kubeletVersion: VERSION.gitVersion,
    kubeletPort: settings.kubeletPort,
  });
  const kubelet = new Kubelet(
    { ...deps, images, node: registration, isCurrent: settings.isCurrent },
    {
      root: settings.root,
      tmpfs: settings.tmpfs,
      context: {
        nodeName,
        hostIps: [address],
        clusterDns: settings.clusterDns,
        hostDns: settings.hostDns,
        memoryCapacityBytes: machine.memoryBytes,
        allocatable: {
          cpu: machine.cpus,
          memory: machine.memoryBytes,
          'ephemeral-storage': machine.ephemeralStorageBytes,
        },
      },
    },
  );
  // Another part of the cluster may have called this node unreachable: set it right at once.
  nodes.addHandler({
    onUpsert: (node) => {
      const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
      if (node.metadata.name === nodeName && ready?.status === 'Unknown') registration.refresh();
    },
  });
  return { images, kubelet, registration };
}

/**
 * What every cluster has: its namespaces, `default/kubernetes` with the API addresses of all live peers, and the Service that
 * names the cluster's DNS. (The slices of kube-dns are made by the nodes, one each.)
 *
 * Level-triggered: what is deleted comes back, and what people change in `kubernetes` endpoints is put right.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Service as Running } from '../../../base/lifecycle.js';
import { isAlreadyExists } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { ENDPOINTS, ENDPOINTSLICES, NAMESPACES, SERVICES, type ResourceRef } from '../../../api/resource.js';
import type { Endpoints, Namespace, Service } from '../../../api/types/core-v1.js';
import type { EndpointSlice } from '../../../api/types/discovery-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { familyOf } from '../endpoints/service-pods.js';
import { listening } from '../listening.js';

export interface ApiEndpoint {
  readonly ip: string;
  readonly port: number;
}

/** Where the API is served now; implemented from the mesh's membership. */
export interface ApiEndpoints {
  current(): readonly ApiEndpoint[];
  /** Calls back on every change; the result ends that. */
  onChange(listener: () => void): () => void;
}

export interface BootstrapOptions {
  readonly apiEndpoints: ApiEndpoints;
  /** The ClusterIP of `default/kubernetes`, the first address of the service range. */
  readonly kubernetesIp: string;
  /** The ClusterIP of `kube-system/kube-dns`. */
  readonly dnsIp: string;
  /** Looks again after so long even if nothing changed, in milliseconds; 60,000 unless told. */
  readonly resyncMs?: number;
}

const SYSTEM_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'] as const;
const KEY = 'cluster';

export function bootstrapController(deps: SharedDeps, options: BootstrapOptions): Running {
  const { client } = deps;
  const namespaces = deps.informers.of<Namespace>(NAMESPACES);
  const services = deps.informers.of<Service>(SERVICES);
  const endpoints = deps.informers.of<Endpoints>(ENDPOINTS);
  const slices = deps.informers.of<EndpointSlice>(ENDPOINTSLICES);
  const controller = new Controller(deps, {
    name: 'bootstrap',
    waitFor: [namespaces, services, endpoints, slices],
    reconcile,
  });
  const wake = ({ metadata }: KubeObject) => {
    const isOurs = !metadata.namespace || metadata.name === 'kubernetes' || metadata.name === 'kube-dns';
    if (isOurs) controller.queue.add(KEY);
  };
  for (const informer of [namespaces, services, endpoints, slices] as const) {
    informer.addHandler({ onUpsert: wake, onDelete: wake });
  }

  async function reconcile(): Promise<ReconcileResult> {
    for (const name of SYSTEM_NAMESPACES) {
      if (!namespaces.get('', name)) await ensure(NAMESPACES, { metadata: { name } });
    }
    await ensureService(kubernetesService(options.kubernetesIp));
    await ensureService(dnsService(options.dnsIp));
    const addresses = [...options.apiEndpoints.current()].sort((a, b) => a.ip.localeCompare(b.ip) || a.port - b.port);
    // Nobody known: this peer has only just begun to look. Better old addresses than none.
    if (addresses.length > 0) {
      await put(ENDPOINTS, kubernetesEndpoints(addresses), endpoints.get('default', 'kubernetes'));
      await put(ENDPOINTSLICES, kubernetesSlice(addresses), slices.get('default', 'kubernetes'));
    }
    return { requeueAfterMs: options.resyncMs ?? 60_000 };
  }

  async function ensureService(service: Service): Promise<void> {
    const { namespace = '', name = '' } = service.metadata;
    if (!services.get(namespace, name)) await ensure(SERVICES, service);
  }

  async function ensure<T extends KubeObject>(resource: ResourceRef, object: T): Promise<void> {
    try {
      await client.create<T>(resource, object);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  async function put<T extends KubeObject>(resource: ResourceRef, wanted: T, present: T | undefined): Promise<void> {
    if (!present) {
      await ensure(resource, wanted);
      return;
    }
    const labels = { ...present.metadata.labels, ...wanted.metadata.labels };
    const next = { ...present, ...wanted, metadata: { ...present.metadata, labels } };
    if (!isDeepStrictEqual(next, present)) await client.update<T>(resource, next);
  }
  return listening(controller, () => options.apiEndpoints.onChange(() => controller.queue.add(KEY)));
}

function kubernetesService(clusterIP: string): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      namespace: 'default',
      name: 'kubernetes',
      labels: { component: 'apiserver', provider: 'kubernetes' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: [familyOf(clusterIP)],
      ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      // A name: the port of each peer's API may differ, and comes with its endpoint.
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: 6443 }],
    },
  };
}

function dnsService(clusterIP: string): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      namespace: 'kube-system',
      name: 'kube-dns',
      labels: {
        'k8s-app': 'kube-dns',
        'kubernetes.io/cluster-service': 'true',
        'kubernetes.io/name': 'CoreDNS',
      },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: [familyOf(clusterIP)],
      ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None',
      // Every node answers the names of its own pods from its own memory.
      internalTrafficPolicy: 'Local',
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
        { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 53 },
      ],
    },
  };
}

/** One subset for each port that peers serve on. */
function kubernetesEndpoints(addresses: readonly ApiEndpoint[]): Endpoints {
  const ports = [...new Set(addresses.map(({ port }) => port))].sort((a, b) => a - b);
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      namespace: 'default',
      name: 'kubernetes',
      labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    },
    subsets: ports.map((port) => ({
      addresses: addresses.filter((address) => address.port === port).map(({ ip }) => ({ ip })),
      ports: [{ name: 'https', port, protocol: 'TCP' }],
    })),
  };
}

/** A slice has one port number for all its endpoints: that of most peers; others are reached by the Endpoints object. */
function kubernetesSlice(addresses: readonly ApiEndpoint[]): EndpointSlice {
  const byPort = new Map<number, ApiEndpoint[]>();
  for (const address of addresses) byPort.set(address.port, [...(byPort.get(address.port) ?? []), address]);
  const [[port, members] = [6443, []]] = [...byPort].sort(([, a], [, b]) => b.length - a.length);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace: 'default',
      name: 'kubernetes',
      labels: { 'kubernetes.io/service-name': 'kubernetes' },
    },
    addressType: familyOf(members[0]?.ip ?? ''),
    ports: [{ name: 'https', port, protocol: 'TCP' }],
    endpoints: members.map(({ ip }) => ({ addresses: [ip], conditions: { ready: true } })),
  };
}

/**
 * What every cluster has: its namespaces, the system's priority classes, `default/kubernetes` with the API addresses of all live peers, and the Service that
 * names the cluster's DNS. (The slices of kube-dns are made by the nodes, one each.)
 *
 * Level-triggered: what is deleted comes back, and what people change in `kubernetes` endpoints is put right.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Service as Running } from '../../../base/lifecycle.js';
import { isAlreadyExists, isNotFound } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { ENDPOINTS, ENDPOINTSLICES, NAMESPACES, SERVICES, type ResourceRef } from '../../../api/resource.js';
import type { Endpoints, Namespace, Service } from '../../../api/types/core-v1.js';
import type { EndpointSlice } from '../../../api/types/discovery-v1.js';
import type { PriorityClass } from '../../../api/types/scheduling-v1.js';
import { Controller, type ReconcileResult } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';
import { familyOf } from '../endpoints/service-pods.js';
import { MANAGED_BY, SERVICE_NAME } from '../endpointslice/plan.js';
import { BY_NAMESPACE } from '../informer-set.js';
import { listening } from '../listening.js';
import { PRIORITYCLASSES, SYSTEM_PRIORITY_CLASSES } from './priority-classes.js';

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
  const classes = deps.informers.of<PriorityClass>(PRIORITYCLASSES);
  const controller = new Controller(deps, {
    name: 'bootstrap',
    waitFor: [namespaces, services, endpoints, slices, classes],
    reconcile,
  });
  // A cluster with nothing in it wakes nobody.
  controller.queue.add(KEY);
  const wake = ({ metadata }: KubeObject) => {
    const { namespace, name = '' } = metadata;
    const isOurs = !namespace || name === 'kube-dns' || (namespace === 'default' && name.startsWith('kubernetes'));
    if (isOurs) controller.queue.add(KEY);
  };
  for (const informer of [namespaces, services, endpoints, slices] as const) {
    informer.addHandler({ onUpsert: wake, onDelete: wake });
  }
  classes.addHandler({ onDelete: wake });

  async function reconcile(): Promise<ReconcileResult> {
    for (const name of SYSTEM_NAMESPACES) {
      if (!namespaces.get('', name)) await ensure(NAMESPACES, { metadata: { name } });
    }
    for (const wanted of SYSTEM_PRIORITY_CLASSES) {
      if (!classes.get('', wanted.metadata.name ?? '')) await ensure(PRIORITYCLASSES, wanted);
    }
    await ensureService(kubernetesService(options.kubernetesIp));
    await ensureService(dnsService(options.dnsIp));
    const addresses = [...options.apiEndpoints.current()].sort((a, b) => a.ip.localeCompare(b.ip) || a.port - b.port);
    // Nobody known: this peer has only just begun to look. Better old addresses than none.
    if (addresses.length > 0) {
      await put(ENDPOINTS, kubernetesEndpoints(addresses), endpoints.get('default', 'kubernetes'));
      await putSlices(kubernetesSlices(addresses));
    }
    return { requeueAfterMs: options.resyncMs ?? 60_000 };
  }

  async function putSlices(wanted: readonly EndpointSlice[]): Promise<void> {
    for (const slice of wanted) {
      const present = slices.get('default', slice.metadata.name ?? '');
      // The address type of a slice cannot change.
      if (present && present.addressType !== slice.addressType) await remove(present);
      else await put(ENDPOINTSLICES, slice, present);
    }
    const names = new Set(wanted.map(({ metadata }) => metadata.name));
    for (const slice of slices.byIndex(BY_NAMESPACE, 'default')) {
      const { labels = {}, name } = slice.metadata;
      const isOurs = labels[SERVICE_NAME] === 'kubernetes' && labels[MANAGED_BY] === undefined;
      if (isOurs && !names.has(name)) await remove(slice);
    }
  }

  async function remove({ metadata }: EndpointSlice): Promise<void> {
    const { namespace = '', name = '', uid = '' } = metadata;
    try {
      await client.delete(ENDPOINTSLICES, namespace, name, { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
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
      // Upstream's default; the ports that peers really serve on come with their endpoints.
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

/**
 * A slice has one port number for all its endpoints: peers that serve on other ports have slices of their own. That of the
 * most peers has upstream's name.
 */
function kubernetesSlices(addresses: readonly ApiEndpoint[]): EndpointSlice[] {
  const byPort = new Map<string, ApiEndpoint[]>();
  for (const address of addresses) {
    const key = `${familyOf(address.ip)} ${address.port}`;
    byPort.set(key, [...(byPort.get(key) ?? []), address]);
  }
  const largestFirst = [...byPort.values()].sort((a, b) => b.length - a.length);
  return largestFirst.flatMap((members, at) => {
    const [first] = members;
    if (!first) return [];
    const suffix = at === 0 ? '' : `-${familyOf(first.ip).toLowerCase()}-${first.port}`;
    return [
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          namespace: 'default',
          name: `kubernetes${suffix}`,
          labels: { [SERVICE_NAME]: 'kubernetes' },
        },
        addressType: familyOf(first.ip),
        ports: [{ name: 'https', port: first.port, protocol: 'TCP' }],
        endpoints: members.map(({ ip }) => ({ addresses: [ip], conditions: { ready: true } })),
      },
    ];
  });
}

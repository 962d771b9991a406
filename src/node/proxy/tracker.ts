/**
 * Keeps {@link ProxyState} up to date from informers. Only what changed is computed anew: a Service port whose chains stay
 * the same stays the same object, which is how the proxier tells cheaply what to rewrite.
 */
import { isDeepStrictEqual } from 'node:util';
import type { EndpointSlice } from '../../api/types/discovery-v1.js';
import type { Pod, Service } from '../../api/types/core-v1.js';
import { keyOf } from '../../api/object.js';
import type { Lister } from '../../client/informer.js';
import { hostPorts, servicePorts, type ProxyState, type ServicePortState } from './model.js';

export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
/** The index of EndpointSlices that the tracker asks for. */
export const BY_SERVICE = 'service';

/** `namespace/name` of the Service that a slice belongs to. */
export function serviceKeyOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? undefined : `${slice.metadata.namespace}/${name}`;
}

export interface TrackerSources {
  readonly services: Lister<Service>;
  readonly slices: Lister<EndpointSlice>;
  readonly pods: Lister<Pod>;
}

export class StateTracker {
  private readonly ports = new Map<string, readonly ServicePortState[]>();
  private readonly dirty = new Set<string>();

  constructor(
    private readonly sources: TrackerSources,
    private readonly nodeName: string,
  ) {}

  /** Bounded by the number of Services. */
  mark(serviceKey: string): void {
    this.dirty.add(serviceKey);
  }

  markAll(): void {
    for (const service of this.sources.services.list()) this.dirty.add(keyOf(service));
    for (const key of this.ports.keys()) this.dirty.add(key);
  }

  build(): ProxyState {
    for (const key of this.dirty) this.recompute(key);
    this.dirty.clear();
    const services = [...this.ports.keys()].sort().flatMap((key) => [...(this.ports.get(key) ?? [])]);
    const pods = this.sources.pods.list().filter((pod) => pod.spec?.nodeName === this.nodeName);
    const ports = pods.flatMap((pod) => [...hostPorts(pod)]);
    ports.sort((a, b) => a.hostPort - b.hostPort || (a.pod < b.pod ? -1 : 1));
    return { services, hostPorts: ports };
  }

  private recompute(key: string): void {
    const slash = key.indexOf('/');
    const service = this.sources.services.get(key.slice(0, slash), key.slice(slash + 1));
    if (!service) {
      this.ports.delete(key);
      return;
    }
    const before = this.ports.get(key) ?? [];
    const now = servicePorts(service, this.sources.slices.byIndex(BY_SERVICE, key), this.nodeName);
    this.ports.set(
      key,
      now.map((port, i) => {
        const old = before[i];
        return old && isDeepStrictEqual(old, port) ? old : port;
      }),
    );
  }
}

/**
 * The service proxy of one node: watches Services, EndpointSlices and this node's Pods, and keeps the proxier's rules as
 * they must be. Changes are gathered for a short window; everything is written anew on an interval, since other programs
 * change rules too.
 */
import type { Command } from '../../base/command.js';
import type { Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import type { Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import { ENDPOINTSLICES, PODS, SERVICES } from '../../api/resource.js';
import { keyOf } from '../../api/object.js';
import type { Pod, Service as KubeService } from '../../api/types/core-v1.js';
import type { EndpointSlice } from '../../api/types/discovery-v1.js';
import type { Client } from '../../client/client.js';
import { Controller } from '../../client/controller.js';
import { Informer } from '../../client/informer.js';
import { IptablesProxier } from './iptables-proxier.js';
import type { Proxier } from './proxier.js';
import { BY_SERVICE, serviceKeyOf, StateTracker } from './tracker.js';
import { UserspaceProxier } from './userspace/proxier.js';

export interface ProxyDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly command: Command;
}

export interface ProxyOptions {
  /** `none` does nothing at all. */
  readonly mode: 'iptables' | 'userspace' | 'none';
  readonly nodeName: string;
  /** All pods; `10.244.0.0/16` unless told. Traffic to cluster IPs from elsewhere is masqueraded. */
  readonly clusterCidr?: string;
  /** Masquerade all traffic to cluster IPs; false unless told. */
  readonly masqueradeAll?: boolean;
  /** Bit of the packet mark that asks for masquerading; 0x4000 unless told. */
  readonly masqueradeMark?: number;
  /** NodePorts and host ports answer on 127.0.0.1 too; true unless told. */
  readonly localhostNodePorts?: boolean;
  /** Changes within so many milliseconds are written together; 10 unless told. */
  readonly coalesceMs?: number;
  /** Everything is written anew after so many milliseconds; 60,000 unless told. */
  readonly resyncIntervalMs?: number;
  /** Userspace: most connections and UDP flows at once, over all Services; 4,096 unless told. */
  readonly maxConnections?: number;
  /** Userspace: an idle UDP flow ends after so many milliseconds; 30,000 unless told. */
  readonly udpIdleMs?: number;
}

const KEY = 'sync';

export interface Proxy extends Service {
  /** Removes every rule, address and listener. For decommissioning; call it after `stop`. */
  cleanup(): Promise<void>;
}

/** `start` resolves at once; rules are there soon after the informers have synced. */
export function createProxy(deps: ProxyDeps, options: ProxyOptions): Proxy {
  if (options.mode === 'none') {
    const nothing = () => Promise.resolve();
    return { name: 'proxy', start: nothing, stop: nothing, cleanup: nothing };
  }
  return new NodeProxy(deps, options, createProxier(deps, options));
}

function createProxier(deps: ProxyDeps, options: ProxyOptions): Proxier {
  if (options.mode === 'userspace') {
    return new UserspaceProxier(deps, {
      maxConnections: options.maxConnections ?? 4096,
      udpIdleMs: options.udpIdleMs ?? 30_000,
    });
  }
  return new IptablesProxier(deps, {
    clusterCidr: options.clusterCidr ?? '10.244.0.0/16',
    masqueradeMark: options.masqueradeMark ?? 0x4000,
    masqueradeAll: options.masqueradeAll ?? false,
    localhostNodePorts: options.localhostNodePorts ?? true,
  });
}

class NodeProxy implements Proxy {
  readonly name = 'proxy';
  private readonly services: Informer<KubeService>;
  private readonly slices: Informer<EndpointSlice>;
  private readonly pods: Informer<Pod>;
  private readonly tracker: StateTracker;
  private readonly controller: Controller;
  private fullDueMs = 0;

  constructor(
    private readonly deps: ProxyDeps,
    private readonly options: ProxyOptions,
    private readonly proxier: Proxier,
  ) {
    this.services = new Informer(deps, SERVICES);
    this.slices = new Informer(deps, ENDPOINTSLICES, {
      indexes: {
        [BY_SERVICE]: (slice) => {
          const key = serviceKeyOf(slice);
          return key === undefined ? [] : [key];
        },
      },
    });
    this.pods = new Informer(deps, PODS, { fieldSelector: `spec.nodeName=${options.nodeName}` });
    this.tracker = new StateTracker(
      { services: this.services, slices: this.slices, pods: this.pods },
      options.nodeName,
    );
    this.controller = new Controller(deps, {
      name: 'proxy',
      waitFor: [this.services, this.slices, this.pods],
      reconcile: () => this.sync(),
    });
  }

  async start(): Promise<void> {
    const { coalesceMs = 10 } = this.options;
    const wake = () => this.controller.queue.addAfter(KEY, coalesceMs);
    const service = (object: KubeService) => {
      this.tracker.mark(keyOf(object));
      wake();
    };
    this.services.addHandler({ onUpsert: service, onDelete: service });
    const slice = (object: EndpointSlice, previous?: EndpointSlice) => {
      for (const one of previous ? [object, previous] : [object]) {
        const key = serviceKeyOf(one);
        if (key !== undefined) this.tracker.mark(key);
      }
      wake();
    };
    this.slices.addHandler({ onUpsert: slice, onDelete: (object) => slice(object) });
    const hasHostPort = (pod: Pod) =>
      pod.spec?.containers?.some((container) => container.ports?.some(({ hostPort }) => hostPort)) ||
      pod.spec?.initContainers?.some((container) => container.ports?.some(({ hostPort }) => hostPort));
    const pod = (object: Pod) => (hasHostPort(object) ? wake() : undefined);
    this.pods.addHandler({ onUpsert: pod, onDelete: pod });
    wake();
    for (const informer of [this.services, this.slices, this.pods]) await informer.start();
    await this.controller.start();
  }

  async stop(): Promise<void> {
    await this.controller.stop();
    await Promise.all([this.services, this.slices, this.pods].map((informer) => informer.stop()));
    await this.proxier.stop();
  }

  cleanup(): Promise<void> {
    return this.proxier.cleanup();
  }

  private async sync() {
    const { clock } = this.deps;
    const { resyncIntervalMs = 60_000 } = this.options;
    const began = clock.monotonicMs();
    const due = this.fullDueMs;
    const full = began >= due;
    // A failure makes the next sync a full one.
    this.fullDueMs = 0;
    await this.proxier.sync(this.tracker.build(), full);
    const now = clock.monotonicMs();
    // With very many Services a full sync takes seconds: it may cost a fiftieth of the time, no more.
    this.fullDueMs = full ? now + Math.max(resyncIntervalMs, 50 * (now - began)) : due;
    return { requeueAfterMs: Math.max(1, this.fullDueMs - now) };
  }
}

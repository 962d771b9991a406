/**
 * Registers this machine as a Node and keeps its status: on every change, and every `heartbeatMs` for the heartbeat
 * times. Labels, taints and `podCIDR` that others set stay as they are.
 */
import { isDeepStrictEqual } from 'node:util';
import { rfc3339, type Cancel, type Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import { errorText, type Logger } from '../../base/log.js';
import { isAlreadyExists, isNotFound } from '../../api/errors.js';
import { NODES } from '../../api/resource.js';
import type { Node, NodeCondition, NodeStatus, NodeSystemInfo } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';
import type { Runtime } from '../runtime/runtime.js';
import { ensureNodeLease } from './node-lease.js';

/** What the kubelet must be told of the machine it is on. */
export interface MachineFacts {
  /** `amd64`, `arm64`: Go's names. */
  readonly architecture: string;
  readonly bootId: string;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly ephemeralStorageBytes: number;
  /** Newest readings; a machine under pressure is reported as such. */
  readonly pressure: () => Promise<{ readonly memory: boolean; readonly disk: boolean; readonly pids: boolean }>;
}

export interface NodeRegistrationOptions {
  readonly nodeName: string;
  /** IPv4 first. */
  readonly addresses: readonly string[];
  /** `v1.32.0+skein` */
  readonly kubeletVersion: string;
  readonly kubeletPort: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Pods at most; 110 unless told. */
  readonly maxPods?: number;
  /** Kept from pods, by resource name in base units (cpu in thousandths). */
  readonly reserved?: { readonly cpuMilli?: number; readonly memoryBytes?: number; readonly storageBytes?: number };
  /** The status is looked at so often, in milliseconds; 10 000 unless told. */
  readonly checkMs?: number;
  /** An unchanged status is written so often, in milliseconds; 300 000 unless told. */
  readonly heartbeatMs?: number;
  /** Images named in the status; 50 unless told. */
  readonly maxImages?: number;
}

interface Deps {
  readonly client: Client;
  readonly runtime: Pick<Runtime, 'name' | 'version' | 'listImages'>;
  readonly machine: MachineFacts;
  readonly clock: Clock;
  readonly log: Logger;
  /** Undefined while the pod network works, else why it does not. */
  readonly networkProblem?: () => string | undefined;
}

/** After a failed write, in milliseconds: sooner than the controllers would evict the pods of a node that looks dead. */
const RETRY_MS = 1_000;

export class NodeRegistration implements Service {
  readonly name = 'kubelet/node';
  private current: Node | undefined;
  private writtenMs = 0;
  /** The Node whose Lease has been seen. */
  private leasedUid: string | undefined;
  private cancel: Cancel | undefined;
  private running: Promise<void> | undefined;
  private cancelRetry: Cancel | undefined;
  private again = false;
  private stopped = false;

  constructor(
    private readonly deps: Deps,
    private readonly options: NodeRegistrationOptions,
  ) {}

  /** The node as last read or written; undefined before the first registration. */
  known(): Node | undefined {
    return this.current;
  }

  /** The node as the API has it now; undefined when it is not there. Throws what else the API answers. */
  async read(): Promise<Node | undefined> {
    try {
      return (this.current = await this.deps.client.get<Node>(NODES, '', this.options.nodeName));
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Registers in the background: an API that is away must not keep the agent from starting. */
  async start(): Promise<void> {
    this.cancel = this.deps.clock.interval(this.options.checkMs ?? 10_000, () => this.refresh());
    this.refresh();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancel?.();
    this.cancelRetry?.();
    await this.running;
  }

  /** Looks now instead of at the next turn; what changes while it looks is looked at again. */
  refresh(): void {
    if (this.stopped) return;
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = this.sync()
      .catch((error: unknown) => {
        this.deps.log.warn('node status not written', { error: errorText(error) });
        this.cancelRetry = this.deps.clock.timer(RETRY_MS, () => this.refresh());
      })
      .finally(() => {
        this.running = undefined;
        if (!this.again || this.stopped) return;
        this.again = false;
        this.refresh();
      });
  }

  private async sync(): Promise<void> {
    const present = await this.registered();
    const status = await this.status(present);
    const changed = !isDeepStrictEqual(steady(status), steady(present.status ?? {}));
    const late = this.deps.clock.monotonicMs() - this.writtenMs >= (this.options.heartbeatMs ?? 300_000);
    this.current = present;
    await this.lease(present, late);
    if (!changed && !late && this.writtenMs > 0) return;
    this.current = await this.deps.client.patch<Node>(
      NODES,
      '',
      this.options.nodeName,
      'merge',
      { status: { ...status, allocatable: replacing(present.status?.allocatable, status.allocatable) } },
      { subresource: 'status', fieldManager: 'kubelet' },
    );
    this.writtenMs = Math.max(1, this.deps.clock.monotonicMs());
  }

  /** Once for each Node, and as often as an unchanged status is written. */
  private async lease(node: Node, late: boolean): Promise<void> {
    const { uid } = node.metadata;
    if (uid === this.leasedUid && !late) return;
    const there = await ensureNodeLease(this.deps.client, this.deps.clock, node);
    this.leasedUid = there ? uid : undefined;
  }

  private async registered(): Promise<Node> {
    const { nodeName } = this.options;
    try {
      const present = await this.deps.client.get<Node>(NODES, '', nodeName);
      const labels = Object.fromEntries(
        Object.entries(this.labels()).filter(([key, value]) => present.metadata.labels?.[key] !== value),
      );
      if (Object.keys(labels).length === 0) return present;
      return await this.deps.client.patch<Node>(NODES, '', nodeName, 'merge', { metadata: { labels } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    try {
      return await this.deps.client.create<Node>(NODES, {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name: nodeName, labels: this.labels(), annotations: { ...this.options.annotations } },
        spec: {},
      });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      return this.deps.client.get<Node>(NODES, '', nodeName);
    }
  }

  private labels(): Record<string, string> {
    const { architecture } = this.deps.machine;
    return {
      'beta.kubernetes.io/arch': architecture,
      'beta.kubernetes.io/os': 'linux',
      'kubernetes.io/arch': architecture,
      'kubernetes.io/hostname': this.options.nodeName,
      'kubernetes.io/os': 'linux',
      ...this.options.labels,
    };
  }

  private async status(present: Node): Promise<NodeStatus> {
    const { machine, runtime } = this.deps;
    const { addresses, nodeName, kubeletPort, reserved = {}, maxPods = 110, maxImages = 50 } = this.options;
    let problem = this.deps.networkProblem?.();
    const version = await runtime.version().catch((error: unknown) => {
      problem = `container runtime is down: ${errorText(error)}`;
      return undefined;
    });
    const images = version === undefined ? [] : await runtime.listImages();
    const capacity = (cpuMilli: number, memoryBytes: number, storageBytes: number) => ({
      cpu: cpuMilli % 1000 === 0 ? String(cpuMilli / 1000) : `${cpuMilli}m`,
      memory: `${Math.floor(memoryBytes / 1024)}Ki`,
      'ephemeral-storage': `${Math.floor(storageBytes / 1024)}Ki`,
      'hugepages-1Gi': '0',
      'hugepages-2Mi': '0',
      pods: String(maxPods),
    });
    const { cpus, memoryBytes, ephemeralStorageBytes } = machine;
    const whole = capacity(cpus * 1000, memoryBytes, ephemeralStorageBytes);
    // Extended resources are others' to announce; all of them is for pods.
    const extended = Object.entries(present.status?.capacity ?? {}).filter(([name]) => !Object.hasOwn(whole, name));
    return {
      addresses: [
        ...addresses.map((address) => ({ type: 'InternalIP', address })),
        { type: 'Hostname', address: nodeName },
      ],
      capacity: { ...whole, ...Object.fromEntries(extended) },
      allocatable: {
        ...capacity(
          cpus * 1000 - (reserved.cpuMilli ?? 0),
          memoryBytes - (reserved.memoryBytes ?? 0),
          ephemeralStorageBytes - (reserved.storageBytes ?? 0),
        ),
        ...Object.fromEntries(extended),
      },
      conditions: await this.conditions(present, problem),
      daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
      nodeInfo: this.info(version, present.status?.nodeInfo),
      images: [...images]
        .sort((a, b) => b.sizeBytes - a.sizeBytes)
        .slice(0, maxImages)
        .map(({ digests, tags, sizeBytes }) => ({ names: [...digests, ...tags].slice(0, 5), sizeBytes })),
    };
  }

  private info(version: string | undefined, before: NodeSystemInfo | undefined): NodeSystemInfo {
    const { machine, runtime } = this.deps;
    return {
      architecture: machine.architecture,
      bootID: machine.bootId,
      containerRuntimeVersion:
        version === undefined
          ? (before?.containerRuntimeVersion ?? `${runtime.name}://Unknown`)
          : `${runtime.name}://${version}`,
      kernelVersion: machine.kernelVersion,
      kubeProxyVersion: this.options.kubeletVersion,
      kubeletVersion: this.options.kubeletVersion,
      machineID: machine.machineId,
      operatingSystem: 'linux',
      osImage: machine.osImage,
      systemUUID: machine.systemUuid,
    };
  }

  private async conditions(present: Node, problem: string | undefined): Promise<NodeCondition[]> {
    const { memory, disk, pids } = await this.deps.machine.pressure();
    const at = rfc3339(this.deps.clock.nowMs());
    const before = present.status?.conditions ?? [];
    const condition = (type: string, truth: boolean, reason: string, message: string): NodeCondition => {
      const old = before.find((one) => one.type === type);
      const status = truth ? 'True' : 'False';
      const since = old?.status === status ? old.lastTransitionTime : undefined;
      return { type, status, reason, message, lastHeartbeatTime: at, lastTransitionTime: since ?? at };
    };
    const under = (type: string, reason: string, truth: boolean, what: string) =>
      truth
        ? condition(type, true, `KubeletHas${reason}Pressure`, `kubelet has ${what} pressure`)
        : condition(type, false, reason, '');
    const ours = [
      memory
        ? condition('MemoryPressure', true, 'KubeletHasInsufficientMemory', 'kubelet has insufficient memory available')
        : condition('MemoryPressure', false, 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
      disk
        ? under('DiskPressure', 'Disk', true, 'disk')
        : condition('DiskPressure', false, 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
      pids
        ? condition('PIDPressure', true, 'KubeletHasInsufficientPID', 'kubelet has insufficient PID available')
        : condition('PIDPressure', false, 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
      problem === undefined
        ? condition('Ready', true, 'KubeletReady', 'kubelet is posting ready status')
        : condition('Ready', false, 'KubeletNotReady', problem),
    ];
    const own = new Set(ours.map(({ type }) => type));
    return [...before.filter(({ type }) => !own.has(type)), ...ours];
  }
}

/** A merge patch that leaves of `before` only what is in `after`. */
function replacing(before: NodeStatus['allocatable'], after: NodeStatus['allocatable']): Record<string, unknown> {
  return { ...Object.fromEntries(Object.keys(before ?? {}).map((name) => [name, null])), ...after };
}

/** The parts of a status whose change is worth a write of its own. */
function steady(status: NodeStatus): unknown {
  const { addresses, capacity, allocatable, daemonEndpoints, nodeInfo, images = [] } = status;
  const conditions = (status.conditions ?? []).map((condition) => ({ ...condition, lastHeartbeatTime: '' }));
  return { addresses, capacity, allocatable, daemonEndpoints, nodeInfo, images, conditions };
}

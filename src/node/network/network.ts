/**
 * The pod network of one node: a bridge with this node's pod CIDR, and routes to every other node's, learnt from Node
 * objects. One level-triggered loop: whatever changed, it compares the kernel with what must be and mends the difference,
 * also on an interval in case others changed it.
 *
 * The node's pod CIDR is remembered on disk, so that a machine that boots alone connects its pods again.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from '../../base/command.js';
import { formatIp, parseCidr } from '../../base/ipv4.js';
import type { Clock } from '../../base/clock.js';
import type { Service } from '../../base/lifecycle.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Metrics } from '../../base/metrics.js';
import type { Node } from '../../api/types/core-v1.js';
import { Controller } from '../../client/controller.js';
import type { Informer } from '../../client/informer.js';
import { attachSandbox, detachSandbox, isAttached } from './attachment.js';
import { gatewayOf } from './cidr.js';
import { AddressPool } from './ipam.js';
import { Kernel } from './kernel.js';
import { planNetwork, podMtu, uplinkOf, type NetworkSettings, type Peer, type RouteMode } from './plan.js';

export interface NetworkOptions {
  readonly nodeName: string;
  /** All nodes' pod CIDRs are in here; traffic that leaves it is masqueraded. `10.244.0.0/16` unless told. */
  readonly clusterCidr?: string;
  /** `auto` unless told. */
  readonly mode?: RouteMode;
  /** Address claims and the pod CIDR are kept here; survives restarts. */
  readonly stateDir: string;
  /** `skein0` unless told. */
  readonly bridge?: string;
  /** `skein.vxlan` unless told. */
  readonly vxlanDevice?: string;
  /** VXLAN network identifier; 1 unless told. */
  readonly vni?: number;
  /** UDP port of VXLAN; 8472 unless told. */
  readonly vxlanPort?: number;
  /** MTU of pods in bytes; 0, the default, derives it from the uplink. */
  readonly mtu?: number;
  /** How often the kernel's state is verified when nothing changed, in milliseconds; 30,000 unless told. */
  readonly verifyIntervalMs?: number;
}

export interface NetworkDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly command: Command;
  /** Started and stopped by the caller. */
  readonly nodes: Informer<Node>;
  /** Called with the bridge's address whenever the bridge was (re)made or found in place for the first time. */
  readonly onReady?: (gateway: string) => void;
}

/** The node has no pod CIDR yet, or the bridge could not be made yet: try again later. */
export class NetworkNotReadyError extends Error {
  readonly code = 'ERR_NETWORK_NOT_READY';
}

const KEY = 'network';
/** Time until a change is verified, in milliseconds. */
const SETTLE_MS = 1000;
const CIDR_FILE = 'pod-cidr.json';

interface Identity {
  readonly podCIDR: string;
  readonly address: string;
}

/** The node's InternalIP (IPv4), if it has one. */
export function internalIp(node: Node): string | undefined {
  return node.status?.addresses?.find(({ type, address }) => type === 'InternalIP' && address.includes('.'))?.address;
}

/** Implements `PodNetwork` of node/runtime. `attach` and `detach` may overlap for different sandboxes. */
export class NodeNetwork implements Service {
  readonly name = 'network';
  private readonly settings: NetworkSettings;
  private readonly kernel: Kernel;
  private readonly pool: AddressPool;
  private readonly controller: Controller;
  private identity: Identity | undefined;
  private mtu: number | undefined;
  private readonly attached = new Map<string, number>();
  private readonly complaints = new Set<string>();

  constructor(
    private readonly deps: NetworkDeps,
    private readonly options: NetworkOptions,
  ) {
    this.settings = {
      clusterCidr: options.clusterCidr ?? '10.244.0.0/16',
      mode: options.mode ?? 'auto',
      bridge: options.bridge ?? 'skein0',
      vxlanDevice: options.vxlanDevice ?? 'skein.vxlan',
      vni: options.vni ?? 1,
      vxlanPort: options.vxlanPort ?? 8472,
      mtu: options.mtu ?? 0,
    };
    this.kernel = new Kernel(deps.command, this.settings);
    this.pool = new AddressPool(join(options.stateDir, 'addresses'));
    this.controller = new Controller(deps, {
      name: 'network',
      waitFor: [],
      reconcile: async () => {
        const changed = await this.apply();
        const verifyMs = options.verifyIntervalMs ?? 30_000;
        // Others (the proxy, Docker) write at the same time as we do when a machine starts: look again soon.
        return { requeueAfterMs: changed ? Math.min(SETTLE_MS, verifyMs) : verifyMs };
      },
    });
  }

  /** Resolves once earlier state is read; the bridge is made in the background as soon as the pod CIDR is known. */
  async start(): Promise<void> {
    await mkdir(this.options.stateDir, { recursive: true, mode: 0o700 });
    await this.pool.load();
    this.identity = await this.remembered();
    const wake = () => this.controller.queue.add(KEY);
    this.deps.nodes.addHandler({ onUpsert: wake, onDelete: wake });
    wake();
    await this.controller.start();
  }

  /** Leaves the kernel's state alone, so that pods keep their network while the agent restarts. */
  async stop(): Promise<void> {
    await this.controller.stop();
  }

  /** Removes everything made in the kernel. For decommissioning; call it after {@link stop}. */
  async cleanup(): Promise<void> {
    await this.kernel.remove();
  }

  /** True once pods can be attached. */
  get ready(): boolean {
    return this.identity !== undefined && this.mtu !== undefined;
  }

  /**
   * Connects the network namespace of process `pid` and returns the pod's addresses. Idempotent. Throws
   * {@link NetworkNotReadyError}, `AddressesExhaustedError` or `CommandError`; a failure holds no address.
   */
  async attach(sandboxId: string, pid: number): Promise<readonly string[]> {
    const { command, clock, metrics } = this.deps;
    const { identity, mtu } = this;
    const cidr = identity && parseCidr(identity.podCIDR);
    if (!cidr || mtu === undefined) throw new NetworkNotReadyError('the pod network of this node is not ready');
    const present = this.pool.addressOf(sandboxId);
    if (present && this.attached.get(sandboxId) === pid) return [present];
    const began = clock.monotonicMs();
    const address = await this.pool.claim(sandboxId, cidr);
    if (!present || !(await isAttached(command, pid, address))) {
      const gateway = formatIp(gatewayOf(cidr));
      try {
        await attachSandbox(command, sandboxId, { bridge: this.settings.bridge, gateway, address, mtu, pid });
      } catch (error) {
        await detachSandbox(command, sandboxId);
        if (!present) await this.pool.release(sandboxId);
        throw error;
      }
    }
    this.attached.set(sandboxId, pid);
    metrics
      .histogram('skein_network_attach_seconds', 'Time to connect a sandbox to the pod network')
      .observe((clock.monotonicMs() - began) / 1000);
    return [address];
  }

  /** Frees what {@link attach} took. Does nothing for an unknown sandbox. */
  async detach(sandboxId: string): Promise<void> {
    this.attached.delete(sandboxId);
    if (this.pool.addressOf(sandboxId) === undefined) return;
    await detachSandbox(this.deps.command, sandboxId);
    await this.pool.release(sandboxId);
  }

  /** Frees the addresses of sandboxes that no longer exist; for the time after a crash. */
  async retain(sandboxIds: Iterable<string>): Promise<void> {
    const live = new Set(sandboxIds);
    for (const sandboxId of this.pool.sandboxes) if (!live.has(sandboxId)) await this.detach(sandboxId);
  }

  private async apply(): Promise<boolean> {
    const identity = await this.refreshIdentity();
    if (!identity) return false;
    const observed = await this.kernel.observe();
    const plan = planNetwork(this.settings, identity, this.peers(), observed);
    await this.kernel.execute(plan);
    const wasReady = this.ready;
    this.mtu = podMtu(this.settings, uplinkOf(observed.links, identity.address));
    const cidr = parseCidr(identity.podCIDR);
    if (cidr && !wasReady) this.deps.onReady?.(formatIp(gatewayOf(cidr)));
    const complaints = new Set(plan.unreachable.map(({ peer, reason }) => `${peer}: ${reason}`));
    for (const complaint of complaints) {
      if (!this.complaints.has(complaint)) this.deps.log.warn('no route to the pods of a node', { reason: complaint });
    }
    this.complaints.clear();
    for (const complaint of complaints) this.complaints.add(complaint);
    return plan.ip.length + plan.fdb.length + plan.sysctls.length > 0 || plan.iptables !== '';
  }

  /** Routes are taken away only once the whole list of nodes is known. */
  private peers(): Peer[] | undefined {
    if (!this.deps.nodes.hasSynced) return undefined;
    return this.deps.nodes.list().flatMap((node) => {
      const name = node.metadata.name ?? '';
      const address = internalIp(node);
      const podCIDR = node.spec?.podCIDR;
      return name !== this.options.nodeName && address && podCIDR ? [{ name, address, podCIDR }] : [];
    });
  }

  private async refreshIdentity(): Promise<Identity | undefined> {
    const node = this.deps.nodes.get('', this.options.nodeName);
    const podCIDR = node?.spec?.podCIDR;
    const address = node && internalIp(node);
    if (!podCIDR || !address) return this.identity;
    if (this.identity?.podCIDR === podCIDR && this.identity.address === address) return this.identity;
    const identity = { podCIDR, address };
    const file = join(this.options.stateDir, CIDR_FILE);
    await writeFile(`${file}.new`, JSON.stringify(identity));
    await rename(`${file}.new`, file);
    this.identity = identity;
    return identity;
  }

  private async remembered(): Promise<Identity | undefined> {
    try {
      const value = JSON.parse(await readFile(join(this.options.stateDir, CIDR_FILE), 'utf8')) as Partial<Identity>;
      return value.podCIDR && value.address ? { podCIDR: value.podCIDR, address: value.address } : undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.deps.log.warn('the remembered pod CIDR is unreadable and is ignored', { error: errorText(error) });
      }
      return undefined;
    }
  }
}

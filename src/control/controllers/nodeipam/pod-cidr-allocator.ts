/**
 * Gives every Node without one a pod CIDR out of the cluster's (kube-controller-manager's `nodeipam` controller, type
 * `RangeAllocator`): `spec.podCIDR` and `spec.podCIDRs`, once, and changed only when two parts of a split cluster gave one
 * network to two nodes.
 */
import { parseCidr, type Cidr } from '../../../base/ipv4.js';
import type { Service } from '../../../base/lifecycle.js';
import type { Counter } from '../../../base/metrics.js';
import { isNotFound } from '../../../api/errors.js';
import { NODES } from '../../../api/resource.js';
import type { Node } from '../../../api/types/core-v1.js';
import type { Client } from '../../../client/client.js';
import { Controller, type ControllerDeps } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import type { EventRecorder } from '../../../client/event-recorder.js';
import { doublyGiven, planPodCidrs, type PodCidrClaim } from './plan.js';

export interface PodCidrAllocatorDeps extends ControllerDeps {
  readonly client: Client;
  /** Started and stopped by the caller. */
  readonly nodes: Informer<Node>;
  /** Told of networks that are taken back. */
  readonly events?: EventRecorder;
}

export interface PodCidrAllocatorOptions {
  /** `10.244.0.0/16` unless told. */
  readonly clusterCidr?: string;
  /** Prefix length of a node's network; 24 unless told. */
  readonly nodePrefix?: number;
}

const KEY = 'allocate';
/** How soon nodes that found no free network are tried again, in milliseconds. */
const EXHAUSTED_RETRY_MS = 30_000;

/** Runs with the `controllers` role. One reconcile assigns all nodes that wait, so that no network is given out twice. */
export function createPodCidrAllocator(deps: PodCidrAllocatorDeps, options: PodCidrAllocatorOptions = {}): Service {
  const clusterCidr = parseCidr(options.clusterCidr ?? '10.244.0.0/16');
  const nodePrefix = options.nodePrefix ?? 24;
  if (!clusterCidr || nodePrefix < clusterCidr.prefix || nodePrefix > 30) {
    throw new Error(`no networks of /${nodePrefix} in the cluster CIDR '${options.clusterCidr}'`);
  }
  return new PodCidrAllocator(deps, clusterCidr, nodePrefix);
}

class PodCidrAllocator implements Service {
  readonly name = 'nodeipam';
  /** What was written, or may have been, and is not in the cache yet. */
  private readonly assumed = new Map<string, string>();
  /** Those of them whose write failed: tried again with the same network, since it may have taken place after all. */
  private readonly unsure = new Set<string>();
  /** Nodes by network. */
  private readonly holders = new Map<string, Set<string>>();
  private readonly repaired: Counter;
  private readonly controller: Controller;

  constructor(
    private readonly deps: PodCidrAllocatorDeps,
    private readonly clusterCidr: Cidr,
    private readonly nodePrefix: number,
  ) {
    this.repaired = deps.metrics.counter(
      'skein_reallocations_total',
      'Allocations taken back because another object holds them too, by what it was',
      ['kind'],
    );
    this.controller = new Controller(deps, {
      name: this.name,
      waitFor: [deps.nodes],
      reconcile: () => this.reconcile(),
    });
  }

  async start(): Promise<void> {
    const wake = () => this.controller.queue.add(KEY);
    this.deps.nodes.addHandler({
      onUpsert: (node, before) => {
        this.release(before);
        if (!node.spec?.podCIDR || this.hold(node.spec.podCIDR, node.metadata.name ?? '') > 1) wake();
      },
      onDelete: (node) => this.release(node),
    });
    wake();
    await this.controller.start();
  }

  stop(): Promise<void> {
    return this.controller.stop();
  }

  private async reconcile(): Promise<{ requeueAfterMs: number } | undefined> {
    const claims = this.claims();
    const twice = doublyGiven(claims);
    const wanted = claims.map((claim) => (twice.has(claim.node) ? { ...claim, podCIDR: undefined } : claim));
    const plan = planPodCidrs(wanted, this.clusterCidr, this.nodePrefix);
    const again = [...this.unsure].flatMap((node): [string, string][] => {
      const podCIDR = this.assumed.get(node);
      return podCIDR === undefined ? [] : [[node, podCIDR]];
    });
    const failures: unknown[] = [];
    for (const [node, podCIDR] of [...again, ...plan.assign]) {
      try {
        await this.give(node, podCIDR, twice.get(node));
      } catch (error) {
        // One node's trouble is not the others'.
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    if (plan.exhausted.length === 0) return undefined;
    this.deps.log.warn('the cluster CIDR has no network left for these nodes', { nodes: plan.exhausted });
    return { requeueAfterMs: EXHAUSTED_RETRY_MS };
  }

  /** What each node has, as far as is known; forgets what the cache shows by now, and nodes that are gone. */
  private claims(): PodCidrClaim[] {
    const nodes = this.deps.nodes.list();
    const claims = nodes.map(({ metadata, spec }) => {
      const { name = '', uid = '', creationTimestamp: created = '' } = metadata;
      if (spec?.podCIDR) this.forget(name);
      return { node: name, podCIDR: spec?.podCIDR ?? this.assumed.get(name), uid, created };
    });
    const present = new Set(claims.map(({ node }) => node));
    for (const node of this.assumed.keys()) if (!present.has(node)) this.forget(node);
    return claims;
  }

  /** Rejects when the write failed, and is not known to have had no effect. */
  private async give(node: string, podCIDR: string, keeper: PodCidrClaim | undefined): Promise<void> {
    this.assumed.set(node, podCIDR);
    this.unsure.add(node);
    try {
      if (keeper) {
        await reassign(this.deps, node, podCIDR, keeper.podCIDR ?? '', keeper.node);
        this.repaired.inc({ kind: 'podCIDR' });
      } else this.assumed.set(node, await assign(this.deps.client, node, podCIDR));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.assumed.delete(node);
    }
    this.unsure.delete(node);
  }

  private forget(node: string): void {
    this.assumed.delete(node);
    this.unsure.delete(node);
  }

  /** How many nodes have it then. */
  private hold(podCIDR: string, node: string): number {
    const present = this.holders.get(podCIDR) ?? new Set();
    this.holders.set(podCIDR, present.add(node));
    return present.size;
  }

  private release(node: Node | undefined): void {
    const podCIDR = node?.spec?.podCIDR ?? '';
    const present = this.holders.get(podCIDR);
    present?.delete(node?.metadata.name ?? '');
    if (present?.size === 0) this.holders.delete(podCIDR);
  }
}

/** Returns what the node has then. Reads it anew first: another holder of the role may have been quicker, and what is assigned stays. A conflict is tried again. */
async function assign(client: Client, name: string, podCIDR: string): Promise<string> {
  const node = await client.get<Node>(NODES, '', name);
  if (node.spec?.podCIDR) return node.spec.podCIDR;
  await client.update<Node>(NODES, { ...node, spec: { ...node.spec, podCIDR, podCIDRs: [podCIDR] } });
  return podCIDR;
}

/** Only while the node still has the network that is another's. */
async function reassign(
  { client, events, log }: PodCidrAllocatorDeps,
  name: string,
  podCIDR: string,
  lost: string,
  keeper: string,
): Promise<void> {
  const node = await client.get<Node>(NODES, '', name);
  if (node.spec?.podCIDR !== lost) return;
  const spec = { ...node.spec, podCIDR, podCIDRs: [podCIDR] };
  const stored = await client.update<Node>(NODES, { ...node, spec }, { reallocate: true });
  log.warn('took back a pod CIDR that two nodes held', { node: name, podCIDR: lost, keeper });
  events?.event(
    stored,
    'Warning',
    'Reallocated',
    `podCIDR ${lost} had been given to node ${keeper} too while the cluster was split; now ${podCIDR}: ` +
      'pods that run here keep addresses of the old one until they are replaced',
  );
}

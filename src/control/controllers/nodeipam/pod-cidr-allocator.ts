/**
 * Gives every Node without one a pod CIDR out of the cluster's (kube-controller-manager's `nodeipam` controller, type
 * `RangeAllocator`): `spec.podCIDR` and `spec.podCIDRs`, once, and changed only when two parts of a split cluster gave one
 * network to two nodes.
 */
import { parseCidr } from '../../../base/ipv4.js';
import type { Service } from '../../../base/lifecycle.js';
import { isNotFound } from '../../../api/errors.js';
import { NODES } from '../../../api/resource.js';
import type { Node } from '../../../api/types/core-v1.js';
import type { Client } from '../../../client/client.js';
import { Controller, type ControllerDeps } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import type { EventRecorder } from '../../../client/event-recorder.js';
import { doublyGiven, planPodCidrs } from './plan.js';

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
  // What was written, or may have been, and is not in the cache yet.
  const assumed = new Map<string, string>();
  // Those of them whose write failed: tried again with the same network, since it may have taken place after all.
  const unsure = new Set<string>();
  const holders = new Map<string, Set<string>>();
  const repaired = deps.metrics.counter(
    'skein_reallocations_total',
    'Allocations taken back because another object holds them too, by what it was',
    ['kind'],
  );
  const controller = new Controller(deps, {
    name: 'nodeipam',
    waitFor: [deps.nodes],
    async reconcile() {
      const claims = deps.nodes.list().map((node) => {
        const name = node.metadata.name ?? '';
        const podCIDR = node.spec?.podCIDR;
        if (podCIDR) {
          assumed.delete(name);
          unsure.delete(name);
        }
        const { uid = '', creationTimestamp: created = '' } = node.metadata;
        return { node: name, podCIDR: podCIDR ?? assumed.get(name), uid, created };
      });
      const twice = doublyGiven(claims);
      const present = new Set(claims.map(({ node }) => node));
      for (const node of assumed.keys()) {
        if (present.has(node)) continue;
        assumed.delete(node);
        unsure.delete(node);
      }
      const wanted = claims.map((claim) => (twice.has(claim.node) ? { ...claim, podCIDR: undefined } : claim));
      const plan = planPodCidrs(wanted, clusterCidr, nodePrefix);
      const again = [...unsure].flatMap((node): [string, string][] => {
        const podCIDR = assumed.get(node);
        return podCIDR === undefined ? [] : [[node, podCIDR]];
      });
      const failures: unknown[] = [];
      for (const [node, podCIDR] of [...again, ...plan.assign]) {
        assumed.set(node, podCIDR);
        unsure.add(node);
        try {
          const keeper = twice.get(node);
          if (keeper) await reassign(deps, node, podCIDR, keeper.podCIDR ?? '', keeper.node);
          if (keeper) repaired.inc({ kind: 'podCIDR' });
          else assumed.set(node, await assign(deps.client, node, podCIDR));
        } catch (error) {
          // One node's trouble is not the others'.
          if (!isNotFound(error)) {
            failures.push(error);
            continue;
          }
          assumed.delete(node);
        }
        unsure.delete(node);
      }
      if (failures.length > 0) throw failures[0];
      if (plan.exhausted.length === 0) return;
      deps.log.warn('the cluster CIDR has no network left for these nodes', { nodes: plan.exhausted });
      return { requeueAfterMs: EXHAUSTED_RETRY_MS };
    },
  });
  function hold(podCIDR: string, node: string): number {
    const present = holders.get(podCIDR) ?? new Set();
    holders.set(podCIDR, present.add(node));
    return present.size;
  }
  function release(node: Node | undefined): void {
    const podCIDR = node?.spec?.podCIDR ?? '';
    const present = holders.get(podCIDR);
    present?.delete(node?.metadata.name ?? '');
    if (present?.size === 0) holders.delete(podCIDR);
  }
  return {
    name: 'nodeipam',
    async start() {
      const wake = () => controller.queue.add(KEY);
      deps.nodes.addHandler({
        onUpsert: (node, before) => {
          release(before);
          if (!node.spec?.podCIDR || hold(node.spec.podCIDR, node.metadata.name ?? '') > 1) wake();
        },
        onDelete: release,
      });
      wake();
      await controller.start();
    },
    stop: () => controller.stop(),
  };
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

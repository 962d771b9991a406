/**
 * Gives every Node without one a pod CIDR out of the cluster's (kube-controller-manager's `nodeipam` controller, type
 * `RangeAllocator`): `spec.podCIDR` and `spec.podCIDRs`, once, never changed.
 */
import { parseCidr } from '../../../base/ipv4.js';
import type { Service } from '../../../base/lifecycle.js';
import { isNotFound } from '../../../api/errors.js';
import { NODES } from '../../../api/resource.js';
import type { Node } from '../../../api/types/core-v1.js';
import type { Client } from '../../../client/client.js';
import { Controller, type ControllerDeps } from '../../../client/controller.js';
import type { Informer } from '../../../client/informer.js';
import { planPodCidrs } from './plan.js';

export interface PodCidrAllocatorDeps extends ControllerDeps {
  readonly client: Client;
  /** Started and stopped by the caller. */
  readonly nodes: Informer<Node>;
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
        return { node: name, podCIDR: podCIDR ?? assumed.get(name) };
      });
      const present = new Set(claims.map(({ node }) => node));
      for (const node of assumed.keys()) {
        if (present.has(node)) continue;
        assumed.delete(node);
        unsure.delete(node);
      }
      const plan = planPodCidrs(claims, clusterCidr, nodePrefix);
      const again = [...unsure].flatMap((node): [string, string][] => {
        const podCIDR = assumed.get(node);
        return podCIDR === undefined ? [] : [[node, podCIDR]];
      });
      const failures: unknown[] = [];
      for (const [node, podCIDR] of [...again, ...plan.assign]) {
        assumed.set(node, podCIDR);
        unsure.add(node);
        try {
          assumed.set(node, await assign(deps.client, node, podCIDR));
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
  return {
    name: 'nodeipam',
    async start() {
      const wake = () => controller.queue.add(KEY);
      deps.nodes.addHandler({ onUpsert: (node) => (node.spec?.podCIDR ? undefined : wake()) });
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

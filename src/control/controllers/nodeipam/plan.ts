/** Which node gets which pod CIDR. Pure. */
import { formatCidr, overlaps, parseCidr, sizeOf, type Cidr } from '../../../base/ipv4.js';

export interface PodCidrClaim {
  readonly node: string;
  /** What the node has now. */
  readonly podCIDR: string | undefined;
}

export type PodCidrPlan = {
  /** Node name to the CIDR it is to get; only nodes without one. */
  readonly assign: ReadonlyMap<string, string>;
  /** Nodes for which the cluster CIDR has no room left. */
  readonly exhausted: readonly string[];
};

/**
 * The lowest free networks of `nodePrefix` bits for the nodes that have none, in order of node name. What is assigned
 * never changes (as kube-controller-manager's node IPAM: `spec.podCIDR` is immutable); networks outside of the cluster
 * CIDR, or of another size, are respected.
 */
export function planPodCidrs(claims: readonly PodCidrClaim[], clusterCidr: Cidr, nodePrefix: number): PodCidrPlan {
  const taken: Cidr[] = [];
  const size = 2 ** (32 - nodePrefix);
  const used = new Set<number>();
  for (const { podCIDR } of claims) {
    const cidr = podCIDR === undefined ? undefined : parseCidr(podCIDR);
    if (!cidr) continue;
    if (cidr.prefix === nodePrefix) used.add(cidr.base);
    else taken.push(cidr);
  }
  const assign = new Map<string, string>();
  const exhausted: string[] = [];
  const end = clusterCidr.base + sizeOf(clusterCidr);
  let next = clusterCidr.base;
  const nodes = claims.filter(({ podCIDR }) => !podCIDR).map(({ node }) => node);
  for (const node of nodes.sort()) {
    while (next < end && (used.has(next) || taken.some((cidr) => overlaps(cidr, { base: next, prefix: nodePrefix })))) {
      next += size;
    }
    if (next + size > end) {
      exhausted.push(node);
      continue;
    }
    assign.set(node, formatCidr({ base: next, prefix: nodePrefix }));
    next += size;
  }
  return { assign, exhausted };
}

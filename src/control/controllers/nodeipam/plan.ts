/** Which node gets which pod CIDR. Pure. */
import { formatCidr, overlaps, parseCidr, sizeOf, type Cidr } from '../../../base/ipv4.js';

export interface PodCidrClaim {
  readonly node: string;
  /** What the node has now. */
  readonly podCIDR: string | undefined;
  readonly uid?: string;
  /** RFC 3339. */
  readonly created?: string;
}

/**
 * The nodes whose network another node has too, since two parts of a split cluster gave it away: all but the one that was
 * created first, by uid when both are of one second.
 */
export function doublyGiven(claims: readonly PodCidrClaim[]): Map<string, PodCidrClaim> {
  const keepers = new Map<string, PodCidrClaim>();
  const losers = new Map<string, PodCidrClaim>();
  const age = ({ created = '', uid = '' }: PodCidrClaim) => `${created} ${uid}`;
  for (const claim of claims.toSorted((a, b) => (age(a) < age(b) ? -1 : 1))) {
    if (claim.podCIDR === undefined) continue;
    const keeper = keepers.get(claim.podCIDR);
    if (keeper) losers.set(claim.node, keeper);
    else keepers.set(claim.podCIDR, claim);
  }
  return losers;
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

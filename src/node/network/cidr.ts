import type { Cidr } from '../../base/ipv4.js';

/** The node's own address in its pod CIDR: the first. */
export const gatewayOf = (cidr: Cidr): number => cidr.base + 1;

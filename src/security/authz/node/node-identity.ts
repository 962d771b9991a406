/** Which node a user is: kubelets are `system:node:NAME` in the group `system:nodes`. */
import type { Subject } from '../authorizer.js';

export const NODES_GROUP = 'system:nodes';
const NODE_USER_PREFIX = 'system:node:';

/** Undefined: not a node. An empty name: in the nodes' group, but nobody can tell which one. */
export function nodeNameOf({ name, groups }: Subject): string | undefined {
  if (!groups.includes(NODES_GROUP)) return undefined;
  return name.startsWith(NODE_USER_PREFIX) ? name.slice(NODE_USER_PREFIX.length) : '';
}

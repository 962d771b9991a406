/**
 * Who may do what in a cluster: administrators, then nodes, then roles. Each peer decides by itself from its own replica.
 * Another authorizer (a webhook's answers, say) is one more entry of the chain.
 */
import {
  authorizerChain,
  groupAuthorizer,
  MASTERS_GROUP,
  NO_OPINION,
  publicPathsAuthorizer,
  type Authorizer,
} from './authorizer.js';
import type { FollowedObjects, ObjectLookup } from './followed.js';
import { NodeAuthorizer } from './node/node-authorizer.js';
import { NodePods } from './node/node-pods.js';
import { GrantIndex } from './rbac/grant-index.js';
import { RbacAuthorizer } from './rbac/rbac-authorizer.js';

export interface ClusterAuthorization {
  readonly authorizer: Authorizer;
  /** What decisions depend on, to be followed before the first one. */
  readonly followed: readonly FollowedObjects[];
}

/** `more` are asked last. */
export function createClusterAuthorization(
  lookup: ObjectLookup,
  more: readonly Authorizer[] = [],
): ClusterAuthorization {
  const grants = new GrantIndex();
  const pods = new NodePods(lookup);
  // A load balancer must be able to tell that a peer lives before the first sequencer has written the roles that say so, and
  // while a machine that joins has not got them yet. From then on the roles alone decide.
  const beforePolicy: Authorizer = {
    authorize: (attributes) => (grants.isEmpty ? publicPathsAuthorizer.authorize(attributes) : NO_OPINION),
  };
  return {
    authorizer: authorizerChain([
      groupAuthorizer([MASTERS_GROUP]),
      new NodeAuthorizer(pods),
      new RbacAuthorizer(grants),
      beforePolicy,
      ...more,
    ]),
    followed: [...grants.followed, pods.followed],
  };
}

/** What controllers ask of the mesh: which nodes live, and where the API is served. Both from membership. */
import type { Clock } from '../base/clock.js';
import type { ApiEndpoint, ApiEndpoints, NodeLiveness } from '../control/controllers/index.js';
import type { NodeHeartbeats } from '../control/apiserver/reads/node-leases.js';
import type { Member, MembershipView } from '../p2p/membership-view.js';

/** What a peer spreads about itself with its heartbeats. */
export interface PeerAttributes {
  /** The address at which its API, kubelet and pods are reached. */
  readonly address: string;
  readonly apiPort: number;
  readonly kubeletPort: number;
  readonly version: string;
}

export function attributesOf(member: Member): Partial<PeerAttributes> {
  return member.attributes as Partial<PeerAttributes>;
}

export function createNodeLiveness(membership: MembershipView): NodeLiveness {
  const alive = (name: string) => {
    const holders = membership.members().filter((member) => member.name === name);
    return holders.length === 0 ? undefined : holders.some(({ liveness }) => liveness !== 'dead');
  };
  return {
    isAlive: alive,
    onChange(listener) {
      let known = new Map(membership.members().map(({ name }) => [name, alive(name)]));
      return membership.onChange(() => {
        const now = new Map(membership.members().map(({ name }) => [name, alive(name)]));
        const names = [...new Set([...known.keys(), ...now.keys()])].filter(
          (name) => known.get(name) !== now.get(name),
        );
        known = now;
        for (const name of names) listener(name);
      });
    },
  };
}

/** How often a kubelet of Kubernetes renews its Lease, in milliseconds. Peers hear of each other more often. */
const RENEWAL_MS = 10_000;

export function createNodeHeartbeats(membership: MembershipView, clock: Clock): NodeHeartbeats {
  return {
    heardMs(node) {
      const nowMs = clock.nowMs();
      // All peers show the same renewals of one that lives.
      const renewal = Math.floor(nowMs / RENEWAL_MS) * RENEWAL_MS;
      const times = membership
        .members()
        .filter(({ name }) => name === node)
        .map(({ liveness, sinceMs }) =>
          liveness === 'alive' ? renewal : Math.round(nowMs - (clock.monotonicMs() - sinceMs)),
        );
      return times.length === 0 ? undefined : Math.max(...times);
    },
  };
}

export function createApiEndpoints(membership: MembershipView): ApiEndpoints {
  const current = (): ApiEndpoint[] =>
    membership
      .members()
      .filter(({ liveness }) => liveness !== 'dead')
      .flatMap((member) => {
        const { address, apiPort } = attributesOf(member);
        // Endpoints cannot name loopback addresses: agents that are only reachable there publish none.
        const reachable = address !== undefined && !address.startsWith('127.');
        return reachable && apiPort !== undefined ? [{ ip: address, port: apiPort }] : [];
      });
  return {
    current,
    onChange(listener) {
      let known = JSON.stringify(current());
      return membership.onChange(() => {
        const now = JSON.stringify(current());
        if (now === known) return;
        known = now;
        listener();
      });
    },
  };
}

/** Names of the nodes whose every known peer is dead, for who asks with each write: found again only after a change. */
export function deadNodes(membership: MembershipView): () => ReadonlySet<string> {
  let known: ReadonlySet<string> | undefined;
  membership.onChange(() => {
    known = undefined;
  });
  return () => {
    if (known) return known;
    const members = membership.members();
    const dead = new Set(members.filter(({ liveness }) => liveness === 'dead').map(({ name }) => name));
    for (const { name, liveness } of members) if (liveness !== 'dead') dead.delete(name);
    known = dead;
    return dead;
  };
}

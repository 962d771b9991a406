/** Strikes a peer off the register for good: it counts no more for a majority, and its identity is revoked. */
import { rfc3339 } from '../base/clock.js';
import { ApiError, badRequest, conflict, notFound } from '../api/errors.js';
import type { WriteReply, WriteTransaction } from '../store/object-store.js';
import { isSettled, REGISTRY_OBJECT, type PeerRegistry, type Standing } from '../store/replication/peer-registry.js';
import { REVOKED_PEERS, revokedPeer, revokedPeerKey, type RevokedPeer } from '../store/replication/revoked-peer.js';
import { majorityState, withoutMajority } from './majority-state.js';

/** Asks the sequencer to strike a peer off the register. */
export interface PeerRemoval {
  readonly removePeer: {
    /** The node's name, or the peer's id. */
    readonly name: string;
    /** Also without a majority: its operator knows that the machine is gone for good. */
    readonly force: boolean;
  };
}

/** As long as the CA lives that signed for the peer: it may renew what it shows by itself. */
const REVOKED_MS = 10 * 365 * 24 * 3_600_000;
const PEERS = { group: 'skein.dev', resource: 'peers' };

/** Part of the write path: never throws for what a user may have done wrong. */
export function removePeer(
  transaction: WriteTransaction,
  standing: Standing,
  { name, force }: PeerRemoval['removePeer'],
): WriteReply {
  try {
    const registry = transaction.get(REGISTRY_OBJECT) as PeerRegistry | undefined;
    const peer = registry?.peers.find((one) => one.name === name || one.id === name);
    if (!registry || !peer) throw notFound(PEERS, name);
    if (registry.peers.length === 1) throw badRequest(`the peer ${name} is the only one that is registered`);
    const state = majorityState(registry, standing.voters);
    if (!state.held && !force) {
      throw conflict(
        PEERS,
        name,
        `${withoutMajority(state)}. If that machine is gone for good, and is not at work elsewhere, say so with --force`,
      );
    }
    if (state.held && !isSettled(registry, standing)) {
      throw new ApiError(503, 'ServiceUnavailable', 'another change of the registered peers is under way', {
        retryAfterSeconds: 1,
      });
    }
    const peers = registry.peers.filter((one) => one !== peer);
    transaction.put(REGISTRY_OBJECT, { ...registry, peers, epoch: standing.epoch } as PeerRegistry);
    revoke(transaction, peer.id, peer.name);
    const body = { removed: peer, registered: peers.length };
    return { code: 200, body, warnings: [], ...(state.held ? { majority: true } : {}) };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { code: error.code, body: error.toStatus(), warnings: [] };
  }
}

/** What has expired goes on the way, so that the list is bounded by the removals within the life of a CA. */
function revoke(transaction: WriteTransaction, id: string, node: string): void {
  const { nowMs } = transaction;
  for (const old of transaction.list(REVOKED_PEERS.group, REVOKED_PEERS.resource) as readonly RevokedPeer[]) {
    if (Date.parse(old.expires) < nowMs) transaction.delete(revokedPeerKey(old.metadata.name ?? ''));
  }
  const times = { revoked: rfc3339(nowMs), expires: rfc3339(nowMs + REVOKED_MS) };
  transaction.put(revokedPeerKey(id), revokedPeer(id, node, times));
}

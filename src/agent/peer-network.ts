/** Joins the store to the mesh: the replica's `PeerNetwork` made of a transport and a membership. */
import type { MembershipView } from '../p2p/membership-view.js';
import type { PeerId, Transport } from '../p2p/transport.js';
import type { PeerNetwork } from '../store/replication/context.js';

const CHANNEL = 'store';

export function createPeerNetwork(transport: Transport, membership: MembershipView): PeerNetwork {
  return {
    self: transport.self.id,
    send: (to, message) => transport.send(to as PeerId, CHANNEL, message),
    onMessage: (handler) => transport.onMessage(CHANNEL, handler),
    alive: () => membership.alive(),
    nameOf: (peer) => membership.members().find(({ id }) => id === peer)?.name,
    onChange: (listener) => membership.onChange(listener),
  };
}

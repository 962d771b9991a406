/** Joins the store to the mesh: the replica's `PeerNetwork` made of a transport and a membership. */
import type { VersionRange } from '../base/version-range.js';
import type { MembershipView } from '../p2p/membership-view.js';
import type { PeerId, Transport } from '../p2p/transport.js';
import { FIRST_FORMAT, FORMATS } from '../store/formats.js';
import type { PeerNetwork } from '../store/replication/context.js';

const CHANNEL = 'store';
const SILENT: VersionRange = Object.freeze({ oldest: FIRST_FORMAT, newest: FIRST_FORMAT });

/** Has to be made before the membership starts: it knows of a connection before anybody speaks of the peer. */
export function createPeerNetwork(transport: Transport, membership: MembershipView): PeerNetwork {
  const formats = new Map<string, VersionRange>();
  transport.subscribe({
    onConnected: (peer) => formats.set(peer.id, peer.formats ?? SILENT),
    onDisconnected: ({ id }) => formats.delete(id),
  });
  return {
    self: transport.self.id,
    send: (to, message) => transport.send(to as PeerId, CHANNEL, message),
    onMessage: (handler) => transport.onMessage(CHANNEL, handler),
    alive: () => membership.alive(),
    nameOf: (peer) => membership.members().find(({ id }) => id === peer)?.name,
    formatsOf: (peer) => (peer === transport.self.id ? FORMATS : formats.get(peer)),
    onChange: (listener) => membership.onChange(listener),
  };
}

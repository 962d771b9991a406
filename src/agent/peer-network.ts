/**
 * Joins the store to the mesh: the replica's `PeerNetwork` made of a transport and a membership. Where only the link to a peer is
 * broken, messages take the way over a third one that vouches for it, one hop; their order is kept as long as the way stays the
 * same.
 */
import type { VersionRange } from '../base/version-range.js';
import type { MembershipView } from '../p2p/membership-view.js';
import type { PeerId, Transport } from '../p2p/transport.js';
import { FIRST_FORMAT, FORMATS } from '../store/formats.js';
import { pack, unpack } from '../store/log-entry.js';
import type { PeerNetwork } from '../store/replication/context.js';

const CHANNEL = 'store';
/** Messages for others, and from others: packed `[from, to, message]`. */
const DETOUR_CHANNEL = 'store-detour';
const SILENT: VersionRange = Object.freeze({ oldest: FIRST_FORMAT, newest: FIRST_FORMAT });

type Detoured = readonly [from: PeerId, to: PeerId, message: Uint8Array];

/** Has to be made before the membership starts: it knows of a connection before anybody speaks of the peer. */
export function createPeerNetwork(
  transport: Transport,
  membership: MembershipView,
  own: VersionRange = FORMATS,
): PeerNetwork {
  const self = transport.self.id;
  const formats = new Map<string, VersionRange>();
  transport.subscribe({
    onConnected: (peer) => formats.set(peer.id, peer.formats ?? SILENT),
    onDisconnected: ({ id }) => formats.delete(id),
  });
  return {
    self,
    send(to, message) {
      const via = membership.detour(to as PeerId);
      if (via === undefined) return transport.send(to as PeerId, CHANNEL, message);
      return transport.send(via, DETOUR_CHANNEL, pack([self, to, message]));
    },
    onMessage(handler) {
      const stops = [
        transport.onMessage(CHANNEL, handler),
        transport.onMessage(DETOUR_CHANNEL, (sender, envelope) => {
          const [from, to, message] = unpack(envelope) as Detoured;
          // One hop: passed on from who wrote it to whom it is for. A stranger, or who is taken for dead, is not listened to.
          if (to !== self && from === sender) transport.send(to, DETOUR_CHANNEL, envelope);
          else if (to === self && membership.alive().includes(from)) handler(from, message);
        }),
      ];
      return () => stops.forEach((stop) => stop());
    },
    alive: () => membership.alive(),
    nameOf: (peer) => membership.members().find(({ id }) => id === peer)?.name,
    formatsOf: (peer) => (peer === self ? own : formats.get(peer)),
    onChange: (listener) => membership.onChange(listener),
  };
}

/** The admission of a simulated peer, by the gate of the agent. */
import type { Gate } from '../agent/gate.js';
import type { Admission } from '../p2p/libp2p/admission.js';
import type { PeerInfo } from '../p2p/transport.js';
import type { Formats } from '../store/formats.js';
import { pack, unpack } from '../store/log-entry.js';

export const admissionOf = (gate: Gate): Admission => ({
  hello: (self) => pack({ ...self, ...gate.own }),
  admit(_, hello) {
    const { level, ...peer } = unpack(hello) as PeerInfo & Formats;
    const reason = gate.refusal({ formats: peer.formats, level }) ?? gate.denied(peer);
    return reason === undefined ? { ok: true, peer } : { ok: false, name: peer.name, reason };
  },
  denied: (peer) => gate.denied(peer),
});

/** Real libp2p transports on loopback for tests. */
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { systemRandom } from '../../../src/base/random.js';
import type { Admission } from '../../../src/p2p/libp2p/admission.js';
import { newPeerKey } from '../../../src/p2p/libp2p/identity.js';
import { Libp2pTransport, type Libp2pTransportOptions } from '../../../src/p2p/libp2p/transport.js';
import type { PeerId, PeerInfo } from '../../../src/p2p/transport.js';

export const TEST_SECRET = new Uint8Array(32).fill(7);

/** Lets everybody in who says its name. */
export const openAdmission: Admission = {
  hello: (self: PeerInfo) => Buffer.from(JSON.stringify({ name: self.name, addresses: self.addresses })),
  admit: (peerId, hello) => {
    const { name, addresses } = JSON.parse(Buffer.from(hello).toString()) as { name: string; addresses: string[] };
    return { ok: true, peer: { id: peerId as PeerId, name, addresses } };
  },
};

export async function libp2pPeer(
  name: string,
  options: Partial<Libp2pTransportOptions> = {},
  log = silentLogger,
): Promise<Libp2pTransport> {
  return new Libp2pTransport(
    { clock: systemClock, random: systemRandom, log },
    {
      privateKey: options.privateKey ?? (await newPeerKey()),
      name,
      listen: { host: '127.0.0.1', port: 0 },
      clusterSecret: TEST_SECRET,
      admission: openAdmission,
      ...options,
    },
  );
}

/** Waits in real time until the condition holds. */
export async function until(condition: () => boolean, what: string, limitMs = 8000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

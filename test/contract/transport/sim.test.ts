import { seededRandom } from '../../../src/base/random.js';
import type { PeerId, PeerInfo } from '../../../src/p2p/transport.js';
import { SimClock } from '../../../src/testing/sim-clock.js';
import { SimNetwork } from '../../../src/testing/sim-network.js';
import { transportContract } from './transport-contract.js';

transportContract('simulated', (count) => {
  const clock = new SimClock();
  const network = new SimNetwork({ clock, random: seededRandom(42), link: { jitterMs: 10 } });
  const infos: PeerInfo[] = Array.from({ length: count }, (_, i) => ({
    id: `peer-${i}` as PeerId,
    name: `node-${i}`,
    addresses: [`10.0.0.${i + 1}:7443`],
  }));
  return Promise.resolve({
    transports: infos.map((info) => network.transport(info)),
    until: (condition, what) => clock.run(condition, { limitMs: 10_000, what }),
    settle: () => clock.run(1000),
    crash: (index) => Promise.resolve(network.crash(infos[index]!.id)),
    again: (index) => Promise.resolve(network.transport(infos[index]!)),
    cleanUp: () => Promise.resolve(),
  });
});

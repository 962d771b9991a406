import { newPeerKey } from '../../../src/p2p/libp2p/identity.js';
import { parseHostPort } from '../../../src/p2p/libp2p/address.js';
import type { Libp2pTransport } from '../../../src/p2p/libp2p/transport.js';
import { libp2pPeer, until } from './libp2p-peers.js';
import { transportContract } from './transport-contract.js';

transportContract('libp2p', async (count) => {
  const keys = await Promise.all(Array.from({ length: count }, () => newPeerKey()));
  const transports = await Promise.all(keys.map((privateKey, i) => libp2pPeer(`node-${i}`, { privateKey })));
  const made: Libp2pTransport[] = [...transports];
  return {
    transports,
    until,
    settle: () => new Promise((resolve) => setTimeout(resolve, 300)),
    // From outside, a process that ends in order looks like one that dies: its sockets close. kill -9 of real processes
    // is in test/integration/p2p.
    crash: (index) => transports[index]!.stop(),
    again: async (index) => {
      const peer = await libp2pPeer(`node-${index}`, {
        privateKey: keys[index]!,
        listen: parseHostPort(transports[index]!.self.addresses[0]!)!,
      });
      for (const other of transports) peer.addAddresses(other.self);
      made.push(peer);
      return peer;
    },
    cleanUp: async () => {
      await Promise.all(made.map((transport) => transport.stop()));
    },
  };
});

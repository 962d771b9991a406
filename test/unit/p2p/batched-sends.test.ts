import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import type { Libp2pTransport } from '../../../src/p2p/libp2p/transport.js';
import { libp2pPeer, until } from '../../contract/transport/libp2p-peers.js';

describe('what is sent to a peer', () => {
  const ROUNDS = 200;
  let peers: Libp2pTransport[] = [];

  beforeEach(async () => {
    peers = [await libp2pPeer('a'), await libp2pPeer('b')];
    for (const peer of peers) await peer.start();
  });
  afterEach(async () => {
    await Promise.all(peers.map((peer) => peer.stop()));
  });

  it('goes out in one write for each turn of the event loop, and is answered with nothing but answers', async () => {
    const [one, two] = peers as [Libp2pTransport, Libp2pTransport];
    let answers = 0;
    one.onMessage('ping', () => answers++);
    two.onMessage('ping', (from, message) => two.send(from, 'ping', message));
    two.addAddresses(one.self);
    await until(() => one.peers().length === 1 && two.peers().length === 1, 'to connect');
    const round = async () => {
      const before = answers;
      one.send(two.self.id, 'ping', new Uint8Array(3_000));
      one.send(two.self.id, 'other', new Uint8Array(100));
      await until(() => answers > before, 'the answer');
    };
    await round();
    // eslint-disable-next-line @typescript-eslint/unbound-method -- put back below, and called on the socket it is for
    const write = Socket.prototype.write;
    let writes = 0;
    Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof write>) {
      writes++;
      return write.apply(this, args);
    } as typeof write;
    try {
      for (let i = 0; i < ROUNDS; i++) await round();
    } finally {
      Socket.prototype.write = write;
    }
    // A window update for every 128 KiB and gossip's heartbeats come on top; it was ten for each round without.
    assert.ok(writes >= 2 * ROUNDS && writes < 2.5 * ROUNDS, `${writes} writes for ${ROUNDS} rounds`);
  });
});

/** What is particular to the transport on libp2p: who gets in, duplicate connections, the address book. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import type { Logger, LogFields } from '../../../src/base/log.js';
import { silentLogger } from '../../../src/base/log.js';
import { parseHostPort } from '../../../src/p2p/libp2p/address.js';
import type { AddressBookEntry } from '../../../src/p2p/libp2p/admission.js';
import { newPeerKey, peerIdOf } from '../../../src/p2p/libp2p/identity.js';
import type { Libp2pTransport, Libp2pTransportOptions } from '../../../src/p2p/libp2p/transport.js';
import { libp2pPeer, openAdmission, until } from '../../contract/transport/libp2p-peers.js';

describe('Libp2pTransport', () => {
  let made: Libp2pTransport[] = [];
  const warnings: (LogFields | undefined)[] = [];
  const log: Logger = { ...silentLogger, warn: (_message, fields) => warnings.push(fields) };

  async function peer(name: string, options: Partial<Libp2pTransportOptions> = {}): Promise<Libp2pTransport> {
    const transport = await libp2pPeer(name, options, log);
    made.push(transport);
    await transport.start();
    return transport;
  }

  const settle = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  /** Passes connections on to a peer, and counts those that ended. */
  async function relayTo({ self }: Libp2pTransport) {
    let closed = 0;
    const { host, port } = parseHostPort(self.addresses[0]!)!;
    const server = createServer((from) => {
      const to = connect(port, host);
      from.on('error', () => to.destroy()).on('close', () => closed++);
      to.on('error', () => from.destroy());
      from.pipe(to).pipe(from);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return {
      address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      get closed() {
        return closed;
      },
      stop: () => void server.close(),
    };
  }

  afterEach(async () => {
    await Promise.all(made.map((transport) => transport.stop()));
    made = [];
    warnings.length = 0;
  });

  it('keeps out who does not know the secret of the cluster', async () => {
    const [inside, stranger] = [await peer('a'), await peer('x', { clusterSecret: new Uint8Array(32).fill(8) })];
    const door = await relayTo(inside);
    stranger.addAddresses({ addresses: [door.address] });
    await until(() => door.closed >= 2, 'two dials to come to nothing');
    assert.deepEqual([inside.peers(), stranger.peers()], [[], []]);
    await stranger.stop();
    door.stop();
  });

  it('keeps out who cannot prove membership, and says why', async () => {
    const admission = { ...openAdmission, admit: () => ({ ok: false, reason: 'it has no proof' }) as const };
    const [inside, stranger] = [await peer('a', { admission }), await peer('x')];
    stranger.addAddresses(inside.self);
    await until(() => warnings.some((fields) => fields?.['reason'] === 'it has no proof'), 'the log line');
    assert.deepEqual(inside.peers(), []);
    await until(() => stranger.peers().length === 0, 'the stranger to be dropped');
  });

  it('drops a peer that is denied later, and lets it not come back', async () => {
    const denied = new Set<string>();
    const one = await peer('a', {
      admission: { ...openAdmission, denied: ({ id }) => (denied.has(id) ? 'it was removed' : undefined) },
    });
    const two = await peer('b');
    two.addAddresses(one.self);
    await until(() => one.peers().length === 1, 'to connect');
    denied.add(two.self.id);
    one.enforceDenials();
    assert.deepEqual(one.peers(), []);
    await until(() => two.refusals().length > 0, 'to be told');
    assert.deepEqual([one.peers(), two.peers()], [[], []]);
    const told = two.refusals().map(({ peer: by, reason, by: who }) => [by, reason, who]);
    assert.deepEqual(told, [[one.self.id, 'it was removed', 'peer']]);
  });

  it('ends up with one connection when both dial at once', async () => {
    for (let round = 0; round < 5; round++) {
      const [one, two] = [await peer('a'), await peer('b')];
      let told = 0;
      one.subscribe({ onConnected: () => told++, onDisconnected: () => told-- });
      one.addAddresses({ addresses: two.self.addresses });
      two.addAddresses({ addresses: one.self.addresses });
      await until(() => one.peers().length === 1 && two.peers().length === 1, 'to connect');
      await settle(150);
      assert.equal(told, 1);
      let got = 0;
      two.onMessage('x', () => got++);
      assert.ok(one.send(two.self.id, 'x', new Uint8Array(1)));
      await until(() => got === 1, 'a message');
    }
  });

  it('remembers where peers are', async () => {
    let saved: readonly AddressBookEntry[] = [];
    const book = {
      load: () => Promise.resolve(saved),
      save: (entries: readonly AddressBookEntry[]) => {
        saved = entries;
        return Promise.resolve();
      },
    };
    const privateKey = await newPeerKey();
    const [one, two] = [await peer('a', { book, privateKey }), await peer('b')];
    assert.equal(one.self.id, peerIdOf(privateKey));
    one.addAddresses({ addresses: two.self.addresses });
    await until(() => one.peers().length === 1, 'to connect');
    await one.stop();
    assert.deepEqual(saved, [{ id: two.self.id, addresses: two.self.addresses }]);
    const again = await peer('a', { book, privateKey });
    await until(() => again.peers().length === 1, 'to connect from memory');
  });

  it('fails to start on a port that is taken, and leaves nothing behind', async () => {
    const one = await peer('a');
    const port = Number(one.self.addresses[0]!.split(':')[1]);
    const two = await libp2pPeer('b', { listen: { host: '127.0.0.1', port } });
    await assert.rejects(two.start());
  });
});

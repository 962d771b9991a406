/** What every Transport must do; see src/p2p/transport.ts. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { PeerId, Transport } from '../../../src/p2p/transport.js';

export interface Fixture {
  /** Transports that know each other's addresses, started or not. */
  readonly transports: readonly Transport[];
  /** Lets things happen until the condition holds; throws after a while. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** Lets things happen for a while. */
  settle(): Promise<void>;
  /** The peer's process dies. */
  crash(index: number): Promise<void>;
  /** The same peer again after a stop or crash, not started; knows the others. */
  again(index: number): Promise<Transport>;
  cleanUp(): Promise<void>;
}

export function transportContract(name: string, setup: (count: number) => Promise<Fixture>): void {
  describe(`transport contract: ${name}`, () => {
    let fixture: Fixture;
    let all: Transport[];

    async function mesh(count: number): Promise<void> {
      fixture = await setup(count);
      all = [...fixture.transports];
      await Promise.all(all.map((transport) => transport.start()));
      for (const a of all) for (const b of all) if (a !== b) a.addAddresses(b.self);
      await fixture.until(() => all.every((t) => t.peers().length === count - 1), 'full mesh');
    }

    const at = (index: number): Transport => all[index]!;
    const idOf = (index: number): PeerId => at(index).self.id;

    afterEach(async () => {
      await fixture.cleanUp();
    });

    it('connects all peers and tells each side once, whom and where', async () => {
      fixture = await setup(3);
      all = [...fixture.transports];
      const seen: string[] = [];
      all.forEach((transport, i) =>
        transport.subscribe({
          onConnected: (peer) => seen.push(`${i} ${peer.name}`),
          onDisconnected: (peer) => seen.push(`${i} gone ${peer.name}`),
        }),
      );
      for (const transport of all) await transport.start();
      for (const a of all) for (const b of all) if (a !== b) a.addAddresses(b.self);
      await fixture.until(() => all.every((t) => t.peers().length === 2), 'full mesh');
      await fixture.settle();
      assert.deepEqual(seen.toSorted(), ['0 node-1', '0 node-2', '1 node-0', '1 node-2', '2 node-0', '2 node-1']);
      assert.deepEqual(
        at(0).peers(),
        [at(1).self, at(2).self].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      );
      const late: string[] = [];
      at(0).subscribe({ onConnected: (peer) => late.push(peer.name), onDisconnected: () => undefined });
      assert.deepEqual(late.toSorted(), ['node-1', 'node-2']);
    });

    it('delivers messages of a channel in order, whatever their size', async () => {
      await mesh(2);
      const got: string[] = [];
      const print = (m: Uint8Array) => `${m.length} ${createHash('sha256').update(m).digest('hex').slice(0, 12)}`;
      at(1).onMessage('data', (from, message) => got.push(`${from === idOf(0)} ${print(message)}`));
      const sizes = [0, 1, 100, 70_000, 3, 3_000_000, 0, 33_000, 128 * 1024, 128 * 1024 - 4, 1];
      const messages = Array.from({ length: 200 }, (_, i) => new Uint8Array(sizes[i % sizes.length]!).fill(i + 1));
      for (const message of messages) assert.equal(at(0).send(idOf(1), 'data', message), true);
      await fixture.until(() => got.length === messages.length, 'all messages');
      assert.deepEqual(
        got,
        messages.map((message) => `true ${print(message)}`),
      );
    });

    it('keeps channels apart, and has one handler for each', async () => {
      await mesh(2);
      const got: string[] = [];
      const off = at(1).onMessage('a', () => got.push('a'));
      at(1).onMessage('b', () => got.push('b'));
      assert.throws(() => at(1).onMessage('a', () => undefined), /already/);
      at(0).send(idOf(1), 'nobody', Uint8Array.of(1));
      at(0).send(idOf(1), 'b', Uint8Array.of(1));
      at(0).send(idOf(1), 'a', Uint8Array.of(1));
      await fixture.until(() => got.length === 2, 'both');
      off();
      at(1).onMessage('a', () => got.push('second'));
      at(0).send(idOf(1), 'a', Uint8Array.of(1));
      await fixture.until(() => got.includes('second'), 'the second handler');
    });

    it('refuses to send to a peer that is not connected', async () => {
      await mesh(2);
      assert.equal(at(0).send('12D3KooWnobody' as PeerId, 'a', Uint8Array.of(1)), false);
      await at(1).stop();
      await fixture.until(() => at(0).peers().length === 0, 'disconnect');
      assert.equal(at(0).send(idOf(1), 'a', Uint8Array.of(1)), false);
    });

    it('refuses to send once its buffer for a peer is full', async () => {
      await mesh(2);
      const chunk = new Uint8Array(8 * 1024 * 1024);
      let accepted = 0;
      while (accepted < 100 && at(0).send(idOf(1), 'bulk', chunk)) accepted++;
      assert.ok(accepted >= 4 && accepted < 100, `${accepted} accepted`);
    });

    it('lets a small message pass a large one on another channel', async () => {
      await mesh(2);
      const order: string[] = [];
      at(1).onMessage('bulk', () => order.push('bulk'));
      at(1).onMessage('beat', () => order.push('beat'));
      at(0).send(idOf(1), 'beat', Uint8Array.of(0));
      await fixture.until(() => order.length === 1, 'the first beat');
      at(0).send(idOf(1), 'bulk', new Uint8Array(48 * 1024 * 1024));
      at(0).send(idOf(1), 'beat', Uint8Array.of(1));
      await fixture.until(() => order.length === 3, 'both');
      if (name !== 'simulated') assert.deepEqual(order, ['beat', 'beat', 'bulk']);
    });

    it('spreads gossip to every other peer once, right from the start', async () => {
      fixture = await setup(3);
      all = [...fixture.transports];
      const got: string[] = [];
      all.forEach((transport, i) =>
        transport.onGossip('news', (from, m) =>
          got.push(`${i} ${Buffer.from(m).toString()} ${from === undefined || from === idOf(0)}`),
        ),
      );
      for (const transport of all) await transport.start();
      for (const a of all) for (const b of all) if (a !== b) a.addAddresses(b.self);
      await fixture.until(() => all.every((t) => t.peers().length === 2), 'full mesh');
      at(0).publish('news', Buffer.from('x'));
      at(0).publish('news', Buffer.from('x'));
      await fixture.until(() => got.length >= 4, 'gossip at both');
      await fixture.settle();
      assert.deepEqual(got.toSorted(), ['1 x true', '1 x true', '2 x true', '2 x true']);
      const big = new Uint8Array(6 * 1024 * 1024);
      got.length = 0;
      at(0).publish('news', big);
      await fixture.until(() => got.length === 2, 'gossip of 6 MiB');
    });

    it('reports a stopped peer once, and finds it again when it is back', async () => {
      await mesh(3);
      const seen: string[] = [];
      at(0).subscribe({ onConnected: () => undefined, onDisconnected: (peer) => seen.push(peer.name) });
      const ownGone: string[] = [];
      at(1).subscribe({ onConnected: () => undefined, onDisconnected: (peer) => ownGone.push(peer.name) });
      await at(1).stop();
      await at(1).stop();
      await fixture.until(() => seen.length === 1 && at(2).peers().length === 1, 'disconnect');
      assert.deepEqual(seen, ['node-1']);
      assert.deepEqual(ownGone.toSorted(), ['node-0', 'node-2']);
      assert.deepEqual(at(1).peers(), []);
      all[1] = await fixture.again(1);
      await at(1).start();
      await fixture.until(() => all.every((t) => t.peers().length === 2), 'full mesh again');
      let got = 0;
      at(1).onMessage('x', () => got++);
      assert.equal(at(0).send(idOf(1), 'x', Uint8Array.of(1)), true);
      await fixture.until(() => got === 1, 'a message after the return');
    });

    it('says that a crashed peer is gone and that its address refuses', async () => {
      await mesh(2);
      const seen: string[] = [];
      at(0).subscribe({
        onConnected: () => undefined,
        onDisconnected: () => seen.push('gone'),
        onRefused: () => seen.push('refused'),
      });
      await fixture.crash(1);
      await fixture.until(() => seen.length === 2, 'both reports');
      assert.deepEqual(seen, ['gone', 'refused']);
    });

    it('hangs up on a peer and comes back to it', async () => {
      await mesh(2);
      const seen: string[] = [];
      for (const [i, transport] of all.entries())
        transport.subscribe({ onConnected: () => undefined, onDisconnected: () => seen.push(`gone ${i}`) });
      at(0).hangUp(idOf(1));
      assert.deepEqual(seen, ['gone 0']);
      await fixture.until(() => seen.length === 2, 'the other side hears of it');
      await fixture.until(() => all.every((t) => t.peers().length === 1), 'a new connection');
    });
  });
}

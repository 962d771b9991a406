import assert from 'node:assert/strict';
import { seededRandom } from '../../../src/base/random.js';
import type { PeerId, PeerInfo, Transport } from '../../../src/p2p/transport.js';
import { SimClock } from '../../../src/testing/sim-clock.js';
import { SimNetwork, type SimNetworkOptions } from '../../../src/testing/sim-network.js';

const info = (n: string): PeerInfo => ({ id: n as PeerId, name: n, addresses: [] });
const id = (n: string) => n as PeerId;

async function network(names: string, options: Partial<SimNetworkOptions> = {}, seed = 1) {
  const clock = new SimClock();
  const net = new SimNetwork({ clock, random: seededRandom(seed), ...options });
  const events: string[] = [];
  const transports = new Map<string, Transport>();
  for (const name of names) {
    const transport = net.transport(info(name));
    transport.subscribe({
      onConnected: (p) => events.push(`${name}+${p.name}`),
      onDisconnected: (p) => events.push(`${name}-${p.name}`),
      onRefused: (p) => events.push(`${name}!${p.name}`),
    });
    await transport.start();
    transports.set(name, transport);
  }
  const at = (name: string) => transports.get(name)!;
  await clock.run(() => names.split('').every((n) => at(n).peers().length === names.length - 1));
  events.splice(0);
  return { clock, net, at, events };
}

describe('SimNetwork', () => {
  it('keeps each channel in order though delays vary, across a cut that heals', async () => {
    const { clock, net, at } = await network('ab', { link: { jitterMs: 50 } });
    const got: number[] = [];
    at('b').onMessage('c', (_, m) => got.push(m[0]!));
    for (let i = 0; i < 100; i++) {
      at('a').send(id('b'), 'c', Uint8Array.of(i));
      if (i === 30) net.cut(id('a'), id('b'));
      if (i === 60) net.heal();
      await clock.run(1);
    }
    await clock.run(200);
    assert.deepEqual(
      got,
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  it('says nothing when a cable is cut, and connects anew after hang-up and heal', async () => {
    const { clock, net, at, events } = await network('ab');
    net.partition([[id('a')], [id('b')]]);
    await clock.run(5000);
    assert.equal(events.length, 0);
    at('a').hangUp(id('b'));
    await clock.run(5000);
    assert.equal(events.join(), 'a-b');
    net.heal();
    await clock.run(() => at('a').peers().length === 1 && events.includes('b+a'));
    assert.deepEqual(events, ['a-b', 'b-a', 'a+b', 'b+a']);
  });

  it('tells the others of a crash, unless the machine went with it', async () => {
    const { clock, net, at, events } = await network('abc');
    net.crash(id('a'));
    await clock.run(50);
    assert.deepEqual(events.toSorted(), ['b!a', 'b-a', 'c!a', 'c-a']);
    net.crash(id('b'), { silent: true });
    await clock.run(5000);
    assert.equal(events.length, 4);
    assert.equal(at('c').peers().length, 1);
    const again = net.transport(info('b'));
    await again.start();
    await clock.run(() => again.peers().length === 1);
    assert.deepEqual(events.slice(4), ['c-b', 'c+b']);
  });

  it('lets gossip pass a bridge between two groups that cannot see each other', async () => {
    const { clock, net, at } = await network('abc');
    net.partition([
      [id('a'), id('b')],
      [id('b'), id('c')],
    ]);
    at('a').hangUp(id('c'));
    const got: string[] = [];
    at('c').onGossip('t', (from, m) => got.push(`${String(from)} ${Buffer.from(m).toString()}`));
    at('a').publish('t', Buffer.from('x'));
    await clock.run(100);
    assert.deepEqual(got, ['a x']);
  });

  it('refuses to send past the buffer of a stalled peer', async () => {
    const { net, at } = await network('ab', { sendBufferBytes: 1000 });
    net.cut(id('a'), id('b'), true);
    assert.equal(at('a').send(id('b'), 'c', new Uint8Array(900)), true);
    assert.equal(at('a').send(id('b'), 'c', new Uint8Array(200)), false);
  });

  it('delivers to a frozen peer when it thaws', async () => {
    const { clock, net, at } = await network('ab');
    let atMs = 0;
    at('b').onMessage('c', () => (atMs = clock.monotonicMs()));
    const begunMs = clock.monotonicMs();
    net.freeze(id('b'), 300);
    at('a').send(id('b'), 'c', new Uint8Array(1));
    await clock.run(1000);
    assert.ok(atMs - begunMs >= 300 && atMs - begunMs < 310);
  });

  it('replays from its seed', async () => {
    const run = async () => {
      const { clock, at, events } = await network('abcd', { link: { breakChance: 0.01, jitterMs: 20 } }, 7);
      const log: string[] = [];
      for (const n of 'abcd')
        at(n).onMessage('c', (from, m) => log.push(`${clock.monotonicMs()} ${from}>${n} ${m[0]}`));
      for (let i = 0; i < 200; i++) {
        for (const n of 'abc') at(n).send(id('d'), 'c', Uint8Array.of(i));
        await clock.run(3);
      }
      return [...events, ...log];
    };
    const first = await run();
    assert.ok(first.some((line) => line.includes('-')));
    assert.deepEqual(await run(), first);
  });
});

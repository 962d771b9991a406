import assert from 'node:assert/strict';
import { pack } from 'msgpackr';
import { silentLogger } from '../../../src/base/log.js';
import { seededRandom } from '../../../src/base/random.js';
import { PeerExchange } from '../../../src/p2p/peer-exchange.js';
import type { PeerId, PeerInfo, Transport } from '../../../src/p2p/transport.js';
import { SimClock } from '../../../src/testing/sim-clock.js';
import { SimNetwork } from '../../../src/testing/sim-network.js';

const info = (name: string): PeerInfo => ({ id: name as PeerId, name, addresses: [`${name}:7443`] });

describe('peer exchange', () => {
  let clock: SimClock;
  let network: SimNetwork;
  let transports: Map<string, Transport>;
  let exchanges: PeerExchange[];
  let told: string[];
  let warnings: number;

  beforeEach(() => {
    clock = new SimClock();
    network = new SimNetwork({ clock, random: seededRandom(1) });
    transports = new Map();
    exchanges = [];
    told = [];
    warnings = 0;
  });
  afterEach(async () => {
    await Promise.all(exchanges.map((exchange) => exchange.stop()));
    await Promise.all([...transports.values()].map((transport) => transport.stop()));
  });

  /** A peer that reaches only those whose address it was told: others are cut off until then. */
  async function join(name: string, knows: readonly string[], options: { intervalMs?: number } = {}): Promise<void> {
    const self = info(name);
    for (const other of transports.keys()) if (!knows.includes(other)) network.cut(self.id, other as PeerId);
    const transport = network.transport(self);
    transport.addAddresses = ({ id, addresses }) => {
      told.push(`${name}: ${id} at ${addresses.join()}`);
      if (id && transports.has(id)) network.heal(self.id, id);
    };
    transports.set(name, transport);
    const log = { ...silentLogger, warn: () => void (warnings += 1) };
    const exchange = new PeerExchange({ clock, log }, transport, options);
    exchanges.push(exchange);
    await transport.start();
    await exchange.start();
  }
  const peersOf = (name: string) => (transports.get(name)?.peers() ?? []).map(({ name: peer }) => peer);

  it('lets two that know only the first find each other', async () => {
    await join('first', []);
    await join('second', ['first']);
    await clock.run(1_000);
    await join('third', ['first']);
    await clock.run(() => peersOf('second').includes('third'), { limitMs: 30_000, what: 'they found each other' });
    assert.deepEqual(peersOf('third'), ['first', 'second']);
    assert.ok(told.includes('third: second at second:7443'));
    assert.ok(told.includes('second: third at third:7443'));
    const before = told.length;
    await clock.run(60_000);
    assert.equal(told.length, before, 'nobody is told again of those it is connected to');
  });

  it('reaches everybody along a chain', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const [i, name] of names.entries()) await join(name, names.slice(Math.max(0, i - 1), i));
    const meshed = () => names.every((name) => peersOf(name).length === names.length - 1);
    await clock.run(meshed, { limitMs: 60_000, what: 'a full mesh' });
  });

  it('repeats at its interval what was lost', async () => {
    await join('first', [], { intervalMs: 5_000 });
    await join('second', ['first']);
    await join('third', ['first']);
    // Nothing but new connections would tell them, and those are there already.
    const deaf = transports.get('second');
    assert.ok(deaf);
    await clock.run(() => peersOf('second').includes('third'), { limitMs: 30_000, what: 'found' });
    told.length = 0;
    network.cut('second' as PeerId, 'third' as PeerId);
    deaf.hangUp('third' as PeerId);
    await clock.run(() => told.some((line) => line.startsWith('second: third')), {
      limitMs: 30_000,
      what: 'told again',
    });
  });

  it('drops what cannot be read, and hints that are none', async () => {
    await join('first', []);
    const stranger = network.transport(info('stranger'));
    await stranger.start();
    await clock.run(() => peersOf('first').includes('stranger'), { limitMs: 30_000, what: 'connected' });
    const say = (message: Uint8Array) => stranger.send('first' as PeerId, 'peers', message);
    say(Buffer.from([0xc1, 0xff]));
    say(pack({ not: 'a list' }));
    say(
      pack([
        'x',
        [7, []],
        ['p', 'not a list'],
        ['p', [1]],
        ['p', Array.from({ length: 17 }, () => 'a:1')],
        ['first', ['self:1']],
        ['stranger', ['known:1']],
        ['good', ['good:1']],
      ]),
    );
    await clock.run(1_000);
    await stranger.stop();
    assert.deepEqual(told, ['first: good at good:1']);
    assert.equal(warnings, 2);
  });
});

import assert from 'node:assert/strict';
import { seededRandom } from '../../../src/base/random.js';
import { Rpc, RpcError, type RpcErrorCode, type RpcOptions } from '../../../src/p2p/rpc.js';
import type { PeerId } from '../../../src/p2p/transport.js';
import { SimClock } from '../../../src/testing/sim-clock.js';
import { SimNetwork } from '../../../src/testing/sim-network.js';

const [a, b] = ['a' as PeerId, 'b' as PeerId];
const bytes = (text: string) => Buffer.from(text);

async function pair(options: RpcOptions = {}) {
  const clock = new SimClock();
  const network = new SimNetwork({ clock, random: seededRandom(1) });
  const make = async (id: PeerId) => {
    const transport = network.transport({ id, name: id, addresses: [] });
    await transport.start();
    const rpc = new Rpc(clock, transport, options);
    await rpc.start();
    return { transport, rpc };
  };
  const [one, two] = [await make(a), await make(b)];
  await clock.run(() => one.transport.peers().length === 1);
  const failure = async (call: Promise<unknown>, code: RpcErrorCode) => {
    const checked = assert.rejects(call, (error) => error instanceof RpcError && error.code === code);
    await clock.run(50);
    await checked;
  };
  return { clock, network, one: one.rpc, two: two.rpc, transport: one.transport, failure };
}

describe('Rpc', () => {
  it('answers calls, each its own, in any order', async () => {
    const { clock, one, two } = await pair();
    two.handle('echo', async (from, payload) => {
      await clock.sleep(100 - Number(Buffer.from(payload).toString()));
      return bytes(`${from}:${Buffer.from(payload).toString()}`);
    });
    const all = Promise.all(['10', '50', '90'].map((text) => one.call(b, 'echo', bytes(text))));
    await clock.run(200);
    assert.deepEqual(
      (await all).map((answer) => Buffer.from(answer).toString()),
      ['a:10', 'a:50', 'a:90'],
    );
  });

  it('passes on what the handler threw, with its code', async () => {
    const { clock, one, two } = await pair();
    two.handle('fail', () => {
      throw Object.assign(new Error('no such thing'), { code: 'gone' });
    });
    const call = assert.rejects(
      one.call(b, 'fail', bytes('')),
      (error) =>
        error instanceof RpcError &&
        error.code === 'remote' &&
        error.remoteCode === 'gone' &&
        /no such thing/.test(error.message),
    );
    await clock.run(50);
    await call;
  });

  it('times out, ends with its signal, and knows no unknown methods', async () => {
    const { clock, one, two, failure } = await pair();
    two.handle('never', () => new Promise<Uint8Array>(() => undefined));
    await failure(one.call(b, 'never', bytes(''), { timeoutMs: 20 }), 'timeout');
    await failure(one.call(b, 'nothing', bytes('')), 'unknown-method');
    const abort = new AbortController();
    const call = assert.rejects(one.call(b, 'never', bytes(''), { signal: abort.signal }), /enough/);
    abort.abort(new Error('enough'));
    await clock.run(1);
    await call;
  });

  it('fails at once when the peer is not connected or its connection ends', async () => {
    const { network, one, two, failure } = await pair();
    two.handle('never', () => new Promise<Uint8Array>(() => undefined));
    const call = one.call(b, 'never', bytes(''), { timeoutMs: 60_000 });
    network.crash(b);
    await failure(call, 'disconnected');
    await failure(one.call(b, 'never', bytes('')), 'disconnected');
  });

  it('bounds the calls that wait and those that are worked on', async () => {
    const { clock, one, two, failure } = await pair({ maxInFlight: 2, maxServing: 1 });
    two.handle('never', () => new Promise<Uint8Array>(() => undefined));
    const first = assert.rejects(one.call(b, 'never', bytes(''), { timeoutMs: 500 }));
    const second = one.call(b, 'never', bytes(''), { timeoutMs: 500 });
    await failure(Promise.race([second, one.call(b, 'never', bytes(''))]), 'busy');
    await failure(second, 'busy');
    await clock.run(1000);
    await first;
  });
});

import assert from 'node:assert/strict';
import { silentLogger } from '../../../src/base/log.js';
import { Refusals, type Refusal } from '../../../src/p2p/libp2p/refusals.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';

describe('what is remembered of refused connections', () => {
  let clock: ManualClock;
  let warned: string[];
  let refusals: Refusals;
  beforeEach(() => {
    clock = new ManualClock();
    warned = [];
    const log = { ...silentLogger, warn: (message: string) => void warned.push(message) };
    refusals = new Refusals({ clock: clock, log });
  });
  const refusal = (peer: string, reason = 'removed'): Refusal => ({ peer, address: '192.0.2.9', reason, by: 'self' });

  it('goes when it has not happened again for half a minute, or when the two are connected', async () => {
    refusals.note(refusal('gone'));
    refusals.note(refusal('back'));
    await clock.advance(29_000);
    assert.deepEqual(refusals.list(), [refusal('gone'), refusal('back')]);
    refusals.clear('back');
    assert.deepEqual(refusals.list(), [refusal('gone')]);
    await clock.advance(2_000);
    assert.deepEqual(refusals.list(), []);
  });

  it('is said in the log when it is new, of another reason, or once a minute', async () => {
    for (let second = 0; second < 120; second += 5) {
      refusals.note(refusal('peer'));
      await clock.advance(5_000);
    }
    assert.equal(warned.length, 2);
    refusals.note(refusal('peer', 'knows format 1'));
    assert.equal(warned.length, 3);
  });

  it('is bounded: the peer that was refused longest ago goes first', () => {
    for (let n = 0; n < 65; n++) refusals.note(refusal(`peer-${n}`));
    const peers = refusals.list().map(({ peer }) => peer);
    assert.equal(peers.length, 64);
    assert(!peers.includes('peer-0'));
  });
});

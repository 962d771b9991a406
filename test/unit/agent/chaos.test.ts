import assert from 'node:assert/strict';
import { describeChaos, startChaos, type ChaosDeps } from '../../../src/agent/chaos.js';
import { Isolation } from '../../../src/agent/isolation.js';
import { silentLogger } from '../../../src/base/log.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';

describe('what skein chaos may ask of a peer', () => {
  const clock = new ManualClock();
  let done: string[] = [];
  const deps = (overrides: Partial<ChaosDeps> = {}): ChaosDeps => ({
    enabled: true,
    living: () => 3,
    clock,
    log: silentLogger,
    harm: {
      kill: () => void done.push('kill'),
      cut: (seconds) => void done.push(`cut ${seconds}`),
      pause: (seconds) => Promise.resolve(void done.push(`pause ${seconds}`)),
    },
    ...overrides,
  });
  const body = (fields: object) => Buffer.from(JSON.stringify(fields));
  beforeEach(() => (done = []));

  it('is done a moment after it was answered', async () => {
    assert.deepEqual(startChaos(deps(), body({ action: 'kill' })), { enabled: true, living: 3, action: 'kill' });
    startChaos(deps(), body({ action: 'cut', seconds: 5 }));
    startChaos(deps(), body({ action: 'pause', seconds: 2 }));
    assert.deepEqual(done, []);
    await clock.advance(1_000);
    assert.deepEqual(done, ['kill', 'cut 5', 'pause 2']);
  });

  it('is refused where the agent was not started for it', async () => {
    assert.throws(() => startChaos(deps({ enabled: false }), body({ action: 'kill' })), {
      code: 403,
      message: /start its agent with --chaos/,
    });
    assert.equal(describeChaos(deps({ enabled: false })).enabled, false);
    await clock.advance(1_000);
    assert.deepEqual(done, []);
  });

  it('is refused by the last living peer unless that is meant', async () => {
    const last = deps({ living: () => 1 });
    assert.throws(() => startChaos(last, body({ action: 'kill' })), { code: 409 });
    startChaos(last, body({ action: 'kill', evenLast: true }));
    await clock.advance(1_000);
    assert.deepEqual(done, ['kill']);
  });

  it('is one of three things, for ten minutes at most', () => {
    for (const fields of [
      {},
      { action: 'burn' },
      { action: 'cut', seconds: 601 },
      { action: 'pause', seconds: '1; rm' },
    ]) {
      assert.throws(() => startChaos(deps(), body(fields)), { code: 400 });
    }
    assert.throws(() => startChaos(deps(), Buffer.from('{')), { code: 400 });
    assert.throws(() => startChaos(deps(), Buffer.from('null')), { code: 400 });
  });

  it('keeps everybody away only for the time asked for', async () => {
    const isolation = new Isolation({ clock });
    assert.equal(isolation.reason, undefined);
    isolation.begin(5);
    assert.match(isolation.reason ?? '', /cut off/);
    await clock.advance(5_001);
    assert.equal(isolation.reason, undefined);
  });
});

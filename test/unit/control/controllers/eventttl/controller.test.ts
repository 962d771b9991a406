import assert from 'node:assert/strict';
import { rfc3339 } from '../../../../../src/base/clock.js';
import { EVENTS } from '../../../../../src/api/resource.js';
import type { Event } from '../../../../../src/api/types/core-v1.js';
import { eventTtlController } from '../../../../../src/control/controllers/eventttl/controller.js';
import { harness, type Harness } from '../harness.js';

const HOUR_MS = 3_600_000;

describe('event expiry', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(eventTtlController(h, { batch: 2 }));
  });
  afterEach(() => h.stop());

  const names = () => h.client.all<Event>(EVENTS).map(({ metadata }) => metadata.name);
  const seed = (name: string, lastMs: number) =>
    h.client.seed<Event>(EVENTS, {
      metadata: { namespace: 'ns', name, creationTimestamp: rfc3339(h.clock.nowMs() - 10 * HOUR_MS) },
      involvedObject: {},
      lastTimestamp: rfc3339(lastMs),
    });

  it('removes Events an hour after they last happened, not after they first did', async () => {
    seed('old', h.clock.nowMs() - HOUR_MS - 60_000);
    seed('recent', h.clock.nowMs());
    await h.clock.advance(61_000);
    assert.deepEqual(names(), ['recent']);
    await h.clock.advance(HOUR_MS + 60_000);
    assert.deepEqual(names(), []);
  });

  it('removes only so many in one sweep, the oldest first', async () => {
    for (let i = 0; i < 5; i++) seed(`e${i}`, h.clock.nowMs() - 3 * HOUR_MS + i * 1_000);
    await h.clock.advance(61_000);
    assert.deepEqual(names(), ['e2', 'e3', 'e4']);
  });
});

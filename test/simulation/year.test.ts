/**
 * What a peer keeps does not grow over a year of updates (promise P9): the last quarter against the second, in which the late peer
 * is away. See `year.ts` for what is scaled, and `scripts/soak.d/year.ts` for a longer one.
 */
import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { runYear, type Quarter } from './year.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What may be under way when a quarter is measured: a frame more in the log, a pod that ends. */
const SLACK = 1.2;

describe('a simulated year', function () {
  this.timeout(300_000);

  it('keeps disk, records, tombstones, log, history and memory flat, and takes a peer in that was away for months', async () => {
    const options = { seed: 1, steps: 8, nodes: 100, statuses: 1, events: 100 };
    const { quarters, problems } = await runYear(options, collect, (quarter) =>
      process.stdout.write(`      ${JSON.stringify(quarter)}\n`),
    );
    assert.deepEqual(problems, []);
    const [, before, , after] = quarters as [Quarter, Quarter, Quarter, Quarter];
    assert.ok(after.revisions > before.revisions * 1.5, 'nothing happened');
    for (const field of ['diskBytes', 'diskKeys', 'objects', 'recordBytes'] as const)
      assert.ok(after[field] <= before[field] * SLACK, `${field} grew from ${before[field]} to ${after[field]}`);
    assert.equal(after.events, 0, 'Events that expired');
    assert.equal(after.tombstones, 0, 'tombstones past their retention');
    // Half as much again: the collector of garbage and the simulator itself are no exact instruments.
    assert.ok(after.heapBytes <= before.heapBytes * 1.5, `heap grew from ${before.heapBytes} to ${after.heapBytes}`);
  });
});

/**
 * Seeded histories of faults, on all processors: as many as fit into CI, or into four minutes, which it says then.
 * `scripts/soak` goes on from there. `SEED=n` replays one and prints what happened; `HISTORIES=n` sets how many run however long it
 * takes, `FIRST=n` where they begin.
 */
import assert from 'node:assert/strict';
import { systemClock } from '../../src/base/clock.js';
import { runAll } from './history-pool.js';
import { runHistory } from './history.js';
import { Tally } from './history-tally.js';

const say = (line: string) => process.stdout.write(`${line}\n`);
const only = process.env['SEED'];
const wished = process.env['HISTORIES'];
const count = Number(wished ?? 1_500);
const limitMs = wished === undefined ? 240_000 : Infinity;
const first = Number(process.env['FIRST'] ?? 1);

describe('histories of faults', function () {
  this.timeout(Math.max(600_000, count * 1_000));

  if (only !== undefined) {
    it(`seed ${only}`, async () => {
      const result = await runHistory(Number(only), (ms, peer, level, message, fields) =>
        say(`${ms.toFixed(1).padStart(9)} ${peer} ${level} ${message} ${fields ? JSON.stringify(fields) : ''}`),
      );
      const { digest: _, ...shown } = result;
      say(JSON.stringify(shown, null, 2));
      assert.deepEqual(result.problems, []);
    });
    return;
  }

  it('lose nothing, never have two sequencers in one epoch, and converge', async () => {
    const tally = new Tally();
    const startMs = systemClock.monotonicMs();
    const elapsedMs = () => systemClock.monotonicMs() - startMs;
    const isOver = () => elapsedMs() >= limitMs;
    const { next, cpuMs } = await runAll({ first, count, isOver, onSummary: (summary) => tally.add(summary) });
    say(`      ${tally.text().replaceAll('\n', '\n      ')}`);
    const each = (cpuMs / tally.histories).toFixed(0);
    say(`      ${(elapsedMs() / 1_000).toFixed(0)} s, ${each} ms of processor time for each`);
    if (tally.histories < count) say(`      NOT ALL: ${tally.histories} of ${count} in the time there is`);
    assert.equal(tally.histories, next - first);
    assert.equal(
      tally.failures.length,
      0,
      `${tally.failures.length} failed\n${tally.failures.slice(0, 20).join('\n')}`,
    );
  });

  it('are the same each time a seed is replayed, whether or not peers share the work on documents', async () => {
    for (const seed of [3, 4]) {
      const one = await runHistory(seed, undefined, { shareDocuments: true });
      const two = await runHistory(seed, undefined, { shareDocuments: false });
      assert.notEqual(one.digest, '');
      assert.deepEqual(one, two);
    }
  });
});

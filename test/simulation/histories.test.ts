/**
 * Seeded histories of faults, on all processors: {@link WANTED} within {@link LIMIT_MS}, always the same ones. `scripts/soak` goes on
 * from there. `SEED=n` replays one and prints what happened; `HISTORIES=n` sets how many run however long it takes, `FIRST=n` where
 * they begin.
 */
import assert from 'node:assert/strict';
import { systemClock } from '../../src/base/clock.js';
import { runAll } from './history-pool.js';
import { runHistory } from './history.js';
import { seedsFor } from './history-shape.js';
import { Tally } from './history-tally.js';

const say = (line: string) => process.stdout.write(`${line}\n`);
const only = process.env['SEED'];
const wished = process.env['HISTORIES'];
const first = Number(process.env['FIRST'] ?? 1);

/** Histories of three peers and more; those of two run besides. */
const WANTED = 5_000;
const LIMIT_MS = 300_000;
/**
 * With less than this share of the processors' time others were at work on the machine, and that not all histories ran in time says
 * nothing of them.
 */
const FAIR_SHARE = 0.8;

const count = wished === undefined ? seedsFor(WANTED, first) : Number(wished);
const limitMs = wished === undefined ? LIMIT_MS : Infinity;

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
    const { next, cpuMs, workers } = await runAll({ first, count, isOver, onSummary: (summary) => tally.add(summary) });
    say(`      ${tally.text().replaceAll('\n', '\n      ')}`);
    const share = cpuMs / (elapsedMs() * workers);
    const each = (cpuMs / tally.histories).toFixed(0);
    say(
      `      ${(elapsedMs() / 1_000).toFixed(0)} s, ${each} ms of processor time for each, ` +
        `${(share * 100).toFixed(0)} % of ${workers} processors`,
    );
    assert.equal(tally.histories, next - first);
    assert.equal(
      tally.failures.length,
      0,
      `${tally.failures.length} failed\n${tally.failures.slice(0, 20).join('\n')}`,
    );
    if (tally.histories === count) return;
    const missed = `${tally.histories} of ${count} histories in ${limitMs / 1_000} s`;
    assert.ok(share < FAIR_SHARE, `only ${missed}`);
    say(`      NOT ALL: ${missed}, for others were at work on this machine`);
  });

  it('are the same each time a seed is replayed, whether or not peers share the work on documents', async () => {
    for (const seed of [3, 5, 7]) {
      const one = await runHistory(seed, undefined, { shareDocuments: true });
      const two = await runHistory(seed, undefined, { shareDocuments: false });
      assert.notEqual(one.digest, '');
      assert.deepEqual(one, two);
    }
  });
});

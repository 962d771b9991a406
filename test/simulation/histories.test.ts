/**
 * Seeded histories of faults, on all processors. `SEED=n` replays one and prints what happened; `HISTORIES=n` sets how many
 * run, `FIRST=n` where they begin.
 */
import assert from 'node:assert/strict';
import { runAll } from './history-pool.js';
import { runHistory } from './history.js';
import { Tally } from './history-tally.js';

const say = (line: string) => process.stdout.write(`${line}\n`);
const only = process.env['SEED'];
const count = Number(process.env['HISTORIES'] ?? 1_000);
const first = Number(process.env['FIRST'] ?? 1);

describe('histories of faults', function () {
  this.timeout(850_000);

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

  it(`${count} of them lose nothing, never have two sequencers in one epoch, and converge`, async () => {
    const tally = new Tally();
    const { cpuMs } = await runAll({ first, count, onSummary: (summary) => tally.add(summary) });
    say(`      ${tally.text().replaceAll('\n', '\n      ')}`);
    say(`      ${(cpuMs / count).toFixed(0)} ms of processor time for each`);
    assert.equal(tally.histories, count);
    assert.equal(
      tally.failures.length,
      0,
      `${tally.failures.length} failed\n${tally.failures.slice(0, 20).join('\n')}`,
    );
  });
});

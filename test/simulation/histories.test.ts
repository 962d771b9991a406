/**
 * Seeded histories of faults. `SEED=n` replays one and prints what happened; `HISTORIES=n` sets how many run,
 * `FIRST=n` where they begin.
 */
import assert from 'node:assert/strict';
import { runHistory, type HistoryResult } from './history.js';

const say = (line: string) => process.stdout.write(`${line}\n`);
const only = process.env['SEED'];
const count = Number(process.env['HISTORIES'] ?? 500);
const first = Number(process.env['FIRST'] ?? 1);

describe('histories of faults', function () {
  this.timeout(600_000);

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
    const failures: string[] = [];
    const slowest = { ms: 0, seed: 0 };
    const sum = { operations: 0, acknowledged: 0 };
    for (let seed = first; seed < first + count; seed++) {
      let result: HistoryResult;
      try {
        result = await runHistory(seed);
      } catch (error) {
        failures.push(`SEED=${seed}: ${String(error instanceof Error ? (error.stack ?? error.message) : error)}`);
        continue;
      }
      sum.operations += result.operations;
      sum.acknowledged += result.acknowledged;
      if (result.convergedMs > slowest.ms) Object.assign(slowest, { ms: result.convergedMs, seed });
      if (result.problems.length > 0) {
        failures.push(
          `SEED=${seed} (${result.peers} peers${result.whole ? ', whole' : ''}): ${result.problems.slice(0, 3).join('\n    ').slice(0, 1500)}`,
        );
      }
    }
    say(
      `      ${count} histories, ${sum.operations} operations, ${sum.acknowledged} acknowledged; ` +
        `slowest convergence ${slowest.ms.toFixed(0)} ms (seed ${slowest.seed})`,
    );
    assert.equal(failures.length, 0, `${failures.length} histories failed\n${failures.slice(0, 20).join('\n')}`);
  });
});

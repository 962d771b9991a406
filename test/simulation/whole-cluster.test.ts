/**
 * Clusters of whole agents under faults: workloads come back to what was wished, and nothing runs, or stays, that should not.
 * `SEED=n` replays one history with its logs, `WHOLE_HISTORIES=n` sets how many run, `FIRST=n` where they begin.
 */
import assert from 'node:assert/strict';
import { runWholeHistory, type WholeHistory } from './whole-cluster.js';

const say = (line: string) => process.stdout.write(`${line}\n`);
const only = process.env['SEED'];
const count = Number(process.env['WHOLE_HISTORIES'] ?? 3);
const first = Number(process.env['FIRST'] ?? 1);

describe('a cluster of whole agents', function () {
  this.timeout(3_600_000);

  if (only !== undefined) {
    it(`seed ${only}`, async () => {
      const result = await runWholeHistory(Number(only), (ms, peer, level, message, fields) =>
        say(`${ms.toFixed(1).padStart(9)} ${peer} ${level} ${message} ${fields ? JSON.stringify(fields) : ''}`),
      );
      say(JSON.stringify({ ...result, problems: undefined }));
      assert.deepEqual(result.problems, []);
    });
    return;
  }

  it(`brings workloads to what is wished after ${count} histories of kills, splits and power losses`, async () => {
    const failures: string[] = [];
    const done: WholeHistory[] = [];
    for (let seed = first; seed < first + count; seed++) {
      try {
        const history = await runWholeHistory(seed);
        done.push(history);
        if (history.problems.length > 0)
          failures.push(`SEED=${seed}: ${history.problems.slice(0, 4).join('\n    ').slice(0, 1_500)}`);
      } catch (error) {
        failures.push(`SEED=${seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      }
    }
    const sum = (of: (history: WholeHistory) => number) => done.reduce((total, one) => total + of(one), 0);
    const most = (of: (history: WholeHistory) => number) => Math.max(0, ...done.map(of));
    const seconds = (ms: number) => (ms / 1000).toFixed(1);
    say(
      `      ${done.length} histories, ${seconds(sum((one) => one.simulatedMs))} simulated s, ` +
        `${sum((one) => one.faults.length)} faults, ${sum((one) => one.acknowledged)} acts acknowledged, ` +
        `${sum((one) => one.failed)} refused or lost; longest time to what was wished ` +
        `${seconds(most((one) => one.repairedMs))} s, without extra pods ${seconds(most((one) => one.extraMs))} s; ` +
        `${sum((one) => one.extraSeconds).toFixed(0)} extra pod seconds, ` +
        `${sum((one) => one.twinSeconds).toFixed(0)} s of replaced identities that ran on behind a cut`,
    );
    assert.deepEqual(failures, []);
    assert.deepEqual(await runWholeHistory(first), done[0], 'a replay from the same seed');
  });
});

/** Everything goes wrong at real hosts for a while, and `skein chaos` does it to a cluster as its owner would. */
import assert from 'node:assert/strict';
import { ChaosRun } from '../../scripts/chaos.d/run.js';
import { patientLimits, verdictText } from '../../scripts/chaos.d/verdict.js';
import type { ChaosReport } from '../../src/cli/chaos/report.js';
import { run } from './harness/command.js';
import { noHostsReason } from './harness/lab.js';
import { dump, loudlySkipped, note } from './harness/report.js';

/** New faults begin for so long, so that all of it takes two minutes; a run of ten minutes belongs to a release. */
const FOR_MS = 100_000;
const SEED = Number(process.env['SEED'] ?? 2);

describe('a cluster of three under faults, one after the other', function () {
  this.timeout(600_000);
  const log: string[] = [];
  const chaos = new ChaosRun({
    seed: SEED,
    hosts: 3,
    forMs: FOR_MS,
    lastsMs: { least: 2_000, most: 3_000 },
    // Continuous integration runs beside others; that nothing is lost knows no patience.
    limits: patientLimits(4),
    log: (text) => log.push(text),
  });
  let failed = false;

  before('hosts, agents and clients are up', async function () {
    const reason = noHostsReason();
    if (reason !== undefined) {
      loudlySkipped(reason);
      this.skip();
    }
    await chaos.open();
  });
  afterEach(function () {
    if (this.currentTest?.state !== 'failed') return;
    failed = true;
    dump(log.join('\n'));
  });
  after(async () => {
    if (noHostsReason() === undefined) await chaos.close({ keepLogs: failed });
  });

  it('takes what skein chaos does to it, which tells its owner how that went', async () => {
    const { cluster } = chaos.stage;
    const agent = cluster.agent(1);
    for (const one of cluster.agents) chaos.stage.excused.add(one);
    const what = [
      '--kill-peer',
      '--cut-peer',
      '--every',
      '1s',
      '--for',
      '4s',
      '--down',
      '2s',
      '--peer',
      'h2',
      '--seed',
      '1',
    ];
    const { program, args, env } = agent.skein('chaos', '--kubeconfig', cluster.kubeconfig, ...what, '-o', 'json');
    const { code, stdout, stderr } = await run(program, args, { env, timeoutMs: 240_000 });
    assert.equal(code, 0, `${stderr}${stdout}`);
    const report = JSON.parse(stdout) as ChaosReport;
    assert(report.blows.length > 0 && report.blows.every(({ peer }) => peer === 'h2'), stdout);
    assert(
      report.blows.every(({ wholeMs }) => wholeMs !== null),
      stdout,
    );
    assert(report.writes.acknowledged > 0 && report.lost.length === 0, stdout);
    note(
      report.blows
        .map(({ action, gapMs, wholeMs }) => `${action}: gap ${gapMs} ms, whole after ${wholeMs} ms`)
        .join('; '),
    );
  });

  it('keeps every promise', async () => {
    const verdict = await chaos.run();
    const text = verdictText(verdict);
    assert.deepEqual(verdict.broken, [], text);
    assert(verdict.faults.length > 0 && verdict.writes.acknowledged > 0 && verdict.watch.events > 0, text);
    for (const line of text.trimEnd().split('\n')) note(line);
  });
});

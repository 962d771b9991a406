/**
 * The rows of Kubernetes' conformance list, one test each, against a cluster: three agents on this machine unless told
 * otherwise. Rows run side by side; a test only waits for its row. Settings come from the environment (scripts/conformance
 * sets them):
 *
 *   SKEIN_CONFORMANCE_KUBECONFIG   run against this cluster; several separated by commas are peers of one
 *   SKEIN_CONFORMANCE_FAST         an API server with a memory store in this process, without controllers
 *   SKEIN_CONFORMANCE_FOCUS        only rows whose id or name matches this pattern
 *   SKEIN_CONFORMANCE_BLOCK        only rows of these blocks, separated by commas
 *   SKEIN_CONFORMANCE_SLOW         also rows that take minutes by nature
 *   SKEIN_CONFORMANCE_REPORT       write the scoreboard to this file
 *   SKEIN_CONFORMANCE_JOBS         rows under way at a time (6)
 */
import { ALL } from './all.js';
import { startAgents } from './clusters/agents.js';
import type { Cluster } from './clusters/cluster.js';
import { startInProcess } from './clusters/in-process.js';
import { openCluster } from './clusters/kubeconfig.js';
import { formatReport, readPassed, writeReport, type Results } from './report.js';
import { runRows, type Outcome } from './run.js';
import { BLOCKS, readKnownFailures, readRows, type Row } from './table.js';

const setting = (name: string) => process.env[`SKEIN_CONFORMANCE_${name}`] || undefined;

const ROW_TIMEOUT_MS = 150_000;
const SLOW_ROW_TIMEOUT_MS = 10 * 60_000;

const slow = setting('SLOW') !== undefined;
const focus = new RegExp(setting('FOCUS') ?? '');
const blocks = setting('BLOCK')?.split(',');
const report = setting('REPORT');

const rows = readRows();
const isChosen = ({ id, testname, block }: Row) =>
  (focus.test(id) || focus.test(testname)) && (blocks?.includes(block) ?? true);
const chosen = rows.filter(isChosen);
const toRun = chosen.filter(({ id, note }) => ALL[id] !== undefined && (slow || note !== 'slow'));

const known = readKnownFailures();
const unknownIds = [...Object.keys(ALL), ...known.keys()].filter((id) => !rows.some((row) => row.id === id));

function chooseCluster(): Promise<Cluster> {
  const kubeconfigs = setting('KUBECONFIG')?.split(',');
  if (kubeconfigs) return openCluster(kubeconfigs);
  return setting('FAST') === undefined ? startAgents() : startInProcess();
}

describe('Kubernetes conformance', function () {
  this.timeout(slow ? 2 * SLOW_ROW_TIMEOUT_MS : 3 * ROW_TIMEOUT_MS);
  const results = new Map<string, Outcome>();
  const passedBefore = report === undefined ? new Set<string>() : readPassed(report);
  let cluster: Cluster;
  let outcomes: ReadonlyMap<string, Promise<Outcome>>;

  before(async () => {
    if (unknownIds.length > 0) throw new Error(`not in rows.tsv: ${unknownIds.join(', ')}`);
    cluster = await chooseCluster();
    // Those that wait for minutes wait while the others are at work.
    const inTurn = toRun.toSorted((a, b) => Number(b.note === 'slow') - Number(a.note === 'slow'));
    outcomes = runRows(cluster, inTurn, ALL, {
      concurrency: Number(setting('JOBS') ?? 6),
      rowTimeoutMs: slow ? SLOW_ROW_TIMEOUT_MS : ROW_TIMEOUT_MS,
    });
  });

  after(async function () {
    await cluster?.stop();
    if (results.size === 0) return;
    const all: Results = { rows: chosen, outcomes: results, known, implemented: (id) => ALL[id] !== undefined };
    if (report !== undefined && chosen.length === rows.length) writeReport(report, all, cluster.description);
    process.stdout.write(`\n${formatReport(all)}\n`);
  });

  /** A failure counts unless it is expected: listed, or (for the scoreboard) not among what passed before. */
  function judge(mocha: Mocha.Context, { id }: Row, outcome: Outcome): void {
    const reason = known.get(id);
    if (outcome.kind === 'passed') {
      if (reason !== undefined) process.stdout.write(`      ${id} passes: remove it from known-failures.txt\n`);
    } else if (outcome.kind === 'not run') {
      process.stdout.write(`      not run: ${id}: ${outcome.why}\n`);
      mocha.skip();
    } else if (reason !== undefined || (report !== undefined && !passedBefore.has(id))) {
      process.stdout.write(
        `      known failure: ${id}: ${outcome.error.message.split('\n')[0]} (${reason ?? 'new'})\n`,
      );
      mocha.skip();
    } else {
      throw outcome.error;
    }
  }

  for (const block of Object.keys(BLOCKS)) {
    const inBlock = chosen.filter((row) => row.block === block);
    if (inBlock.length === 0) continue;
    describe(block, () => {
      for (const row of inBlock) {
        const title = `${row.id}: ${row.testname}`;
        if (!toRun.includes(row)) it(`${title} (${ALL[row.id] ? 'slow' : 'not yet'})`);
        else
          it(title, async function () {
            const outcome = await outcomes.get(row.id);
            if (!outcome) throw new Error('the row was not run');
            results.set(row.id, outcome);
            judge(this, row, outcome);
          });
      }
    });
  }
});

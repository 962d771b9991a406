/** Runs histories until their number or the time is up, and ends with a verdict. See `--help`. */
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/base/clock.js';
import { runAll } from '../../test/simulation/history-pool.js';
import { failureOf, Tally } from '../../test/simulation/history-tally.js';

const HELP = `usage: scripts/soak [--histories N] [--for DURATION] [--first SEED] [--workers N]

Runs seeded histories of simulated clusters under faults, checks each, and prints the seed of every one that fails. Replay it
with SEED=n npx mocha test/simulation/histories.test.ts

  --histories N    how many (1000000)
  --for DURATION   no longer than that: 90s, 30m, 12h
  --first SEED     where to begin (1); an interrupted run says where to go on
  --workers N      processes (one for each processor)

The last line is the verdict; the exit status is 1 when a history failed. An interrupt (Ctrl-C) ends it in order, too.`;

const PROGRESS_MS = 60_000;
const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

function durationMs(text: string): number {
  const [, number, unit] = /^(\d+)([smh])$/.exec(text) ?? [];
  if (number === undefined || unit === undefined) throw new Error(`${text} is no duration such as 90s, 30m or 12h`);
  return Number(number) * (UNITS_MS[unit] ?? 0);
}

function count(name: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`--${name} takes a number from 1 on`);
  return Number(text);
}

function optionsOf(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      histories: { type: 'string' },
      for: { type: 'string' },
      first: { type: 'string', default: '1' },
      workers: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  return {
    help: values.help === true,
    histories: values.histories === undefined ? undefined : count('histories', values.histories),
    forMs: values.for === undefined ? undefined : durationMs(values.for),
    first: count('first', values.first),
    ...(values.workers === undefined ? {} : { workers: count('workers', values.workers) }),
  };
}

const say = (line: string) => process.stdout.write(`${line}\n`);

async function soak({ histories, forMs, first, workers }: ReturnType<typeof optionsOf>): Promise<number> {
  const startMs = systemClock.monotonicMs();
  const elapsedMs = () => systemClock.monotonicMs() - startMs;
  const tally = new Tally();
  let interrupted = false;
  process.once('SIGINT', () => (interrupted = true));
  process.once('SIGTERM', () => (interrupted = true));
  // Seeds end out of order: all below this one are done.
  let doneUpTo = first;
  const ahead = new Set<number>();
  const stop = systemClock.interval(PROGRESS_MS, () => {
    const rate = tally.histories / (elapsedMs() / 1_000);
    const line = `${tally.histories} histories, ${tally.failed} failed, ${rate.toFixed(1)} a second; all seeds below ${doneUpTo} are done`;
    say(`${(elapsedMs() / 60_000).toFixed(0)} min: ${line}`);
  });
  const { next, cpuMs } = await runAll({
    first,
    // With a time but no number, the time decides.
    ...(forMs !== undefined && histories === undefined ? {} : { count: histories ?? 1_000_000 }),
    ...(workers === undefined ? {} : { workers }),
    isOver: () => interrupted || elapsedMs() >= (forMs ?? Infinity),
    onSummary: (summary) => {
      tally.add(summary);
      if (summary.problems.length > 0) say(`FAILED ${failureOf(summary)}`);
      for (ahead.add(summary.seed); ahead.delete(doneUpTo);) doneUpTo += 1;
    },
  });
  stop();
  say(tally.text());
  const seconds = elapsedMs() / 1_000;
  const each = tally.histories === 0 ? 0 : cpuMs / tally.histories;
  say(`${seconds.toFixed(0)} s, ${each.toFixed(0)} ms of processor time for each; go on with --first ${next}`);
  const seeds = `seeds ${first} to ${next - 1}`;
  say(tally.failed === 0 ? `PASSED: ${seeds}` : `FAILED: ${tally.failed} of ${tally.histories} histories, ${seeds}`);
  return tally.failed === 0 ? 0 : 1;
}

try {
  const options = optionsOf(process.argv.slice(2));
  if (options.help) say(HELP);
  else process.exitCode = await soak(options);
} catch (error) {
  process.stderr.write(`soak: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}

/** Runs benchmarks one after the other, each bounded in time and cleaned up whatever happens. See `--help`. */
import { appendFileSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { noHostsReason } from '../../test/e2e/harness/lab.js';
import type { Bench, Context, Figure } from './bench.js';
import { deploy } from './deploy.js';
import { failover } from './failover.js';
import { growth } from './growth.js';
import { idle } from './idle.js';
import { proxy } from './proxy.js';
import { rebuild } from './rebuild.js';
import { currentLoad, describeRun, render, type Outcome, type Report } from './report.js';
import { scale } from './scale.js';
import { scheduler } from './scheduler.js';
import { store } from './store.js';
import { watch } from './watch.js';
import { writes } from './writes.js';

const BENCHES: readonly Bench[] = [
  scheduler,
  store,
  growth,
  scale,
  watch,
  proxy,
  idle,
  deploy,
  writes,
  failover,
  rebuild,
];

const HELP = `usage: scripts/bench [NAME…] [--out FILE] [--rounds N] [--seconds N]
       scripts/bench --render FILE

Measures skein and, where there is a peer, the peer in the same run on the same hosts, and prints both and their ratio.
Without names everything is measured, which takes about half an hour. Keep the machine otherwise idle.

${BENCHES.map(({ name, about }) => `  ${name.padEnd(10)} ${about}`).join('\n')}

  --out FILE     append the results as one line of JSON
  --rounds N     repetitions of what is measured once a round (3); medians are shown
  --seconds N    length of each steady load (6)
  --render FILE  print the tables of the results in FILE instead of measuring

Benchmarks on hosts need root, Docker and no registry; etcd is measured where it is installed (Debian: etcd-server).
SKEIN_E2E_LAB names the lab they make (bench).
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '6' },
    render: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function stopWith(text: string, code: number): never {
  (code === 0 ? process.stdout : process.stderr).write(text);
  process.exit(code);
}

if (values.help) stopWith(HELP, 0);
if (values.render !== undefined) {
  const lines = readFileSync(values.render, 'utf8').split('\n');
  const reports = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Report);
  stopWith(`${reports.map(render).join('\n\n')}\n`, 0);
}
const unknown = positionals.filter((name) => !BENCHES.some((bench) => bench.name === name));
if (unknown.length > 0) stopWith(`bench: there is no ${unknown.join(', ')}\n\n${HELP}`, 1);
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
if (!(rounds >= 1) || !(seconds >= 1)) stopWith('bench: --rounds and --seconds must be 1 or more\n', 1);

process.env['SKEIN_E2E_LAB'] ??= 'bench';
const cleanups: (() => Promise<unknown>)[] = [];

/** Last registered, first undone; one that hangs does not keep the others from running. */
async function cleanUp(): Promise<void> {
  for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) {
    await within(cleanup(), 60, 'the clean-up').catch((error: unknown) => console.error(`bench: ${String(error)}`));
  }
}

async function within<T>(work: Promise<T>, limitSeconds: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${limitSeconds} s`)), limitSeconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interrupted) return;
    interrupted = true;
    console.error(`bench: ${signal}: cleaning up`);
    void cleanUp().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  });
}
// What a benchmark left behind must not end the others; its own failure is reported by its promise.
process.on('unhandledRejection', (error) => console.error('bench: unhandled:', error));

const chosen = positionals.length === 0 ? BENCHES : BENCHES.filter(({ name }) => positionals.includes(name));
const outcomes: Outcome[] = [];
for (const bench of chosen) {
  const reason = bench.hosts ? noHostsReason() : undefined;
  if (reason !== undefined) {
    console.error(`bench: !! SKIPPED ${bench.name}: ${reason}`);
    continue;
  }
  const loadBefore = currentLoad();
  console.error(`bench: ${bench.name} (load ${loadBefore})`);
  const context: Context = {
    rounds,
    seconds,
    log: (text) => console.error(`  ${text}`),
    defer: (cleanup) => cleanups.push(cleanup),
  };
  let figures: Figure[] = [];
  let failure: string | undefined;
  try {
    figures = await within(bench.run(context), bench.limitSeconds, bench.name);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    console.error(`bench: ${bench.name} failed: ${error instanceof Error ? error.stack : failure}`);
  }
  await cleanUp();
  outcomes.push({ bench: bench.name, figures, loadBefore, ...(failure === undefined ? {} : { failure }) });
}
const report = describeRun(outcomes);
if (values.out !== undefined) appendFileSync(values.out, `${JSON.stringify(report)}\n`);
console.log(render(report));
process.exit(outcomes.some(({ failure }) => failure !== undefined) ? 1 : 0);

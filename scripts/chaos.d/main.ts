/** `scripts/chaos`: arguments in, verdict out; exit code 1 when a promise was broken. See `--help`. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseDuration } from '../../src/cli/duration.js';
import { noHostsReason } from '../../test/e2e/harness/lab.js';
import { FAULT_KINDS, FAULT_TEXTS, type FaultKind } from './plan.js';
import { ChaosRun } from './run.js';
import { patientLimits, verdictText } from './verdict.js';

const HELP = `usage: scripts/chaos [--for 10m] [--seed N] [--hosts 3] [--faults kill,cut,…] [--lasts 3s-12s] [--patience N] [--out FILE]

Runs a real cluster on hosts of its own (scripts/lab) under faults, while clients write, watch and call a Service through every
peer; then says what was promised and not kept. Exit code 1 when that is anything.

${FAULT_KINDS.map((kind) => `  ${kind.padEnd(8)} ${FAULT_TEXTS[kind]}`).join('\n')}

  --for T        how long new faults begin (10m)
  --seed N       what happens, to whom and in which order follows from it (one by the clock)
  --hosts N      how many (3)
  --faults LIST  only these
  --lasts A-B    how long a fault lasts (3s-12s)
  --patience N   multiply the time limits, on a machine that has much else to do (1)
  --out FILE     the verdict as JSON too

Needs root, Docker Engine and iptables, and a build (npm run build). SKEIN_E2E_LAB names the lab it makes (chaos); logs of agents
stay where a promise was broken, or in SKEIN_E2E_LOGS.
`;

function stopWith(text: string, code: number): never {
  (code === 0 ? process.stdout : process.stderr).write(text);
  process.exit(code);
}

const { values } = parseArgs({
  options: {
    for: { type: 'string', default: '10m' },
    seed: { type: 'string' },
    hosts: { type: 'string', default: '3' },
    faults: { type: 'string' },
    lasts: { type: 'string' },
    patience: { type: 'string', default: '1' },
    out: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) stopWith(HELP, 0);

const forMs = parseDuration(values.for);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const hosts = Number(values.hosts);
const kinds = values.faults?.split(',');
const lasts = values.lasts?.split('-').map(parseDuration);
if (forMs === undefined) stopWith(`chaos: --for is no duration such as 10m: ${values.for}\n`, 2);
if (!Number.isInteger(seed)) stopWith('chaos: --seed must be a whole number\n', 2);
if (!(hosts >= 2 && hosts <= 9)) stopWith('chaos: --hosts must be 2 to 9\n', 2);
const unknown = kinds?.filter((kind) => !FAULT_KINDS.includes(kind as FaultKind)) ?? [];
if (unknown.length > 0) stopWith(`chaos: there is no fault ${unknown.join(', ')}\n\n${HELP}`, 2);
const [least, most] = lasts ?? [3_000, 12_000];
if (least === undefined || most === undefined || least > most) stopWith('chaos: --lasts must be such as 3s-12s\n', 2);
const patience = Number(values.patience);
if (!(patience > 0)) stopWith('chaos: --patience must be a number greater than 0\n', 2);
const reason = noHostsReason();
if (reason !== undefined) stopWith(`chaos: ${reason}\n`, 2);

process.env['SKEIN_E2E_LAB'] ??= 'chaos';
const beganMs = performance.now();
const log = (text: string) => {
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(1).padStart(6);
  for (const line of text.split('\n')) console.error(`${seconds}  ${line}`);
};

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    log(`${signal}: the run ends early`);
    interrupt.abort();
  });
}

const run = new ChaosRun({
  seed,
  hosts,
  forMs,
  lastsMs: { least, most },
  limits: patientLimits(patience),
  log,
  signal: interrupt.signal,
  ...(kinds ? { kinds: kinds as FaultKind[] } : {}),
});
log(`seed ${seed}`);
let code = 1;
try {
  await run.open();
  const verdict = await run.run();
  if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(verdict)}\n`);
  console.log(verdictText(verdict));
  code = verdict.broken.length === 0 ? 0 : 1;
} catch (error) {
  log(`the run failed: ${error instanceof Error ? error.stack : String(error)}`);
} finally {
  await run.close({ keepLogs: code !== 0 });
  if (code !== 0) log(`logs of the agents: ${run.logDir}`);
}
process.exit(code);

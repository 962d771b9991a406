/** `skein chaos`: strikes the peers of a cluster of yours, one at a time, and says how it took that. */
import { Option, type Command } from 'commander';
import { seededRandom, systemRandom, safeSuffix } from '../../base/random.js';
import { Canary } from '../chaos/canary.js';
import { hasPassed, reportText, type ChaosReport } from '../chaos/report.js';
import { runChaos } from '../chaos/run.js';
import { findTargets, missingToWhole, type Action } from '../chaos/targets.js';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { parseDuration } from '../duration.js';
import { CliError, SilentExit, UsageError } from '../failure.js';
import { jsonText } from '../printers/documents.js';

/** A write through a peer is given up after this, in milliseconds. */
const REQUEST_MS = 5_000;

interface Flags extends ConnectionFlags {
  readonly namespace?: string;
  readonly killPeer?: boolean;
  readonly cutPeer?: boolean;
  readonly pausePeer?: boolean;
  readonly every: string;
  readonly for: string;
  readonly down: string;
  readonly within: string;
  readonly peer?: string;
  readonly seed?: string;
  readonly evenLast?: boolean;
  readonly output?: 'json';
}

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description(
      'Strike the peers of a cluster, one at a time, while a small ConfigMap is written through all of them, and report how it ' +
        'went. The agents must have been started with --chaos. Exit code 1 when an acknowledged write was lost or a peer stayed away.',
    )
    .option('-n, --namespace <name>', 'Where the ConfigMap is; the one of the kubeconfig unless told')
    .option('--kill-peer', 'End agents as kill -9 does; what started them has to start them again')
    .option('--cut-peer', 'Cut peers off from the others for a time; their API goes on')
    .option('--pause-peer', 'Stop agents (SIGSTOP) for a time')
    .option('--every <duration>', 'How often; never before all peers are back', '30s')
    .option('--for <duration>', 'For how long', '10m')
    .option('--down <duration>', 'How long a cut or a pause lasts', '10s')
    .option('--within <duration>', 'How long all peers may take to be back', '5m')
    .option('--peer <name>', 'Always this one; any of them unless told')
    .option('--seed <n>', 'Choose the same peers and actions again')
    .option('--even-last', 'Also where no other peer is alive')
    .addOption(new Option('-o, --output <format>', 'Print the report for programs').choices(['json']))
    .action((flags: Flags) => chaos(flags, context));
}

async function chaos(flags: Flags, context: CliContext): Promise<void> {
  const actions = actionsOf(flags);
  const options = {
    actions,
    everyMs: durationOf('--every', flags.every),
    forMs: durationOf('--for', flags.for),
    downSeconds: durationOf('--down', flags.down) / 1000,
    wholeWithinMs: durationOf('--within', flags.within),
    only: flags.peer,
    evenLast: flags.evenLast === true,
    // Beside the report, which is for programs then.
    say: (text: string) => void (flags.output === 'json' ? context.stderr : context.stdout).write(`${text}\n`),
  };
  const random = flags.seed === undefined ? systemRandom : seededRandom(seedOf(flags.seed));
  const deps = { clock: context.clock, random };
  const overrides = { onWarning: () => undefined, requestTimeoutMs: REQUEST_MS, connectTimeoutMs: REQUEST_MS };
  const targets = await findTargets(flags, context, overrides);
  if (flags.peer !== undefined && !targets.some(({ name }) => name === flags.peer)) {
    throw new CliError(`no living peer is named "${flags.peer}"`);
  }
  if (targets.length === 1 && !options.evenLast) {
    throw new CliError(`${targets[0]?.name} is the only living peer: say with --even-last that it is meant`);
  }
  const missing = await missingToWhole(targets);
  if (missing !== undefined) throw new CliError(`the cluster is not whole before anything was done to it: ${missing}`);
  const namespace = flags.namespace ?? (await connect(flags, context)).namespace;
  const canary = new Canary(deps, targets, { namespace, name: `skein-chaos-${safeSuffix(systemRandom)}` });
  const writing = new AbortController();
  const stopped = new AbortController();
  const onSignal = () => stopped.abort(new Error('stopped'));
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  try {
    await canary.start(writing.signal);
    const found = await runChaos(deps, targets, canary, options, stopped.signal);
    writing.abort();
    await canary.ended();
    const total = (key: 'acknowledgedAtMs' | 'failedAtMs') =>
      canary.reports.reduce((sum, report) => sum + report[key].length, 0);
    const report: ChaosReport = {
      ...found,
      writes: { acknowledged: total('acknowledgedAtMs'), failed: total('failedAtMs') },
      lost: await canary.lost(),
    };
    context.stdout.write(flags.output === 'json' ? jsonText(report) : `\n${reportText(report)}`);
    if (!hasPassed(report)) throw new SilentExit(1);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    writing.abort();
    await canary.remove();
    for (const { client } of targets) client.close();
  }
}

function actionsOf({ killPeer, cutPeer, pausePeer }: Flags): readonly Action[] {
  const actions: Action[] = [];
  if (killPeer) actions.push('kill');
  if (cutPeer) actions.push('cut');
  if (pausePeer) actions.push('pause');
  if (actions.length === 0) throw new UsageError('say what is to happen: --kill-peer, --cut-peer or --pause-peer');
  return actions;
}

function durationOf(flag: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0) throw new UsageError(`${flag} is no duration such as 30s or 10m: ${text}`);
  return ms;
}

function seedOf(text: string): number {
  const seed = Number(text);
  if (!Number.isInteger(seed)) throw new UsageError(`--seed is no whole number: ${text}`);
  return seed;
}

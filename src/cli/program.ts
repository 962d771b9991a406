/**
 * The command line. A command's module is loaded only when it is the one asked for, so that `skein get` does not pay
 * for the agent.
 */
import { Command, CommanderError } from 'commander';
import type { CliContext } from './context.js';
import { describeFailure, SilentExit, UsageError } from './failure.js';
import { packageVersion } from './package-version.js';

/** Adds arguments, options and the action to a command that has its name and summary already. */
export type Configure = (command: Command, context: CliContext) => void;

interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly configure: Configure }>;
}

const COMMANDS: readonly Entry[] = [
  { name: 'agent', summary: 'Run this machine as a peer of the cluster', load: () => import('./commands/agent.js') },
  { name: 'token', summary: 'Create, list and revoke tokens for joining', load: () => import('./commands/token.js') },
  { name: 'peer', summary: 'List and remove registered peers', load: () => import('./commands/peer.js') },
  {
    name: 'kubeconfig',
    summary: 'Print the kubeconfig of the administrator',
    load: () => import('./commands/kubeconfig.js'),
  },
  {
    name: 'status',
    summary: 'Show peers, roles and the state of the cluster',
    load: () => import('./commands/status.js'),
  },
  {
    name: 'image',
    summary: 'Make container images available to every node',
    load: () => import('./commands/image.js'),
  },
  { name: 'apply', summary: 'Create or change objects from manifests', load: () => import('./commands/apply.js') },
  { name: 'get', summary: 'Show objects', load: () => import('./commands/get.js') },
  { name: 'describe', summary: 'Show one or more objects in detail', load: () => import('./commands/describe.js') },
  {
    name: 'history',
    summary: 'Show who changed which fields of an object',
    load: () => import('./commands/history.js'),
  },
  {
    name: 'conflicts',
    summary: 'Show what merges after splits overrode, with both values',
    load: () => import('./commands/conflicts.js'),
  },
  { name: 'diff', summary: 'Show what changed of an object since then', load: () => import('./commands/diff.js') },
  {
    name: 'chaos',
    summary: 'Strike peers, one at a time, and report how the cluster takes it',
    load: () => import('./commands/chaos.js'),
  },
  {
    name: 'backup',
    summary: 'Save all objects of the cluster to a file',
    load: () => import('./commands/backup.js'),
  },
  {
    name: 'restore',
    summary: 'Make a data directory out of a backup',
    load: () => import('./commands/restore.js'),
  },
  { name: 'store', summary: 'Check and print the store of a stopped agent', load: () => import('./commands/store.js') },
  { name: 'logs', summary: 'Print the logs of a container', load: () => import('./commands/logs.js') },
  { name: 'delete', summary: 'Delete objects', load: () => import('./commands/delete.js') },
  { name: 'version', summary: 'Print the versions of client and server', load: () => import('./commands/version.js') },
];

/** The width of help texts, whatever the terminal: they are compared in tests and pasted into documents. */
const HELP_WIDTH = 120;

/** Runs one command line (without `node` and the script). Resolves with the exit code; prints what went wrong. */
export async function run(args: readonly string[], context: CliContext): Promise<number> {
  try {
    const program = await buildProgram(args, context);
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof SilentExit) return error.exitCode;
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (context.env['SKEIN_DEBUG'] && error instanceof Error) context.stderr.write(`${traceOf(error)}\n`);
    const { text, exitCode } = describeFailure(error instanceof CommanderError ? usageOf(error) : error);
    if (text) context.stderr.write(`${text}\n`);
    return exitCode;
  }
}

function usageOf(error: CommanderError): UsageError {
  if (error.code === 'commander.help') return new UsageError('a command is needed; see `skein --help`');
  return new UsageError(error.message.replace(/^error: /, '').replaceAll('\n', ' '));
}

async function buildProgram(args: readonly string[], context: CliContext): Promise<Command> {
  const program = new Command('skein')
    .description('A peer-to-peer Kubernetes-API cluster: start `skein agent` on each machine, talk to any of them.')
    .exitOverride()
    .showSuggestionAfterError(false)
    .helpOption('-h, --help', 'Show help')
    .helpCommand('help [command]', 'Show help for a command')
    .version(await packageVersion(), '--version', 'Print the version of this program')
    .configureHelp({ helpWidth: HELP_WIDTH, showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      // Errors are printed by `run`, all in one form.
      writeErr: () => undefined,
    });
  const words = args.filter((arg) => !arg.startsWith('-'));
  const asked = words[0] === 'help' ? words[1] : words[0];
  for (const { name, summary, load } of COMMANDS) {
    const command = program.command(name).description(summary);
    if (name === asked) (await load()).configure(command, context);
  }
  return program;
}

/** The stack of an error and of its causes. */
function traceOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${traceOf(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}

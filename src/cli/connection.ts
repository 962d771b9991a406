/** Which server a command talks to, and as whom: flags, then `$KUBECONFIG`, then this node's own, then `~/.kube/config`. */
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Command } from 'commander';
import { HttpClient, type HttpClientOptions } from '../client/http-client.js';
import type { CliContext } from './context.js';
import { CliError } from './failure.js';
import { credentialsOf, readKubeconfig } from './kubeconfig.js';

export const DEFAULT_DATA_DIR = '/var/lib/skein';
/** What a founding or joining agent writes into its data directory. */
export const ADMIN_KUBECONFIG = 'admin.kubeconfig';

export interface ConnectionFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly server?: string;
  readonly dataDir?: string;
}

export interface Connected {
  readonly client: HttpClient;
  /** The namespace of the context. */
  readonly namespace: string;
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'Server and credentials; else $KUBECONFIG, the data directory, ~/.kube/config')
    .option('--context <name>', 'Context of the kubeconfig instead of its current one')
    .option('-s, --server <url>', 'Server instead of the one in the kubeconfig')
    .option(
      '--data-dir <dir>',
      `Data directory of the agent on this machine (default: ${DEFAULT_DATA_DIR}; SKEIN_DATA_DIR)`,
    );
}

/** The data directory by flag, environment and default. */
export const dataDirOf = ({ dataDir }: { readonly dataDir?: string }, { env }: CliContext): string =>
  dataDir ?? (env['SKEIN_DATA_DIR'] || DEFAULT_DATA_DIR);

/** The kubeconfig files to read, by the order of precedence. Throws when there is none. */
export function kubeconfigFiles(flags: ConnectionFlags, context: CliContext): string[] {
  if (flags.kubeconfig !== undefined) return [flags.kubeconfig];
  const local = join(dataDirOf(flags, context), ADMIN_KUBECONFIG);
  // A data directory that is named says which cluster is meant.
  if (flags.dataDir !== undefined) {
    if (existsSync(local)) return [local];
    throw new CliError(`there is no ${local}: is the agent of this data directory running?`);
  }
  const fromEnv = (context.env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  if (fromEnv.length > 0) {
    const present = fromEnv.filter((file) => existsSync(file));
    // kubectl overlooks missing files of a list, as long as there is one.
    return present.length > 0 ? present : fromEnv.slice(0, 1);
  }
  if (isReadable(local)) return [local];
  const own = join(context.homeDir, '.kube', 'config');
  if (existsSync(own)) return [own];
  const why = existsSync(local) ? `${local} is not readable by this user` : `there is neither ${local} nor ${own}`;
  throw new CliError(`no cluster to talk to: ${why}; name a kubeconfig with --kubeconfig`);
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** A client for the cluster that the flags mean. Warnings of the server go to the error output unless the overrides say otherwise. */
export async function connect(
  flags: ConnectionFlags,
  context: CliContext,
  overrides: Partial<HttpClientOptions> = {},
): Promise<Connected> {
  const config = readKubeconfig(kubeconfigFiles(flags, context));
  const { namespace, ...credentials } = credentialsOf(config, flags.context);
  const server = flags.server ?? credentials.server;
  const { packageVersion } = await import('./package-version.js');
  const options = {
    ...credentials,
    server,
    userAgent: `skein/${await packageVersion()}`,
    onWarning: (text: string) => void context.stderr.write(`Warning: ${text}\n`),
    ...overrides,
  };
  try {
    return { client: new HttpClient({ clock: context.clock }, options), namespace };
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const what =
      cause instanceof TypeError ? `the server "${server}" is not a URL such as https://10.0.0.1:6443` : text;
    throw new CliError(what, 1, { cause });
  }
}

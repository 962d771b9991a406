/**
 * kubeconfig files: clusters, users and contexts, with certificates inline or in files beside it. Several files merge as
 * kubectl merges `$KUBECONFIG`: the first to define a name wins.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { CliError, systemText } from './failure.js';

/** What is needed to talk to a cluster as somebody. PEM texts are decoded, files are read. */
export interface Credentials {
  readonly server: string;
  readonly namespace: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly serverName?: string;
  readonly insecureSkipTlsVerify?: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

interface Entry {
  readonly fields: Fields;
  /** The directory that relative paths start from. */
  readonly dir: string;
}

export interface Kubeconfig {
  readonly clusters: ReadonlyMap<string, Entry>;
  readonly users: ReadonlyMap<string, Entry>;
  readonly contexts: ReadonlyMap<string, Entry>;
  readonly currentContext: string;
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** Reads and merges files. Throws a {@link CliError} for one that cannot be read or is no kubeconfig. */
export function readKubeconfig(files: readonly string[]): Kubeconfig {
  const clusters = new Map<string, Entry>();
  const users = new Map<string, Entry>();
  const contexts = new Map<string, Entry>();
  let currentContext = '';
  for (const file of files) {
    const content = readFile(file);
    const dir = dirname(resolve(file));
    collect(content['clusters'], 'cluster', dir, clusters);
    collect(content['users'], 'user', dir, users);
    collect(content['contexts'], 'context', dir, contexts);
    currentContext ||= textOf(content['current-context']) ?? '';
  }
  return { clusters, users, contexts, currentContext };
}

function readFile(file: string): Fields {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new CliError(`error loading config file "${file}": ${systemText(cause)}`, 1, { cause });
  }
  if (content === null || content === undefined) return {};
  if (!isFields(content) || (content['kind'] !== undefined && content['kind'] !== 'Config')) {
    throw new CliError(`error loading config file "${file}": it is not a kubeconfig`);
  }
  return content;
}

function collect(list: unknown, key: string, dir: string, into: Map<string, Entry>): void {
  if (!Array.isArray(list)) return;
  for (const item of list as unknown[]) {
    if (!isFields(item)) continue;
    const name = textOf(item['name']);
    if (name === undefined || into.has(name)) continue;
    const fields = item[key];
    into.set(name, { fields: isFields(fields) ? fields : {}, dir });
  }
}

/** The server and identity of a context; the current one unless named. Throws a {@link CliError}. */
export function credentialsOf(config: Kubeconfig, contextName = config.currentContext): Credentials {
  if (contextName === '') throw new CliError('the kubeconfig has no current-context');
  const context = config.contexts.get(contextName);
  if (!context) throw new CliError(`context "${contextName}" does not exist`);
  const clusterName = textOf(context.fields['cluster']) ?? '';
  const cluster = config.clusters.get(clusterName);
  if (!cluster) throw new CliError(`cluster "${clusterName}" does not exist`);
  const server = textOf(cluster.fields['server']);
  if (server === undefined) throw new CliError(`cluster "${clusterName}" has no server`);
  const userName = textOf(context.fields['user']) ?? '';
  const user = config.users.get(userName);
  if (userName && !user) throw new CliError(`user "${userName}" does not exist`);
  const serverName = textOf(cluster.fields['tls-server-name']);
  const ca = pemOf(cluster, 'certificate-authority');
  return {
    server,
    namespace: textOf(context.fields['namespace']) ?? 'default',
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(cluster.fields['insecure-skip-tls-verify'] === true ? { insecureSkipTlsVerify: true } : {}),
    ...(user ? identityOf(user, userName) : {}),
  };
}

function identityOf(user: Entry, name: string): Pick<Credentials, 'cert' | 'key' | 'token'> {
  for (const unsupported of ['exec', 'auth-provider', 'username']) {
    if (user.fields[unsupported] !== undefined) {
      throw new CliError(
        `user "${name}" signs in by "${unsupported}", which is not supported: use a certificate or a token`,
      );
    }
  }
  const cert = pemOf(user, 'client-certificate');
  const key = pemOf(user, 'client-key');
  const tokenFile = textOf(user.fields['tokenFile']);
  const token =
    tokenFile === undefined ? textOf(user.fields['token']) : readCredential(resolve(user.dir, tokenFile)).trim();
  if ((cert === undefined) !== (key === undefined)) {
    throw new CliError(`user "${name}" needs both client-certificate and client-key`);
  }
  return {
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    ...(token === undefined ? {} : { token }),
  };
}

/** The `…-data` field decoded, or the file's content. Inline wins, as with kubectl. */
function pemOf({ fields, dir }: Entry, key: string): string | undefined {
  const inline = textOf(fields[`${key}-data`]);
  if (inline !== undefined) return Buffer.from(inline, 'base64').toString('utf8');
  const file = textOf(fields[key]);
  return file === undefined ? undefined : readCredential(resolve(dir, file));
}

function readCredential(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CliError(`unable to read ${file}: ${systemText(cause)}`, 1, { cause });
  }
}

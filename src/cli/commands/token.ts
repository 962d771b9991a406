/** `skein token create|list|revoke`: what lets other machines join. */
import type { Command } from 'commander';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { parseDuration, shortDuration } from '../duration.js';
import { CliError, UsageError } from '../failure.js';
import { isNotFound } from '../../api/errors.js';
import { columns } from '../printers/columns.js';

const PATH = '/skein/v1/tokens';

interface Created {
  readonly token: string;
}

interface Listed {
  readonly items: readonly { readonly id: string; readonly expires: string }[];
}

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command.command('create').description('Print a new token for `skein agent --join`'))
    .option('--ttl <duration>', 'How long it can be used, such as 30m or 24h', '24h')
    .action((flags: ConnectionFlags & { ttl: string }) => create(flags, context));
  addConnectionOptions(command.command('list').description('List the tokens that can be used')).action(
    (flags: ConnectionFlags) => list(flags, context),
  );
  addConnectionOptions(command.command('revoke').description('Make a token useless at once'))
    .argument('<id>', 'Id of the token, from `skein token list`')
    .action((id: string, flags: ConnectionFlags) => revoke(id, flags, context));
}

async function create(flags: ConnectionFlags & { ttl: string }, context: CliContext): Promise<void> {
  const ttlMs = parseDuration(flags.ttl);
  if (ttlMs === undefined || ttlMs < 1_000) {
    throw new UsageError(`--ttl: "${flags.ttl}" is not a duration of a second or more, such as 30m or 24h`);
  }
  const { client } = await connect(flags, context);
  const body = JSON.stringify({ ttlSeconds: Math.round(ttlMs / 1000) });
  const { token } = await client.connection.json<Created>({ method: 'POST', path: PATH, body });
  context.stdout.write(`${token}\n`);
}

async function list(flags: ConnectionFlags, context: CliContext): Promise<void> {
  const { client } = await connect(flags, context);
  const { items } = await client.connection.json<Listed>({ path: PATH });
  if (items.length === 0) {
    context.stderr.write('No tokens found.\n');
    return;
  }
  const now = context.clock.nowMs();
  const rows = items.map(({ id, expires }) => {
    const left = Date.parse(expires) - now;
    return [id, left > 0 ? shortDuration(left) : '<expired>', expires];
  });
  context.stdout.write(columns([['ID', 'TTL', 'EXPIRES'], ...rows]));
}

async function revoke(id: string, flags: ConnectionFlags, context: CliContext): Promise<void> {
  const { client } = await connect(flags, context);
  try {
    await client.connection.request({ method: 'DELETE', path: `${PATH}/${encodeURIComponent(id)}` });
  } catch (error) {
    if (isNotFound(error)) throw new CliError(`there is no token "${id}"`, 1, { cause: error });
    throw error;
  }
  context.stdout.write(`token "${id}" revoked\n`);
}

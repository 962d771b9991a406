/** `skein peer list|remove`: which machines the cluster counts for its majority. */
import type { Command } from 'commander';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { CliError } from '../failure.js';
import { isNotFound } from '../../api/errors.js';
import { rangeText } from '../../base/version-range.js';
import { columns } from '../printers/columns.js';
import type { ClusterStatus } from './status.js';

const PATH = '/skein/v1/peers';

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command.command('list').description('List the registered peers')).action(
    (flags: ConnectionFlags) => list(flags, context),
  );
  addConnectionOptions(
    command
      .command('remove')
      .description('Remove a machine for good: it counts no more for a majority, and the others refuse it'),
  )
    .argument('<name>', 'Name of its node, or its peer id')
    .option('--force', 'Without a majority too: no other part of the cluster is at work with that machine')
    .action((name: string, flags: ConnectionFlags & { force?: boolean }) => remove(name, flags, context));
}

async function list(flags: ConnectionFlags, context: CliContext): Promise<void> {
  const { client } = await connect(flags, context);
  const { registered = [], view, peers } = await client.connection.json<ClusterStatus>({ path: '/skein/v1/status' });
  const rows = registered.map(({ id, name, newest = 1 }) => {
    const formats = peers.find((peer) => peer.id === id)?.formats;
    // Of one that is away, what it said last.
    return [name, view?.voters.includes(id) ? 'present' : 'missing', formats ? rangeText(formats) : `${newest}`, id];
  });
  context.stdout.write(columns([['NAME', 'HERE', 'FORMATS', 'ID'], ...rows]));
}

async function remove(name: string, flags: ConnectionFlags & { force?: boolean }, context: CliContext): Promise<void> {
  const { client } = await connect(flags, context);
  const path = `${PATH}/${encodeURIComponent(name)}${flags.force ? '?force=true' : ''}`;
  try {
    const answer = await client.connection.json<{ registered: number }>({ method: 'DELETE', path });
    context.stdout.write(`peer "${name}" removed; ${answer.registered} registered\n`);
  } catch (error) {
    if (isNotFound(error)) throw new CliError(`no peer "${name}" is registered`, 1, { cause: error });
    throw error;
  }
}

/** `skein version`. */
import type { Command } from 'commander';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { packageVersion } from '../package-version.js';

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .option('--client', 'Only the version of this program')
    .action(async (flags: ConnectionFlags & { client?: true }) => {
      context.stdout.write(`Client Version: v${await packageVersion()}\n`);
      if (flags.client) return;
      const { client } = await connect(flags, context);
      const version = await client.connection.json<{ gitVersion?: string }>({ path: '/version' });
      context.stdout.write(`Server Version: ${version.gitVersion ?? 'unknown'}\n`);
    });
}

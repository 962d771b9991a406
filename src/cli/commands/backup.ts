/** `skein backup`: all that the cluster's store shows, in one file. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { CliError, systemText } from '../failure.js';

interface Flags extends ConnectionFlags {
  readonly output: string;
  readonly withCa?: boolean;
}

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command)
    .description(
      'Save all objects of the cluster, as of one revision, while it runs. The file holds the Secrets in clear; it is ' +
        'readable by its owner only.',
    )
    .requiredOption('-o, --output <file>', 'File to write; one that exists is not overwritten')
    .option(
      '--with-ca',
      "With the cluster's CA key and secret, so that certificates and tokens stay good after a restore: whoever has the file " +
        'can become anybody in the cluster',
    )
    .action((flags: Flags) => backup(flags, context));
}

async function backup({ output, withCa, ...flags }: Flags, context: CliContext): Promise<void> {
  const taken = () => new CliError(`${output} exists already: it is not overwritten`);
  if (existsSync(output)) throw taken();
  const { client } = await connect(flags, context);
  const { saveBackup } = await import('../../agent/offline/backup-saving.js');
  const stream = await client.connection.stream({
    method: 'POST',
    path: `/skein/v1/backup${withCa ? '/keys' : ''}`,
    accept: 'application/octet-stream',
  });
  try {
    const { header, records, bytes } = await saveBackup(output, stream);
    const size = bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    context.stdout.write(`${records} objects as of revision ${header.revision} saved to ${output} (${size})\n`);
    const also = withCa ? " and the key of the cluster's CA" : '';
    context.stderr.write(`Warning: ${output} holds the cluster's Secrets${also}: keep it as safe as the cluster\n`);
  } catch (cause) {
    stream.destroy();
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw taken();
    if (code === 'ECONNRESET' || code === 'ERR_BACKUP_UNREADABLE') {
      throw new CliError('the peer did not send the whole backup: nothing was saved', 1, { cause });
    }
    throw new CliError(`cannot save the backup: ${systemText(cause)}`, 1, { cause });
  }
}

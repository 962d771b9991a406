/** `skein restore`: a backup becomes the data directory of a new cluster's first agent. */
import type { Command } from 'commander';
import { dataDirOf, DEFAULT_DATA_DIR } from '../connection.js';
import type { CliContext } from '../context.js';
import { CliError, systemText } from '../failure.js';

interface Flags {
  readonly dataDir?: string;
  readonly replace?: boolean;
}

/** Failures that say all there is to say. */
const PLAIN = ['ERR_BACKUP_UNREADABLE', 'ERR_NOT_EMPTY', 'ERR_DISK_UNAVAILABLE'];

export function configure(command: Command, context: CliContext): void {
  command
    .description(
      'Make a data directory out of a backup. The agent that is started on it next founds a cluster with what the backup ' +
        'holds; the others join that one with empty data directories.',
    )
    .argument('<file>', 'What `skein backup` saved')
    .option('--data-dir <dir>', `Data directory to make (default: ${DEFAULT_DATA_DIR}; SKEIN_DATA_DIR)`)
    .option('--replace', 'Put the cluster that the data directory holds aside, and keep it there')
    .action((file: string, flags: Flags) => restoreFile(file, flags, context));
}

async function restoreFile(file: string, flags: Flags, context: CliContext): Promise<void> {
  const dataDir = dataDirOf(flags, context);
  const { restore } = await import('../../agent/offline/restore.js');
  try {
    const { header, records, aside } = await restore(file, dataDir, { replace: flags.replace ?? false });
    if (aside !== undefined) context.stdout.write(`what was there is in ${aside} now\n`);
    context.stdout.write(`${records} objects as of revision ${header.revision} restored to ${dataDir}\n`);
    const keys = header.keys
      ? 'certificates and tokens of the old cluster stay good'
      : 'the cluster gets a new CA: kubeconfigs, tokens and certificates of the old one are not good for it';
    context.stdout.write(`start an agent on it; ${keys}\n`);
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    throw new CliError(PLAIN.includes(code) ? message : `cannot restore: ${systemText(cause)}`, 1, { cause });
  }
}

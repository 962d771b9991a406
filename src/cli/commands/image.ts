/** `skein image import`: an archive of `docker save` becomes available to every node, without a registry. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { addConnectionOptions, connect, type ConnectionFlags } from '../connection.js';
import type { CliContext } from '../context.js';
import { CliError, systemText } from '../failure.js';

export function configure(command: Command, context: CliContext): void {
  addConnectionOptions(command.command('import').description('Load an image archive into the cluster; prints its tags'))
    .argument('<file>', 'Archive as `docker save` makes it; - for standard input')
    .action((file: string, flags: ConnectionFlags) => importImage(file, flags, context));
}

async function importImage(file: string, flags: ConnectionFlags, context: CliContext): Promise<void> {
  const archive = file === '-' ? context.stdin : await openArchive(file);
  const { client } = await connect(flags, context);
  const { tags } = await client.connection.json<{ tags: readonly string[] }>({
    method: 'POST',
    path: '/skein/v1/images',
    contentType: 'application/x-tar',
    body: archive,
    // Gigabytes take their time; a dead server shows by its connection.
    timeoutMs: 0,
  });
  if (tags.length === 0) throw new CliError(`${file} holds no tagged image`);
  for (const tag of tags) context.stdout.write(`${tag}\n`);
}

/** Where the magic of a tar header is. */
const MAGIC_OFFSET = 257;

/** Refuses what is no archive before anything is sent. */
async function openArchive(file: string): Promise<Readable> {
  try {
    const handle = await open(file, 'r');
    try {
      const header = Buffer.alloc(MAGIC_OFFSET + 5);
      const { bytesRead } = await handle.read(header, 0, header.length, 0);
      const isTar = bytesRead === header.length && header.toString('latin1', MAGIC_OFFSET) === 'ustar';
      const isGzip = bytesRead > 2 && header[0] === 0x1f && header[1] === 0x8b;
      if (!isTar && !isGzip) throw new CliError(`${file} is not an image archive (tar)`);
    } finally {
      await handle.close();
    }
    return createReadStream(file);
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw new CliError(`cannot read the archive: ${systemText(cause)}`, 1, { cause });
  }
}

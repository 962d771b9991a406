/** Saves a backup as it comes from a peer, and reads it again from disk. */
import { createReadStream } from 'node:fs';
import { link, open, rm, type FileHandle } from 'node:fs/promises';
import { readBackup, type BackupHeader } from '../../store/backup/backup-file.js';
import type { ObjectRecord } from '../../store/record.js';

export interface BackupSummary {
  readonly header: BackupHeader;
  readonly records: number;
  readonly bytes: number;
}

/**
 * Writes the stream to `file` (0600), checking it on the way. There is either a whole backup under that name afterwards,
 * forced to the medium, or none; one that exists is not overwritten (`EEXIST`). Memory for one section.
 */
export async function saveBackup(file: string, source: AsyncIterable<Uint8Array>): Promise<BackupSummary> {
  const partial = `${file}.partial`;
  await rm(partial, { force: true });
  const handle = await open(partial, 'wx', 0o600);
  try {
    const summary = await summaryOf((count) => copied(source, handle, count));
    await handle.sync();
    // Unlike a rename, this fails when somebody else made the file meanwhile.
    await link(partial, file);
    return summary;
  } finally {
    await handle.close();
    await rm(partial, { force: true });
  }
}

/** Reads a backup to its end without doing anything. Throws `BackupUnreadable` unless it is whole. */
export const checkBackup = (file: string): Promise<BackupSummary> =>
  summaryOf((count) => counted(createReadStream(file), count));

/** The records of a backup that was checked. */
export const recordsIn = (file: string): AsyncGenerator<ObjectRecord> =>
  readBackup(createReadStream(file), () => undefined);

async function summaryOf(
  sourceOf: (count: (bytes: number) => void) => AsyncIterable<Uint8Array>,
): Promise<BackupSummary> {
  let header: BackupHeader | undefined;
  let records = 0;
  let bytes = 0;
  const source = sourceOf((more) => (bytes += more));
  for await (const record of readBackup(source, (read) => (header = read))) if (record.value) records += 1;
  return { header: header as BackupHeader, records, bytes };
}

async function* copied(source: AsyncIterable<Uint8Array>, file: FileHandle, count: (bytes: number) => void) {
  for await (const chunk of source) {
    await file.write(chunk);
    count(chunk.length);
    yield chunk;
  }
}

async function* counted(source: AsyncIterable<Uint8Array>, count: (bytes: number) => void) {
  for await (const chunk of source) {
    count(chunk.length);
    yield chunk;
  }
}

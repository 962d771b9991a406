/**
 * Makes a data directory out of a backup: the first agent that is started on it founds a cluster that shows what the backup
 * holds, and other machines join it as they join any cluster.
 *
 * The restored cluster is another one to the peers of the old one (it has an id of its own, which the first start makes), also
 * where it keeps the old keys: they are refused at the connection, so nothing that they still have comes back. Its revisions
 * begin far above those of the backup.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fillStore } from '../../store/backup/restored-store.js';
import { LevelDisk, markOf } from '../../store/level-disk.js';
import { checkBackup, recordsIn, type BackupSummary } from './backup-saving.js';
import { writeFoundingFacts } from './founding-file.js';
import { lockStore } from '../../store/level/view.js';

/** What belongs to one cluster in a data directory. Pods' volumes, networks and runtimes stay: they belong to the machine. */
const OF_A_CLUSTER = ['store', 'store.mark', 'pki', 'founder', 'peers.json', 'restored.json', 'admin.kubeconfig'];

/** The data directory holds a cluster already. */
export class NotEmpty extends Error {
  readonly code = 'ERR_NOT_EMPTY';
}

export interface Restored extends BackupSummary {
  /** Where what was there before is now. */
  readonly aside: string | undefined;
}

/**
 * Nothing is changed unless the whole backup is good. With `replace` what the directory holds of a cluster is put aside and
 * kept. Throws `BackupUnreadable`, {@link NotEmpty}, or what the file system says.
 */
export async function restore(
  file: string,
  dataDir: string,
  { replace }: { readonly replace: boolean },
): Promise<Restored> {
  const summary = await checkBackup(file);
  const present = OF_A_CLUSTER.filter((name) => existsSync(join(dataDir, name)));
  if (present.length > 0 && !replace) {
    throw new NotEmpty(`${dataDir} holds a cluster already: name another --data-dir, or put it aside with --replace`);
  }
  const storePath = join(dataDir, 'store');
  const unlock = existsSync(storePath) ? await lockStore(storePath) : () => Promise.resolve();
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const fresh = join(dataDir, 'restoring');
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { mode: 0o700 });
    const path = join(fresh, 'store');
    await fill(path, file, summary);
    const aside = present.length > 0 ? await putAside(dataDir, present) : undefined;
    const { clusterCidr, serviceCidr, keys } = summary.header;
    await writeFoundingFacts(dataDir, { clusterCidr, serviceCidr, ...(keys ? { keys } : {}) });
    await rename(markOf(path), markOf(storePath));
    await rename(path, storePath);
    await rm(fresh, { recursive: true });
    await syncDirectory(dataDir);
    return { ...summary, aside };
  } finally {
    await unlock();
  }
}

async function fill(path: string, file: string, { header }: BackupSummary): Promise<void> {
  const disk = new LevelDisk(path);
  await disk.open();
  try {
    await fillStore(disk, header, recordsIn(file));
  } finally {
    await disk.close();
  }
}

async function putAside(dataDir: string, names: readonly string[]): Promise<string> {
  let n = 1;
  while (existsSync(join(dataDir, `replaced-${n}`))) n += 1;
  const aside = join(dataDir, `replaced-${n}`);
  await mkdir(aside, { mode: 0o700 });
  for (const name of names) await rename(join(dataDir, name), join(aside, name));
  return aside;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

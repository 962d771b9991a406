/**
 * Looks at a LevelDB directory that nobody uses, without changing it. LevelDB has no way of opening for reading only: it
 * writes its log into a table, and a new manifest. So it gets a directory of its own, with links to the files; what it writes stays
 * there. The link to `LOCK` keeps everybody else out for as long as the view is open.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { plainError } from './errors.js';

const OPTIONS = { keyEncoding: 'utf8', valueEncoding: 'view' } as const;

/** Entries in key order as far as they can be read. */
export interface StoreView {
  scan(from: string, to: string): AsyncIterable<readonly [key: string, value: Uint8Array]>;
  close(): Promise<void>;
}

/**
 * Keeps other processes from opening the store until the returned function is called. Throws when one has it open. The links are made
 * below `within`: by whoever may write there, beside the store, since elsewhere there may be no room.
 */
export async function lockStore(path: string, within = tmpdir()): Promise<() => Promise<void>> {
  const { close } = await openLinked(path, (name) => name === 'LOCK', { within, repair: false });
  return close;
}

/** With `repair`, what LevelDB can get out of damaged files. Throws when the store is in use, or damaged. */
export async function viewStore(path: string, { repair = false, within = tmpdir() } = {}): Promise<StoreView> {
  const { db, close } = await openLinked(path, (name) => !name.startsWith('LOG'), { within, repair });
  return { scan: (from, to) => db.iterator({ gte: from, lt: to }), close };
}

/** How a directory of links begins. One whose process was killed stays behind. */
export const viewPrefix = (path: string): string => `${basename(path)}.view-`;

async function openLinked(
  path: string,
  wanted: (name: string) => boolean,
  { within, repair }: { readonly within: string; readonly repair: boolean },
) {
  const dir = await mkdtemp(join(within, viewPrefix(path)));
  const remove = () => rm(dir, { recursive: true, force: true });
  try {
    for (const name of await readdir(path)) if (wanted(name)) await symlink(resolve(path, name), join(dir, name));
    if (repair) await ClassicLevel.repair(dir);
    const db = new ClassicLevel<string, Uint8Array>(dir, OPTIONS);
    await db.open({ createIfMissing: !existsSync(join(dir, 'CURRENT')), ...OPTIONS });
    return {
      db,
      close: async () => {
        await db.close();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw plainError(path, error, dir);
  }
}

/**
 * Puts a set of files into a directory so that readers see all of the old or all of the new: the files live in a
 * timestamped directory that `..data` points to, and one rename swaps the link. User-visible names are links through
 * `..data`, as containers of Kubernetes know them.
 */
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';

export interface FilePayload {
  readonly data: Uint8Array;
  readonly mode: number;
  /** The numeric user it is given to, where this process may (root). */
  readonly user?: number;
}

const DATA = '..data';
const NEW_DATA = '..data_tmp';

export class PayloadPathError extends Error {
  readonly code = 'ERR_PAYLOAD_PATH';
}

/** Writes the payload; does nothing when the same is there. Returns whether anything changed. One call at a time. */
export async function writePayload(
  directory: string,
  payload: ReadonlyMap<string, FilePayload>,
  group?: number,
): Promise<boolean> {
  for (const path of payload.keys()) checkPath(path);
  const old = await readlink(join(directory, DATA)).catch(() => undefined);
  if (old !== undefined && (await same(join(directory, old), payload))) return false;
  const fresh = await mkdtemp(`${directory}/..`);
  await chmod(fresh, 0o755);
  for (const [path, { data, mode, user }] of payload) {
    const target = join(fresh, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, data);
    await chmod(target, group === undefined ? mode : mode | ((mode & 0o400) >> 3));
    if (user !== undefined && process.geteuid?.() === 0) await chown(target, user, -1);
    if (group !== undefined) await chown(target, -1, group);
  }
  await rm(join(directory, NEW_DATA), { force: true });
  await symlink(fresh.slice(directory.length + 1), join(directory, NEW_DATA));
  await rename(join(directory, NEW_DATA), join(directory, DATA));
  const tops = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
  for (const top of tops) {
    const link = join(directory, top);
    if (!(await lstat(link).catch(() => undefined))) await symlink(join(DATA, top), link);
  }
  for (const name of await readdir(directory)) {
    if (!name.startsWith('..') && !tops.has(name)) await rm(join(directory, name), { force: true, recursive: true });
  }
  if (old !== undefined) await rm(join(directory, old), { recursive: true, force: true });
  return true;
}

function checkPath(path: string): void {
  const clean = normalize(path);
  if (path === '' || path.startsWith('/') || clean.split('/').includes('..') || clean.startsWith('..')) {
    throw new PayloadPathError(`invalid path: must be relative and not contain '..': ${path}`);
  }
}

async function same(directory: string, payload: ReadonlyMap<string, FilePayload>): Promise<boolean> {
  try {
    const present = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    );
    if (present.length !== payload.size) return false;
    for (const [path, { data }] of payload) {
      if (!(await readFile(join(directory, path))).equals(data)) return false;
    }
    return true;
  } catch {
    return false;
  }
}

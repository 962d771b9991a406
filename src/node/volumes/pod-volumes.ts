/**
 * The volumes of pods on this node, below `<root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`.
 *
 * `mount` is idempotent and also refreshes what comes from API objects; calls for one pod must not overlap (the pod's
 * worker sees to it). `clean` removes everything of a pod, tmpfs included, and never follows links out of it.
 */
import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, normalize, sep } from 'node:path';
import { promisify } from 'node:util';
import { parseQuantity } from '../../api/quantity.js';
import type { HostPathVolumeSource, Pod, Volume } from '../../api/types/core-v1.js';
import { writePayload } from './atomic-writer.js';
import type { DownwardFacts } from './downward.js';
import type { ObjectSource } from './object-source.js';
import { payloadOf, VolumeError } from './payloads.js';
import type { TokenSource } from './service-account-tokens.js';

export interface MountedVolume {
  readonly path: string;
  /** Whether the volume itself may only be read, whatever the mount says. */
  readonly readOnly: boolean;
}

export interface PodVolumesDeps {
  readonly objects: ObjectSource;
  readonly tokens: TokenSource;
}

/** What the kubelet keeps in files for its pods. On the machine's disk ({@link PodVolumes}), or simulated. */
export interface PodFiles {
  /** Sets up all volumes of the pod, or refreshes them. Throws {@link VolumeError} for the first that fails. */
  mount(pod: Pod, facts: DownwardFacts): Promise<ReadonlyMap<string, MountedVolume>>;
  /** Writes a file of the pod's own, in place: containers have the file itself mounted. Returns its path. */
  write(uid: string, file: string, text: string, mode: number): Promise<string>;
  /** The end of a file, at most `bytes` of it; empty when it cannot be read. */
  readEnd(path: string, bytes: number): Promise<string>;
  /** Removes everything of a pod. */
  clean(uid: string): Promise<void>;
  /** Uids of all pods that have files here. */
  known(): Promise<string[]>;
}

export interface PodVolumesOptions {
  /** The node's data directory. */
  readonly root: string;
  /** Mount tmpfs for `medium: Memory`; only root can. Elsewhere a plain directory is used. */
  readonly tmpfs: boolean;
}

const run = promisify(execFile);
const KINDS = ['configMap', 'secret', 'downwardAPI', 'projected', 'emptyDir', 'hostPath'] as const;
const PLUGIN: Readonly<Record<(typeof KINDS)[number], string>> = {
  configMap: 'configmap',
  secret: 'secret',
  downwardAPI: 'downward-api',
  projected: 'projected',
  emptyDir: 'empty-dir',
  hostPath: 'host-path',
};

export class PodVolumes implements PodFiles {
  constructor(
    private readonly deps: PodVolumesDeps,
    private readonly options: PodVolumesOptions,
  ) {}

  /** The directory of everything that belongs to one pod. */
  podDirectory(uid: string): string {
    if (!/^[A-Za-z0-9-]+$/.test(uid)) throw new VolumeError(`not a pod uid: ${uid}`);
    return join(this.options.root, 'pods', uid);
  }

  /** Fails with upstream's text. */
  async mount(pod: Pod, facts: DownwardFacts): Promise<ReadonlyMap<string, MountedVolume>> {
    const mounted = new Map<string, MountedVolume>();
    for (const volume of pod.spec?.volumes ?? []) {
      try {
        mounted.set(volume.name, await this.mountOne(pod, volume, facts));
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${text}`, { cause: error });
      }
    }
    return mounted;
  }

  async write(uid: string, file: string, text: string, mode: number): Promise<string> {
    const path = join(this.podDirectory(uid), file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    await chmod(path, mode);
    return path;
  }

  async readEnd(path: string, bytes: number): Promise<string> {
    try {
      const file = await open(path, 'r');
      try {
        const { size } = await file.stat();
        const buffer = Buffer.alloc(Math.min(bytes, size));
        await file.read(buffer, 0, buffer.length, Math.max(0, size - bytes));
        return buffer.toString('utf8');
      } finally {
        await file.close();
      }
    } catch {
      return '';
    }
  }

  async clean(uid: string): Promise<void> {
    const directory = this.podDirectory(uid);
    // A busy or unreachable mount below must not have its content deleted, so unmounting comes first and must succeed.
    for (const point of (await mountPoints()).filter((path) => path.startsWith(directory + sep)).reverse()) {
      await run('umount', [point]);
    }
    await rm(directory, { recursive: true, force: true });
  }

  async known(): Promise<string[]> {
    return readdir(join(this.options.root, 'pods')).catch(() => []);
  }

  private async mountOne(pod: Pod, volume: Volume, facts: DownwardFacts): Promise<MountedVolume> {
    const kind = KINDS.find((one) => volume[one] !== undefined);
    if (kind === undefined) {
      const named = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
      throw new VolumeError(`no volume plugin matched: the volume type ${named} is not supported on this node`);
    }
    if (volume.hostPath) return { path: await hostPath(volume.hostPath), readOnly: false };
    const uid = pod.metadata.uid ?? '';
    const path = join(this.podDirectory(uid), 'volumes', `kubernetes.io~${PLUGIN[kind]}`, volume.name);
    const group = pod.spec?.securityContext?.fsGroup;
    if (volume.emptyDir) {
      await this.emptyDirectory(path, volume.emptyDir, group);
      return { path, readOnly: false };
    }
    const { objects, tokens } = this.deps;
    const present = (file: string) => readFile(join(path, normalize(`/${file}`)), 'utf8').catch(() => undefined);
    const payload = await payloadOf(volume, { pod, objects, facts, tokens, present });
    await mkdir(path, { recursive: true, mode: 0o755 });
    await writePayload(path, payload ?? new Map(), group);
    return { path, readOnly: true };
  }

  private async emptyDirectory(
    path: string,
    { medium = '', sizeLimit }: NonNullable<Volume['emptyDir']>,
    group: number | undefined,
  ): Promise<void> {
    const present = await lstat(path).catch(() => undefined);
    await mkdir(path, { recursive: true });
    if (medium === 'Memory' && this.options.tmpfs) {
      if (!(await mountPoints()).includes(path)) {
        const size = sizeLimit === undefined ? [] : [`size=${parseQuantity(sizeLimit).value}`];
        await run('mount', ['-t', 'tmpfs', '-o', ['rw', ...size].join(','), 'tmpfs', path]);
      }
    } else if (medium !== '' && medium !== 'Memory') {
      throw new VolumeError(`unknown storage medium "${medium}"`);
    }
    if (present) return;
    await chmod(path, 0o777);
    if (group === undefined) return;
    await chown(path, -1, group);
    // Set-group-id on directories makes what is created below belong to the group.
    await chmod(path, 0o2777);
  }
}

async function hostPath({ path, type = '' }: HostPathVolumeSource): Promise<string> {
  if (path.split('/').includes('..')) throw new VolumeError(`invalid HostPath "${path}": must not contain '..'`);
  const found = await stat(path).catch(() => undefined);
  const refuse = (what: string) => new VolumeError(`hostPath type check failed: ${path} is not a ${what}`);
  switch (type) {
    case '':
      // Docker refuses a source that does not exist, where upstream's runtimes create a directory.
      if (!found) await mkdir(path, { recursive: true, mode: 0o755 });
      return path;
    case 'DirectoryOrCreate':
      if (!found) await mkdir(path, { recursive: true, mode: 0o755 });
      else if (!found.isDirectory()) throw refuse('directory');
      return path;
    case 'FileOrCreate':
      if (!found) await (await open(path, 'a', 0o644)).close();
      else if (!found.isFile()) throw refuse('file');
      return path;
    case 'Directory':
      if (!found?.isDirectory()) throw refuse('directory');
      return path;
    case 'File':
      if (!found?.isFile()) throw refuse('file');
      return path;
    case 'Socket':
      if (!found?.isSocket()) throw refuse('socket file');
      return path;
    case 'CharDevice':
      if (!found?.isCharacterDevice()) throw refuse('character device');
      return path;
    case 'BlockDevice':
      if (!found?.isBlockDevice()) throw refuse('block device');
      return path;
    default:
      throw new VolumeError(`${String(type)} is an invalid volume type`);
  }
}

/**
 * The real path of `subPath` below a volume, made as a directory when it is missing. Links that lead out of the volume
 * are refused: the path returned has no links in it.
 */
export async function resolveSubPath(volumePath: string, subPath: string): Promise<string> {
  const clean = normalize(subPath);
  if (clean.startsWith('/') || clean.split('/').includes('..')) {
    throw new VolumeError(`subPath "${subPath}" must be a relative path without '..'`);
  }
  const root = await realpath(volumePath);
  let at = root;
  for (const part of clean.split('/').filter((one) => one !== '' && one !== '.')) {
    const next = join(at, part);
    if (!(await lstat(next).catch(() => undefined))) {
      const { mode, uid, gid } = await stat(at);
      await mkdir(next);
      await lchown(next, uid, gid).catch(() => undefined);
      await chmod(next, mode & 0o7777);
    }
    at = await realpath(next);
    if (at !== root && !at.startsWith(root + sep)) {
      throw new VolumeError(`subpath "${subPath}" not within volume path ${dirname(volumePath)}`);
    }
  }
  return at;
}

async function mountPoints(): Promise<string[]> {
  const text = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  return text
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path !== '')
    .map((path) => path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))));
}

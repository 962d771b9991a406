/** What the process runtime keeps on disk: one JSON file per sandbox, container and state, each written atomically. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerConfig, Sandbox } from '../runtime.js';
import type { SupervisedState } from './supervisor.js';

export interface StoredContainer {
  readonly id: string;
  readonly createdAtMs: number;
  readonly config: ContainerConfig;
}

/** A sandbox and the boot of the machine it belongs to: nothing of it survives a reboot. */
export interface StoredSandbox {
  readonly sandbox: Sandbox;
  readonly boot: string;
}

export class ProcessStore {
  readonly stateDirectory: string;

  constructor(private readonly directory: string) {
    this.stateDirectory = join(directory, 'states');
  }

  async prepare(): Promise<void> {
    for (const name of ['sandboxes', 'containers', 'states', 'logs', 'roots']) {
      await mkdir(join(this.directory, name), { recursive: true, mode: 0o755 });
    }
  }

  statePath(id: string): string {
    return join(this.stateDirectory, `${id}.json`);
  }

  logPath(id: string): string {
    return join(this.directory, 'logs', `${id}.log`);
  }

  rootPath(id: string): string {
    return join(this.directory, 'roots', id);
  }

  sandboxes(): Promise<StoredSandbox[]> {
    return this.readAll<StoredSandbox>('sandboxes');
  }

  containers(): Promise<StoredContainer[]> {
    return this.readAll<StoredContainer>('containers');
  }

  async state(id: string): Promise<SupervisedState | undefined> {
    return readJson<SupervisedState>(this.statePath(id));
  }

  writeState(id: string, state: SupervisedState): Promise<void> {
    return writeJson(this.statePath(id), state);
  }

  writeSandbox(stored: StoredSandbox): Promise<void> {
    return writeJson(join(this.directory, 'sandboxes', `${stored.sandbox.id}.json`), stored);
  }

  writeContainer(stored: StoredContainer): Promise<void> {
    return writeJson(join(this.directory, 'containers', `${stored.id}.json`), stored);
  }

  removeSandbox(id: string): Promise<void> {
    return rm(join(this.directory, 'sandboxes', `${id}.json`), { force: true });
  }

  async removeContainer(id: string): Promise<void> {
    await rm(this.rootPath(id), { recursive: true, force: true });
    for (const path of [this.logPath(id), `${this.logPath(id)}.1`, this.statePath(id)]) await rm(path, { force: true });
    await rm(join(this.directory, 'containers', `${id}.json`), { force: true });
  }

  private async readAll<T>(kind: string): Promise<T[]> {
    const names = (await readdir(join(this.directory, kind))).filter((name) => name.endsWith('.json'));
    const values = await Promise.all(names.map((name) => readJson<T>(join(this.directory, kind, name))));
    return values.filter((value) => value !== undefined) as T[];
  }
}

/** Undefined for a missing file; written atomically, so never half a file. */
async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(`${path}.tmp`, JSON.stringify(value), { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

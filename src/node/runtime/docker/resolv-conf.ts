/**
 * The `/etc/resolv.conf` of sandboxes: one file each in the state directory, bind-mounted into the pod's containers
 * (Docker manages none for a container that joins another's network).
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxConfig } from '../runtime.js';
import { resolvConf } from './specification.js';

const SUFFIX = '.resolv.conf';

export class ResolvConfFiles {
  private readonly directory: string;

  constructor(stateDirectory: string) {
    this.directory = join(stateDirectory, 'sandboxes');
  }

  async prepare(): Promise<void> {
    await mkdir(this.directory, { recursive: true });
  }

  /** Writes a sandbox's file and returns its path; undefined when the pod asks for no DNS settings at all. */
  async write(config: SandboxConfig): Promise<string | undefined> {
    const text = resolvConf(config.dns);
    if (text === '') return undefined;
    const path = join(this.directory, `${config.uid}-${config.attempt}${SUFFIX}`);
    await writeFile(path, text, { mode: 0o644 });
    return path;
  }

  async remove(path: string | undefined): Promise<void> {
    if (path !== undefined) await rm(path, { force: true });
  }

  /** Deletes what no sandbox refers to: files of an agent that died between writing and creating. */
  async sweep(used: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.directory)) {
      const path = join(this.directory, name);
      if (name.endsWith(SUFFIX) && !used.has(path)) await rm(path, { force: true });
    }
  }
}

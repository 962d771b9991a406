/** The real kubectl, of the versions this machine has. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { run, type Result, type RunOptions } from './command.js';

const DIRECTORIES = [...(process.env['PATH'] ?? '').split(':'), '/usr/lib/google-cloud-sdk/bin'];

function find(name: string): string | undefined {
  return DIRECTORIES.map((directory) => join(directory, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A kubectl of this minor version (`1.27`), if there is one. */
export const kubectlOf = (version: string): string | undefined => find(`kubectl.${version}`);

/** What `kubectl` means in tests: one of a known version before whatever the PATH has. */
export const defaultKubectl: string | undefined = kubectlOf('1.32') ?? kubectlOf('1.33') ?? find('kubectl');

export interface KubectlOptions extends RunOptions {
  /** Path of the program. */
  readonly program?: string;
}

/** Runs kubectl against one peer. */
export function kubectl(
  kubeconfig: string,
  peer: string,
  args: readonly string[],
  options: KubectlOptions = {},
): Promise<Result> {
  const program = options.program ?? defaultKubectl;
  if (program === undefined) throw new Error('there is no kubectl on this machine');
  return run(program, ['--kubeconfig', kubeconfig, '--server', `https://${peer}:6443`, ...args], options);
}

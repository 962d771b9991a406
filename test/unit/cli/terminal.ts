/** Runs the command line in this process and keeps what it prints. */
import { Readable } from 'node:stream';
import { systemClock } from '../../../src/base/clock.js';

export interface Printed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface TerminalOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly homeDir?: string;
  readonly stdin?: string;
}

export async function skein(args: readonly string[], options: TerminalOptions = {}): Promise<Printed> {
  // As the commands are: a static import would be a second instance of every module under mocha's loader.
  const { run } = await import('../../../src/cli/program.js');
  let out = '';
  let err = '';
  const sink = (add: (text: string) => void) => ({
    write: (text: string) => {
      add(text);
      return true;
    },
    once: () => undefined,
  });
  const code = await run(args, {
    stdin: Readable.from([options.stdin ?? '']),
    stdout: sink((text) => (out += text)),
    stderr: sink((text) => (err += text)),
    env: { SKEIN_DATA_DIR: '/nonexistent', ...options.env },
    homeDir: options.homeDir ?? '/nonexistent',
    clock: systemClock,
  });
  return { code, out, err };
}

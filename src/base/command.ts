/** The process seam: programs of this machine (`ip`, `iptables-restore`) are run through an injected {@link Command}. */
import { spawn } from 'node:child_process';

export interface CommandResult {
  /** Exit code; -1 when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  /** The program is killed after so many milliseconds; 30,000 unless told. */
  readonly timeoutMs?: number;
}

export interface Command {
  /** Runs a program without a shell. Resolves for every exit code; rejects when it cannot be started (`ENOENT`). */
  run(program: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
}

/** A program ended with a code other than 0. */
export class CommandError extends Error {
  readonly code = 'ERR_COMMAND_FAILED';

  constructor(
    program: string,
    args: readonly string[],
    readonly result: CommandResult,
  ) {
    super(`${[program, ...args].join(' ')} ended with ${result.code}: ${result.stderr.trim().slice(0, 500)}`);
  }
}

/** Runs and returns the standard output. Throws {@link CommandError} unless the program ended with 0. */
export async function runOrThrow(
  command: Command,
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await command.run(program, args, options);
  if (result.code !== 0) throw new CommandError(program, args, result);
  return result.stdout;
}

/** Programs of this machine, each a child of this process; {@link launchedCommand} (launcher.ts) is cheaper from a large one. */
export const systemCommand: Command = {
  run(program, args, options = {}) {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: options.timeoutMs ?? 30_000 });
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
      // A program that ends without reading its input (EPIPE) is judged by its exit code.
      child.stdin.on('error', () => undefined);
      child.on('error', reject);
      child.on('close', (code) =>
        resolve({ code: code ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
      );
      child.stdin.end(options.input ?? '');
    });
  },
};

/** A command beside a container's program, with its streams: what `exec` is without an engine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { RuntimeError, type ExecOptions } from '../runtime.js';

/**
 * Runs the program in a session of its own and resolves with its exit code: 127 where there is no such program, 137 when it was
 * killed. Rejects with the signal's reason when that aborts, and with {@link RuntimeError}. A terminal is not made; `tty` only
 * sends both outputs one way.
 */
export async function runBeside(
  program: string,
  args: readonly string[],
  { command, stdin, onStdout, onStderr, tty, signal }: ExecOptions,
  place: { readonly env: Record<string, string>; readonly cwd: string },
): Promise<number> {
  const child = spawn(program, args, { ...place, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  const onAbort = () => child.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', onStdout);
  child.stderr.on('data', tty ? onStdout : onStderr);
  if (stdin) stdin.pipe(child.stdin);
  else child.stdin.end();
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    signal.throwIfAborted();
    return code ?? 137;
  } catch (error) {
    signal.throwIfAborted();
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!missing) throw new RuntimeError('ERR_EXEC', `exec failed: ${String(error)}`, { cause: error });
    onStderr(Buffer.from(`exec: "${command[0] ?? ''}": executable file not found in $PATH\n`));
    return 127;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

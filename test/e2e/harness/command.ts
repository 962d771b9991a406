/** Running programs: the result as a value, never an unbounded wait. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs a program to its end; it is killed (and has the code 124) when it takes longer than 60 s or as told. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const start = performance.now();
  const child = spawn(program, args, { env: { ...process.env, ...options.env }, stdio: 'pipe' });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, options.timeoutMs ?? 60_000);
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => (text[name] += chunk));
  }
  // A program that does not read its input is no fault.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  const note = late ? `\n${program} ${args.join(' ')}: killed after its time` : '';
  return {
    code: late ? 124 : (code ?? 137),
    stdout: text.stdout,
    stderr: text.stderr + note,
    tookMs: Math.round(performance.now() - start),
  };
}

/** As {@link run}; rejects unless the code is 0. Resolves with the standard output. */
export async function must(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${stderr || stdout}`);
  return stdout;
}

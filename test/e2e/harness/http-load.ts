/** GETs at a steady rate from a host to one URL, each noted. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.js';

export interface GetNote {
  /** Since the epoch. */
  readonly atMs: number;
  readonly tookMs: number;
  /** HTTP status, or 0 with an error. */
  readonly status: number;
  readonly body: string;
  readonly error: string;
}

const PROGRAM = fileURLToPath(new URL('http-load.mjs', import.meta.url));

export class HttpLoad {
  private readonly child: ChildProcess;
  private output = '';

  constructor(lab: Lab, host: number, url: string, { perSecond = 20, timeoutMs = 3_000 } = {}) {
    const argv = [process.execPath, PROGRAM, url, String(perSecond), String(timeoutMs)];
    const { program, args, env } = lab.commandOn(host, argv);
    this.child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (this.output += chunk));
  }

  async stop(): Promise<readonly GetNote[]> {
    const gone = once(this.child, 'close');
    this.child.stdin?.end();
    await gone;
    return JSON.parse(this.output) as GetNote[];
  }
}

/** Failures in a few lines, for assertion messages. */
export function describeGets(notes: readonly GetNote[]): string {
  const failed = notes.filter(({ status }) => status !== 200);
  const first = notes[0]?.atMs ?? 0;
  const lines = failed
    .slice(0, 8)
    .map(({ atMs, tookMs, status, error }) => `+${atMs - first} ms: ${status} ${error} after ${tookMs} ms`);
  return `${failed.length} of ${notes.length} requests failed\n  ${lines.join('\n  ')}`;
}

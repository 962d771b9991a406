/** One `skein agent` process on a host of the lab. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './command.js';
import { ROOT, type Lab } from './lab.js';

const MAIN = join(ROOT, 'dist/cli/main.js');

export class Agent {
  readonly name: string;
  readonly address: string;
  readonly dataDir: string;
  /** Variables of its environment beside those of this process. */
  readonly env: Record<string, string> = {};
  private child: ChildProcess | undefined;

  constructor(
    private readonly lab: Lab,
    readonly host: number,
    readonly logFile: string,
  ) {
    this.name = `h${host}`;
    this.address = lab.address(host);
    this.dataDir = lab.dataDir(host);
  }

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get kubeconfig(): string {
    return join(this.dataDir, 'admin.kubeconfig');
  }

  /** The flags every agent of the lab is started with. */
  flags(dataDir = this.dataDir): string[] {
    const docker = this.lab.dockerHost(this.host);
    return ['--name', this.name, '--data-dir', dataDir, '--address', this.address, '--docker-host', docker];
  }

  /** The command line of `skein …` on this host. */
  skein(...args: string[]): { program: string; args: string[]; env: Record<string, string> } {
    return this.lab.commandOn(this.host, [process.execPath, MAIN, ...args]);
  }

  /** Starts the process; does not wait until it is ready. */
  async start(...flags: string[]): Promise<void> {
    if (this.running) throw new Error(`agent ${this.name} runs already`);
    if (!existsSync(MAIN)) throw new Error('there is no build: run scripts/setup first');
    await appendFile(this.logFile, `--- start of ${this.name} at ${new Date().toISOString()}\n`);
    const log = await open(this.logFile, 'a');
    const { program, args, env } = this.skein('agent', ...this.flags(), ...flags);
    this.child = spawn(program, args, {
      env: { ...process.env, ...env, ...this.env },
      stdio: ['ignore', log.fd, log.fd],
    });
    await log.close();
  }

  /** kill -9, and waits until it is gone. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** SIGTERM, and waits for the clean end; resolves with the exit code. */
  async stop(): Promise<number | null> {
    await this.end('SIGTERM');
    return this.child?.exitCode ?? null;
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (!child || !this.running) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  async logTail(lines = 40): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  async createToken(...flags: string[]): Promise<string> {
    const { program, args, env } = this.skein('token', 'create', '--data-dir', this.dataDir, ...flags);
    return (await must(program, args, { env })).trim();
  }
}

/**
 * Runs programs through one small shell that stays: starting a program copies the page tables of whoever starts it, which
 * takes a process of 150 MB some 20 ms of its only thread and a shell under one. Input and output go through files in a
 * private directory, so that nothing is limited by a pipe and the shell has nothing to interpret but quoted words.
 *
 * The shell starts with the first program and ends with this process, and takes the directory along. It does not keep the process
 * alive by itself.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { systemCommand, type Command, type CommandOptions, type CommandResult } from './command.js';

const TIMEOUT_MS = 30_000;

interface Waiting {
  pid: number;
  late: boolean;
  readonly ended: (answer: string) => void;
}

class Launcher implements Command {
  private shell: ChildProcessByStdio<Writable, Readable, null> | undefined;
  private directory = '';
  private readonly waiting = new Map<string, Waiting>();
  private rest = '';
  private serial = 0;

  async run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const shell = this.start();
    if (!shell) return systemCommand.run(program, args, options);
    const id = String(++this.serial);
    const file = join(this.directory, id);
    try {
      if (options.input !== undefined) await writeFile(`${file}.in`, options.input, { mode: 0o600 });
      const input = options.input === undefined ? '/dev/null' : `${file}.in`;
      const words = [program, ...args].map(quoted).join(' ');
      // The inner shell's parent leaves at once: whoever adopts it reaps it, and the outer one keeps no list of jobs.
      const script =
        `( { command -v ${quoted(program)} >/dev/null 2>&1 || { echo ${id} missing; exit; }; ` +
        `${words} <${quoted(input)} >${quoted(`${file}.out`)} 2>${quoted(`${file}.err`)} & ` +
        `echo ${id} pid $!; wait $!; echo ${id} $?; } & )\n`;
      const answer = await this.answer(shell, id, script, options.timeoutMs ?? TIMEOUT_MS);
      if (answer === 'lost') throw new Error(`the shell that runs programs ended before ${program} did`);
      if (answer === 'missing') {
        throw Object.assign(new Error(`spawn ${program} ENOENT`), { code: 'ENOENT', syscall: `spawn ${program}` });
      }
      const [stdout, stderr] = await Promise.all([readFile(`${file}.out`, 'utf8'), readFile(`${file}.err`, 'utf8')]);
      const code = Number(answer);
      return { code: code > 128 ? -1 : code, stdout, stderr };
    } finally {
      await Promise.all(['in', 'out', 'err'].map((end) => rm(`${file}.${end}`, { force: true })));
    }
  }

  private answer(
    shell: ChildProcessByStdio<Writable, Readable, null>,
    id: string,
    script: string,
    timeoutMs: number,
  ): Promise<string> {
    return new Promise((resolve) => {
      const late = AbortSignal.timeout(timeoutMs);
      const stop = () => {
        const waiting = this.waiting.get(id);
        if (!waiting) return;
        waiting.late = true;
        if (waiting.pid > 0) killQuietly(waiting.pid);
      };
      late.addEventListener('abort', stop, { once: true });
      this.waiting.set(id, {
        pid: 0,
        late: false,
        ended: (answer) => {
          late.removeEventListener('abort', stop);
          this.waiting.delete(id);
          if (this.waiting.size === 0) hold(shell, false);
          resolve(answer);
        },
      });
      hold(shell, true);
      shell.stdin.write(script);
    });
  }

  private start(): ChildProcessByStdio<Writable, Readable, null> | undefined {
    if (this.shell) return this.shell;
    const directory = mkdtempSync(join(tmpdir(), 'skein-run-'));
    const shell = spawn('/bin/sh', [], { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    if (shell.pid === undefined) {
      shell.on('error', () => undefined);
      rmSync(directory, { recursive: true, force: true });
      return undefined;
    }
    this.shell = shell;
    this.directory = directory;
    this.rest = '';
    shell.unref();
    hold(shell, false);
    const lost = () => {
      if (this.shell === shell) this.shell = undefined;
      for (const { ended } of this.waiting.values()) ended('lost');
    };
    shell.on('error', lost).on('exit', lost);
    shell.stdin.on('error', () => undefined);
    // Its input ends with this process, also when that is killed.
    shell.stdin.write(`trap ${quoted(`rm -rf ${quoted(directory)}`)} EXIT\n`);
    shell.stdout.on('data', (data: Buffer) => this.read(data.toString()));
    return shell;
  }

  private read(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const [id = '', word = '', pid] = line.split(' ');
      const waiting = this.waiting.get(id);
      if (!waiting) continue;
      if (word !== 'pid') waiting.ended(word);
      else {
        waiting.pid = Number(pid);
        if (waiting.late) killQuietly(waiting.pid);
      }
    }
  }
}

/** Whether the shell's streams keep this process alive. */
function hold(shell: ChildProcessByStdio<Writable, Readable, null>, alive: boolean): void {
  for (const stream of [shell.stdin, shell.stdout]) {
    const socket = stream as unknown as Socket;
    if (alive) socket.ref();
    else socket.unref();
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended just now.
  }
}

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

/** Programs of this machine. Commands run concurrently. */
export const launchedCommand: Command = new Launcher();

/**
 * What little of a shell the fake runtime understands, so that a pod can end as its command says, and the same pod does the
 * same on a real engine. A container's command is either one of the words below, or `sh -c` with a script of them:
 *
 *   sleep SECONDS | exit [N] | true | false | echo WORDS | touch FILE | test -e FILE
 *
 * joined by `;`, new lines, `&&` and `||`. `$NAME` and `$((A % B))`, `+`, `-`, `*`, `/` of whole numbers are replaced. Files are those of
 * the volumes mounted. A script is run through when its container is made; its sleeps add up to when it ends. Whatever has
 * anything else in it, or no command at all, runs until it is stopped.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerConfig } from '../runtime.js';
import type { FakePrograms } from './program.js';

const SHELL = /(^|\/)(sh|bash|ash)$/;
/** Sleeps in milliseconds that are taken as for ever: timers are not made for longer. */
const FOREVER_MS = 2 ** 31 - 1;

export const shellProgram: FakePrograms = (config) => {
  const [command = '', ...rest] = [...(config.command ?? []), ...(config.args ?? [])];
  if (command === '') return {};
  const isScript = SHELL.test(command) && rest[0] === '-c' && rest.length >= 2;
  const script = isScript ? (rest[1] ?? '') : [command, ...rest].join(' ');
  try {
    const run = new Run(config);
    const exitCode = run.script(script);
    if (run.sleptMs >= FOREVER_MS) return { stdout: run.lines };
    return { exitAfterMs: run.sleptMs, exitCode, stdout: run.lines };
  } catch (error) {
    if (error instanceof NotUnderstood) return {};
    throw error;
  }
};

class NotUnderstood extends Error {}
class Exit extends Error {
  constructor(readonly exitCode: number) {
    super();
  }
}

class Run {
  readonly lines: string[] = [];
  sleptMs = 0;
  private readonly variables: ReadonlyMap<string, string>;

  constructor(private readonly config: ContainerConfig) {
    this.variables = new Map(config.env);
  }

  script(text: string): number {
    const commands = text.split(/(;|\n|&&|\|\|)/);
    // All of it must be understood before any of it is done.
    for (let i = 0; i < commands.length; i += 2) this.check((commands[i] ?? '').trim());
    let status = 0;
    try {
      for (let i = 0; i < commands.length && this.sleptMs < FOREVER_MS; i += 2) {
        const joint = commands[i - 1];
        if ((joint === '&&' && status !== 0) || (joint === '||' && status === 0)) continue;
        const command = (commands[i] ?? '').trim();
        if (command !== '') status = this.command(command);
      }
      return status;
    } catch (error) {
      if (error instanceof Exit) return error.exitCode;
      throw error;
    }
  }

  private check(command: string): void {
    if (command === '') return;
    const [name = '', ...words] = this.words(command);
    const known =
      ['true', 'false', 'echo'].includes(name) ||
      (name === 'sleep' && words.length === 1 && (words[0] === 'infinity' || /^[0-9.]+$/.test(words[0] ?? ''))) ||
      (name === 'exit' && (words.length === 0 || /^[0-9]+$/.test(words[0] ?? ''))) ||
      (name === 'touch' && words.length === 1) ||
      (name === 'test' && words.length === 2 && words[0] === '-e');
    if (!known) throw new NotUnderstood(command);
  }

  private command(text: string): number {
    const [name = '', ...words] = this.words(text);
    switch (name) {
      case 'sleep':
        this.sleptMs += words[0] === 'infinity' ? FOREVER_MS : Number(words[0]) * 1000;
        return 0;
      case 'exit':
        throw new Exit(Number(words[0] ?? 0) & 0xff);
      case 'echo':
        this.lines.push(words.join(' '));
        return 0;
      case 'touch': {
        const path = this.hostPath(words[0] ?? '');
        if (path === undefined) return 1;
        writeFileSync(path, '', { flag: 'a' });
        return 0;
      }
      case 'test': {
        const path = this.hostPath(words[1] ?? '');
        return path !== undefined && existsSync(path) ? 0 : 1;
      }
      default:
        return name === 'false' ? 1 : 0;
    }
  }

  /** The words of a command, with variables and arithmetic replaced. */
  private words(command: string): string[] {
    const replaced = command
      .replace(/\$\(\(([^()]*)\)\)/g, (_, expression: string) => this.arithmetic(expression))
      .replace(/\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?/g, (_, name: string) => this.variables.get(name) ?? '');
    if (/[`$|&<>(){}[\]*?\\]/.test(replaced)) throw new NotUnderstood(command);
    return replaced.replaceAll(/["']/g, '').trim().split(/\s+/);
  }

  private arithmetic(expression: string): string {
    const [, a = '', operator = '', b = ''] = /^\s*\$?(\w+)\s*(?:([%*/+-])\s*\$?(\w+)\s*)?$/.exec(expression) ?? [];
    if (a === '') throw new NotUnderstood(expression);
    const value = (word: string) => Number(/^[0-9]+$/.test(word) ? word : (this.variables.get(word) ?? 0));
    const [left, right] = [value(a), value(b)];
    switch (operator) {
      case '%':
        return String(left % right);
      case '*':
        return String(left * right);
      case '/':
        return String(Math.trunc(left / right));
      case '+':
        return String(left + right);
      case '-':
        return String(left - right);
      default:
        return String(left);
    }
  }

  /** Where a file of a mounted volume is on this machine; undefined for one of the container's own. */
  private hostPath(path: string): string | undefined {
    const inside = this.config.mounts
      .filter(({ containerPath }) => path === containerPath || path.startsWith(`${containerPath.replace(/\/$/, '')}/`))
      .toSorted((a, b) => b.containerPath.length - a.containerPath.length)[0];
    return inside && !path.split('/').includes('..')
      ? join(inside.hostPath, path.slice(inside.containerPath.length))
      : undefined;
  }
}

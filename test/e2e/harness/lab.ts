/** Real hosts on this machine, by `scripts/lab`: network namespaces, each with a Docker Engine of its own. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must, run, type Result, type RunOptions } from './command.js';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const LAB = join(ROOT, 'scripts/lab');

/** Why there can be no hosts here; undefined where there can. */
export function noHostsReason(): string | undefined {
  if (process.env['SKEIN_NO_HOSTS']) return 'real hosts cannot be had on this machine';
  if (process.getuid?.() !== 0) return 'real hosts need root';
  if (!existsSync('/usr/sbin/dockerd') && !existsSync('/usr/bin/dockerd'))
    return 'real hosts need dockerd (scripts/setup --hosts)';
  return undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export class Lab {
  readonly name = process.env['SKEIN_E2E_LAB'] ?? 'e2e';
  private readonly env = { SKEIN_LAB: this.name };
  private readonly ownerFile = `/run/skein-lab/${this.name}/owner`;
  private addresses: readonly string[] = [];

  /** Starts hosts 1 to `count`; what a crashed run of the same name left goes first. Rejects while another run has them. */
  async up(count: number): Promise<void> {
    const owner = Number(await readFile(this.ownerFile, 'utf8').catch(() => '0'));
    if (owner > 0 && owner !== process.pid && isAlive(owner)) {
      throw new Error(`process ${owner} uses the lab ${this.name}: set SKEIN_E2E_LAB to another name`);
    }
    await this.down();
    await must(LAB, ['up', String(count)], { env: this.env, timeoutMs: 120_000 });
    await writeFile(this.ownerFile, String(process.pid));
    const status = await must(LAB, ['status'], { env: this.env });
    this.addresses = [...status.matchAll(/^h\d+ +(\S+)/gm)].map(([, address]) => address ?? '');
  }

  async down(): Promise<void> {
    await must(LAB, ['down'], { env: this.env, timeoutMs: 120_000 });
  }

  address(host: number): string {
    const address = this.addresses[host - 1];
    if (address === undefined) throw new Error(`there is no host ${host}`);
    return address;
  }

  /** Where a host keeps what its agent writes; goes with the lab. */
  dataDir(host: number): string {
    return join(process.env['SKEIN_LAB_DIR'] ?? '/var/lib/skein-lab', this.name, `h${host}`, 'skein');
  }

  dockerHost(host: number): string {
    return `unix:///run/skein-lab/${this.name}/h${host}/docker.sock`;
  }

  /** The command line that runs `argv` on a host; its process is the command's own. */
  commandOn(host: number, argv: readonly string[]): { program: string; args: string[]; env: Record<string, string> } {
    return { program: LAB, args: ['exec', String(host), ...argv], env: this.env };
  }

  exec(host: number, argv: readonly string[], options: RunOptions = {}): Promise<Result> {
    const { program, args, env } = this.commandOn(host, argv);
    return run(program, args, { ...options, env: { ...options.env, ...env } });
  }

  docker(host: number, ...args: string[]): Promise<string> {
    return must('docker', ['--host', this.dockerHost(host), ...args]);
  }

  async cut(host: number): Promise<void> {
    await must(LAB, ['cut', String(host)], { env: this.env });
  }

  async heal(host: number): Promise<void> {
    await must(LAB, ['heal', String(host)], { env: this.env });
  }

  async split(...groups: string[]): Promise<void> {
    await must(LAB, ['split', ...groups], { env: this.env });
  }

  async join(): Promise<void> {
    await must(LAB, ['join'], { env: this.env });
  }
}

/**
 * Agent processes on this machine, of any build or of the source as it is: ports of their own, containers that are
 * make-believe, no need of root.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces, setPriority } from 'node:os';
import { join } from 'node:path';
import { Api, type Json } from './api.js';
import { must, run, type Result } from './command.js';
import { eventually } from './wait.js';

/** Where they all are: the machine's own address where it has one: endpoints must not be loopback addresses. */
export const ADDRESS =
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';

/** Options every agent gets: what differs from a machine of its own, and no waiting for the medium. */
const FLAGS = ['--runtime', 'fake', '--proxy-mode', 'none', '--read-only-port', '0', '--fsync', 'false'];
const READY_MS = 120_000;

/** How Node.js runs a build's main module, or the source's. */
const SOURCES = new URL('../../sources.mjs', import.meta.url).href;
const programOf = (main: string) => (main.endsWith('.ts') ? ['--import', SOURCES, main] : [main]);

export class LocalAgent {
  private child: ChildProcess | undefined;
  private api: Api | undefined;

  constructor(
    readonly name: string,
    readonly dataDir: string,
    readonly ports: readonly [api: number, p2p: number, kubelet: number],
  ) {}

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  get kubeconfig(): string {
    return join(this.dataDir, 'admin.kubeconfig');
  }

  get log(): Promise<string> {
    return readFile(`${this.dataDir}.log`, 'utf8');
  }

  /** Of what it logged. */
  async lastLines(count: number): Promise<string> {
    return (await this.log.catch(() => '')).trimEnd().split('\n').slice(-count).join('\n');
  }

  private args(main: string, flags: readonly string[]): string[] {
    const [api, p2p, kubelet] = this.ports.map(String) as [string, string, string];
    const ports = ['--api-port', api, '--p2p-port', p2p, '--kubelet-port', kubelet];
    const place = ['--name', this.name, '--data-dir', this.dataDir, '--address', ADDRESS];
    return [...programOf(main), 'agent', ...place, ...ports, ...FLAGS, ...flags];
  }

  /** Starts the process of a build; does not wait until it is ready. */
  async start(main: string, ...flags: string[]): Promise<void> {
    const log = await open(`${this.dataDir}.log`, 'a');
    this.child = spawn(process.execPath, this.args(main, flags), { stdio: ['ignore', log.fd, log.fd] });
    await log.close();
    raisePriority(this.child.pid);
  }

  /** Runs the agent to its end, which is expected soon. */
  runToEnd(main: string, ...flags: string[]): Promise<Result> {
    return run(process.execPath, this.args(main, flags), { timeoutMs: READY_MS });
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM');
  }

  async kill(): Promise<void> {
    this.api?.close();
    this.api = undefined;
    await this.end('SIGKILL');
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (!child || !this.running) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** Serves, and follows a sequencer together with `peers` peers in all. */
  async ready(peers: number): Promise<void> {
    try {
      await eventually(`agent ${this.name} to follow with ${peers}`, READY_MS, async () => {
        if (!this.running) return 'ended';
        return (await this.status()).view?.voters.length === peers;
      });
      if (!this.running) throw new Error(`agent ${this.name} ended`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${await this.lastLines(20)}`, { cause: error });
    }
  }

  async status(): Promise<Json> {
    return (await this.open()).get('/skein/v1/status');
  }

  /** Any agent's kubeconfig serves for all; this agent's own is asked for while it has one. */
  async open(kubeconfig = this.kubeconfig): Promise<Api> {
    return (this.api ??= await Api.open(kubeconfig, ADDRESS, this.ports[0]));
  }

  skein(main: string, ...args: string[]): Promise<string> {
    return must(process.execPath, [...programOf(main), ...args, '--data-dir', this.dataDir]).then((text) =>
      text.trim(),
    );
  }
}

/** As agents do for themselves where containers do not inherit it: a busy machine must not look like dead peers. */
function raisePriority(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, -10);
  } catch {
    // Not as root: then at ordinary priority.
  }
}

/** Starts them with one build: the first founds a cluster, the others join it. Resolves when each follows a sequencer with all the others. */
export async function startTogether(main: string, agents: readonly LocalAgent[]): Promise<void> {
  const [first, ...others] = agents;
  if (!first) throw new Error('a cluster needs a peer');
  await first.start(main);
  await first.ready(1);
  if (others.length === 0) return;
  const token = await first.skein(main, 'token', 'create');
  await Promise.all(others.map((one) => one.start(main, '--join', token)));
  await Promise.all(agents.map((one) => one.ready(agents.length)));
}

/** Agents with names and ports of their own below a folder. */
export async function localAgents(count: number, folder: string, prefix = 'peer'): Promise<LocalAgent[]> {
  const ports = await freePorts(3 * count);
  return Array.from({ length: count }, (_, i) => {
    const name = `${prefix}-${i + 1}`;
    return new LocalAgent(name, join(folder, name), ports.slice(3 * i, 3 * i + 3) as [number, number, number]);
  });
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, ADDRESS);
    await once(server, 'listening');
    ports.push((server.address() as { port: number }).port);
  }
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/**
 * A cluster of three agents: real processes, real libp2p, real disks, all at one address of this machine. Containers are
 * make-believe (runtime `fake`), which is what lets it run without root and without an engine.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must } from '../../e2e/harness/command.js';
import { eventually } from '../../e2e/harness/wait.js';
import { Api, type Json } from '../framework/http.js';
import type { Cluster } from './cluster.js';
import { openCluster, readKubeconfig } from './kubeconfig.js';

/** The program; `SKEIN_CONFORMANCE_MAIN` names another, say that of a build. */
const MAIN =
  process.env['SKEIN_CONFORMANCE_MAIN'] ?? fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
/** The source as it is, without a build; found from the repository's root. */
const TSX = 'tsx';
const READY_MS = 120_000;
const STOP_MS = 10_000;

/** The machine's own where it has one: endpoints must not be loopback addresses. */
const ADDRESS =
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';

/** Options every agent gets: what differs from a machine of its own, and no waiting for the medium. */
const FLAGS = ['--runtime', 'fake', '--proxy-mode', 'none', '--read-only-port', '0', '--fsync', 'false'];

class LocalAgent {
  private child: ChildProcess | undefined;

  constructor(
    readonly name: string,
    readonly dataDir: string,
    readonly ports: readonly [number, number, number],
  ) {}

  get kubeconfig(): string {
    return join(this.dataDir, 'admin.kubeconfig');
  }

  async start(...flags: string[]): Promise<void> {
    const [api, p2p, kubelet] = this.ports.map(String) as [string, string, string];
    const ports = ['--api-port', api, '--p2p-port', p2p, '--kubelet-port', kubelet];
    const place = ['--name', this.name, '--data-dir', this.dataDir, '--address', ADDRESS];
    const log = await open(`${this.dataDir}.log`, 'a');
    this.child = spawn(process.execPath, ['--import', TSX, MAIN, 'agent', ...place, ...ports, ...FLAGS, ...flags], {
      stdio: ['ignore', log.fd, log.fd],
    });
    await log.close();
  }

  token(): Promise<string> {
    const args = ['--import', TSX, MAIN, 'token', 'create', '--data-dir', this.dataDir];
    return must(process.execPath, args).then((text) => text.trim());
  }

  /** Ready, and its own kubeconfig written. */
  async ready(): Promise<void> {
    try {
      await eventually(`agent ${this.name}`, READY_MS, async () => {
        if (this.ended) return true;
        const api = Api.open([await this.address()]);
        return api.send('GET', '/readyz').then(
          ({ status }) => status === 200,
          () => false,
        );
      });
      if (this.ended) throw new Error(`agent ${this.name} ended before it was ready`);
    } catch (error) {
      const log = await readFile(`${this.dataDir}.log`, 'utf8').catch(() => '');
      throw new Error(`${(error as Error).message}\n${log.trimEnd().split('\n').slice(-20).join('\n')}`, {
        cause: error,
      });
    }
  }

  private get ended(): boolean {
    return !this.child || this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async address() {
    return readKubeconfig(this.kubeconfig);
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (!child || this.ended) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(timer);
  }
}

/** Starts them and waits until all are Ready. What they logged is kept in `SKEIN_CONFORMANCE_LOGS` if that is set. */
export async function startAgents(count = 3): Promise<Cluster> {
  const home = process.env['SKEIN_CONFORMANCE_LOGS'] ?? (await mkdtemp(join(tmpdir(), 'skein-conformance-')));
  const ports = await freePorts(3 * count);
  const agents = Array.from(
    { length: count },
    (_, i) =>
      new LocalAgent(
        `peer-${i + 1}`,
        join(home, `peer-${i + 1}`),
        ports.slice(3 * i, 3 * i + 3) as [number, number, number],
      ),
  );
  const stop = async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
    for (const { dataDir } of agents) await rm(dataDir, { recursive: true, force: true });
    if (process.env['SKEIN_CONFORMANCE_LOGS'] === undefined) await rm(home, { recursive: true, force: true });
  };
  try {
    const [first, ...others] = agents;
    if (!first) throw new Error('a cluster needs a peer');
    await first.start();
    await first.ready();
    for (const agent of others) await agent.start('--join', await first.token());
    await Promise.all(others.map((agent) => agent.ready()));
    const cluster = await openCluster(await Promise.all(agents.map(ownKubeconfig)));
    await eventually('all nodes to be Ready', READY_MS, async () => {
      const { items } = await cluster.api.get('/api/v1/nodes');
      return items.filter(isReady).length === count;
    });
    const end = async () => {
      await cluster.stop();
      await stop();
    };
    return { ...cluster, description: `${count} agents on one machine, runtime fake`, stop: end };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The administrator's kubeconfig with this peer as the server. */
async function ownKubeconfig(agent: LocalAgent): Promise<string> {
  const text = await readFile(agent.kubeconfig, 'utf8');
  const path = `${agent.dataDir}.kubeconfig`;
  await writeFile(path, text.replace(/server: \S+/, `server: https://${ADDRESS}:${agent.ports[0]}`));
  return path;
}

const isReady = ({ status }: Json): boolean =>
  (status?.conditions ?? []).some(({ type, status: value }: Json) => type === 'Ready' && value === 'True');

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

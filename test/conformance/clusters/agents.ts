/**
 * A cluster of three agents: real processes, real libp2p, real disks, all at one address of this machine. Containers are
 * make-believe (runtime `fake`), which is what lets it run without root and without an engine.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ADDRESS, localAgents, startTogether, type LocalAgent } from '../../e2e/harness/local-agent.js';
import { eventually } from '../../e2e/harness/wait.js';
import type { Json } from '../framework/http.js';
import type { Cluster } from './cluster.js';
import { openCluster } from './kubeconfig.js';

/** The program; `SKEIN_CONFORMANCE_MAIN` names another, say that of a build. */
const MAIN =
  process.env['SKEIN_CONFORMANCE_MAIN'] ?? fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
const READY_MS = 120_000;

/** Starts them and waits until all are Ready. What they logged is kept in `SKEIN_CONFORMANCE_LOGS` if that is set. */
export async function startAgents(count = 3): Promise<Cluster> {
  const home = process.env['SKEIN_CONFORMANCE_LOGS'] ?? (await mkdtemp(join(tmpdir(), 'skein-conformance-')));
  const agents = await localAgents(count, home);
  const stop = async () => {
    await Promise.all(agents.map((agent) => agent.kill()));
    for (const { dataDir } of agents) await rm(dataDir, { recursive: true, force: true });
    if (process.env['SKEIN_CONFORMANCE_LOGS'] === undefined) await rm(home, { recursive: true, force: true });
  };
  try {
    await startTogether(MAIN, agents);
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

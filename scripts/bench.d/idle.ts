/** What agents cost while nothing happens: memory and processor time of each, empty and with thirty pods. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../test/e2e/harness/cluster.js';
import { round, type Bench, type Context, type Figure } from './bench.js';
import { deployment, DEPLOYMENTS, isRunning, openCluster, PodWatch } from './hosts.js';
import { usageOf } from './process-usage.js';

const WINDOW_MS = 30_000;
const SETTLE_MS = 10_000;
const REPLICAS = 30;
async function measure(cluster: Cluster, state: string, context: Context): Promise<Figure[]> {
  await sleep(SETTLE_MS);
  const pids = cluster.agents.map(({ pid }) => pid);
  const before = await Promise.all(pids.map(usageOf));
  await sleep(WINDOW_MS);
  const after = await Promise.all(pids.map(usageOf));
  const rss = after.map(({ rssMiB }) => round(rssMiB));
  const cpu = after.map(({ cpuMs }, i) => round(((cpuMs - (before[i]?.cpuMs ?? 0)) / WINDOW_MS) * 100, 1));
  context.log(`${state}: RSS ${rss.join(', ')} MiB, CPU ${cpu.join(', ')} %`);
  return [
    {
      what: `memory of an agent, ${state} (RSS, the largest)`,
      unit: 'MiB',
      better: 'lower',
      skein: Math.max(...rss),
      samples: rss,
      goal: { text: '≤ 150 MiB', atMost: 150, of: 'value' },
      note: `all: ${rss.join(', ')}`,
    },
    {
      what: `CPU of an agent, ${state} (of a core, the busiest)`,
      unit: '%',
      better: 'lower',
      skein: Math.max(...cpu),
      samples: cpu,
      goal: { text: '≤ 2 %', atMost: 2, of: 'value' },
      note: `all: ${cpu.join(', ')}`,
    },
  ];
}

async function run(context: Context): Promise<Figure[]> {
  const cluster = await openCluster(context);
  const empty = await measure(cluster, 'no pods', context);
  await (await cluster.api(1)).call('POST', DEPLOYMENTS, deployment('bench', REPLICAS));
  const watch = await PodWatch.open(cluster, 1, 'app=bench');
  await watch.until('all replicas run', 60_000, (pods) => pods.filter(isRunning).length >= REPLICAS);
  watch.close();
  return [...empty, ...(await measure(cluster, `${REPLICAS} pods on 3 nodes`, context))];
}

export const idle: Bench = {
  name: 'idle',
  about: 'memory and processor time of each agent while nothing happens',
  hosts: true,
  limitSeconds: 240,
  run,
};

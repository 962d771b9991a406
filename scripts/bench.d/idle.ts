/** What agents cost while nothing happens: memory and processor time of each, empty and with thirty pods. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../test/e2e/harness/cluster.js';
import { round, type Bench, type Context, type Figure } from './bench.js';
import { deployment, DEPLOYMENTS, isRunning, openCluster, PodWatch } from './hosts.js';

const WINDOW_MS = 30_000;
const SETTLE_MS = 10_000;
const REPLICAS = 30;
/** Linux' USER_HZ, the unit of times in /proc. */
const TICKS_PER_SECOND = 100;

interface Usage {
  readonly rssMiB: number;
  readonly cpuMs: number;
}

async function usage(pid: number): Promise<Usage> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // Fields after the command's name, which may hold spaces; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    rssMiB: Number(rss) / 1024,
    cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND,
  };
}

async function measure(cluster: Cluster, state: string, context: Context): Promise<Figure[]> {
  await sleep(SETTLE_MS);
  const pids = cluster.agents.map(({ pid }) => pid);
  const before = await Promise.all(pids.map(usage));
  await sleep(WINDOW_MS);
  const after = await Promise.all(pids.map(usage));
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

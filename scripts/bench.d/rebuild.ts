/** A host is cut off with its share of nine replicas: until all run on the survivors, and until Services leave the dead alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../test/e2e/harness/cluster.js';
import { HttpLoad, type GetNote } from '../../test/e2e/harness/http-load.js';
import { median, round, type Bench, type Context, type Figure } from './bench.js';
import {
  deployment,
  DEPLOYMENTS,
  HOSTS,
  isReady,
  openCluster,
  PodWatch,
  removeDeployment,
  settle,
  startAgents,
  stopAgents,
} from './hosts.js';
import { Swarm } from './swarm.js';

const REPLICAS = 9;
const PROGRESS_MS = 90_000;

interface Rebuilt {
  readonly allReadyS: number;
  /** When the last request that failed was sent, after the cut. */
  readonly lastFailureS: number;
  readonly failed: number;
}

/** Failed requests sent after the cut, in seconds after it. */
function failuresAfter(notes: readonly GetNote[], cutAtMs: number): number[] {
  return notes
    .filter(({ status, atMs }) => status !== 200 && atMs >= cutAtMs)
    .map(({ atMs }) => (atMs - cutAtMs) / 1000);
}

async function skeinRound(cluster: Cluster): Promise<Rebuilt> {
  const dead = await cluster.holder('api', 1);
  const survivors = HOSTS.filter((host) => host !== dead);
  const [from = 1] = survivors;
  const api = await cluster.api(from);
  await api.call('POST', DEPLOYMENTS, deployment('web', REPLICAS, true));
  const service = await api.call('POST', '/api/v1/namespaces/default/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web' },
    spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
  });
  const { clusterIP } = (service as { spec: { clusterIP: string } }).spec;
  const watch = await PodWatch.open(cluster, from, 'app=web');
  await watch.until('all replicas are ready', 90_000, (pods) => pods.filter(isReady).length >= REPLICAS);
  const load = new HttpLoad(cluster.lab, from, `http://${clusterIP}/`, { perSecond: 20, timeoutMs: 1_000 });
  await settle();
  const names = survivors.map((host) => `h${host}`);
  const beganMs = performance.now();
  const cutAtMs = Date.now();
  let notes: Promise<readonly GetNote[]> | undefined;
  try {
    await cluster.lab.cut(dead);
    const readyMs = await watch.until('all replicas are ready on the survivors', PROGRESS_MS, (pods) => {
      return pods.filter((pod) => isReady(pod) && names.includes(pod.spec.nodeName ?? '')).length >= REPLICAS;
    });
    await sleep(2_000);
    notes = load.stop();
    const failures = failuresAfter(await notes, cutAtMs);
    return { allReadyS: (readyMs - beganMs) / 1000, lastFailureS: Math.max(0, ...failures), failed: failures.length };
  } finally {
    watch.close();
    notes ??= load.stop();
    await notes;
    await cluster.lab.heal(dead);
    await startAgents(cluster);
    await api.call('DELETE', '/api/v1/namespaces/default/services/web');
    await removeDeployment(cluster, from, 'web');
  }
}

async function swarmRound(swarm: Swarm, cluster: Cluster): Promise<number> {
  const dead = await swarm.leader(1);
  const [from = 1] = HOSTS.filter((host) => host !== dead);
  await swarm.createService(from, 'web', REPLICAS);
  await swarm.running(from, 'web', REPLICAS, 90_000);
  const lost = (await swarm.nodes(from)).find(({ Description }) => Description?.Hostname === `h${dead}`)?.ID;
  await settle();
  const beganMs = performance.now();
  await cluster.lab.cut(dead);
  try {
    const runMs = await swarm.running(from, 'web', REPLICAS, PROGRESS_MS, ({ NodeID }) => NodeID !== lost);
    return (runMs - beganMs) / 1000;
  } finally {
    await cluster.lab.heal(dead);
    await swarm.whole(from);
    await swarm.removeService(from, 'web');
  }
}

async function run(context: Context): Promise<Figure[]> {
  const cluster = await openCluster(context);
  const mine: Rebuilt[] = [];
  for (let number = 1; number <= context.rounds; number++) {
    const one = await skeinRound(cluster);
    mine.push(one);
    context.log(
      `skein: ready after ${one.allReadyS.toFixed(1)} s, last failure ${one.lastFailureS.toFixed(1)} s (${one.failed})`,
    );
  }
  await stopAgents(cluster);
  const swarm = new Swarm(cluster.lab, HOSTS);
  await swarm.start();
  const theirs: number[] = [];
  for (let number = 1; number <= context.rounds; number++) {
    theirs.push(round(await swarmRound(swarm, cluster), 1));
    context.log(`Swarm: running after ${theirs.at(-1)} s`);
  }
  await swarm.stop();
  const readyS = mine.map(({ allReadyS }) => round(allReadyS, 1));
  const failureS = mine.map(({ lastFailureS }) => round(lastFailureS, 2));
  return [
    {
      what: `host cut off: all ${REPLICAS} replicas back on the survivors`,
      unit: 's',
      better: 'lower',
      skein: median(readyS),
      samples: readyS,
      peer: { name: 'Swarm', value: median(theirs), samples: theirs },
      goal: { text: '≤ 15 s', atMost: 15, of: 'value' },
      note: 'the host that led; skein: until probed ready, Swarm: until running',
    },
    {
      what: 'host cut off: the Service stops sending to it',
      unit: 's',
      better: 'lower',
      skein: median(failureS),
      samples: failureS,
      goal: { text: '≤ 3 s', atMost: 3, of: 'value' },
      note: `20 requests/s from a survivor; failed ${mine.map(({ failed }) => failed).join(', ')}`,
    },
  ];
}

export const rebuild: Bench = {
  name: 'rebuild',
  about: 'a host cut off with its share of 9 replicas: until all run elsewhere, beside Docker Swarm',
  hosts: true,
  limitSeconds: 1200,
  run,
};

/** Thirty replicas on three hosts, from the request until all run; beside a Swarm service of the same image. */
import { median, round, type Bench, type Context, type Figure } from './bench.js';
import {
  deployment,
  DEPLOYMENTS,
  HOSTS,
  isRunning,
  openCluster,
  PodWatch,
  removeDeployment,
  settle,
  startAgents,
  stopAgents,
} from './hosts.js';
import { Swarm } from './swarm.js';

const REPLICAS = 30;

async function run(context: Context): Promise<Figure[]> {
  const cluster = await openCluster(context);
  const swarm = new Swarm(cluster.lab, HOSTS);
  const skeinS: number[] = [];
  const swarmS: number[] = [];
  for (let number = 1; number <= context.rounds; number++) {
    await startAgents(cluster);
    await settle();
    const watch = await PodWatch.open(cluster, 2, 'app=bench');
    let beganMs = performance.now();
    await (await cluster.api(2)).call('POST', DEPLOYMENTS, deployment('bench', REPLICAS));
    const runMs = await watch.until('all replicas run', 60_000, (pods) => pods.filter(isRunning).length >= REPLICAS);
    watch.close();
    skeinS.push((runMs - beganMs) / 1000);
    context.log(`round ${number}: skein ${skeinS.at(-1)?.toFixed(1)} s`);
    await removeDeployment(cluster, 1, 'bench');
    await settle();
    await stopAgents(cluster);
    await swarm.start();
    await settle();
    beganMs = performance.now();
    await swarm.createService(2, 'bench', REPLICAS);
    swarmS.push(((await swarm.running(2, 'bench', REPLICAS, 90_000)) - beganMs) / 1000);
    await swarm.removeService(1, 'bench');
    await swarm.stop();
    context.log(`round ${number}: Swarm ${swarmS.at(-1)?.toFixed(1)} s`);
  }
  return [
    {
      what: `${REPLICAS} replicas on 3 hosts, request to all running`,
      unit: 's',
      better: 'lower',
      skein: median(skeinS),
      samples: skeinS.map((value) => round(value, 2)),
      peer: { name: 'Swarm', value: median(swarmS), samples: swarmS.map((value) => round(value, 2)) },
      goal: { text: '≤ 1.0 × Swarm', atMost: 1, of: 'ratio' },
      note: 'a pod is a sandbox and a container, a Swarm task one container without a network',
    },
  ];
}

export const deploy: Bench = {
  name: 'deploy',
  about: '30 replicas on 3 hosts, request to all running, beside Docker Swarm',
  hosts: true,
  limitSeconds: 900,
  run,
};

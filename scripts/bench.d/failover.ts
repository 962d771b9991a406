/** Writes through the survivors while the holder of the writes dies: the longest time without an acknowledged one. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../test/e2e/harness/cluster.js';
import { must } from '../../test/e2e/harness/command.js';
import { median, round, type Bench, type Context, type Figure } from './bench.js';
import { Etcd, etcdInstalled } from './etcd.js';
import { HOSTS, openCluster, settle, startAgents, stopAgents } from './hosts.js';
import { SteadyLoad, type Send, type SteadyReport } from './load.js';
import { Swarm } from './swarm.js';

const PER_SECOND = 20;
/** How long writes may stay away before the measurement is given up, in milliseconds. */
const GIVE_UP_MS = 60_000;

/** A system under test: who leads, how to write through a host, and how its parts die and come back. */
interface Subject {
  readonly name: string;
  leader(): Promise<number>;
  write(host: number, number: number): Promise<void>;
  kill(host: number): Promise<void>;
  /** Brings everything back after a death or a cut. */
  restore(host: number): Promise<void>;
}

type Event = 'killed' | 'cut off';

async function measure(subject: Subject, cluster: Cluster, event: Event): Promise<SteadyReport> {
  const leader = await subject.leader();
  const survivors = HOSTS.filter((host) => host !== leader);
  const send: Send = (number) => subject.write(survivors[number % survivors.length] ?? 1, number);
  const load = new SteadyLoad(send, PER_SECOND);
  await sleep(2_000);
  const beganMs = performance.now();
  if (event === 'killed') await subject.kill(leader);
  else await cluster.lab.cut(leader);
  // Until two seconds' worth of writes are through again, and long enough for a late decision to show.
  while (performance.now() - beganMs < GIVE_UP_MS) {
    await sleep(200);
    const nowMs = performance.now();
    if (nowMs - beganMs > 5_000 && load.succeededSince(nowMs - 2_000) >= PER_SECOND * 1.5) break;
  }
  const report = await load.stop();
  if (event === 'cut off') await cluster.lab.heal(leader);
  await subject.restore(leader);
  return report;
}

function skeinSubject(cluster: Cluster, tag: () => string): Subject {
  return {
    name: 'skein',
    leader: () => cluster.holder('api', 1),
    async write(host, number) {
      const object = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: `${tag()}-${number}` },
        data: { a: 'x'.repeat(100) },
      };
      await (await cluster.api(host)).call('POST', '/api/v1/namespaces/default/configmaps', object);
    },
    kill: (host) => cluster.agent(host).kill(),
    restore: () => startAgents(cluster),
  };
}

function swarmSubject(cluster: Cluster, swarm: Swarm, tag: () => string): Subject {
  const lab = ['scripts/lab', { SKEIN_LAB: cluster.lab.name }] as const;
  return {
    name: 'Swarm',
    leader: () => swarm.leader(1),
    async write(host, number) {
      const Data = Buffer.from('x'.repeat(100)).toString('base64');
      await swarm.engine(host, 'POST', '/configs/create', { Name: `${tag()}-${number}`, Data }, 20_000);
    },
    async kill(host) {
      const socket = cluster.lab.dockerHost(host).replace('unix://', '');
      const pid = await readFile(socket.replace(/docker\.sock$/, 'docker.pid'), 'utf8');
      process.kill(Number(pid), 'SIGKILL');
    },
    async restore(host) {
      await must(lab[0], ['start', String(host)], { env: lab[1] });
      await swarm.whole(HOSTS.find((other) => other !== host) ?? 1);
    },
  };
}

function etcdSubject(etcd: Etcd, tag: () => string): Subject & { close(): void } {
  const clients = new Map(HOSTS.map((host) => [host as number, etcd.client(host)]));
  return {
    name: 'etcd',
    leader: async () => (await etcd.leader()) ?? 1,
    write: (host, number) =>
      clients.get(host)?.put(`${tag()}-${number}`, Buffer.alloc(100)) ?? Promise.reject(new Error('no host')),
    kill: (host) => etcd.kill(host),
    restore: () => etcd.start(),
    close: () => clients.forEach((client) => client.close()),
  };
}

async function repeated(context: Context, subject: Subject, cluster: Cluster, renew: () => void) {
  const reports: Record<Event, SteadyReport[]> = { killed: [], 'cut off': [] };
  for (let number = 1; number <= context.rounds; number++) {
    for (const event of ['killed', 'cut off'] as const) {
      await settle();
      renew();
      const report = await measure(subject, cluster, event);
      reports[event].push(report);
      const gap = report.longestGapMs.toFixed(0);
      context.log(
        `${subject.name}, ${event}: gap ${gap} ms, ${report.failed} of ${report.sent} failed ${report.errors.join('; ')}`,
      );
    }
  }
  return reports;
}

const seconds = (reports: readonly SteadyReport[]) => reports.map(({ longestGapMs }) => round(longestGapMs / 1000, 2));
const failures = (reports: readonly SteadyReport[]) => reports.reduce((sum, { failed }) => sum + failed, 0);
const sent = (reports: readonly SteadyReport[]) => reports.reduce((sum, report) => sum + report.sent, 0);

async function run(context: Context): Promise<Figure[]> {
  const cluster = await openCluster(context);
  let turn = 0;
  const tag = () => `write-${turn}`;
  const renew = () => void turn++;
  const skein = await repeated(context, skeinSubject(cluster, tag), cluster, renew);
  await stopAgents(cluster);

  const swarm = new Swarm(cluster.lab, HOSTS);
  await swarm.start();
  const peers = [
    { name: 'Swarm', reports: await repeated(context, swarmSubject(cluster, swarm, tag), cluster, renew) },
  ];
  await swarm.stop();
  if (await etcdInstalled()) {
    const etcd = new Etcd(cluster.lab, HOSTS);
    context.defer(() => etcd.stop());
    await etcd.start();
    const subject = etcdSubject(etcd, tag);
    peers.push({ name: 'etcd', reports: await repeated(context, subject, cluster, renew) });
    subject.close();
  }
  const goals = { killed: { text: '≤ 0.5 s', atMost: 0.5 }, 'cut off': { text: '≤ 2 s', atMost: 2 } };
  return peers.flatMap(({ name, reports }) =>
    (['killed', 'cut off'] as const).map((event): Figure => {
      const mine = skein[event];
      const theirs = reports[event];
      return {
        what: `longest gap between writes, leader ${event}`,
        unit: 's',
        better: 'lower',
        skein: median(seconds(mine)),
        samples: seconds(mine),
        peer: { name, value: median(seconds(theirs)), samples: seconds(theirs) },
        goal: { ...goals[event], of: 'value' },
        note: `failed: skein ${failures(mine)} of ${sent(mine)}, ${name} ${failures(theirs)} of ${sent(theirs)}`,
      };
    }),
  );
}

export const failover: Bench = {
  name: 'failover',
  about: 'longest gap between writes through the survivors when the leader is killed or cut off, beside Swarm and etcd',
  hosts: true,
  limitSeconds: 1200,
  run,
};

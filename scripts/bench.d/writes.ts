/**
 * 2.8 KB writes with 1, 16 and 64 connections through one peer of three: ConfigMaps (CRDT documents) and Pods (registers)
 * through the whole API pipeline over TLS, beside raw puts into etcd without TLS. Both force every write to the disk. Measured
 * after a warm-up: etcd is compiled before it runs, skein while it runs.
 */
import type { Cluster } from '../../test/e2e/harness/cluster.js';
import { round, type Bench, type Context, type Figure } from './bench.js';
import { Etcd, etcdInstalled } from './etcd.js';
import { HttpsSender } from './https-sender.js';
import { credentials, HOSTS, openCluster, settle, stopAgents } from './hosts.js';
import { fullSpeed, type RateReport, type Send } from './load.js';
import { cpuMsOf } from './process-usage.js';

const BYTES = 2_800;
const CONNECTIONS = [1, 16, 64] as const;
/** Writes through each peer before anything is measured: until then most of the agents' code runs uncompiled. */
const WARM_UP = 4_000;

/** The body in two halves around the object's name, so that the load spends no time on making it. */
type Template = readonly [before: string, after: string];

function template(object: { metadata: { name: string } }, fill: (text: string) => object): Template {
  const padding = BYTES - JSON.stringify({ ...object, ...fill('') }).length;
  const [before = '', after = ''] = JSON.stringify({ ...object, ...fill('x'.repeat(padding)) }).split('NAME');
  return [before, after];
}

export const CONFIG_MAP = template(
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'NAME' } } as { metadata: { name: string } },
  (text) => ({
    data: { content: text },
  }),
);

/** A pod that no scheduler takes, of the size that a real one has. */
export const POD = template(
  { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'NAME' } } as { metadata: { name: string } },
  (text) => ({
    spec: {
      schedulerName: 'nobody',
      containers: [{ name: 'main', image: 'busybox:skein', env: [{ name: 'CONTENT', value: text }] }],
    },
  }),
);

export async function skeinSenders(
  cluster: Cluster,
  host: number,
  path: string,
  [before, after]: Template,
  count: number,
) {
  const endpoint = { host: cluster.agent(host).address, port: 6443, tls: await credentials(cluster.kubeconfig) };
  const connections = Array.from({ length: count }, () => new HttpsSender(endpoint));
  const senders = connections.map((connection): Send => async (number) => {
    const status = await connection.post(path, `${before}w-${number}${after}`);
    if (status !== 201) throw new Error(`status ${status}`);
  });
  return { senders, close: () => connections.forEach((connection) => connection.close()) };
}

interface Measured extends RateReport {
  /** Processor time of all three members for one write, in milliseconds: tells of the cost also on a busy machine. */
  readonly cpuMs: number;
}

async function rateOf(context: Context, senders: readonly Send[], pids: readonly number[], next: () => number) {
  const beforeMs = await cpuMsOf(pids);
  const first = next();
  const rate = await fullSpeed(senders, context.seconds, next);
  const count = next() - first - 1;
  return { ...rate, cpuMs: ((await cpuMsOf(pids)) - beforeMs) / count } satisfies Measured;
}

async function etcdRates(context: Context, cluster: Cluster, next: () => number): Promise<Map<string, Measured>> {
  const rates = new Map<string, Measured>();
  if (!(await etcdInstalled())) return rates;
  const etcd = new Etcd(cluster.lab, HOSTS);
  context.defer(() => etcd.stop());
  await etcd.start();
  await settle();
  const leader = (await etcd.leader()) ?? 1;
  const follower = HOSTS.find((host) => host !== leader) ?? 1;
  const value = Buffer.alloc(BYTES, 'x');
  for (const [where, host] of [
    ['leader', leader],
    ['follower', follower],
  ] as const) {
    for (const count of CONNECTIONS) {
      const clients = Array.from({ length: count }, () => etcd.client(host));
      const senders = clients.map(
        (client): Send =>
          (number) =>
            client.put(`/bench/configmaps/w-${number}`, value),
      );
      const rate = await rateOf(context, senders, etcd.pids, next);
      for (const client of clients) client.close();
      rates.set(`${where} ${count}`, rate);
      context.log(`etcd, ${where}, ${count}: ${describe(rate)}`);
    }
  }
  await etcd.stop();
  return rates;
}

const describe = ({ perSecond, p50Ms, p99Ms, cpuMs, failed, error }: Measured) =>
  [
    `${perSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, CPU ${cpuMs.toFixed(2)} ms a write`,
    ...(failed > 0 ? [`${failed} failed: ${error}`] : []),
  ].join(', ');

function figures(kind: string, where: string, count: number, mine: Measured, theirs: Measured | undefined): Figure[] {
  const what = `${kind} of 2.8 KB, ${count} connection${count > 1 ? 's' : ''}, through the ${where}`;
  const times = ({ p50Ms, p99Ms, cpuMs, failed }: Measured) =>
    `p50 ${round(p50Ms, 1)} ms, p99 ${round(p99Ms, 1)} ms, CPU ${round(cpuMs, 2)} ms a write` +
    (failed > 0 ? `, ${failed} failed` : '');
  const rate: Figure = {
    what,
    unit: '/s',
    better: 'higher',
    skein: round(mine.perSecond),
    ...(theirs ? { peer: { name: 'etcd', value: round(theirs.perSecond) } } : {}),
    ...(count > 1 ? { goal: { text: '≥ 1.0 × etcd', atLeast: 1, of: 'ratio' as const } } : {}),
    note: times(mine) + (theirs ? `; etcd ${times(theirs)}` : ''),
  };
  if (count > 1) return [rate];
  const p50: Figure = {
    what: `${what}: p50`,
    unit: 'ms',
    better: 'lower',
    skein: round(mine.p50Ms, 2),
    ...(theirs ? { peer: { name: 'etcd', value: round(theirs.p50Ms, 2) } } : {}),
    goal: { text: '≤ 3 ms', atMost: 3, of: 'value' },
  };
  return [rate, p50];
}

async function warmUp(cluster: Cluster, host: number, path: string, body: Template, next: () => number) {
  const { senders, close } = await skeinSenders(cluster, host, path, body, 64);
  let left = WARM_UP;
  await Promise.all(
    senders.map(async (send) => {
      while (left-- > 0) await send(next());
    }),
  );
  close();
}

async function run(context: Context): Promise<Figure[]> {
  const cluster = await openCluster(context);
  let number = 0;
  const next = () => number++;
  await settle();
  const holder = await cluster.holder('api', 1);
  const follower = HOSTS.find((host) => host !== holder) ?? 1;
  const pids = cluster.agents.map(({ pid }) => pid);
  const kinds = [
    { kind: 'ConfigMaps', path: '/api/v1/namespaces/default/configmaps', body: CONFIG_MAP },
    { kind: 'Pods', path: '/api/v1/namespaces/default/pods', body: POD },
  ];
  const mine: { kind: string; where: string; count: number; rate: Measured }[] = [];
  for (const { kind, path, body } of kinds) {
    for (const [where, host] of [
      ['leader', holder],
      ['follower', follower],
    ] as const) {
      await warmUp(cluster, host, path, body, next);
      for (const count of CONNECTIONS) {
        const { senders, close } = await skeinSenders(cluster, host, path, body, count);
        const rate = await rateOf(context, senders, pids, next);
        close();
        mine.push({ kind, where, count, rate });
        context.log(`skein, ${kind}, ${where}, ${count}: ${describe(rate)}`);
      }
    }
  }
  await stopAgents(cluster);
  const theirs = await etcdRates(context, cluster, next);
  return mine.flatMap(({ kind, where, count, rate }) =>
    figures(kind, where, count, rate, theirs.get(`${where} ${count}`)),
  );
}

export const writes: Bench = {
  name: 'writes',
  about: '2.8 KB ConfigMaps and Pods with 1, 16 and 64 connections, through the leader and a follower, beside etcd',
  hosts: true,
  limitSeconds: 900,
  run,
};

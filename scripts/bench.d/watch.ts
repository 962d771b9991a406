/**
 * 1,000 watchers of one resource through one agent over TLS while 100 objects a second change: the time from a write's commit
 * to its arrival at the last of the watchers, over HTTP/2 as client-go watches and over HTTP/1.1. The watchers are a process of their own, so that they do not hold up the writer.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent as HttpsAgent, request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile, round, type Bench, type Context, type Figure } from './bench.js';
import { credentials } from './hosts.js';
import { SteadyLoad, type Send } from './load.js';
import { cpuMsOf } from './process-usage.js';

const WATCHERS = 1_000;
const WRITES_PER_SECOND = 100;
/** Watches on one HTTP/2 connection, as client-go has them: as many as a Kubernetes server allows. */
const STREAMS = 100;
const OBJECTS = 10;
/** Before anything is measured: until then most of the agent's code runs uncompiled. */
const WARM_UP_MS = 8_000;
const PATH = '/api/v1/namespaces/default/configmaps';
/** The same clock in both processes, in milliseconds. */
const nowText = () => (performance.timeOrigin + performance.now()).toFixed(3);
/** Stands around the time at which a write was sent. */
const MARK = '@';

type Credentials = Awaited<ReturnType<typeof credentials>>;
type Measured = Awaited<ReturnType<typeof startAgent>>;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

async function startAgent(context: Context) {
  const folder = await mkdtemp(join(tmpdir(), 'skein-bench-'));
  context.defer(() => rm(folder, { recursive: true, force: true }));
  const [apiPort, p2pPort, kubeletPort] = [await freePort(), await freePort(), await freePort()];
  const flags = {
    name: 'bench',
    'data-dir': folder,
    address: '127.0.0.1',
    'api-port': apiPort,
    'p2p-port': p2pPort,
    'kubelet-port': kubeletPort,
    'read-only-port': 0,
    runtime: 'fake',
    'proxy-mode': 'none',
    'audit-policy-file': join(folder, 'audit-policy.json'),
    'audit-log-path': join(folder, 'audit.log'),
  };
  await writeFile(flags['audit-policy-file'], JSON.stringify(AUDIT_POLICY));
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, ['dist/cli/main.js', 'agent', ...args], { stdio: 'ignore' });
  context.defer(async () => {
    const gone = once(child, 'exit');
    if (child.exitCode === null && child.kill('SIGTERM')) await gone;
  });
  const kubeconfig = join(folder, 'admin.kubeconfig');
  while (!existsSync(kubeconfig)) {
    if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}`);
    await sleep(50);
  }
  return { apiPort, pid: child.pid ?? 0, tls: await credentials(kubeconfig), auditLog: flags['audit-log-path'] };
}

/** The answer's status; what else it says is thrown away. */
function ask(
  port: number,
  agent: HttpsAgent,
  method: string,
  path: string,
  body: object,
  more: Readonly<Record<string, string>> = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', ...more };
    const sent = request({ host: '127.0.0.1', port, method, path, headers, agent }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    sent.once('error', reject);
    sent.end(JSON.stringify(body));
  });
}

const configMap = (number: number, time: string) => ({
  metadata: { name: `watched-${number % OBJECTS}` },
  data: { time: `${MARK}${time}${MARK}`, content: 'x'.repeat(500) },
});

/** The process of the watchers; resolves when all of them have their initial state. */
async function startWatchers(port: number, tls: Credentials, perConnection: number): Promise<ChildProcess> {
  const child = fork(new URL('watchers.mjs', import.meta.url), [], { serialization: 'advanced', execArgv: [] });
  child.send({ port, path: PATH, mark: MARK, count: WATCHERS, tls, perConnection });
  await once(child, 'message');
  return child;
}

/** What the watchers have noted. */
interface Report {
  /** How many events took how many tenths of milliseconds to arrive. */
  readonly took: Uint32Array;
  /** When each write was sent, and how long after that the last of the watchers had it, in milliseconds. */
  readonly last: readonly (readonly [timeMs: number, ms: number])[];
}

/** Up to which bucket a share of all is. */
function tenthsAt(counts: Uint32Array, share: number): number {
  let left = share * counts.reduce((sum, count) => sum + count, 0);
  return counts.findIndex((count) => (left -= count) <= 0);
}

/** How the watchers are connected. */
interface Form {
  readonly what: string;
  readonly perConnection: number;
  readonly goal?: Figure['goal'];
}

const FORMS: readonly Form[] = [
  {
    what: `${WATCHERS} watchers over HTTP/2, ${STREAMS} a connection`,
    perConnection: STREAMS,
    goal: { text: '≤ 50 ms', atMost: 50, of: 'value' },
  },
  { what: `${WATCHERS} watchers over HTTP/1.1, each on its own connection`, perConnection: 1 },
];

/** Records when each write has been answered by the agent, under the time that it carries. */
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'Metadata', verbs: ['update'], resources: [{ group: '', resources: ['configmaps'] }] },
    { level: 'None' },
  ],
};

/** By the time that a write carries: when the agent had committed and answered it, by its audit log, in milliseconds. */
async function commitsOf(auditLog: string): Promise<ReadonlyMap<string, number>> {
  const commits = new Map<string, number>();
  for (const line of (await readFile(auditLog, 'utf8')).split('\n')) {
    if (line === '') continue;
    const event = JSON.parse(line) as { readonly auditID: string; readonly stageTimestamp: string };
    commits.set(event.auditID, Date.parse(event.stageTimestamp));
  }
  return commits;
}

async function measure(
  context: Context,
  { apiPort, pid, tls, auditLog }: Measured,
  write: Send,
  form: Form,
): Promise<Figure> {
  const watchers = await startWatchers(apiPort, tls, form.perConnection);
  const gone = once(watchers, 'exit');
  context.defer(() => Promise.resolve(void watchers.kill('SIGKILL')));
  await sleep(1_000);
  const warmUp = new SteadyLoad(write, WRITES_PER_SECOND);
  await sleep(WARM_UP_MS);
  await warmUp.stop();
  await sleep(500);
  watchers.send('begin');
  const beforeMs = await cpuMsOf([pid]);
  const beganMs = performance.now();
  const load = new SteadyLoad(write, WRITES_PER_SECOND);
  await sleep(context.seconds * 1_000);
  const { sent, failed, errors } = await load.stop();
  await sleep(500);
  const cpuMs = (await cpuMsOf([pid])) - beforeMs;
  const cpu = cpuMs / (performance.now() - beganMs);
  watchers.send('report');
  const [{ took, last }] = (await once(watchers, 'message')) as [Report];
  await gone;
  const events = took.reduce((sum, count) => sum + count, 0);
  const arrived = events / (sent * WATCHERS);
  const lastMs = last.map(([, ms]) => ms);
  const commits = await commitsOf(auditLog);
  const committedMs = last.map(([timeMs, ms]) => timeMs + ms - (commits.get(timeMs.toFixed(3)) ?? NaN));
  if (committedMs.some(Number.isNaN)) throw new Error('the audit log does not tell of every write');
  context.log(
    `${form.what}: ${sent} writes, ${failed} failed ${errors.join()}, ${(arrived * 100).toFixed(2)} % of the events arrived`,
  );
  return {
    what: `${form.what}, ${WRITES_PER_SECOND} writes a second: from commit to the last watcher, p99`,
    unit: 'ms',
    better: 'lower',
    skein: round(quantile(committedMs, 0.99) ?? 0, 1),
    ...(form.goal ? { goal: form.goal } : {}),
    note:
      `p50 ${round(quantile(committedMs, 0.5) ?? 0, 1)} ms; from the request p50 ${round(quantile(lastMs, 0.5) ?? 0, 1)} ms, ` +
      `p99 ${round(quantile(lastMs, 0.99) ?? 0, 1)} ms, to any watcher p50 ${tenthsAt(took, 0.5) / 10} ms, ` +
      `p99 ${tenthsAt(took, 0.99) / 10} ms; the agent at ${round(cpu * 100)} % of a processor, ` +
      `${round((cpuMs * 1_000) / (events || 1), 1)} µs for each event and watcher, writes included` +
      (arrived === 1 ? '' : `; only ${round(arrived * 100, 1)} % of the events arrived`),
  };
}

async function run(context: Context): Promise<Figure[]> {
  const measured = await startAgent(context);
  const { apiPort, tls } = measured;
  const agent = new HttpsAgent({ ...tls, keepAlive: true, maxSockets: 64 });
  context.defer(async () => Promise.resolve(agent.destroy()));
  while ((await ask(apiPort, agent, 'POST', PATH, configMap(0, '')).catch(() => 0)) !== 201) await sleep(100);
  for (let i = 1; i < OBJECTS; i++) await ask(apiPort, agent, 'POST', PATH, configMap(i, ''));
  const write = async (number: number) => {
    const path = `${PATH}/watched-${number % OBJECTS}`;
    const time = nowText();
    const code = await ask(apiPort, agent, 'PUT', path, configMap(number, time), { 'Audit-Id': time });
    if (code !== 200) throw new Error(`status ${code}`);
  };
  const figures: Figure[] = [];
  for (const form of FORMS) figures.push(await measure(context, measured, write, form));
  return figures;
}

export const watch: Bench = {
  name: 'watch',
  about:
    '1,000 watchers of one resource, 100 writes a second, from commit to the last watcher, over HTTP/2 and HTTP/1.1',
  hosts: false,
  limitSeconds: 180,
  run,
};

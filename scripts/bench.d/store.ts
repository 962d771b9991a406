/**
 * What the store and the API cost without disk and network: writes through the whole pipeline of a single replica with its
 * disk in memory, and one list of 10,000 pods over plain HTTP.
 */
import { get } from 'node:http';
import { createKindPolicies } from '../../src/agent/kind-policies.js';
import { NAMESPACES } from '../../src/api/resource.js';
import { KindRegistry } from '../../src/api/schema/registry.js';
import { systemClock } from '../../src/base/clock.js';
import { silentLogger } from '../../src/base/log.js';
import { noMetrics } from '../../src/base/metrics.js';
import { seededRandom, uuid } from '../../src/base/random.js';
import { ApiServer } from '../../src/control/apiserver/http/server.js';
import { createApiPipeline, createWritePipeline } from '../../src/control/apiserver/pipeline.js';
import { SYSTEM_USER } from '../../src/control/apiserver/writes/executor.js';
import type { WriteRequest } from '../../src/control/apiserver/writes/write-request.js';
import type { Disk } from '../../src/store/disk.js';
import { DEFAULT_REPLICA_OPTIONS, type PeerNetwork } from '../../src/store/replication/context.js';
import { Replica } from '../../src/store/replication/replica.js';
import { median, round, type Bench, type Context, type Figure } from './bench.js';
import { settle } from './hosts.js';
import { fullSpeed } from './load.js';

const PODS = 10_000;
const IN_FLIGHT = 64;

/** A disk that forgets everything, at once. */
const nothing = {
  open: () => Promise.resolve(),
  get: () => Promise.resolve(undefined),
  // eslint-disable-next-line require-yield
  async *scan() {
    await Promise.resolve();
  },
  write: () => Promise.resolve(),
  close: () => Promise.resolve(),
  setAside: () => Promise.resolve('nowhere'),
};
const noDisk: Disk = nothing;

const alone: PeerNetwork = {
  self: 'alone',
  send: () => false,
  onMessage: () => () => undefined,
  alive: () => ['alone'],
  nameOf: (peer) => peer,
  formatsOf: () => undefined,
  onChange: () => () => undefined,
};

async function openReplica(context: Context) {
  const random = seededRandom(1);
  const registry = KindRegistry.load();
  const writes = createWritePipeline({ registry, random });
  const replica = new Replica(
    {
      clock: systemClock,
      random,
      log: silentLogger,
      metrics: noMetrics,
      disk: noDisk,
      network: alone,
      policies: createKindPolicies(registry),
      executor: writes.executor,
    },
    {
      ...DEFAULT_REPLICA_OPTIONS,
      historyEvents: 10_000,
      logBytes: 64 << 20,
      logFrames: 100_000,
      replies: 10_000,
      tombstoneRetentionMs: 86_400_000,
      flushDelayMs: 100,
      fsync: false,
      mayFound: true,
    },
  );
  context.defer(() => replica.stop());
  await replica.start();
  const pipeline = createApiPipeline({
    clock: systemClock,
    random,
    log: silentLogger,
    metrics: noMetrics,
    registry,
    store: replica,
    writes,
    clusterSecret: random.bytes(32),
  });
  await pipeline.followers.start();
  context.defer(() => pipeline.followers.stop());
  await pipeline.client.create(NAMESPACES, { metadata: { name: 'default' } });
  return { replica, pipeline, random };
}

type Parts = Awaited<ReturnType<typeof openReplica>>;

function createRequest({ random }: Parts, resource: string, object: object): WriteRequest {
  return {
    id: uuid(random),
    verb: 'create',
    group: '',
    version: 'v1',
    resource,
    subresource: '',
    namespace: 'default',
    name: '',
    user: SYSTEM_USER,
    dryRun: false,
    fieldManager: 'bench',
    fieldValidation: 'Warn',
    force: false,
    contentType: 'application/json',
    body: Buffer.from(JSON.stringify(object)),
  };
}

const configMap = (number: number) => ({ metadata: { name: `w-${number}` }, data: { content: 'x'.repeat(2_700) } });

const pod = (number: number) => ({
  metadata: { name: `pod-${number}`, labels: { app: `app-${number % 100}`, 'pod-template-hash': '5d8f9c7b6d' } },
  spec: {
    schedulerName: 'nobody',
    containers: [
      {
        name: 'main',
        image: 'registry.example/team/app:1.2.3',
        env: Array.from({ length: 10 }, (_, i) => ({ name: `SETTING_${i}`, value: `value ${i} of ${number}` })),
        resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
        ports: [{ containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/ready', port: 8080 } },
      },
    ],
  },
});

const submit = ({ pipeline }: Parts, request: WriteRequest) => pipeline.server.store.write(request.id, request);

async function writeRate(parts: Parts, resource: string, make: (number: number) => object, context: Context) {
  let number = 0;
  const send = async (count: number) => {
    const { code } = await submit(parts, createRequest(parts, resource, make(count)));
    if (code !== 201) throw new Error(`answer ${code}`);
  };
  const rate = await fullSpeed(
    Array.from({ length: IN_FLIGHT }, () => send),
    context.seconds,
    () => number++,
  );
  if (rate.failed > 0) throw new Error(`${rate.failed} writes failed: ${rate.error}`);
  return rate.perSecond;
}

function fetchBytes(port: number, path: string): Promise<{ ms: number; bytes: number }> {
  const beganMs = performance.now();
  return new Promise((resolve, reject) => {
    get({ port, path }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.on('end', () => resolve({ ms: performance.now() - beganMs, bytes }));
      response.on('error', reject);
    }).on('error', reject);
  });
}

const heapMiB = () => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
};

async function listFigures(parts: Parts, context: Context): Promise<Figure[]> {
  const beforeMiB = heapMiB();
  for (let done = 0; done < PODS; done += 100) {
    const batch = Array.from({ length: 100 }, (_, i) => createRequest(parts, 'pods', pod(done + i)));
    await Promise.all(batch.map((request) => submit(parts, request)));
  }
  // Until their records are written.
  await settle();
  const heldMiB = heapMiB() - beforeMiB;
  const server = new ApiServer(parts.pipeline.server, { port: 0, host: '127.0.0.1', insecureUser: SYSTEM_USER });
  await server.start();
  context.defer(() => server.stop());
  const path = '/api/v1/namespaces/default/pods';
  const first = await fetchBytes(server.address.port, path);
  const again: number[] = [];
  for (let i = 0; i < 5; i++) again.push((await fetchBytes(server.address.port, path)).ms);
  const encodedMiB = heapMiB() - beforeMiB - heldMiB;
  const size = `${round(first.bytes / 2 ** 20)} MiB of JSON`;
  const goal = { text: '≤ 1 s', atMost: 1000, of: 'value' } as const;
  const what = `list of ${PODS} pods`;
  return [
    { what: `${what}, first`, unit: 'ms', better: 'lower', skein: round(first.ms), goal, note: size },
    { what: `${what}, again`, unit: 'ms', better: 'lower', skein: round(median(again) ?? 0), goal },
    {
      what: `memory for ${PODS} pods`,
      unit: 'MiB',
      better: 'lower',
      skein: round(heldMiB),
      note: `with log and watch history; once listed, ${round(encodedMiB)} MiB more of shared encodings`,
    },
  ];
}

async function run(context: Context): Promise<Figure[]> {
  const listed = await openReplica(context);
  const lists = await listFigures(listed, context);
  await listed.replica.stop();
  const parts = await openReplica(context);
  const configMaps = await writeRate(parts, 'configmaps', configMap, context);
  const rated = (number: number) => ({ ...pod(number), metadata: { name: `rate-${number}` } });
  const pods = await writeRate(parts, 'pods', rated, context);
  const unit = '/s';
  const note = `${IN_FLIGHT} in flight, one replica, no disk`;
  return [
    { what: 'ConfigMaps of 2.8 KB, pipeline and store alone', unit, better: 'higher', skein: round(configMaps), note },
    { what: 'Pods of 1.5 KB, pipeline and store alone', unit, better: 'higher', skein: round(pods), note },
    ...lists,
  ];
}

export const store: Bench = {
  name: 'store',
  about: 'the write pipeline without disk and network, and a list of 10,000 pods',
  hosts: false,
  limitSeconds: 180,
  run,
};

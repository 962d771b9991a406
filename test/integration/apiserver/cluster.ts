/** An API server on a memory store over plain HTTP, or TLS with HTTP/2, and the real kubectl pointed at it. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { systemRandom } from '../../../src/base/random.js';
import { NAMESPACES } from '../../../src/api/resource.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import type { InProcessClient } from '../../../src/control/apiserver/client.js';
import { ApiServer, type ApiServerOptions } from '../../../src/control/apiserver/http/server.js';
import { createApiPipeline, createWritePipeline, type ApiPipeline } from '../../../src/control/apiserver/pipeline.js';
import { type NodeDialer, NodeProxy } from '../../../src/control/apiserver/proxy/node-proxy.js';
import { registerMetricsKinds } from '../../../src/control/apiserver/resourcemetrics/kinds.js';
import { ResourceMetrics } from '../../../src/control/apiserver/resourcemetrics/resource-metrics.js';
import { type KubeletReader, UsageSampler } from '../../../src/control/apiserver/resourcemetrics/sampler.js';
import { SYSTEM_USER } from '../../../src/control/apiserver/writes/executor.js';
import { ADMIN, ClusterCa } from '../../../src/security/ca/authority.js';
import type { SpawnFront } from '../../../src/control/apiserver/front/front-thread.js';
import { MemoryStore } from '../../../src/testing/memory-store.js';

export const ALL_KUBECTLS = ['1.27', '1.28', '1.29', '1.30', '1.31', '1.32', '1.33'].map((version) => ({
  version,
  path: `/usr/lib/google-cloud-sdk/bin/kubectl.${version}`,
}));

/** The oldest and the newest. */
export const KUBECTLS = ALL_KUBECTLS.filter(({ version }) => version === '1.27' || version === '1.33');

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Following {
  /** What it has written to standard output so far. */
  readonly output: string;
  /** Resolves once it has written what is expected; rejects with what there is when that takes too long. */
  shows(expected: RegExp): Promise<void>;
  end(): void;
}

const FOLLOWING_MS = 45_000;

function following(path: string, args: readonly string[], env: Readonly<Record<string, string>>): Following {
  const child = spawn(path, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  return {
    get output() {
      return output;
    },
    async shows(expected) {
      const deadline = systemClock.monotonicMs() + FOLLOWING_MS;
      while (!expected.test(output)) {
        assert.equal(child.exitCode, null, `kubectl ${args.join(' ')} ended, having shown:\n${output}`);
        if (systemClock.monotonicMs() > deadline) assert.match(output, expected);
        await systemClock.sleep(20);
      }
    },
    end: () => void child.kill(),
  };
}

export interface TestCluster {
  readonly store: MemoryStore;
  readonly server: ApiServer;
  readonly client: InProcessClient;
  readonly aggregation: ApiPipeline['aggregation'];
  readonly frontProxy: ApiPipeline['frontProxy'];
  readonly url: string;
  /** Of a cluster with `tls`: signs certificates that the server knows. */
  readonly ca: ClusterCa | undefined;
  kubectl(
    path: string,
    args: readonly string[],
    input?: string,
    env?: Readonly<Record<string, string>>,
  ): Promise<Result>;
  /** Starts one that shows things until it is ended. */
  follow(path: string, args: readonly string[]): Following;
  stop(): Promise<void>;
}

export async function startCluster(
  options: {
    readonly anonymous?: boolean;
    readonly tls?: boolean;
    readonly kubelets?: KubeletReader;
    /** Starts the thread that holds the connections of a cluster with `tls`. */
    readonly spawnFront?: SpawnFront;
    /** How nodes are reached, for logs and the like. */
    readonly dialer?: NodeDialer;
    readonly limits?: Pick<ApiServerOptions, 'bodyBytes' | 'bodyMs' | 'idleMs' | 'watch'>;
  } = {},
): Promise<TestCluster> {
  const registry = KindRegistry.load();
  const writes = createWritePipeline({ registry, random: systemRandom });
  const store = new MemoryStore({ clock: systemClock, executor: writes.executor });
  const pipeline = createApiPipeline({
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    metrics: noMetrics,
    registry,
    store,
    writes,
    clusterSecret: systemRandom.bytes(32),
  });
  const { client, reads, followers, aggregation, frontProxy } = pipeline;
  await followers.start();
  const ca = options.tls ? await ClusterCa.create({ clock: systemClock, random: systemRandom }, 'test') : undefined;
  const serving = await ca?.issueServing({ nodeName: 'test', addresses: [] });
  const admin = await ca?.issueClient(ADMIN);
  const { kubelets } = options;
  if (kubelets) registerMetricsKinds(registry);
  const sampler = kubelets && new UsageSampler({ clock: systemClock, kubelets });
  const server = new ApiServer(
    {
      ...pipeline.server,
      ...(options.spawnFront ? { spawnFront: options.spawnFront } : {}),
      ...(options.dialer ? { nodes: new NodeProxy({ store, reads, dialer: options.dialer }) } : {}),
      ...(sampler ? { resourceMetrics: new ResourceMetrics({ reads, clock: systemClock, sampler }) } : {}),
    },
    {
      port: 0,
      host: '127.0.0.1',
      ...options.limits,
      ...(options.anonymous ? {} : { insecureUser: SYSTEM_USER }),
      ...(serving && ca ? { tls: { key: serving.keyPem, cert: serving.certPem, ca: ca.certPem } } : {}),
    },
  );
  await server.start();
  for (const name of ['default', 'kube-system']) await client.create(NAMESPACES, { metadata: { name } });
  const url = `${ca ? 'https' : 'http'}://127.0.0.1:${server.address.port}`;
  const base64 = (text = '') => Buffer.from(text).toString('base64');
  const home = await mkdtemp(join(tmpdir(), 'skein-kubectl-'));
  const authority = ca ? `, certificate-authority-data: ${base64(ca.certPem)}` : '';
  const user = admin
    ? `{client-certificate-data: ${base64(admin.certPem)}, client-key-data: ${base64(admin.keyPem)}}`
    : '{}';
  await writeFile(
    join(home, 'config'),
    `apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "${url}"${authority}}}]\n` +
      'contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n' +
      `users: [{name: u, user: ${user}}]\n`,
  );
  const environment = (path: string) => ({
    PATH: '/usr/bin:/bin',
    HOME: home,
    KUBECONFIG: join(home, 'config'),
    KUBECACHEDIR: join(home, 'cache', path.slice(-4)),
  });
  return {
    store,
    server,
    client,
    aggregation,
    frontProxy,
    url,
    ca,
    follow: (path, args) => following(path, args, environment(path)),
    kubectl: (path, args, input, env) =>
      new Promise((resolve) => {
        const child = execFile(
          path,
          [...args],
          {
            env: { ...environment(path), ...env },
            timeout: 30_000,
            maxBuffer: 1e8,
          },
          (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) || 1 : 0, stdout, stderr }),
        );
        child.stdin?.end(input ?? '');
      }),
    async stop() {
      await server.stop();
      await followers.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

export const isPresent = (path: string) => existsSync(path);

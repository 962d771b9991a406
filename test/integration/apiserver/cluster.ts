/** An API server on a memory store over plain HTTP, and the real kubectl pointed at it. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { systemRandom } from '../../../src/base/random.js';
import { NAMESPACES } from '../../../src/api/resource.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { InProcessClient } from '../../../src/control/apiserver/client.js';
import { ApiServer } from '../../../src/control/apiserver/http/server.js';
import { createWriteExecutor, SYSTEM_USER } from '../../../src/control/apiserver/writes/executor.js';
import { createDefaultAdmission } from '../../../src/security/admission/default-plugins.js';
import { Authenticator } from '../../../src/security/authn/authenticator.js';
import { baseAuthorizer } from '../../../src/security/authz/authorizer.js';
import { MemoryStore } from '../../../src/testing/memory-store.js';

export const KUBECTLS = ['1.27', '1.33'].map((version) => ({
  version,
  path: `/usr/lib/google-cloud-sdk/bin/kubectl.${version}`,
}));

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestCluster {
  readonly store: MemoryStore;
  readonly server: ApiServer;
  readonly client: InProcessClient;
  readonly url: string;
  kubectl(path: string, args: readonly string[], input?: string): Promise<Result>;
  stop(): Promise<void>;
}

export async function startCluster(options: { readonly anonymous?: boolean } = {}): Promise<TestCluster> {
  const registry = KindRegistry.load();
  const { chain } = createDefaultAdmission({ random: systemRandom });
  const executor = createWriteExecutor({ registry, random: systemRandom, admission: chain });
  const store = new MemoryStore({ clock: systemClock, executor });
  const server = new ApiServer(
    {
      store,
      registry,
      authenticator: new Authenticator(),
      authorizer: baseAuthorizer,
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
    },
    { port: 0, host: '127.0.0.1', ...(options.anonymous ? {} : { insecureUser: SYSTEM_USER }) },
  );
  await server.start();
  const client = new InProcessClient({ store, reads: server.reads, random: systemRandom });
  for (const name of ['default', 'kube-system']) await client.create(NAMESPACES, { metadata: { name } });
  const url = `http://127.0.0.1:${server.address.port}`;
  const home = await mkdtemp(join(tmpdir(), 'skein-kubectl-'));
  await writeFile(
    join(home, 'config'),
    `apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "${url}"}}]\n` +
      'contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\nusers: [{name: u, user: {}}]\n',
  );
  return {
    store,
    server,
    client,
    url,
    kubectl: (path, args, input) =>
      new Promise((resolve) => {
        const child = execFile(
          path,
          ['--cache-dir', join(home, 'cache', path.slice(-4)), ...args],
          {
            env: { PATH: '/usr/bin:/bin', HOME: home, KUBECONFIG: join(home, 'config') },
            timeout: 30_000,
            maxBuffer: 1e8,
          },
          (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) || 1 : 0, stdout, stderr }),
        );
        child.stdin?.end(input ?? '');
      }),
    async stop() {
      await server.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

export const isPresent = (path: string) => existsSync(path);

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { systemRandom } from '../../../src/base/random.js';
import type { KubeObject } from '../../../src/api/object.js';
import { CONFIGMAPS, PODS, SERVICEACCOUNTS } from '../../../src/api/resource.js';
import type { TokenReview } from '../../../src/api/types/authentication-v1.js';
import type { Pod } from '../../../src/api/types/core-v1.js';
import { ImageManager } from '../../../src/node/images/image-manager.js';
import { Kubelet } from '../../../src/node/kubelet/kubelet.js';
import { FakeRuntime } from '../../../src/node/runtime/fake/fake-runtime.js';
import { startCluster, type TestCluster } from './cluster.js';

/** The API server with its admission, and a kubelet on a runtime that only pretends. */
describe('the token of a pod', function () {
  this.timeout(30_000);
  let root: string;
  let cluster: TestCluster;
  let kubelet: Kubelet;
  let runtime: FakeRuntime;

  const startKubelet = async () => {
    kubelet = new Kubelet(
      {
        client: cluster.client,
        runtime,
        images: new ImageManager({ runtime, clock: systemClock, log: silentLogger }),
        clock: systemClock,
        random: systemRandom,
        log: silentLogger,
      },
      {
        root,
        context: {
          nodeName: 'a',
          hostIps: ['192.0.2.1'],
          clusterDns: { servers: [], domain: 'cluster.local' },
          hostDns: { servers: [], searches: [], options: [] },
          memoryCapacityBytes: 2 ** 30,
          allocatable: { cpu: '2' },
        },
      },
    );
    await kubelet.start();
  };

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'pod-tokens-'));
    cluster = await startCluster();
    await cluster.client.create(SERVICEACCOUNTS, { metadata: { name: 'default', namespace: 'default' } });
    await cluster.client.create<KubeObject & { data: object }>(CONFIGMAPS, {
      metadata: { name: 'kube-root-ca.crt', namespace: 'default' },
      data: { 'ca.crt': 'CA' },
    });
    runtime = new FakeRuntime({ clock: systemClock, random: systemRandom });
    await runtime.start();
    await startKubelet();
  });
  after(async () => {
    await kubelet?.stop();
    await cluster?.stop();
    await rm(root, { recursive: true, force: true });
  });

  async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    for (let tries = 0; tries < 500; tries++) {
      const found = await look();
      if (found !== undefined) return found;
      await systemClock.sleep(20);
    }
    throw new Error(`${what} did not happen`);
  }

  const run = async (name: string): Promise<Pod> => {
    await cluster.client.create<Pod>(PODS, {
      metadata: { name, namespace: 'default' },
      spec: {
        nodeName: 'a',
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'c', image: 'i', imagePullPolicy: 'IfNotPresent' }],
      },
    });
    return until(`${name} running`, async () => {
      const pod = await cluster.client.get<Pod>(PODS, 'default', name);
      return pod.status?.phase === 'Running' ? pod : undefined;
    });
  };

  const filesOf = ({ metadata, spec }: Pod) =>
    join(root, 'pods', metadata?.uid ?? '', 'volumes', 'kubernetes.io~projected', spec?.volumes?.[0]?.name ?? '');

  const review = async (token: string) => {
    const response = await fetch(`${cluster.url}/apis/authentication.k8s.io/v1/tokenreviews`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ spec: { token } }),
    });
    return ((await response.json()) as TokenReview).status;
  };

  it('lies beside the certificate and the namespace, and ends with the pod', async () => {
    const pod = await run('one');
    const files = filesOf(pod);
    assert.equal(await readFile(join(files, 'ca.crt'), 'utf8'), 'CA');
    assert.equal(await readFile(join(files, 'namespace'), 'utf8'), 'default');
    const token = await readFile(join(files, 'token'), 'utf8');
    const status = await review(token);
    assert.equal(status?.user?.username, 'system:serviceaccount:default:default');
    assert.deepEqual(status.user.extra?.['authentication.kubernetes.io/pod-uid'], [pod.metadata?.uid]);
    await cluster.client.delete(PODS, 'default', 'one', { gracePeriodSeconds: 0 });
    assert.match((await review(token))?.error ?? '', /service account token has been invalidated/);
  });

  it('is kept when the agent starts again', async () => {
    const pod = await run('two');
    const before = await readFile(join(filesOf(pod), 'token'), 'utf8');
    await kubelet.stop();
    for (const { id } of (await runtime.list()).sandboxes) await runtime.removeSandbox(id);
    await startKubelet();
    await until('two running again', async () => {
      const { sandboxes } = await runtime.list();
      return sandboxes.some(({ uid }) => uid === pod.metadata?.uid) ? true : undefined;
    });
    assert.equal(await readFile(join(filesOf(pod), 'token'), 'utf8'), before);
  });
});

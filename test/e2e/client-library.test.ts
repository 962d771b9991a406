/** `@kubernetes/client-node` against peers that are not the pod's node: what operators and tools are built with. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect, type AddressInfo } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import {
  ApiException,
  AppsV1Api,
  CoordinationV1Api,
  CoreV1Api,
  Exec,
  KubeConfig,
  KubernetesObjectApi,
  Log,
  makeInformer,
  PatchStrategy,
  PortForward,
  V1MicroTime,
  type V1ConfigMap,
  type V1Status,
} from '@kubernetes/client-node';
import { useCluster } from './harness/cluster.js';
import { eventually } from './harness/wait.js';

const NAMESPACE = 'default';

describe('the JavaScript client library', function () {
  this.timeout(60_000);
  const cluster = useCluster(2);
  let config: KubeConfig;
  let core: CoreV1Api;

  before('a pod runs on h1, and the client talks to h2', async () => {
    config = new KubeConfig();
    config.loadFromFile(cluster.agent(2).kubeconfig);
    core = config.makeApiClient(CoreV1Api);
    await core.createNamespacedPod({
      namespace: NAMESPACE,
      body: {
        metadata: { name: 'talker' },
        spec: {
          nodeName: 'h1',
          terminationGracePeriodSeconds: 0,
          containers: [
            {
              name: 'c',
              image: 'busybox:1.36',
              command: [
                'sh',
                '-c',
                'echo started; mkdir -p www; echo served >www/index.html; busybox httpd -f -p 8080 -h www',
              ],
            },
          ],
        },
      },
    });
    await eventually('the pod runs', 15_000, async () => {
      return (await core.readNamespacedPod({ name: 'talker', namespace: NAMESPACE })).status?.phase === 'Running';
    });
  });

  it('keeps an informer current through a watch', async () => {
    const list = () => core.listNamespacedConfigMap({ namespace: NAMESPACE, labelSelector: 'watched=yes' });
    const path = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
    const informer = makeInformer<V1ConfigMap>(config, path, list, 'watched=yes');
    const seen: string[] = [];
    for (const verb of ['add', 'update', 'delete'] as const) {
      informer.on(verb, ({ metadata, data }) => void seen.push(`${verb} ${metadata?.name} ${data?.['a']}`));
    }
    let failures = 0;
    informer.on('error', () => void failures++);
    await informer.start();
    const metadata = { name: 'informed', labels: { watched: 'yes' } };
    const made = await core.createNamespacedConfigMap({ namespace: NAMESPACE, body: { metadata, data: { a: '1' } } });
    await core.replaceNamespacedConfigMap({
      name: 'informed',
      namespace: NAMESPACE,
      body: { metadata: made.metadata ?? metadata, data: { a: '2' } },
    });
    await eventually('the update is seen', 5_000, () => Promise.resolve(seen.includes('update informed 2')));
    await core.deleteNamespacedConfigMap({ name: 'informed', namespace: NAMESPACE });
    await eventually('the deletion is seen', 5_000, () => Promise.resolve(seen.includes('delete informed 2')));
    assert.equal(failures, 0);
    await informer.stop();
    assert.deepEqual(seen, ['add informed 1', 'update informed 2', 'delete informed 2']);
  });

  it('applies on the server, and is told who owns what it may not have', async () => {
    const objects = KubernetesObjectApi.makeApiClient(config);
    const deployment = (replicas: number) => ({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'applied', namespace: NAMESPACE },
      spec: {
        replicas,
        selector: { matchLabels: { app: 'applied' } },
        template: {
          metadata: { labels: { app: 'applied' } },
          spec: { containers: [{ name: 'c', image: 'busybox:1.36', command: ['sleep', '1000'] }] },
        },
      },
    });
    const apply = (replicas: number, manager: string, force: boolean) =>
      objects.patch(deployment(replicas), undefined, undefined, manager, force, PatchStrategy.ServerSideApply);
    await apply(0, 'one', false);
    await apply(0, 'one', false);
    await assert.rejects(apply(1, 'two', false), (error) => {
      assert.ok(error instanceof ApiException);
      assert.equal(error.code, 409);
      assert.match(
        String(error.body),
        /conflict with \\"one\\": \.spec\.replicas|conflict with "one": \.spec\.replicas/,
      );
      return true;
    });
    await apply(0, 'two', true);
    const apps = config.makeApiClient(AppsV1Api);
    const { metadata } = await apps.readNamespacedDeployment({ name: 'applied', namespace: NAMESPACE });
    const appliers = metadata?.managedFields?.filter(({ operation }) => operation === 'Apply');
    assert.deepEqual(appliers?.map(({ manager }) => manager).sort(), ['one', 'two']);
    await apps.deleteNamespacedDeployment({ name: 'applied', namespace: NAMESPACE });
  });

  it('lets one of several candidates hold a Lease', async () => {
    const coordination = config.makeApiClient(CoordinationV1Api);
    const lease = await coordination.createNamespacedLease({
      namespace: NAMESPACE,
      body: { metadata: { name: 'election' }, spec: { leaseDurationSeconds: 15 } },
    });
    const candidates = Array.from({ length: 5 }, (_, i) => `candidate-${i}`);
    const outcomes = await Promise.allSettled(
      candidates.map((holderIdentity) =>
        coordination.replaceNamespacedLease({
          name: 'election',
          namespace: NAMESPACE,
          body: {
            metadata: lease.metadata ?? { name: 'election' },
            spec: { leaseDurationSeconds: 15, holderIdentity, renewTime: new V1MicroTime() },
          },
        }),
      ),
    );
    const refused = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as ApiException<unknown>] : [],
    );
    assert.deepEqual(
      refused.map(({ code }) => code),
      [409, 409, 409, 409],
    );
    const { spec } = await coordination.readNamespacedLease({ name: 'election', namespace: NAMESPACE });
    const winner = candidates.findIndex((_, i) => outcomes[i]?.status === 'fulfilled');
    assert.equal(spec?.holderIdentity, candidates[winner]);
    await coordination.deleteNamespacedLease({ name: 'election', namespace: NAMESPACE });
  });

  it('runs a command in a pod of another peer', async () => {
    const out = new PassThrough();
    const said = text(out);
    const status = await new Promise<V1Status>((resolve, reject) => {
      const command = ['sh', '-c', 'cat; exit 3'];
      const input = new PassThrough();
      input.end('through stdin');
      new Exec(config).exec(NAMESPACE, 'talker', 'c', command, out, null, input, false, resolve).catch(reject);
    });
    out.end();
    assert.equal(await said, 'through stdin');
    assert.equal(status.details?.causes?.[0]?.message, '3');
  });

  it('follows the log of a pod of another peer', async () => {
    let said = '';
    const into = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        said += chunk.toString();
        done();
      },
    });
    const stop = await new Log(config).log(NAMESPACE, 'talker', 'c', into, { follow: true });
    await eventually('the log arrives', 5_000, () => Promise.resolve(said.includes('started')));
    stop.abort();
  });

  it('forwards a port to a pod of another peer', async () => {
    const forward = new PortForward(config);
    const server = createServer((socket) => {
      forward.portForward(NAMESPACE, 'talker', [8080], socket, null, socket).catch(() => socket.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      let answer = '';
      socket.on('data', (part: Buffer) => (answer += part.toString()));
      socket.write('GET /index.html HTTP/1.0\r\n\r\n');
      await eventually('the pod answers', 5_000, () => Promise.resolve(answer.includes('served')));
      socket.destroy();
    } finally {
      server.close();
    }
  });
});

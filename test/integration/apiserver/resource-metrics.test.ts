/** `kubectl top` against an API server whose kubelets are made up. */
import assert from 'node:assert/strict';
import { NODES, PODS } from '../../../src/api/resource.js';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';

describe('metrics.k8s.io', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  let cpu = 0;

  before(async () => {
    cluster = await startCluster({
      kubelets: {
        json: async (node) => {
          if (node !== 'one') throw new Error('not in reach');
          // Far more than a second's worth of one core, whatever time passes: only the presence of a figure is looked at.
          cpu += 250_000_000;
          const container = { name: 'c', startTime: 's', cpu: { usageCoreNanoSeconds: cpu } };
          return {
            pods: [
              {
                podRef: { name: 'p', namespace: 'default', uid: 'u' },
                containers: [{ ...container, memory: { workingSetBytes: 64 * 1024 * 1024 } }],
              },
            ],
          };
        },
      },
    });
    for (const name of ['one', 'two']) {
      await cluster.client.create(NODES, {
        metadata: { name },
        status: {
          capacity: { cpu: '4', memory: '4Gi' },
          allocatable: { cpu: '4', memory: '4Gi' },
          conditions: [{ type: 'Ready', status: 'True' }],
        },
      });
    }
    await cluster.client.create(PODS, {
      metadata: { name: 'p', namespace: 'default', labels: { app: 'x' } },
      spec: { nodeName: 'one', containers: [{ name: 'c', image: 'i' }] },
    });
  });
  after(() => cluster.stop());

  for (const { path, version } of KUBECTLS.filter((one) => isPresent(one.path))) {
    it(`is what kubectl ${version} top shows`, async () => {
      const pods = await cluster.kubectl(path, ['top', 'pods', '-l', 'app=x', '--containers']);
      assert.equal(pods.code, 0, pods.stderr);
      assert.match(pods.stdout, /^p +c +[0-9]+m +64Mi/m);
      const nodes = await cluster.kubectl(path, ['top', 'nodes']);
      assert.equal(nodes.code, 0, nodes.stderr);
      assert.match(nodes.stdout, /^one +[0-9]+m +[0-9]+% +64Mi +1% *$/m);
      assert.match(nodes.stdout, /^two +<unknown> +<unknown> +<unknown> +<unknown> *$/m);
      const table = await cluster.kubectl(path, ['get', 'podmetrics', '-A']);
      assert.match(table.stdout, /^NAMESPACE +NAME +CPU +MEMORY +WINDOW\s+default +p +[0-9]+[mun]? +64Mi +/m);
    });
  }

  it('answers 404 for what nobody can tell anything about, and 405 for writes', async () => {
    const missing = await fetch(`${cluster.url}/apis/metrics.k8s.io/v1beta1/nodes/two`);
    assert.equal(missing.status, 404);
    const body = (await missing.json()) as { message: string };
    assert.equal(body.message, 'nodes.metrics.k8s.io "two" not found');
    const write = await fetch(`${cluster.url}/apis/metrics.k8s.io/v1beta1/nodes/one`, { method: 'DELETE' });
    assert.equal(write.status, 405);
    const openapi = await fetch(`${cluster.url}/openapi/v3/apis/metrics.k8s.io/v1beta1`);
    assert.equal(openapi.status, 200);
  });
});

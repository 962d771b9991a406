/** A cluster of two machines, one of which dies. */
import assert from 'node:assert/strict';
import { useCluster } from './harness/cluster.js';
import { eventually } from './harness/wait.js';
import { describeFailures, WriteLoad } from './harness/write-load.js';
import { note } from './harness/report.js';

describe('a cluster of two', function () {
  this.timeout(90_000);
  const cluster = useCluster(2);

  for (const round of ['the holder of the api role', 'whoever holds it then']) {
    it(`goes on when one dies: ${round}`, async () => {
      const holder = await cluster.holder('api', 1);
      const survivor = holder === 1 ? 2 : 1;
      const api = await cluster.api(survivor);
      const namespace = `round-${holder}-${Date.now()}`;
      await cluster.createNamespace(namespace, survivor);
      const load = new WriteLoad([api], namespace);
      load.start();
      await eventually('writes flow', 10_000, async () => load.count >= 10);
      await cluster.agent(holder).kill();
      const before = load.count;
      await eventually('more writes are answered', 20_000, async () => load.count >= before + 20);
      const report = await load.stop();
      note(`longest gap ${report.longestGapMs} ms`);
      assert.deepEqual(report.failed, [], describeFailures(report));
      assert(report.longestGapMs <= 500, `the longest gap was ${report.longestGapMs} ms`);
      await api.call('POST', `/api/v1/namespaces/${namespace}/pods`, {
        metadata: { name: 'late' },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'c', image: 'busybox:1.36', command: ['sleep', '600'] }],
        },
      });
      await eventually('a pod runs on the survivor', 15_000, async () => {
        const { spec, status } = await api.get(`/api/v1/namespaces/${namespace}/pods/late`);
        return status.phase === 'Running' && spec.nodeName === `h${survivor}`;
      });
      await cluster.agent(holder).start();
      await cluster.allReady();
      const found = await (await cluster.api(holder)).list(`/api/v1/namespaces/${namespace}/configmaps`);
      const written = report.notes.filter(({ status }) => status === 201).length;
      assert.equal(found.filter(({ metadata }) => metadata.name.startsWith('write-')).length, written);
    });
  }
});

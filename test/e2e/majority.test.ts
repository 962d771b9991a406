/** Two machines, one of which is gone: Leases wait for a majority, or for their operator. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { useCluster } from './harness/cluster.js';
import { eventually } from './harness/wait.js';

describe('one of two machines', function () {
  this.timeout(120_000);
  const cluster = useCluster(2);

  const lease = (name: string) => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name },
    spec: { holderIdentity: 'me' },
  });
  const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases';

  it('reads Leases, and writes them again once the other is struck off', async () => {
    const one = await cluster.api(1);
    const minority = async (): Promise<string | undefined> => {
      const { status } = await one.get('/api/v1/nodes/h1');
      return status.conditions.find(({ type }: { type: string }) => type === 'skein.dev/Minority')?.status;
    };
    await eventually('both are registered', 20_000, async () => {
      const status = await one.get('/skein/v1/status');
      return status.registered.length === 2 && status.majority.held;
    });
    await one.call('POST', path, lease('before'));
    await cluster.agent(2).kill();
    await eventually('the majority is gone', 20_000, async () => !(await one.get('/skein/v1/status')).majority.held);
    await assert.rejects(one.call('POST', path, lease('alone')), /1 of 2 registered peers, which is no majority/);
    assert.equal((await one.get(`${path}/before`)).spec.holderIdentity, 'me');
    await eventually('its node says so', 10_000, async () => (await minority()) === 'True');
    await assert.rejects(one.call('DELETE', '/skein/v1/peers/h2'), /say so with --force/);
    await one.call('DELETE', '/skein/v1/peers/h2?force=true');
    await one.call('POST', path, lease('alone'));
    // What was struck off stays out with what it has: it may come back as a new machine.
    await rm(cluster.agent(2).dataDir, { recursive: true });
    await cluster.agent(2).start('--join', await cluster.agent(1).createToken());
    await cluster.allReady();
    await eventually('it is registered again', 20_000, async () => {
      const status = await one.get('/skein/v1/status');
      return status.registered.length === 2 && status.majority.held;
    });
    await one.call('POST', path, lease('after'));
    await eventually('the node says so', 10_000, async () => (await minority()) === 'False');
  });
});

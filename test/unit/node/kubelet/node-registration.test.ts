import assert from 'node:assert/strict';
import { silentLogger } from '../../../../src/base/log.js';
import { seededRandom } from '../../../../src/base/random.js';
import { LEASES, NODES } from '../../../../src/api/resource.js';
import type { Lease } from '../../../../src/api/types/coordination-v1.js';
import type { Node } from '../../../../src/api/types/core-v1.js';
import { NodeRegistration } from '../../../../src/node/kubelet/node-registration.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';
import { MemoryClient } from '../../../../src/testing/memory-client.js';

describe('the registration of a node', () => {
  const clock = new ManualClock();
  const client = new MemoryClient({ clock, random: seededRandom(1) });
  const pressure = () => Promise.resolve({ memory: false, disk: false, pids: false });
  const machine = {
    architecture: 'amd64',
    bootId: '',
    machineId: '',
    systemUuid: '',
    kernelVersion: '',
    osImage: '',
    cpus: 2,
    memoryBytes: 2 ** 30,
    ephemeralStorageBytes: 2 ** 30,
    pressure,
  };
  const runtime = { name: 'fake', version: () => Promise.resolve('1'), listImages: () => Promise.resolve([]) };
  const registration = new NodeRegistration(
    { client, clock, machine, runtime, log: silentLogger },
    { nodeName: 'a', addresses: ['192.0.2.1'], kubeletVersion: 'v1', kubeletPort: 10_250, heartbeatMs: 60_000 },
  );
  const turn = async (ms: number) => {
    for (let left = ms; left > 0; left -= 1000) await clock.advance(1000);
  };
  const leases = () => client.all<Lease>(LEASES);

  before(() => registration.start());
  after(() => registration.stop());

  it('makes a Lease that goes with the Node, and writes it no more', async () => {
    await turn(20_000);
    const [lease, ...more] = leases();
    const node = client.all<Node>(NODES).find(({ metadata }) => metadata.name === 'a');
    assert.equal(more.length, 0);
    assert.deepEqual([lease?.metadata.namespace, lease?.metadata.name], ['kube-node-lease', 'a']);
    assert.deepEqual([lease?.spec?.holderIdentity, lease?.spec?.leaseDurationSeconds], ['a', 40]);
    assert.deepEqual(lease?.metadata.ownerReferences, [
      { apiVersion: 'v1', kind: 'Node', name: 'a', uid: node?.metadata.uid },
    ]);
    await turn(120_000);
    assert.equal(leases()[0]?.metadata.resourceVersion, lease?.metadata.resourceVersion);
  });

  it('makes it again when somebody has deleted it', async () => {
    await client.delete(LEASES, 'kube-node-lease', 'a');
    await turn(80_000);
    assert.equal(leases().length, 1);
  });

  it('offers to pods the extended resources that others announce, for as long as they do', async () => {
    const announced = (amount: string | null) => ({ status: { capacity: { 'example.com/fakecpu': amount } } });
    const amounts = () => {
      const { capacity, allocatable } = client.all<Node>(NODES)[0]?.status ?? {};
      return [capacity?.['example.com/fakecpu'], allocatable?.['example.com/fakecpu'], allocatable?.['cpu']];
    };
    await client.patch(NODES, '', 'a', 'merge', announced('1000'), { subresource: 'status' });
    await turn(80_000);
    assert.deepEqual(amounts(), ['1000', '1000', '2']);
    const { resourceVersion } = client.all<Node>(NODES)[0]?.metadata ?? {};
    await turn(30_000);
    assert.equal(client.all<Node>(NODES)[0]?.metadata.resourceVersion, resourceVersion, 'nothing changed');
    await client.patch(NODES, '', 'a', 'merge', announced(null), { subresource: 'status' });
    await turn(80_000);
    assert.deepEqual(amounts(), [undefined, undefined, '2']);
  });
});

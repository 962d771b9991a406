import assert from 'node:assert/strict';
import { LEASES, NAMESPACES } from '../../../../../src/api/resource.js';
import type { KubeObject } from '../../../../../src/api/object.js';
import type { Lease } from '../../../../../src/api/types/coordination-v1.js';
import { ObjectReads } from '../../../../../src/control/apiserver/reads/object-reads.js';
import { parseSelection } from '../../../../../src/control/apiserver/reads/selection.js';
import { registry, setUp } from '../setup.js';

const STORED = '2020-01-01T00:00:00.000000Z';
const HEARD = '2026-01-02T03:04:05.000000Z';

describe('Leases of nodes', () => {
  const lease = (namespace: string, name: string): Lease => ({
    metadata: { namespace, name },
    spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: STORED },
  });

  it('are shown with the time at which the node was heard, whoever wrote what', async () => {
    const { store, clock, client } = await setUp();
    for (const name of ['kube-node-lease', 'other']) {
      await client.create(NAMESPACES, {
        metadata: { name },
      } as KubeObject);
    }
    await client.create(LEASES, lease('kube-node-lease', 'n1'));
    await client.create(LEASES, lease('kube-node-lease', 'unheard'));
    await client.create(LEASES, lease('other', 'n1'));
    const heardMs = (node: string) => (node === 'n1' ? Date.parse(HEARD) : undefined);
    const reads = new ObjectReads({ store, clock, heartbeats: { heardMs } });
    const info = registry.find('coordination.k8s.io', 'v1', 'leases') ?? assert.fail('no leases');
    const timeOf = (object: KubeObject) => (object as Lease).spec?.renewTime;
    assert.equal(timeOf(await reads.get(info, 'kube-node-lease', 'n1')), HEARD);
    assert.equal(timeOf(await reads.get(info, 'kube-node-lease', 'unheard')), STORED);
    assert.equal(timeOf(await reads.get(info, 'other', 'n1')), STORED);
    const { items } = await reads.list(info, {
      selection: parseSelection(info, {}),
      resourceVersion: undefined,
      resourceVersionMatch: undefined,
      limit: 0,
      continueToken: undefined,
      shape: '',
    });
    assert.deepEqual(
      items.map((object) => [object.metadata.namespace, object.metadata.name, timeOf(object)]),
      [
        ['kube-node-lease', 'n1', HEARD],
        ['kube-node-lease', 'unheard', STORED],
        ['other', 'n1', STORED],
      ],
    );
    const kept = store.get({ ...LEASES, namespace: 'kube-node-lease', name: 'n1' });
    assert.equal(kept && timeOf(kept), STORED);
  });
});

import assert from 'node:assert/strict';
import { PODS } from '../../../../../src/api/resource.js';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '../../../../../src/api/types/core-v1.js';
import {
  claimProtectionController,
  PERSISTENTVOLUMECLAIMS,
  PERSISTENTVOLUMES,
  volumeProtectionController,
} from '../../../../../src/control/controllers/volumeprotection/controller.js';
import { harness, type Harness } from '../harness.js';

const FINALIZER = 'kubernetes.io/pvc-protection';

describe('the protection of volumes in use', () => {
  let h: Harness;
  beforeEach(() => {
    h = harness();
  });
  afterEach(() => h.stop());

  const claim = (finalizers?: string[]): PersistentVolumeClaim => ({
    metadata: { namespace: 'ns', name: 'data', ...(finalizers ? { finalizers } : {}) },
    spec: { accessModes: ['ReadWriteOnce'] },
  });
  const user = (nodeName?: string): Pod => ({
    metadata: { namespace: 'ns', name: 'user' },
    spec: {
      containers: [{ name: 'c', image: 'x' }],
      volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }],
      ...(nodeName ? { nodeName } : {}),
    },
  });
  const claims = () => h.client.all<PersistentVolumeClaim>(PERSISTENTVOLUMECLAIMS);

  it('keeps a claim until the last pod that uses it is gone', async () => {
    await h.client.create(PERSISTENTVOLUMECLAIMS, claim([FINALIZER]));
    await h.client.create(PODS, user('node-1'));
    await h.run(claimProtectionController(h));
    await h.client.delete(PERSISTENTVOLUMECLAIMS, 'ns', 'data');
    await h.clock.advance(1000);
    assert.equal(claims().length, 1);
    await h.client.delete(PODS, 'ns', 'user', { gracePeriodSeconds: 0 });
    await h.clock.advance(1000);
    assert.equal(claims().length, 0);
  });

  it('does not wait for pods without a node', async () => {
    await h.client.create(PERSISTENTVOLUMECLAIMS, claim([FINALIZER]));
    await h.client.create(PODS, user());
    await h.run(claimProtectionController(h));
    await h.client.delete(PERSISTENTVOLUMECLAIMS, 'ns', 'data');
    await h.clock.advance(1000);
    assert.equal(claims().length, 0);
  });

  it('protects claims from before', async () => {
    await h.client.create(PERSISTENTVOLUMECLAIMS, claim());
    await h.run(claimProtectionController(h));
    await h.clock.advance(1000);
    assert.deepEqual(claims()[0]?.metadata.finalizers, [FINALIZER]);
  });

  it('keeps a volume while it is bound', async () => {
    const name = 'disk';
    const volume: PersistentVolume = { metadata: { name, finalizers: ['kubernetes.io/pv-protection'] }, spec: {} };
    const made = await h.client.create(PERSISTENTVOLUMES, volume);
    const bound = await h.client.updateStatus<PersistentVolume>(PERSISTENTVOLUMES, {
      ...made,
      status: { phase: 'Bound' },
    });
    await h.run(volumeProtectionController(h));
    await h.client.delete(PERSISTENTVOLUMES, '', name);
    await h.clock.advance(1000);
    const [leaving] = h.client.all<PersistentVolume>(PERSISTENTVOLUMES);
    assert.equal(leaving?.metadata.uid, bound.metadata.uid);
    assert.ok(leaving);
    await h.client.updateStatus<PersistentVolume>(PERSISTENTVOLUMES, { ...leaving, status: { phase: 'Released' } });
    await h.clock.advance(1000);
    assert.deepEqual(h.client.all(PERSISTENTVOLUMES), []);
  });
});

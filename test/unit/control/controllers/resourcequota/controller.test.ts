import assert from 'node:assert/strict';
import { conflict } from '../../../../../src/api/errors.js';
import { CONFIGMAPS, PODS, type ResourceRef } from '../../../../../src/api/resource.js';
import type { ConfigMap, Pod, ResourceQuota } from '../../../../../src/api/types/core-v1.js';
import {
  resourceQuotaController,
  RESOURCEQUOTAS,
} from '../../../../../src/control/controllers/resourcequota/controller.js';
import { harness, type Harness } from '../harness.js';

const TABS: ResourceRef = { group: 'example.com', version: 'v1', resource: 'tabs', kind: 'Tab', namespaced: true };

const quota = (hard: Record<string, string>, name = 'q'): ResourceQuota => ({
  metadata: { namespace: 'ns', name },
  spec: { hard },
});
const pod = (name: string, more: Partial<Pod['metadata']> = {}): Pod => ({
  metadata: { namespace: 'ns', name, ...more },
  spec: { containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '100m' } } }] },
});

/** The client has no admission: nothing is charged, as after a merge of what another half of the cluster admitted. */
describe('the quota controller', () => {
  let h: Harness;
  let resources: ResourceRef[];
  beforeEach(() => {
    h = harness();
    resources = [PODS, CONFIGMAPS, RESOURCEQUOTAS];
  });
  afterEach(() => h.stop());

  const run = () => h.run(resourceQuotaController(h, { resources: () => resources }));
  const status = (name = 'q') =>
    h.client.all<ResourceQuota>(RESOURCEQUOTAS).find(({ metadata }) => metadata.name === name)?.status;
  const writes = () =>
    h.client.calls.filter(({ verb, resource }) => verb === 'updateStatus' && resource === RESOURCEQUOTAS);

  it('counts what is there when a quota is made', async () => {
    for (const name of ['a', 'b']) await h.client.create(PODS, pod(name));
    await run();
    await h.client.create(RESOURCEQUOTAS, quota({ pods: '5', 'requests.cpu': '1', configmaps: '1', nonsense: '1' }));
    await h.clock.advance(100);
    assert.deepEqual(status(), {
      hard: { configmaps: '1', nonsense: '1', pods: '5', 'requests.cpu': '1' },
      used: { configmaps: '0', pods: '2', 'requests.cpu': '200m' },
    });
  });

  it('notices within seconds what nobody charged', async () => {
    await h.client.create(RESOURCEQUOTAS, quota({ pods: '5' }));
    await run();
    await h.client.create(PODS, pod('a'));
    await h.clock.advance(1_000);
    assert.equal(status()?.used?.['pods'], '0');
    await h.clock.advance(5_000);
    assert.equal(status()?.used?.['pods'], '1');
  });

  it('gives back at once what ends or is deleted, many in one count', async () => {
    for (const name of ['a', 'b', 'c']) await h.client.create(PODS, pod(name));
    await h.client.create(RESOURCEQUOTAS, quota({ pods: '5', 'count/pods': '5' }));
    await run();
    assert.equal(status()?.used?.['pods'], '3');
    const before = writes().length;
    const ended = await h.client.get<Pod>(PODS, 'ns', 'a');
    await h.client.updateStatus<Pod>(PODS, { ...ended, status: { phase: 'Failed' } });
    await h.client.delete(PODS, 'ns', 'b', { gracePeriodSeconds: 0 });
    await h.clock.advance(100);
    assert.deepEqual(status()?.used, { 'count/pods': '2', pods: '1' });
    assert.equal(writes().length, before + 1);
  });

  it('stops counting a pod whose time to end is up', async () => {
    await h.client.create(RESOURCEQUOTAS, quota({ pods: '5' }));
    await h.client.create(PODS, pod('a', { finalizers: ['example.com/stays'] }));
    await run();
    await h.client.createSubresource(PODS, 'ns', 'a', 'binding', { target: { name: 'node' } });
    await h.client.delete(PODS, 'ns', 'a', { gracePeriodSeconds: 30 });
    await h.clock.advance(20_000);
    assert.equal(status()?.used?.['pods'], '1');
    await h.clock.advance(60_000);
    assert.equal(status()?.used?.['pods'], '0');
  });

  it('counts again when a charge came between', async () => {
    await run();
    h.client.failNext({ verb: 'updateStatus', resource: RESOURCEQUOTAS, error: conflict(RESOURCEQUOTAS, 'q', 'x') });
    await h.client.create(RESOURCEQUOTAS, quota({ pods: '5' }));
    await h.clock.advance(1_000);
    assert.deepEqual(status()?.used, { pods: '0' });
  });

  it('counts an object once, whatever versions its kind has', async () => {
    resources.push(TABS, { ...TABS, version: 'v2' });
    await h.client.create(TABS, { metadata: { namespace: 'ns', name: 't' } });
    await h.client.create(RESOURCEQUOTAS, quota({ 'count/tabs.example.com': '5' }));
    await run();
    assert.deepEqual(status()?.used, { 'count/tabs.example.com': '1' });
  });

  it('counts kinds that came after its start', async () => {
    await run();
    resources.push(TABS);
    await h.client.create(RESOURCEQUOTAS, quota({ 'count/tabs.example.com': '5' }));
    await h.clock.advance(100);
    assert.deepEqual(status()?.used, { 'count/tabs.example.com': '0' });
    await h.client.create(TABS, { metadata: { namespace: 'ns', name: 't' } });
    await h.clock.advance(11_000);
    assert.deepEqual(status()?.used, { 'count/tabs.example.com': '1' });
  });

  it('does nothing in namespaces without quotas, and writes nothing that is right', async () => {
    await run();
    const map: ConfigMap = { metadata: { namespace: 'ns', name: 'm' } };
    await h.client.create(CONFIGMAPS, map);
    await h.client.delete(CONFIGMAPS, 'ns', 'm');
    await h.client.create(RESOURCEQUOTAS, quota({ pods: '5' }, 'other'));
    await h.clock.advance(100);
    const calls = writes().length;
    await h.client.create(CONFIGMAPS, map);
    await h.clock.advance(60_000);
    assert.equal(writes().length, calls);
  });
});

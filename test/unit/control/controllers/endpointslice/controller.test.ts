import assert from 'node:assert/strict';
import { ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES } from '../../../../../src/api/resource.js';
import type { Endpoints, Pod, Service } from '../../../../../src/api/types/core-v1.js';
import type { EndpointSlice } from '../../../../../src/api/types/discovery-v1.js';
import { endpointsController } from '../../../../../src/control/controllers/endpoints/controller.js';
import { endpointSliceController } from '../../../../../src/control/controllers/endpointslice/controller.js';
import { endpointsMirroringController } from '../../../../../src/control/controllers/endpointslice/mirroring.js';
import { harness, runPod, type Harness } from '../harness.js';

const service = (spec: Partial<Service['spec']> = {}): Service => ({
  metadata: { namespace: 'ns', name: 'web' },
  spec: {
    clusterIP: '10.96.0.5',
    selector: { app: 'web' },
    ports: [{ name: 'http', port: 80, targetPort: 'web', protocol: 'TCP' }],
    ...spec,
  },
});

const slices = (h: Harness) => h.client.all<EndpointSlice>(ENDPOINTSLICES);
const count = (h: Harness) => slices(h).map(({ endpoints }) => endpoints.length);

async function addPod(h: Harness, name: string, ip: string, ready = true): Promise<Pod> {
  const ports = [{ name: 'web', containerPort: 8080 }];
  const pod = await h.client.create<Pod>(PODS, {
    metadata: { namespace: 'ns', name, labels: { app: 'web' } },
    spec: { containers: [{ name: 'app', ports }] },
  });
  return runPod(h, pod, ready, 'node-1', ip);
}

describe('endpoints of Services', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(
      endpointsController(h),
      endpointSliceController(h, { maxEndpoints: 3 }),
      endpointsMirroringController(h),
    );
  });
  afterEach(() => h.stop());

  it('lists pods with their resolved named ports, conditions and targets', async () => {
    await h.client.create(SERVICES, service());
    const pod = await addPod(h, 'a', '10.1.0.1');
    await h.clock.advance(50);
    const [slice] = slices(h);
    assert.match(slice?.metadata.name ?? '', /^web-[a-z0-9]{5}$/);
    assert.deepEqual(slice?.metadata.labels, {
      'kubernetes.io/service-name': 'web',
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    });
    assert.deepEqual(slice.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
    const targetRef = { kind: 'Pod', namespace: 'ns', name: 'a', uid: pod.metadata.uid };
    assert.deepEqual(slice.endpoints, [
      {
        addresses: ['10.1.0.1'],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: 'node-1',
        targetRef,
      },
    ]);
    const endpoints = await h.client.get<Endpoints>(ENDPOINTS, 'ns', 'web');
    assert.deepEqual(endpoints.subsets, [
      {
        addresses: [{ ip: '10.1.0.1', nodeName: 'node-1', targetRef }],
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      },
    ]);
  });

  it('tells ready, serving and terminating apart', async () => {
    await h.client.create(SERVICES, service());
    await addPod(h, 'a', '10.1.0.1');
    await addPod(h, 'b', '10.1.0.2', false);
    await h.client.delete(PODS, 'ns', 'a');
    await h.clock.advance(50);
    const conditions = new Map(slices(h)[0]?.endpoints.map((e) => [e.targetRef?.name, e.conditions]));
    assert.deepEqual(conditions.get('a'), { ready: false, serving: true, terminating: true });
    assert.deepEqual(conditions.get('b'), { ready: false, serving: false, terminating: false });
    const endpoints = await h.client.get<Endpoints>(ENDPOINTS, 'ns', 'web');
    assert.deepEqual(
      endpoints.subsets?.[0]?.notReadyAddresses?.map(({ ip }) => ip),
      ['10.1.0.2'],
    );
    assert.equal(endpoints.subsets[0].addresses, undefined);
  });

  it('fills slices to the limit and writes only the slice that a change touches', async () => {
    await h.client.create(SERVICES, service());
    for (let i = 1; i <= 7; i++) await addPod(h, `p${i}`, `10.1.0.${i}`);
    await h.clock.advance(2_000);
    assert.deepEqual(
      count(h).sort((a, b) => a - b),
      [1, 3, 3],
    );
    const before = h.client.writes(ENDPOINTSLICES).length;
    const pod = await h.client.get<Pod>(PODS, 'ns', 'p2');
    await runPod(h, pod, false, 'node-1', '10.1.0.2');
    await h.clock.advance(2_000);
    assert.equal(h.client.writes(ENDPOINTSLICES).length - before, 1);
  });

  it('makes no slice twice though its cache lags', async () => {
    await addPod(h, 'a', '10.1.0.1');
    await h.client.create(SERVICES, service());
    await h.clock.advance(0);
    h.client.holdWatches();
    await addPod(h, 'b', '10.1.0.2');
    await h.clock.advance(500);
    h.client.releaseWatches();
    await h.clock.advance(3_000);
    assert.deepEqual(count(h), [2]);
  });

  it('keeps an empty slice for a Service without pods, and takes all away with the Service', async () => {
    await h.client.create(SERVICES, service({ clusterIP: 'None' }));
    await h.clock.advance(50);
    assert.deepEqual(count(h), [0]);
    assert.equal(slices(h)[0]?.metadata.labels?.['service.kubernetes.io/headless'], '');
    await h.client.delete(SERVICES, 'ns', 'web');
    await h.clock.advance(2_000);
    assert.deepEqual(count(h), []);
    assert.deepEqual(h.client.all(ENDPOINTS), []);
  });

  it('mirrors Endpoints that people keep', async () => {
    const { selector: _, ...spec } = service().spec ?? {};
    await h.client.create<Service>(SERVICES, { metadata: { namespace: 'ns', name: 'web' }, spec });
    await h.client.create<Endpoints>(ENDPOINTS, {
      metadata: { namespace: 'ns', name: 'web' },
      subsets: [{ addresses: [{ ip: '192.0.2.1' }], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] }],
    });
    await h.clock.advance(50);
    const [slice] = slices(h);
    assert.deepEqual(slice?.endpoints, [{ addresses: ['192.0.2.1'], conditions: { ready: true } }]);
    await h.client.delete(ENDPOINTS, 'ns', 'web');
    await h.clock.advance(2_000);
    assert.deepEqual(slices(h), []);
  });
});

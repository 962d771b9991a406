import assert from 'node:assert/strict';
import { APISERVICES, ENDPOINTSLICES, SERVICES } from '../../../../../src/api/resource.js';
import type { APIService } from '../../../../../src/api/types/apiregistration-v1.js';
import type { Service } from '../../../../../src/api/types/core-v1.js';
import type { EndpointSlice } from '../../../../../src/api/types/discovery-v1.js';
import {
  judge,
  withAvailability,
  type Backend,
} from '../../../../../src/control/controllers/apiservices/availability-plan.js';
import { apiServiceAvailabilityController } from '../../../../../src/control/controllers/apiservices/availability.js';
import { harness, type Harness } from '../harness.js';

const api: APIService = {
  metadata: { name: 'v1.example.com' },
  spec: {
    group: 'example.com',
    version: 'v1',
    groupPriorityMinimum: 1,
    versionPriority: 1,
    service: { namespace: 'ns', name: 'svc', port: 443 },
  },
};
const service: Service = {
  metadata: { namespace: 'ns', name: 'svc' },
  spec: { type: 'ClusterIP', ports: [{ name: 'https', port: 443 }] },
};
const slice = (name: string, ready: boolean): EndpointSlice => ({
  metadata: { namespace: 'ns', name: 'svc-1', labels: { 'kubernetes.io/service-name': 'svc' } },
  addressType: 'IPv4',
  ports: [{ name, port: 8443 }],
  endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready } }],
});

describe('the availability of an APIService', () => {
  const cases: [string, Partial<Backend> & { api?: APIService; isOwn?: boolean }, string, string][] = [
    [
      'is that of the cluster without a service',
      { api: { ...api, spec: { groupPriorityMinimum: 1, versionPriority: 1 } } },
      'Local',
      'Local APIServices are always available',
    ],
    [
      'is that of the cluster for a group of its own',
      { isOwn: true },
      'Local',
      'This group is served by the cluster itself, its service is not asked',
    ],
    ['needs the service', {}, 'ServiceNotFound', 'service/svc in "ns" is not present'],
    [
      'needs its port',
      { service: { ...service, spec: { ports: [{ port: 80 }] } } },
      'ServicePortError',
      'service/svc in "ns" is not listening on port 443',
    ],
    ['needs endpoints', { service }, 'EndpointsNotFound', 'cannot find endpoints for service/svc in "ns"'],
    [
      'needs ready ones',
      { service, slices: [slice('https', false)] },
      'MissingEndpoints',
      'endpoints for service/svc in "ns" have no addresses with port name "https"',
    ],
    [
      'needs ones of that port',
      { service, slices: [slice('metrics', true)] },
      'MissingEndpoints',
      'endpoints for service/svc in "ns" have no addresses with port name "https"',
    ],
  ];
  for (const [name, { api: of = api, isOwn = false, ...backend }, reason, message] of cases) {
    it(name, () => {
      const found = judge(of, isOwn, { service: undefined, slices: [], ...backend });
      assert.deepEqual([found?.reason, found?.message], [reason, message]);
    });
  }

  it('is a matter of asking when nothing speaks against it, or nothing can be seen', () => {
    assert.equal(judge(api, false, { service, slices: [slice('https', true)] }), undefined);
    const external: Service = { ...service, spec: { type: 'ExternalName', externalName: 'example.com' } };
    assert.equal(judge(api, false, { service: external, slices: [] }), undefined);
  });

  it('is written when it changes, with the time of the change of status', () => {
    const down = { status: 'False', reason: 'A', message: 'a' } as const;
    const first = withAvailability(api, down, 't1');
    assert.deepEqual(first, [{ type: 'Available', ...down, lastTransitionTime: 't1' }]);
    const written: APIService = { ...api, status: { conditions: first ?? [] } };
    assert.equal(withAvailability(written, down, 't2'), undefined);
    assert.equal(withAvailability(written, { ...down, message: 'b' }, 't2')?.[0]?.lastTransitionTime, 't1');
    const up = { status: 'True', reason: 'Passed', message: '' } as const;
    assert.equal(withAvailability(written, up, 't2')?.[0]?.lastTransitionTime, 't2');
  });

  describe('kept by a controller', () => {
    let h: Harness;
    let wrong: string | undefined;
    let checks: number;
    beforeEach(async () => {
      h = harness();
      wrong = undefined;
      checks = 0;
      const check = () => {
        checks++;
        return Promise.resolve(wrong);
      };
      await h.run(apiServiceAvailabilityController(h, { isOwn: () => false, check }));
      await h.client.create(APISERVICES, api);
      await h.clock.advance(10);
    });
    afterEach(() => h.stop());
    const condition = async () =>
      (await h.client.get<APIService>(APISERVICES, '', 'v1.example.com')).status?.conditions?.[0];

    it('follows the service and its endpoints', async () => {
      assert.equal((await condition())?.reason, 'ServiceNotFound');
      await h.client.create(SERVICES, service);
      await h.clock.advance(10);
      assert.equal((await condition())?.reason, 'EndpointsNotFound');
      await h.client.create(ENDPOINTSLICES, slice('https', true));
      await h.clock.advance(10);
      assert.deepEqual([(await condition())?.reason, (await condition())?.status], ['Passed', 'True']);
      await h.client.delete(ENDPOINTSLICES, 'ns', 'svc-1');
      await h.clock.advance(10);
      assert.equal((await condition())?.reason, 'EndpointsNotFound');
    });

    it('follows what the server answers, every half minute and sooner while it does not', async () => {
      await h.client.create(SERVICES, service);
      await h.client.create(ENDPOINTSLICES, slice('https', true));
      await h.clock.advance(1_000);
      const asked = checks;
      await h.clock.advance(28_000);
      assert.equal(checks, asked);
      wrong = 'failing';
      await h.clock.advance(1_100);
      assert.deepEqual(
        [(await condition())?.reason, (await condition())?.message],
        ['FailedDiscoveryCheck', 'failing'],
      );
      wrong = undefined;
      await h.clock.advance(5_100);
      assert.equal((await condition())?.reason, 'Passed');
    });
  });
});

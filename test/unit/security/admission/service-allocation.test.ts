import assert from 'node:assert/strict';
import { seededRandom } from '../../../../src/base/random.js';
import { ApiError } from '../../../../src/api/errors.js';
import type { Service, ServiceSpec } from '../../../../src/api/types/core-v1.js';
import {
  DEFAULT_SERVICE_ALLOCATION,
  ServiceAllocation,
} from '../../../../src/security/admission/service-allocation.js';
import { attributes, lookups } from './attributes.js';

/** A cluster's Services, written through the allocation alone. */
function cluster(options = DEFAULT_SERVICE_ALLOCATION) {
  const allocation = new ServiceAllocation({ random: seededRandom(3) }, options);
  const services: Service[] = [];
  return {
    put(name: string, spec: ServiceSpec): ServiceSpec {
      const object: Service = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { namespace: 'ns', name },
        spec: { type: 'ClusterIP', ...spec },
      };
      const asked = attributes('services', object);
      allocation.admit(asked, lookups({ services }));
      const at = services.findIndex(({ metadata }) => metadata.name === name);
      if (at >= 0) services.splice(at, 1);
      services.push(object);
      allocation.committed(asked, object);
      return object.spec ?? {};
    },
  };
}

const refusal = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof ApiError) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'allowed';
};

const port = (nodePort?: number, protocol: 'TCP' | 'UDP' = 'TCP') => ({
  port: 80,
  protocol,
  ...(nodePort ? { nodePort } : {}),
});

describe('the allocation of addresses and ports of Services', () => {
  it('gives a cluster address, and says what family it is of', () => {
    const { clusterIP, clusterIPs, ipFamilies, ipFamilyPolicy } = cluster().put('a', { ports: [port()] });
    assert.match(clusterIP ?? '', /^10\.96\.\d+\.\d+$/);
    assert.deepEqual([clusterIPs, ipFamilies, ipFamilyPolicy], [[clusterIP], ['IPv4'], 'SingleStack']);
  });

  it('keeps a headless Service headless, and one without selector open to both families', () => {
    const c = cluster();
    const picked = ({ clusterIPs, ipFamilies, ipFamilyPolicy }: ServiceSpec) => [
      clusterIPs,
      ipFamilies,
      ipFamilyPolicy,
    ];
    assert.deepEqual(picked(c.put('a', { clusterIP: 'None', selector: { a: 'b' } })), [
      ['None'],
      ['IPv4'],
      'SingleStack',
    ]);
    assert.deepEqual(picked(c.put('b', { clusterIP: 'None' })), [['None'], ['IPv4', 'IPv6'], 'RequireDualStack']);
    assert.deepEqual(picked(c.put('c', { clusterIP: 'None', ipFamilyPolicy: 'SingleStack' })), [
      ['None'],
      ['IPv4'],
      'SingleStack',
    ]);
    assert.deepEqual(picked(c.put('d', { type: 'ExternalName', externalName: 'x.y' })), [
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('refuses addresses that are taken or foreign, as upstream words it', () => {
    const c = cluster();
    c.put('a', { clusterIP: '10.96.0.20' });
    assert.equal(
      refusal(() => c.put('b', { clusterIP: '10.96.0.20' })),
      '422 Service "b" is invalid: spec.clusterIPs: Invalid value: []string{"10.96.0.20"}: failed to allocate IP 10.96.0.20: provided IP is already allocated',
    );
    assert.equal(
      refusal(() => c.put('b', { clusterIP: '10.97.0.1' })),
      '422 Service "b" is invalid: spec.clusterIPs: Invalid value: []string{"10.97.0.1"}: failed to allocate IP 10.97.0.1: ' +
        'the provided IP (10.97.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16',
    );
    c.put('a', { type: 'ExternalName', externalName: 'x.y' });
    assert.equal(c.put('b', { clusterIP: '10.96.0.20' }).clusterIP, '10.96.0.20');
  });

  it('refuses a second family', () => {
    assert.equal(
      refusal(() => cluster().put('a', { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6'] })),
      '422 Service "a" is invalid: [spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services, ' +
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster]',
    );
    assert.equal(cluster().put('a', { ipFamilyPolicy: 'PreferDualStack' }).ipFamilyPolicy, 'PreferDualStack');
  });

  it('gives node ports where the type has them, one for a port of two protocols', () => {
    const c = cluster();
    const { ports = [] } = c.put('a', { type: 'NodePort', ports: [port(), port(undefined, 'UDP')] });
    assert.ok((ports[0]?.nodePort ?? 0) >= 30086);
    assert.equal(ports[0]?.nodePort, ports[1]?.nodePort);
    assert.equal(c.put('b', { ports: [port()] }).ports?.[0]?.nodePort, undefined);
    const without = c.put('c', { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports: [port()] });
    assert.equal(without.ports?.[0]?.nodePort, undefined);
    assert.ok(
      c.put('d', { type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports: [port()] }).healthCheckNodePort,
    );
  });

  it('refuses node ports that are taken by whatever protocol, or out of range', () => {
    const c = cluster();
    c.put('a', { type: 'NodePort', ports: [port(30000)] });
    assert.equal(
      refusal(() => c.put('b', { type: 'NodePort', ports: [port(30000, 'UDP')] })),
      '422 Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated',
    );
    assert.equal(
      refusal(() => c.put('b', { type: 'NodePort', ports: [port(80)] })),
      '422 Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: ' +
        'provided port is not in the valid range. The range of valid ports is 30000-32767',
    );
    assert.equal(
      refusal(() =>
        c.put('b', {
          type: 'LoadBalancer',
          externalTrafficPolicy: 'Local',
          healthCheckNodePort: 30000,
          ports: [port()],
        }),
      ),
      '500 Internal error occurred: failed to allocate requested HealthCheck NodePort 30000: provided port is already allocated',
    );
  });

  it('gives out every port of the range, and then says that it is full', () => {
    const c = cluster({ ...DEFAULT_SERVICE_ALLOCATION, nodePorts: { from: 30000, to: 30019 } });
    const given = Array.from({ length: 20 }, (_, index) => c.put(`s${index}`, { type: 'NodePort', ports: [port()] }));
    assert.equal(new Set(given.map(({ ports }) => ports?.[0]?.nodePort)).size, 20);
    assert.match(
      refusal(() => c.put('more', { type: 'NodePort', ports: [port()] })),
      /500 .*range is full/,
    );
  });
});

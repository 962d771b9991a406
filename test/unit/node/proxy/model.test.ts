import assert from 'node:assert/strict';
import type { Pod, Service, ServiceSpec } from '../../../../src/api/types/core-v1.js';
import type { Endpoint, EndpointSlice } from '../../../../src/api/types/discovery-v1.js';
import { staleFlows } from '../../../../src/node/proxy/conntrack.js';
import { hostPorts, isProxied, servicePorts } from '../../../../src/node/proxy/model.js';
import { portsByKey } from '../../../../src/node/proxy/render.js';
import { BY_SERVICE, StateTracker } from '../../../../src/node/proxy/tracker.js';
import { endpoint, servicePort, stateOf } from './states.js';

const service = (spec: Partial<ServiceSpec> = {}, metadata: object = {}): Service =>
  ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default', ...metadata },
    spec: { clusterIP: '10.96.0.10', ports: [{ name: 'http', port: 80 }], ...spec },
  }) as Service;
const slice = (endpoints: Endpoint[], more: object = {}): EndpointSlice =>
  ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints,
    ...more,
  }) as EndpointSlice;
const at = (ip: string, conditions: Endpoint['conditions'] = { ready: true }, nodeName = 'n1'): Endpoint =>
  ({ addresses: [ip], conditions, nodeName }) as Endpoint;
const only = (...args: Parameters<typeof servicePorts>) => {
  const [port] = servicePorts(...args);
  return port ?? assert.fail('no port');
};
const ips = (list: readonly { ip: string }[]) => list.map(({ ip }) => ip);

describe('what a proxy makes of Services and EndpointSlices', () => {
  it('leaves out those without an address of ours, and those of other proxies', () => {
    assert.equal(isProxied(service()), true);
    assert.equal(isProxied(service({ clusterIP: 'None' })), false);
    assert.equal(isProxied(service({ type: 'ExternalName' })), false);
    assert.equal(isProxied(service({ clusterIP: 'fd00::1' })), false);
    assert.equal(isProxied(service({ clusterIP: 'fd00::1', clusterIPs: ['fd00::1', '10.96.0.3'] })), true);
    assert.equal(isProxied(service({}, { labels: { 'service.kubernetes.io/service-proxy-name': 'x' } })), false);
  });

  it('takes ready endpoints; without any, those that still serve while they end', () => {
    const serving = { ready: false, serving: true, terminating: true };
    const ending = { ready: false, serving: false, terminating: true };
    const some = [at('10.244.0.3'), at('10.244.0.2'), at('10.244.0.4', serving)];
    assert.deepEqual(ips(only(service(), [slice(some)], 'n1').cluster), ['10.244.0.2', '10.244.0.3']);
    const none = [at('10.244.0.4', serving), at('10.244.0.5', ending), at('10.244.0.6', { ready: false })];
    assert.deepEqual(ips(only(service(), [slice(none)], 'n1').cluster), ['10.244.0.4']);
    const dead = only(service(), [slice([at('10.244.0.5', ending)])], 'n1');
    assert.equal(dead.anyEndpoint, false);
    // Absent means ready.
    assert.equal(only(service(), [slice([at('10.244.0.2', {})])], 'n1').cluster.length, 1);
  });

  it('counts an endpoint once that is in two slices, as usable when it is in one', () => {
    const slices = [
      slice([at('10.244.0.2', { ready: false })]),
      slice([at('10.244.0.2')]),
      slice([at('fd00::2')], { addressType: 'IPv6' }),
    ];
    for (const order of [slices, [...slices].reverse()]) {
      assert.deepEqual(ips(only(service(), order, 'n1').cluster), ['10.244.0.2']);
    }
  });

  it('finds the port by name and protocol', () => {
    const two = service({
      ports: [
        { name: 'http', port: 80 },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    });
    const ports = servicePorts(
      two,
      [slice([at('10.244.0.2')], { ports: [{ name: 'dns', port: 5353, protocol: 'UDP' }] })],
      'n1',
    );
    assert.deepEqual(
      ports.map(({ name, protocol, cluster }) => [name, protocol, cluster.map(({ port }) => port)]),
      [
        ['default/web:http', 'TCP', []],
        ['default/web:dns', 'UDP', [5353]],
      ],
    );
    assert.equal(only(service({ ports: [{ port: 80 }] }), [], 'n1').name, 'default/web');
  });

  it('keeps endpoints of this node apart for the policies that ask for them', () => {
    const slices = [slice([at('10.244.0.2'), at('10.244.1.2', { ready: true }, 'n2')])];
    assert.deepEqual(ips(only(service(), slices, 'n1').local), []);
    assert.deepEqual(ips(only(service({ internalTrafficPolicy: 'Local' }), slices, 'n1').local), ['10.244.0.2']);
    const nodePort = service({
      type: 'NodePort',
      externalTrafficPolicy: 'Local',
      ports: [{ name: 'http', port: 80, nodePort: 30080 }],
    });
    assert.deepEqual(ips(only(nodePort, slices, 'n2').local), ['10.244.1.2']);
    assert.equal(only(nodePort, slices, 'n2').nodePort, 30080);
    // A policy left over from another type means nothing.
    assert.equal(only(service({ externalTrafficPolicy: 'Local' }), slices, 'n1').externalLocal, false);
    assert.equal(only(service({ ports: [{ name: 'http', port: 80, nodePort: 30080 }] }), slices, 'n1').nodePort, 0);
  });

  it('reads external addresses, ranges and affinity', () => {
    const made = service({
      type: 'LoadBalancer',
      externalIPs: ['198.51.100.7', 'fd00::7'],
      loadBalancerSourceRanges: ['192.0.2.0/24', 'fd00::/8'],
      sessionAffinity: 'ClientIP',
    });
    made.status = {
      loadBalancer: { ingress: [{ ip: '203.0.113.1' }, { ip: '203.0.113.2', ipMode: 'Proxy' }, { hostname: 'x' }] },
    };
    const port = only(made, [], 'n1');
    assert.deepEqual(
      [port.externalIps, port.sourceRanges, port.loadBalancerIps, port.affinitySeconds],
      [['198.51.100.7'], ['192.0.2.0/24'], ['203.0.113.1'], 10_800],
    );
    const short = service({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } });
    assert.equal(only(short, [], 'n1').affinitySeconds, 60);
  });

  it('reads host ports of running pods with an address, sidecars too', () => {
    const pod = (more: object = {}, status: object = {}): Pod =>
      ({
        metadata: { name: 'p', namespace: 'default' },
        spec: {
          nodeName: 'n1',
          containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 8080 }, { containerPort: 81 }] }],
          initContainers: [
            { name: 'i', ports: [{ containerPort: 1, hostPort: 1 }] },
            {
              name: 's',
              restartPolicy: 'Always',
              ports: [{ containerPort: 53, hostPort: 53, protocol: 'UDP', hostIP: '192.0.2.1' }],
            },
          ],
          ...more,
        },
        status: { podIP: '10.244.0.2', phase: 'Running', ...status },
      }) as Pod;
    assert.deepEqual(
      hostPorts(pod()).map((port) => [port.protocol, port.hostIp, port.hostPort, port.containerPort]),
      [
        ['UDP', '192.0.2.1', 53, 53],
        ['TCP', '', 8080, 80],
      ],
    );
    for (const none of [pod({ hostNetwork: true }), pod({}, { phase: 'Failed' }), pod({}, { podIP: undefined })]) {
      assert.deepEqual(hostPorts(none), []);
    }
  });
});

describe('the state that a proxy keeps', () => {
  it('is computed anew only where something changed, and stays the same object where it did not', () => {
    const services = new Map([
      ['default/web', service()],
      ['default/other', service({ clusterIP: '10.96.0.11' }, { name: 'other' })],
    ]);
    let slices = [slice([at('10.244.0.2')])];
    let looked = 0;
    const tracker = new StateTracker(
      {
        services: {
          get: (namespace, name) => {
            looked += 1;
            return services.get(`${namespace}/${name}`);
          },
          list: () => [...services.values()],
          byIndex: () => [],
        },
        slices: {
          get: () => undefined,
          list: () => slices,
          byIndex: (index, key) => (index === BY_SERVICE && key === 'default/web' ? slices : []),
        },
        pods: { get: () => undefined, list: () => [], byIndex: () => [] },
      },
      'n1',
    );
    assert.deepEqual(tracker.build().services, []);
    tracker.markAll();
    const first = tracker.build().services;
    assert.deepEqual(
      first.map(({ name }) => name),
      ['default/other:http', 'default/web:http'],
    );
    looked = 0;
    slices = [slice([at('10.244.0.2')], { metadata: { ...slice([]).metadata, resourceVersion: '2' } })];
    tracker.mark('default/web');
    const second = tracker.build().services;
    assert.equal(looked, 1);
    assert.ok(second.every((port, i) => port === first[i]));
    slices = [slice([at('10.244.0.3')])];
    tracker.mark('default/web');
    const third = tracker.build().services;
    assert.equal(third[0], first[0]);
    assert.deepEqual(ips(third[1]?.cluster ?? []), ['10.244.0.3']);
    services.delete('default/other');
    tracker.mark('default/other');
    assert.equal(tracker.build().services.length, 1);
  });
});

describe('flows to forget', () => {
  const A = endpoint('10.244.0.2', 53);
  const B = endpoint('10.244.0.3', 53);
  const udp = (...cluster: (typeof A)[]) => servicePort({ protocol: 'UDP', port: 53, cluster });
  const flows = (before: ReturnType<typeof servicePort>[], after: ReturnType<typeof servicePort>[]) =>
    staleFlows(portsByKey(stateOf(...before)), portsByKey(stateOf(...after))).map((args) => args.join(' '));

  it('are those to UDP endpoints that left, on every address of the Service', () => {
    assert.deepEqual(flows([udp(A, B)], [udp(B)]), ['-D -p udp --orig-dst 10.96.0.10 --dst-nat 10.244.0.2']);
    const wide = { ...udp(A), nodePort: 30053, externalIps: ['198.51.100.7'] };
    assert.deepEqual(flows([wide], []), [
      '-D -p udp --orig-dst 10.96.0.10 --dst-nat 10.244.0.2',
      '-D -p udp --orig-dst 198.51.100.7 --dst-nat 10.244.0.2',
      '-D -p udp --orig-port-dst 30053 --dst-nat 10.244.0.2',
    ]);
  });

  it('are those that went nowhere before the first endpoint came', () => {
    assert.deepEqual(flows([udp()], [udp(A)]), ['-D -p udp --orig-dst 10.96.0.10']);
    assert.deepEqual(flows([], [udp(A)]), ['-D -p udp --orig-dst 10.96.0.10']);
  });

  it('are none of TCP, and none where nothing changed', () => {
    assert.deepEqual(flows([servicePort({ cluster: [A] })], []), []);
    const same = udp(A);
    assert.deepEqual(flows([same], [same]), []);
    assert.deepEqual(flows([udp(A)], [udp(A, B)]), []);
  });
});

import assert from 'node:assert/strict';
import {
  CONFIGMAPS,
  DEPLOYMENTS,
  ENDPOINTS,
  ENDPOINTSLICES,
  NAMESPACES,
  NODES,
  PODS,
  REPLICASETS,
  SECRETS,
  SERVICEACCOUNTS,
  SERVICES,
} from '../../../../src/api/resource.js';
import type { Deployment } from '../../../../src/api/types/apps-v1.js';
import type { ConfigMap, Endpoints, Namespace, Node, Pod, Service } from '../../../../src/api/types/core-v1.js';
import type { EndpointSlice } from '../../../../src/api/types/discovery-v1.js';
import { PRIORITYCLASSES } from '../../../../src/control/controllers/bootstrap/priority-classes.js';
import type { PriorityClass } from '../../../../src/api/types/scheduling-v1.js';
import { createControllers } from '../../../../src/control/controllers/index.js';
import { deployment, endTerminating, harness, runPod } from './harness.js';

const ADDRESSES = [
  { ip: '10.0.0.2', port: 6443 },
  { ip: '10.0.0.1', port: 6443 },
];

function setup(isAlive: (node: string) => boolean = () => true) {
  const h = harness();
  const listeners = new Set<(node: string) => void>();
  const service = createControllers(h, {
    nodeLiveness: {
      isAlive,
      onChange: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    apiEndpoints: { current: () => ADDRESSES, onChange: () => () => undefined },
    kubernetesIp: '10.96.0.1',
    dnsIp: '10.96.0.10',
    caPem: 'PEM',
    signSecretToken: () => Promise.resolve('token'),
    signCertificate: () => Promise.resolve('certificate'),
    mayRequest: () => false,
    deletableResources: () => [
      CONFIGMAPS,
      SECRETS,
      PODS,
      SERVICES,
      SERVICEACCOUNTS,
      ENDPOINTS,
      ENDPOINTSLICES,
      REPLICASETS,
      DEPLOYMENTS,
      NAMESPACES,
    ],
  });
  const liveness = (node: string) => {
    for (const listener of listeners) listener(node);
  };
  return { h, service, liveness };
}

describe('all controllers together', () => {
  it('set up what every cluster has, and put back what is taken away', async () => {
    const { h, service } = setup();
    await service.start();
    await h.clock.advance(1_000);
    const names = h.client.all<Namespace>(NAMESPACES).map(({ metadata }) => metadata.name);
    assert.deepEqual(names, ['default', 'kube-system', 'kube-public', 'kube-node-lease']);
    const slice = await h.client.get<EndpointSlice>(ENDPOINTSLICES, 'default', 'kubernetes');
    assert.deepEqual(
      slice.endpoints.map(({ addresses }) => addresses[0]),
      ['10.0.0.1', '10.0.0.2'],
    );
    assert.equal(
      (await h.client.get<Endpoints>(ENDPOINTS, 'default', 'kubernetes')).subsets?.[0]?.ports?.[0]?.port,
      6443,
    );
    const dns = await h.client.get<Service>(SERVICES, 'kube-system', 'kube-dns');
    assert.equal(dns.spec?.internalTrafficPolicy, 'Local');
    assert.equal(
      (await h.client.get<ConfigMap>(CONFIGMAPS, 'kube-public', 'kube-root-ca.crt')).data?.['ca.crt'],
      'PEM',
    );
    await h.client.delete(SERVICEACCOUNTS, 'default', 'default');
    await h.client.delete(SERVICES, 'default', 'kubernetes');
    await h.client.delete(PRIORITYCLASSES, '', 'system-node-critical');
    await h.clock.advance(1_000);
    const classes = h.client.all<PriorityClass>(PRIORITYCLASSES).map(({ metadata, value }) => [metadata.name, value]);
    assert.deepEqual(Object.fromEntries(classes), {
      'system-node-critical': 2_000_001_000,
      'system-cluster-critical': 2_000_000_000,
    });
    await h.client.get(SERVICEACCOUNTS, 'default', 'default');
    await h.client.get(SERVICES, 'default', 'kubernetes');
    await service.stop();
  });

  it('write nothing when nothing changes', async () => {
    const { h, service } = setup();
    await service.start();
    await h.client.create(DEPLOYMENTS, { ...deployment(3), metadata: { namespace: 'default', name: 'web' } });
    await h.clock.advance(5_000);
    const before = h.client.writes().length;
    await h.clock.advance(300_000);
    assert.equal(h.client.writes().length, before);
    await service.stop();
  });

  it('start again after a stop, and go on', async () => {
    const { h, service } = setup();
    await service.start();
    await h.clock.advance(1_000);
    await service.stop();
    await h.client.create(DEPLOYMENTS, { ...deployment(2), metadata: { namespace: 'default', name: 'web' } });
    await h.clock.advance(1_000);
    assert.equal(h.client.all(PODS).length, 0);
    await service.start();
    await h.clock.advance(1_000);
    assert.equal(h.client.all(PODS).length, 2);
    await service.stop();
  });

  it('delete a Deployment with all that it made', async () => {
    const { h, service } = setup();
    await service.start();
    await h.client.create<Deployment>(DEPLOYMENTS, {
      ...deployment(2),
      metadata: { namespace: 'default', name: 'web' },
    });
    await h.clock.advance(1_000);
    await h.client.delete(DEPLOYMENTS, 'default', 'web', { propagationPolicy: 'Foreground' });
    await h.clock.advance(1_000);
    assert.deepEqual([...h.client.all(DEPLOYMENTS), ...h.client.all(REPLICASETS), ...h.client.all(PODS)], []);
    await service.stop();
  });

  it('empty a namespace before it goes, waiting for running pods', async () => {
    const { h, service } = setup();
    await service.start();
    await h.client.create(NAMESPACES, { metadata: { name: 'ns' } });
    await h.client.create(DEPLOYMENTS, deployment(2));
    await h.clock.advance(1_000);
    const [pod] = h.client.all<Pod>(PODS);
    await h.client.createSubresource(PODS, 'ns', pod?.metadata.name ?? '', 'binding', { target: { name: 'node' } });
    await h.client.delete(NAMESPACES, '', 'ns');
    await h.clock.advance(3_000);
    const going = await h.client.get<Namespace>(NAMESPACES, '', 'ns');
    const remaining = going.status?.conditions?.find(({ type }) => type === 'NamespaceContentRemaining');
    assert.equal(remaining?.status, 'True');
    assert.equal(remaining.message, 'Some resources are remaining: pods. has 1 resource instances');
    // What may protect others from a pod outlives it.
    assert.equal(h.client.all(DEPLOYMENTS).length, 1);
    await endTerminating(h);
    await h.clock.advance(3_000);
    assert.equal(
      h.client.all<Namespace>(NAMESPACES).some(({ metadata }) => metadata.name === 'ns'),
      false,
    );
    assert.deepEqual(h.client.all(CONFIGMAPS, 'ns'), []);
    await service.stop();
  });

  it('move what ran on a lost node: out of the Service at once, replaced when its toleration ends', async () => {
    const dead = new Set<string>();
    const { h, service, liveness } = setup((node) => !dead.has(node));
    await service.start();
    for (const name of ['n1', 'n2']) {
      h.client.seed<Node>(NODES, { metadata: { name }, status: { conditions: [{ type: 'Ready', status: 'True' }] } });
    }
    await h.client.create<Service>(SERVICES, {
      metadata: { namespace: 'default', name: 'web' },
      spec: { clusterIP: '10.96.0.7', selector: { app: 'web' }, ports: [{ port: 80 }] },
    });
    const wanted = deployment(2);
    const pods = wanted.spec?.template.spec;
    if (pods) pods.tolerations = [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', tolerationSeconds: 10 }];
    await h.client.create<Deployment>(DEPLOYMENTS, { ...wanted, metadata: { namespace: 'default', name: 'web' } });
    await h.clock.advance(1_000);
    const [a, b] = h.client.all<Pod>(PODS) as [Pod, Pod];
    await runPod(h, a, true, 'n1', '10.1.0.1');
    await runPod(h, b, true, 'n2', '10.1.0.2');
    await h.clock.advance(1_000);
    const ready = () =>
      h.client
        .all<EndpointSlice>(ENDPOINTSLICES)
        .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'web')
        .flatMap(({ endpoints }) => endpoints)
        .flatMap(({ addresses, conditions }) => (conditions?.ready ? addresses : []));
    assert.deepEqual(ready(), ['10.1.0.1', '10.1.0.2']);
    dead.add('n1');
    liveness('n1');
    await h.clock.advance(500);
    assert.deepEqual(ready(), ['10.1.0.2']);
    assert.equal(h.client.all(PODS).length, 2);
    await h.clock.advance(10_500);
    const alive = h.client.all<Pod>(PODS).filter(({ metadata }) => !metadata.deletionTimestamp);
    assert.deepEqual(
      alive.map(({ spec }) => spec?.nodeName),
      ['n2', undefined],
    );
    await service.stop();
  });
});

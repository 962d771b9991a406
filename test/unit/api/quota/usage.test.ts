import assert from 'node:assert/strict';
import type { KubeObject } from '../../../../src/api/object.js';
import { toQuantityMap } from '../../../../src/api/quota/amounts.js';
import { podLimits, podRequests } from '../../../../src/api/quota/pod-resources.js';
import { podIsInScope } from '../../../../src/api/quota/scopes.js';
import { evaluatorOf } from '../../../../src/api/quota/usage.js';
import type { PersistentVolumeClaim, Pod, PodSpec, Service } from '../../../../src/api/types/core-v1.js';

const usage = (group: string, resource: string, object: object, nowMs = 0) =>
  toQuantityMap(evaluatorOf(group, resource)?.usage({ metadata: {}, ...object } as KubeObject, nowMs) ?? new Map());
const counts = (group: string, resource: string, name: string) => evaluatorOf(group, resource)?.counts(name);
const container = (requests: Record<string, string>, limits: Record<string, string> = {}, more: object = {}) => ({
  name: 'c',
  image: 'x',
  resources: { requests, limits },
  ...more,
});

describe('usage of quotas', () => {
  it('charges a pod under every name that its resources have', () => {
    const gpu = { 'example.com/gpu': '2' };
    const spec: PodSpec = {
      containers: [
        container(
          { cpu: '1', memory: '1Gi', 'ephemeral-storage': '1Gi', 'hugepages-2Mi': '4Mi', ...gpu },
          { cpu: '2', ...gpu },
        ),
      ],
    };
    assert.deepEqual(usage('', 'pods', { spec }), {
      'count/pods': '1',
      cpu: '1',
      'ephemeral-storage': '1Gi',
      'hugepages-2Mi': '4Mi',
      'limits.cpu': '2',
      memory: '1Gi',
      pods: '1',
      'requests.cpu': '1',
      'requests.ephemeral-storage': '1Gi',
      'requests.example.com/gpu': '2',
      'requests.hugepages-2Mi': '4Mi',
      'requests.memory': '1Gi',
    });
  });

  it('takes init containers, sidecars and overhead into account', () => {
    const spec: PodSpec = {
      initContainers: [
        container({ cpu: '100m' }, {}, { restartPolicy: 'Always' }),
        container({ cpu: '2', memory: '1Gi' }, { cpu: '3' }),
      ],
      containers: [container({ cpu: '500m', memory: '2Gi' }, { cpu: '1' })],
      overhead: { cpu: '10m', memory: '1Mi' },
    };
    assert.deepEqual(toQuantityMap(podRequests(spec)), { cpu: '2110m', memory: '2049Mi' });
    assert.deepEqual(toQuantityMap(podRequests(spec, false)), { cpu: '2100m', memory: '2Gi' });
    assert.deepEqual(toQuantityMap(podLimits(spec)), { cpu: '3010m' });
  });

  it('counts a pod that ended only as an object', () => {
    assert.deepEqual(usage('', 'pods', { status: { phase: 'Succeeded' } }), { 'count/pods': '1' });
    const deletionTimestamp = '2026-01-01T00:00:00Z';
    const metadata = { deletionTimestamp, deletionGracePeriodSeconds: 30 };
    const at = Date.parse(deletionTimestamp) + 30_000;
    assert.equal(usage('', 'pods', { metadata }, at)['pods'], '1');
    assert.equal(usage('', 'pods', { metadata }, at + 1)['pods'], undefined);
  });

  it('charges Services by type', () => {
    const of = (spec: Service['spec']) => {
      const used = usage('', 'services', { spec });
      return [used['services'], used['services.nodeports'], used['services.loadbalancers']];
    };
    const ports = [{ port: 1 }, { port: 2, nodePort: 30000 }];
    assert.deepEqual(of({ type: 'ClusterIP', ports }), ['1', '0', '0']);
    assert.deepEqual(of({ type: 'NodePort', ports }), ['1', '2', '0']);
    assert.deepEqual(of({ type: 'LoadBalancer', ports }), ['1', '2', '1']);
    assert.deepEqual(of({ type: 'LoadBalancer', ports, allocateLoadBalancerNodePorts: false }), ['1', '1', '1']);
  });

  it('charges claims to their class, and keeps what was being allocated', () => {
    const claim: Partial<PersistentVolumeClaim> = {
      spec: { storageClassName: 'gold', resources: { requests: { storage: '1Gi' } } },
      status: { allocatedResources: { storage: '2Gi' } },
    };
    assert.deepEqual(usage('', 'persistentvolumeclaims', claim), {
      'count/persistentvolumeclaims': '1',
      'gold.storageclass.storage.k8s.io/persistentvolumeclaims': '1',
      'gold.storageclass.storage.k8s.io/requests.storage': '2Gi',
      persistentvolumeclaims: '1',
      'requests.storage': '2Gi',
    });
  });

  it('knows which names concern which kind', () => {
    assert.deepEqual(usage('', 'secrets', {}), { 'count/secrets': '1', secrets: '1' });
    assert.deepEqual(usage('example.com', 'tabs', {}), { 'count/tabs.example.com': '1' });
    assert.equal(counts('', 'pods', 'requests.example.com/gpu'), true);
    assert.equal(counts('', 'pods', 'requests.storage'), false);
    assert.equal(counts('', 'pods', 'requests.hugepages-1Gi'), true);
    assert.equal(counts('', 'persistentvolumeclaims', 'x.storageclass.storage.k8s.io/requests.storage'), true);
    assert.equal(evaluatorOf('', 'events'), undefined);
  });

  it('tells priority classes apart', () => {
    const pod = (priorityClassName?: string): Pod => ({
      metadata: {},
      spec: { containers: [], ...(priorityClassName ? { priorityClassName } : {}) },
    });
    const cases = [
      ['Exists', [], true, false],
      ['DoesNotExist', [], false, true],
      ['In', ['high'], true, false],
      ['In', ['low'], false, false],
      ['NotIn', ['high'], false, true],
    ] as const;
    for (const [operator, values, named, unnamed] of cases) {
      const scope = { scopeName: 'PriorityClass', operator, values } as const;
      assert.equal(podIsInScope(scope, pod('high')), named, operator);
      assert.equal(podIsInScope(scope, pod()), unnamed, operator);
    }
  });
});

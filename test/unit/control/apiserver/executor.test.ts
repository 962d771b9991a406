import assert from 'node:assert/strict';
import {
  type ApiError,
  isAlreadyExists,
  isConflict,
  isExpired,
  isForbidden,
  isInvalid,
  isNotFound,
} from '../../../../src/api/errors.js';
import type { KubeObject } from '../../../../src/api/object.js';
import { CONFIGMAPS, DEPLOYMENTS, NAMESPACES, PODS, SERVICES, type ResourceRef } from '../../../../src/api/resource.js';
import type { Namespace, Pod, Service } from '../../../../src/api/types/core-v1.js';
import type { PodDisruptionBudget } from '../../../../src/api/types/policy-v1.js';
import type { InProcessClient } from '../../../../src/control/apiserver/client.js';
import type { MemoryStore } from '../../../../src/testing/memory-store.js';
import { setUp } from './setup.js';

const ref = (group: string, resource: string, kind: string): ResourceRef => ({
  group,
  version: 'v1',
  resource,
  kind,
  namespaced: true,
});
const BUDGETS = ref('policy', 'poddisruptionbudgets', 'PodDisruptionBudget');
const LIMIT_RANGES = ref('', 'limitranges', 'LimitRange');

const configMap = (name: string, data: Record<string, string> = { a: 'b' }) =>
  ({ metadata: { name, namespace: 'default' }, data }) as KubeObject;
const pod = (name: string, spec: object = {}) =>
  ({
    metadata: { name, namespace: 'default' },
    spec: { containers: [{ name: 'c', image: 'nginx' }], ...spec },
  }) as KubeObject;
const service = (name: string, spec: object = {}) =>
  ({ metadata: { name, namespace: 'default' }, spec: { ports: [{ port: 80 }], ...spec } }) as KubeObject;

describe('the write executor', () => {
  let client: InProcessClient;
  let store: MemoryStore;
  beforeEach(async () => {
    ({ client, store } = await setUp());
  });

  it('gives a new object its identity and refuses the name a second time', async () => {
    const made = await client.create(CONFIGMAPS, configMap('one'));
    assert.match(made.metadata.uid ?? '', /^[0-9a-f-]{36}$/);
    assert.ok(made.metadata.creationTimestamp);
    assert.equal(made.metadata.resourceVersion, String(store.revision));
    await assert.rejects(client.create(CONFIGMAPS, configMap('one')), isAlreadyExists);
  });

  it('makes names from generateName', async () => {
    const unnamed: KubeObject = { metadata: { generateName: 'gen-', namespace: 'default' } };
    const made = await client.create(CONFIGMAPS, unnamed);
    assert.match(made.metadata.name ?? '', /^gen-[a-z0-9]{5}$/);
  });

  it('compares and sets on resourceVersion, and writes nothing for an update without change', async () => {
    const made = await client.create(CONFIGMAPS, configMap('one'));
    const changed = await client.update(CONFIGMAPS, { ...made, data: { a: 'c' } } as KubeObject);
    await assert.rejects(client.update(CONFIGMAPS, { ...made, data: { a: 'd' } } as KubeObject), isConflict);
    const before = store.revision;
    assert.equal(await client.update(CONFIGMAPS, changed), changed);
    assert.equal(store.revision, before);
  });

  it('keeps status and spec apart', async () => {
    const made = await client.create<Pod & KubeObject>(PODS, pod('p') as Pod & KubeObject);
    assert.equal(made.status?.phase, 'Pending');
    const running = await client.updateStatus(PODS, {
      ...made,
      spec: { containers: [] },
      status: { phase: 'Running' },
    } as typeof made);
    assert.equal(running.status?.phase, 'Running');
    assert.equal(running.spec?.containers.length, 1);
  });

  it('scales through the subresource', async () => {
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const spec = { selector: { matchLabels: { a: 'b' } }, template };
    await client.create(DEPLOYMENTS, { metadata: { name: 'd', namespace: 'default' }, spec });
    await client.patch(DEPLOYMENTS, 'default', 'd', 'merge', { spec: { replicas: 4 } }, { subresource: 'scale' });
    const after = await client.get<KubeObject & { spec: { replicas: number } }>(DEPLOYMENTS, 'default', 'd');
    assert.equal(after.spec.replicas, 4);
    assert.equal(after.metadata.generation, 2);
  });

  it('binds a pod once and ends it gracefully', async () => {
    await client.create(PODS, pod('p'));
    const binding = { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n1' } };
    await client.createSubresource(PODS, 'default', 'p', 'binding', binding);
    await assert.rejects(client.createSubresource(PODS, 'default', 'p', 'binding', binding), isConflict);
    await client.delete(PODS, 'default', 'p');
    const ending = await client.get<Pod & KubeObject>(PODS, 'default', 'p');
    assert.equal(ending.spec?.nodeName, 'n1');
    assert.equal(ending.metadata.deletionGracePeriodSeconds, 30);
    await client.delete(PODS, 'default', 'p', { gracePeriodSeconds: 0 });
    await assert.rejects(client.get(PODS, 'default', 'p'), isNotFound);
  });

  it('spends no disruption budget for an eviction that is refused', async () => {
    const labels = { app: 'a' };
    const made = pod('p');
    await client.create(PODS, { ...made, metadata: { ...made.metadata, labels } });
    await client.patch(PODS, 'default', 'p', 'merge', { status: { phase: 'Running' } }, { subresource: 'status' });
    const spec = { selector: { matchLabels: labels }, minAvailable: 0 };
    await client.create(BUDGETS, { metadata: { name: 'b', namespace: 'default' }, spec } as KubeObject);
    const status = {
      observedGeneration: 1,
      disruptionsAllowed: 1,
      expectedPods: 1,
      currentHealthy: 1,
      desiredHealthy: 0,
    };
    const budget = await client.patch(BUDGETS, 'default', 'b', 'merge', { status }, { subresource: 'status' });
    const eviction = { metadata: { name: 'p' }, deleteOptions: { preconditions: { uid: 'another' } } };
    await assert.rejects(client.createSubresource(PODS, 'default', 'p', 'eviction', eviction), isConflict);
    assert.deepEqual(await client.get(BUDGETS, 'default', 'b'), budget);
  });

  it('evicts within the budget, says why not beyond it, and marks the pod', async () => {
    const labels = { app: 'a' };
    const running = async (name: string) => {
      const made = pod(name);
      await client.create(PODS, { ...made, metadata: { ...made.metadata, labels, finalizers: ['example.com/held'] } });
      const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
      await client.patch(PODS, 'default', name, 'merge', { status }, { subresource: 'status' });
    };
    for (const name of ['p1', 'p2']) await running(name);
    const evict = (name: string, deleteOptions: object = {}) =>
      client.createSubresource(PODS, 'default', name, 'eviction', { metadata: { name }, deleteOptions });
    const spec = { selector: { matchLabels: labels }, minAvailable: 1 };
    await client.create(BUDGETS, { metadata: { name: 'b', namespace: 'default' }, spec } as KubeObject);
    const refusal = (error: ApiError, cause: string, seconds?: number) => {
      assert.equal(error.code, 429);
      assert.equal(error.message, "Cannot evict pod as it would violate the pod's disruption budget.");
      assert.deepEqual(error.details?.causes, [{ reason: 'DisruptionBudget', message: cause }]);
      assert.equal(error.details?.retryAfterSeconds, seconds);
      return true;
    };
    await assert.rejects(evict('p1'), (error: ApiError) =>
      refusal(error, 'The disruption budget b is still being processed by the server.', 10),
    );
    const status = {
      observedGeneration: 1,
      disruptionsAllowed: 1,
      expectedPods: 2,
      currentHealthy: 2,
      desiredHealthy: 1,
    };
    const before = await client.patch(BUDGETS, 'default', 'b', 'merge', { status }, { subresource: 'status' });
    await evict('p1', { dryRun: ['All'] });
    assert.deepEqual(await client.get(BUDGETS, 'default', 'b'), before);
    await evict('p1');
    const gone = await client.get<Pod & KubeObject>(PODS, 'default', 'p1');
    assert.ok(gone.metadata.deletionTimestamp);
    const target = gone.status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
    assert.deepEqual([target?.status, target?.reason], ['True', 'EvictionByEvictionAPI']);
    const spent = (await client.get<PodDisruptionBudget & KubeObject>(BUDGETS, 'default', 'b')).status;
    assert.equal(spent?.disruptionsAllowed, 0);
    assert.deepEqual(Object.keys(spent?.disruptedPods ?? {}), ['p1']);
    assert.equal(spent?.conditions?.[0]?.reason, 'InsufficientPods');
    await assert.rejects(evict('p2'), (error: ApiError) =>
      refusal(error, 'The disruption budget b needs 1 healthy pods and has 2 currently'),
    );
  });

  it('settles the class of a pod by the resources that a limit range gives it', async () => {
    const limits = [{ type: 'Container', default: { cpu: '1', memory: '1Mi' } }];
    await client.create(LIMIT_RANGES, {
      metadata: { name: 'l', namespace: 'default' },
      spec: { limits },
    } as KubeObject);
    const made = await client.create<Pod & KubeObject>(PODS, pod('p') as Pod & KubeObject);
    assert.equal(made.status?.qosClass, 'Guaranteed');
  });

  it('keeps an object until its last finalizer is gone', async () => {
    await client.create(CONFIGMAPS, configMap('one'));
    await client.delete(CONFIGMAPS, 'default', 'one', { propagationPolicy: 'Foreground' });
    const held = await client.get(CONFIGMAPS, 'default', 'one');
    assert.deepEqual(held.metadata.finalizers, ['foregroundDeletion']);
    await client.update(CONFIGMAPS, { ...held, metadata: { ...held.metadata, finalizers: [] } });
    await assert.rejects(client.get(CONFIGMAPS, 'default', 'one'), isNotFound);
  });

  it('lets a namespace go through Terminating and takes nothing new into it', async () => {
    await client.create(NAMESPACES, { metadata: { name: 'team' } });
    await client.delete(NAMESPACES, '', 'team');
    const ending = await client.get<Namespace & KubeObject>(NAMESPACES, '', 'team');
    assert.equal(ending.status?.phase, 'Terminating');
    const late = { metadata: { name: 'x', namespace: 'team' } };
    await assert.rejects(client.create(CONFIGMAPS, late), isForbidden);
    await client.update(NAMESPACES, { ...ending, spec: { finalizers: [] } } as KubeObject, { subresource: 'finalize' });
    await assert.rejects(client.get(NAMESPACES, '', 'team'), isNotFound);
    await assert.rejects(client.create(CONFIGMAPS, late), isNotFound);
  });

  it('gives Services unique addresses and node ports', async () => {
    const ips = new Set<string>();
    for (let i = 0; i < 40; i++) {
      const made = await client.create<Service & KubeObject>(
        SERVICES,
        service(`s${i}`, { type: 'NodePort' }) as Service & KubeObject,
      );
      ips.add(`${made.spec?.clusterIP}`);
      assert.ok((made.spec?.ports?.[0]?.nodePort ?? 0) >= 30000);
    }
    assert.equal(ips.size, 40);
    const fixed = service('fixed', { clusterIP: '10.96.0.10' });
    await client.create(SERVICES, fixed);
    await assert.rejects(client.create(SERVICES, service('twice', { clusterIP: '10.96.0.10' })), isInvalid);
    await client.delete(SERVICES, 'default', 'fixed');
    await client.create(SERVICES, service('twice', { clusterIP: '10.96.0.10' }));
  });

  it('gives pods the tolerations, account and priority of the cluster', async () => {
    const { spec } = await client.create<Pod & KubeObject>(PODS, pod('p') as Pod & KubeObject);
    assert.equal(spec?.serviceAccountName, 'default');
    assert.equal(spec?.priority, 0);
    assert.deepEqual(
      spec?.tolerations?.map(({ tolerationSeconds }) => tolerationSeconds),
      [5, 5],
    );
  });
});

describe('the in-process client', () => {
  it('watches from a revision, and ends a watch whose reader is too slow', async () => {
    const { client } = await setUp();
    const first = await client.create(CONFIGMAPS, configMap('one'));
    const signal = new AbortController();
    const resourceVersion = first.metadata.resourceVersion ?? '';
    const watch = client.watch(CONFIGMAPS, { resourceVersion, signal: signal.signal })[Symbol.asyncIterator]();
    const next = watch.next();
    await client.create(CONFIGMAPS, configMap('two'));
    const { value } = await next;
    assert.equal(value?.type, 'ADDED');
    const slow = client.watch(CONFIGMAPS, { resourceVersion, signal: signal.signal })[Symbol.asyncIterator]();
    await slow.next();
    for (let i = 0; i < 6; i++) await client.create(CONFIGMAPS, configMap(`more${i}`));
    await assert.rejects(slow.next(), isExpired);
    signal.abort();
    await watch.return?.(undefined);
  });
});

import assert from 'node:assert/strict';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { systemClock } from '../../../src/base/clock.js';
import { systemRandom } from '../../../src/base/random.js';
import type { Service } from '../../../src/base/lifecycle.js';
import { NAMESPACES, PODS } from '../../../src/api/resource.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import type { Pod } from '../../../src/api/types/core-v1.js';
import { eventRecorders } from '../../../src/control/controllers/deps.js';
import { InformerSet } from '../../../src/control/controllers/informer-set.js';
import { resourceQuotaController } from '../../../src/control/controllers/resourcequota/controller.js';
import { KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { kubectlRuns, skipWithout } from './kubectl-runs.js';

const resources = () =>
  KindRegistry.load()
    .all()
    .filter(({ verbs }) => verbs.includes('list') && verbs.includes('watch') && verbs.includes('delete'));

const { path } = KUBECTLS[1] ?? { path: '' };

const pod = (name: string, requests: Record<string, string> = {}, more: object = {}, limits?: Record<string, string>) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      containers: [{ name: 'c', image: 'busybox', resources: { requests, ...(limits ? { limits } : {}) } }],
      ...more,
    },
  });

describe('quotas and limits over HTTP', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  let running: Service[] = [];
  let namespace = '';
  let counter = 0;
  const { ok, refused } = kubectlRuns(
    () => cluster,
    path,
    () => ['-n', namespace],
  );
  const create = (manifest: string) => ok(['create', '-f', '-'], manifest);
  const used = async (quota: string, name: string): Promise<string> =>
    ok(['get', 'quota', quota, '-o', `jsonpath={.status.used.${name.replaceAll('.', '\\.')}}`]);
  const usedBecomes = async (quota: string, expected: Record<string, string>): Promise<void> => {
    const deadline = systemClock.monotonicMs() + 20_000;
    for (;;) {
      const { status } = JSON.parse(await ok(['get', 'quota', quota, '-o', 'json'])) as {
        status: { used?: Record<string, string> };
      };
      if (Object.entries(expected).every(([name, amount]) => status.used?.[name] === amount)) return;
      if (systemClock.monotonicMs() > deadline) assert.deepEqual(status.used, expected);
      await systemClock.sleep(50);
    }
  };

  before(async function () {
    skipWithout(this, path);
    cluster = await startCluster();
    const environment = {
      client: cluster.client,
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
      metrics: noMetrics,
    };
    const informers = new InformerSet(environment);
    const deps = { ...environment, informers, events: eventRecorders(environment) };
    const all = resources();
    running = [resourceQuotaController(deps, { resources: () => all, auditMs: 500 }), informers];
    for (const service of running) await service.start();
  });
  after(async () => {
    for (const service of running.reverse()) await service.stop();
    await cluster?.stop();
  });
  beforeEach(async () => {
    namespace = `quota-${++counter}`;
    await cluster.client.create(NAMESPACES, { metadata: { name: namespace } });
  });

  it('fills in the status of a new quota, and follows a changed one', async () => {
    await ok(['create', 'quota', 'q', '--hard=pods=2,secrets=1,count/deployments.apps=3']);
    await usedBecomes('q', { pods: '0', secrets: '0', 'count/deployments.apps': '0' });
    await ok(['patch', 'quota', 'q', '-p', '{"spec":{"hard":{"pods":"5","cpu":"2"}}}']);
    await usedBecomes('q', { pods: '0', cpu: '0' });
    assert.equal(await ok(['get', 'quota', 'q', '-o', 'jsonpath={.status.hard.pods}']), '5');
  });

  it('sets right a status that somebody wrote', async () => {
    await ok(['create', 'quota', 'q', '--hard=pods=2']);
    await usedBecomes('q', { pods: '0' });
    await ok([
      'patch',
      'quota',
      'q',
      '--subresource=status',
      '-p',
      '{"status":{"hard":{"pods":"9"},"used":{"pods":"7"}}}',
    ]);
    await usedBecomes('q', { pods: '0' });
    assert.equal(await ok(['get', 'quota', 'q', '-o', 'jsonpath={.status.hard.pods}']), '2');
  });

  it('charges pods at once, refuses what is too much, and gives back what is deleted or ends', async () => {
    await ok(['create', 'quota', 'q', '--hard=pods=2,requests.cpu=1,memory=1Gi,requests.example.com/gpu=3']);
    await usedBecomes('q', { pods: '0', 'requests.example.com/gpu': '0' });
    const gpu = { 'example.com/gpu': '2' };
    await create(pod('one', { cpu: '500m', memory: '256Mi', ...gpu }, {}, gpu));
    assert.equal(await used('q', 'pods'), '1');
    assert.equal(await used('q', 'requests.cpu'), '500m');
    assert.equal(await used('q', 'memory'), '256Mi');
    assert.equal(await used('q', 'requests.example.com/gpu'), '2');
    await refused(
      /pods "two" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=500m, limited: requests.cpu=1/,
      ['create', '-f', '-'],
      pod('two', { cpu: '600m', memory: '1Mi' }),
    );
    await refused(
      /pods "two" is forbidden: failed quota: q: must specify memory for: c; requests.cpu for: c/,
      ['create', '-f', '-'],
      pod('two'),
    );
    await ok(['create', '--dry-run=server', '-f', '-'], pod('two', { cpu: '100m', memory: '1Mi' }));
    assert.equal(await used('q', 'pods'), '1');
    await create(pod('two', { cpu: '100m', memory: '1Mi' }));
    await refused(
      /exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2/,
      ['create', '-f', '-'],
      pod('three', { cpu: '100m', memory: '1Mi' }),
    );
    await ok(['delete', 'pod', 'one', '--wait=false', '--grace-period=0', '--force']);
    await usedBecomes('q', { pods: '1', 'requests.cpu': '100m', memory: '1Mi', 'requests.example.com/gpu': '0' });
    const two = await cluster.client.get<Pod>(PODS, namespace, 'two');
    await cluster.client.updateStatus<Pod>(PODS, { ...two, status: { ...two.status, phase: 'Succeeded' } });
    await usedBecomes('q', { pods: '0', 'requests.cpu': '0', memory: '0' });
  });

  it('does not let two creations at once take the same place', async () => {
    await ok(['create', 'quota', 'q', '--hard=pods=3']);
    await usedBecomes('q', { pods: '0' });
    const spec = { containers: [{ name: 'c', image: 'x' }] };
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) =>
        cluster.client.create(PODS, { metadata: { namespace, name: `p${index}` }, spec }),
      ),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 3);
    await usedBecomes('q', { pods: '3' });
  });

  it('counts objects of any kind, Services by type, and claims by class', async () => {
    const hard = [
      'configmaps=1',
      'replicationcontrollers=1',
      'count/replicasets.apps=1',
      'services=3',
      'services.nodeports=2',
      'services.loadbalancers=1',
      'persistentvolumeclaims=2',
      'requests.storage=3Gi',
      'gold.storageclass.storage.k8s.io/requests.storage=1Gi',
    ];
    await ok(['create', 'quota', 'q', `--hard=${hard.join(',')}`]);
    await usedBecomes('q', { configmaps: '0', 'services.nodeports': '0' });
    await ok(['create', 'configmap', 'a']);
    await refused(/configmaps "b" is forbidden: exceeded quota: q, requested: configmaps=1/, [
      'create',
      'configmap',
      'b',
    ]);
    await ok(['delete', 'configmap', 'a']);
    await usedBecomes('q', { configmaps: '0' });
    await ok(['create', 'service', 'nodeport', 'n', '--tcp=80']);
    await ok(['create', 'service', 'loadbalancer', 'l', '--tcp=80']);
    assert.equal(await used('q', 'services.nodeports'), '2');
    await ok(['create', 'service', 'clusterip', 'c', '--tcp=80']);
    await refused(
      /services "c" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=2, limited: services.nodeports=2/,
      ['patch', 'service', 'c', '-p', '{"spec":{"type":"NodePort"}}'],
    );
    await ok(['patch', 'service', 'n', '-p', '{"spec":{"type":"ClusterIP","ports":[{"port":80,"nodePort":null}]}}']);
    await usedBecomes('q', { services: '3', 'services.nodeports': '1', 'services.loadbalancers': '1' });
    const claim = (name: string, size: string, storageClassName?: string) =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: size } }, storageClassName },
      });
    await create(claim('a', '2Gi'));
    await refused(
      /requested: requests.storage=2Gi, used: requests.storage=2Gi/,
      ['create', '-f', '-'],
      claim('b', '2Gi'),
    );
    await refused(
      /exceeded quota: q, requested: gold.storageclass.storage.k8s.io\/requests.storage=1025Mi/,
      ['create', '-f', '-'],
      claim('b', '1025Mi', 'gold').replace('1025Mi', '1025Mi'),
    );
  });

  it('counts only the pods of its scopes', async () => {
    const quota = (name: string, spec: object) =>
      create(
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'ResourceQuota',
          metadata: { name },
          spec: { hard: { pods: '5' }, ...spec },
        }),
      );
    await quota('terminating', { scopes: ['Terminating'] });
    await quota('notterminating', { scopes: ['NotTerminating'] });
    await quota('besteffort', { scopes: ['BestEffort'] });
    await quota('notbesteffort', { scopes: ['NotBestEffort'] });
    const high = [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }];
    await quota('high', { scopeSelector: { matchExpressions: high } });
    await quota('crossing', { scopes: ['CrossNamespacePodAffinity'] });
    for (const name of ['terminating', 'notterminating', 'besteffort', 'notbesteffort', 'high', 'crossing']) {
      await usedBecomes(name, { pods: '0' });
    }
    await cluster.kubectl(path, ['create', 'priorityclass', 'high', '--value=10']);
    await create(pod('plain'));
    await create(pod('deadline', { cpu: '1m' }, { activeDeadlineSeconds: 100, priorityClassName: 'high' }));
    const term = { topologyKey: 'h', namespaces: ['other'], labelSelector: {} };
    const podAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [term] };
    await create(pod('near', {}, { affinity: { podAffinity } }));
    const counts = {
      terminating: '1',
      notterminating: '2',
      besteffort: '2',
      notbesteffort: '1',
      high: '1',
      crossing: '1',
    };
    for (const [name, expected] of Object.entries(counts)) assert.equal(await used(name, 'pods'), expected, name);
    await ok(['delete', 'pod', '--all', '--force', '--grace-period=0', '--wait=false']);
    for (const name of Object.keys(counts)) await usedBecomes(name, { pods: '0' });
  });

  it('fills in the defaults of a LimitRange and refuses what is out of its limits', async () => {
    const limits = [
      {
        type: 'Container',
        min: { cpu: '50m' },
        max: { cpu: '500m', memory: '500Mi' },
        defaultRequest: { cpu: '100m' },
        default: { cpu: '200m', memory: '300Mi' },
        maxLimitRequestRatio: { cpu: '4' },
      },
      { type: 'Pod', max: { cpu: '600m' } },
      { type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } },
    ];
    await create(JSON.stringify({ apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'l' }, spec: { limits } }));
    await create(pod('plain'));
    const made = await cluster.client.get<Pod>(PODS, namespace, 'plain');
    assert.deepEqual(made.spec?.containers[0]?.resources, {
      limits: { cpu: '200m', memory: '300Mi' },
      requests: { cpu: '100m', memory: '300Mi' },
    });
    assert.equal(
      made.metadata.annotations?.['kubernetes.io/limit-ranger'],
      'LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c',
    );
    assert.equal(made.status?.qosClass, 'Burstable');
    await refused(
      /pods "p" is forbidden: \[minimum cpu usage per Container is 50m, but request is 10m, cpu max limit to request ratio per Container is 4, but provided ratio is 20.000000\]/,
      ['create', '-f', '-'],
      pod('p', { cpu: '10m' }),
    );
    await refused(
      /pods "p" is forbidden: maximum memory usage per Container is 500Mi, but limit is 600Mi/,
      ['create', '-f', '-'],
      pod('p', {}, {}, { memory: '600Mi', cpu: '300m' }),
    );
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'p' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '3Gi' } } },
    };
    await refused(
      /persistentvolumeclaims "p" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi/,
      ['create', '-f', '-'],
      JSON.stringify(claim),
    );
  });

  it('refuses pods whose RuntimeClass does not exist, and takes over what the class says', async () => {
    await refused(
      /pods "p" is forbidden: pod rejected: RuntimeClass "nope" not found/,
      ['create', '-f', '-'],
      pod('p', {}, { runtimeClassName: 'nope' }),
    );
    await create(
      JSON.stringify({
        apiVersion: 'node.k8s.io/v1',
        kind: 'RuntimeClass',
        metadata: { name: `heavy-${namespace}` },
        handler: 'runc',
        overhead: { podFixed: { cpu: '10m' } },
        scheduling: { nodeSelector: { a: 'b' }, tolerations: [{ key: 'k', operator: 'Exists' }] },
      }),
    );
    await create(pod('p', {}, { runtimeClassName: `heavy-${namespace}` }));
    const made = await cluster.client.get<Pod>(PODS, namespace, 'p');
    assert.deepEqual(made.spec?.overhead, { cpu: '10m' });
    assert.deepEqual(made.spec?.nodeSelector, { a: 'b' });
    assert.equal(
      made.spec?.tolerations?.some(({ key }) => key === 'k'),
      true,
    );
    await ok(['delete', 'runtimeclass', `heavy-${namespace}`]);
    await refused(/not found/, ['create', '-f', '-'], pod('q', {}, { runtimeClassName: `heavy-${namespace}` }));
  });
});

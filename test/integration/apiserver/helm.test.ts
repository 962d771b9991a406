/**
 * What helm 3 sends, request by request, to install, upgrade, roll back and uninstall a chart with definitions, hooks and
 * one object of each kind that charts are made of: its own encodings, orders, patches and waits. There is no helm here.
 */
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { startCluster, type TestCluster } from './cluster.js';
import { chart, DEFINITION, HOOK, NAMESPACE } from './helm-chart.js';

// oxlint-disable-next-line typescript/no-explicit-any -- documents of any shape
type Json = any;

describe('the requests of helm', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  const secrets = `/api/v1/namespaces/${NAMESPACE}/secrets`;
  const jobs = `/apis/batch/v1/namespaces/${NAMESPACE}/jobs`;
  const history = `${secrets}?labelSelector=${encodeURIComponent('name=shop,owner=helm')}`;

  async function send(method: string, path: string, body?: unknown, type = 'application/json'): Promise<Json> {
    const response = await fetch(`${cluster.url}${path}`, {
      method,
      headers: { accept: 'application/json', 'user-agent': 'Helm/3.16.4', 'content-type': type },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text;
    return { code: response.status, body: json };
  }
  async function must(code: number, method: string, path: string, body?: unknown, type?: string): Promise<Json> {
    const answer = await send(method, path, body, type);
    assert.equal(answer.code, code, `${method} ${path}: ${JSON.stringify(answer.body).slice(0, 500)}`);
    return answer.body;
  }
  const get = (path: string) => must(200, 'GET', path);
  const create = (path: string, object: unknown) => must(201, 'POST', `${path}?fieldManager=helm`, object);
  const remove = (path: string) => must(200, 'DELETE', path, { propagationPolicy: 'Background' });
  const patch = (path: string, change: unknown, type = 'application/strategic-merge-patch+json') =>
    must(200, 'PATCH', `${path}?fieldManager=helm`, change, type);

  /** A release's record: no resourceVersion, so a PUT of it replaces whatever is there. */
  const record = (version: number, status: string) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'helm.sh/release.v1',
    metadata: {
      name: `sh.helm.release.v1.shop.v${version}`,
      namespace: NAMESPACE,
      labels: { name: 'shop', owner: 'helm', status, version: String(version), modifiedAt: '1700000000' },
    },
    data: {
      release: Buffer.from(gzipSync(JSON.stringify({ name: 'shop', version, status })).toString('base64')).toString(
        'base64',
      ),
    },
  });
  const begin = (version: number, status: string) => create(secrets, record(version, status));
  const finish = (version: number, status: string) =>
    must(200, 'PUT', `${secrets}/sh.helm.release.v1.shop.v${version}`, record(version, status));

  /** As helm waits for a hook: a list, then a watch from there, until the Job has ended. */
  async function runHook(): Promise<void> {
    assert.equal((await send('DELETE', `${jobs}/shop-migrate`, { propagationPolicy: 'Background' })).code, 404);
    await create(jobs, HOOK);
    const one = `fieldSelector=${encodeURIComponent('metadata.name=shop-migrate')}`;
    const { metadata, items } = await get(`${jobs}?${one}`);
    assert.equal(items.length, 1);
    const watch = await fetch(`${cluster.url}${jobs}?${one}&watch=true&resourceVersion=${metadata.resourceVersion}`);
    const job = await get(`${jobs}/shop-migrate`);
    const now = new Date().toISOString().replace(/\.\d+/, '');
    const condition = (type: string) => ({ type, status: 'True', lastProbeTime: now, lastTransitionTime: now });
    await must(200, 'PUT', `${jobs}/shop-migrate/status`, {
      ...job,
      status: {
        startTime: now,
        completionTime: now,
        succeeded: 1,
        uncountedTerminatedPods: {},
        conditions: [condition('SuccessCriteriaMet'), condition('Complete')],
      },
    });
    let text = '';
    for await (const chunk of watch.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      if (text.includes('"Complete"')) break;
    }
    assert.match(text, /^\{"type":"MODIFIED"/);
    await remove(`${jobs}/shop-migrate`);
  }

  before(async () => (cluster = await startCluster()));
  after(async () => cluster?.stop());

  it('learns the capabilities of the server, and its schemas', async () => {
    assert.equal((await get('/version')).minor, '32');
    const groups = await get('/apis');
    assert(groups.groups.some(({ name }: Json) => name === 'apps'));
    for (const { preferredVersion } of groups.groups) await get(`/apis/${preferredVersion.groupVersion}`);
    const { paths } = await get('/openapi/v3?timeout=32s');
    const { serverRelativeURL } = paths['apis/apps/v1'];
    const document = await get(`${serverRelativeURL}&timeout=32s`);
    const deployment = document.components.schemas['io.k8s.api.apps.v1.Deployment'];
    assert.deepEqual(deployment['x-kubernetes-group-version-kind'], [
      { group: 'apps', version: 'v1', kind: 'Deployment' },
    ]);
    const path = document.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}'];
    assert(path.patch.parameters.some(({ name }: Json) => name === 'fieldValidation'));
  });

  it('installs: definitions first, then the record, the hook and the objects in order', async () => {
    await must(201, 'POST', '/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: NAMESPACE, labels: { name: NAMESPACE } },
    });
    const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    await create(definitions, DEFINITION);
    const { status } = await get(`${definitions}/${DEFINITION.metadata.name}`);
    assert(status.conditions.some(({ type, status: is }: Json) => type === 'Established' && is === 'True'));
    const { resources } = await get('/apis/shop.example.com/v1');
    assert(resources.some(({ kind }: Json) => kind === 'Backup'));

    assert.deepEqual((await get(history)).items, []);
    for (const { path, object } of chart('shop:1')) await must(404, 'GET', `${path}/${object.metadata.name}`);
    await begin(1, 'pending-install');
    await runHook();
    for (const { path, object } of chart('shop:1')) {
      const made = await create(path, object);
      assert.equal(made.metadata.managedFields[0].manager, 'helm');
    }
    await finish(1, 'deployed');
    const [release] = (await get(history)).items;
    assert.equal(release.type, 'helm.sh/release.v1');
    assert.equal(release.metadata.labels.status, 'deployed');
  });

  it('waits: reads what tells whether all is ready', async () => {
    const deployments = `/apis/apps/v1/namespaces/${NAMESPACE}`;
    const deployment = await get(`${deployments}/deployments/shop`);
    assert.equal(deployment.spec.strategy.rollingUpdate.maxUnavailable, '25%');
    const selector = encodeURIComponent('app.kubernetes.io/name=shop');
    assert.equal((await get(`${deployments}/replicasets?labelSelector=${selector}`)).kind, 'ReplicaSetList');
    assert.match((await get(`/api/v1/namespaces/${NAMESPACE}/services/shop`)).spec.clusterIP, /^10\./);
    const set = await get(`${deployments}/statefulsets/shop-db`);
    assert.equal(set.spec.updateStrategy.rollingUpdate.partition, 0);
    assert.equal((await get(`/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=${selector}`)).kind, 'PodList');
  });

  it('upgrades by patches of three sides, and removes what the chart no longer has', async () => {
    await begin(2, 'pending-upgrade');
    await runHook();
    const inside = `namespaces/${NAMESPACE}`;
    const changed = await patch(`/apis/apps/v1/${inside}/deployments/shop`, {
      metadata: { labels: { 'helm.sh/chart': 'shop-2' } },
      spec: {
        template: {
          spec: {
            $setElementOrder: undefined,
            '$setElementOrder/containers': [{ name: 'log' }, { name: 'web' }],
            containers: [
              {
                '$setElementOrder/env': [{ name: 'NEW' }, { name: 'MODE' }],
                env: [
                  { name: 'NEW', value: '1' },
                  { $patch: 'delete', name: 'OLD' },
                ],
                image: 'shop:2',
                name: 'web',
              },
              { image: 'log:1', name: 'log' },
            ],
            volumes: [{ $retainKeys: ['emptyDir', 'name'], emptyDir: {}, name: 'scratch' }],
          },
        },
      },
    });
    const { containers, volumes } = changed.spec.template.spec;
    assert.deepEqual(
      containers.map(({ name, image }: Json) => `${name} ${image}`),
      ['log log:1', 'web shop:2'],
    );
    assert.deepEqual(containers[1].env, [
      { name: 'NEW', value: '1' },
      { name: 'MODE', value: 'plain' },
    ]);
    assert.deepEqual(volumes, [{ name: 'scratch', emptyDir: {} }]);
    assert.equal(changed.metadata.generation, 2);

    const address = (await get(`/api/v1/${inside}/services/shop`)).spec.clusterIP;
    const service = await patch(`/api/v1/${inside}/services/shop`, {
      spec: {
        '$setElementOrder/ports': [{ port: 80 }, { port: 443 }],
        ports: [{ name: 'https', port: 443, targetPort: 'http', protocol: 'TCP' }],
        type: 'NodePort',
      },
    });
    assert.equal(service.spec.clusterIP, address);
    assert.deepEqual(
      service.spec.ports.map(({ port }: Json) => port),
      [80, 443],
    );
    assert(service.spec.ports.every(({ nodePort }: Json) => nodePort >= 30_000));

    const config = await patch(`/api/v1/${inside}/configmaps/shop`, { data: { mode: null, level: 'info' } });
    assert.deepEqual(config.data, { level: 'info' });
    const backup = await patch(
      `/apis/shop.example.com/v1/${inside}/backups/shop`,
      { spec: { schedule: 'hourly' } },
      'application/merge-patch+json',
    );
    assert.deepEqual(backup.spec, { schedule: 'hourly', keep: 7 });
    const scaler = await patch(`/apis/autoscaling/v2/${inside}/horizontalpodautoscalers/shop`, {
      spec: {
        maxReplicas: 5,
        metrics: [
          { type: 'Resource', resource: { name: 'memory', target: { type: 'Utilization', averageUtilization: 70 } } },
        ],
      },
    });
    assert.deepEqual(
      scaler.spec.metrics.map(({ resource }: Json) => resource.name),
      ['memory'],
    );
    // What may not change is refused with the text that helm shows.
    const refused = await send(
      'PATCH',
      `/apis/apps/v1/${inside}/statefulsets/shop-db?fieldManager=helm`,
      { spec: { serviceName: 'other' } },
      'application/strategic-merge-patch+json',
    );
    assert.equal(refused.code, 422);
    assert.match(
      refused.body.message,
      /^StatefulSet\.apps "shop-db" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas', .*and 'minReadySeconds' are forbidden$/,
    );
    assert.equal((await get(`/apis/networking.k8s.io/v1/${inside}/networkpolicies/shop`)).metadata.generation, 1);
    await remove(`/apis/networking.k8s.io/v1/${inside}/networkpolicies/shop`);
    await finish(1, 'superseded');
    await finish(2, 'deployed');
  });

  it('rolls back, and puts back what was removed', async () => {
    await begin(3, 'pending-rollback');
    const inside = `namespaces/${NAMESPACE}`;
    const back = await patch(`/apis/apps/v1/${inside}/deployments/shop`, {
      metadata: { labels: { 'helm.sh/chart': null } },
      spec: {
        template: {
          spec: {
            '$setElementOrder/containers': [{ name: 'web' }],
            containers: [
              {
                '$setElementOrder/env': [{ name: 'MODE' }, { name: 'OLD' }],
                env: [
                  { name: 'OLD', value: 'x' },
                  { $patch: 'delete', name: 'NEW' },
                ],
                image: 'shop:1',
                name: 'web',
              },
              { $patch: 'delete', name: 'log' },
            ],
            volumes: null,
          },
        },
      },
    });
    const [first] = chart('shop:1');
    const wanted = chart('shop:1').find(({ object }) => object.kind === 'Deployment')?.object;
    assert.deepEqual(back.spec.template.spec.containers[0].env, wanted.spec.template.spec.containers[0].env);
    assert.equal(back.spec.template.spec.containers.length, 1);
    assert.equal(back.metadata.labels['helm.sh/chart'], undefined);
    assert(first);
    await must(404, 'GET', `${first.path}/shop`);
    await create(first.path, first.object);
    await finish(2, 'superseded');
    await finish(3, 'deployed');
    // The oldest go when there are more than the history keeps.
    await must(200, 'DELETE', `${secrets}/sh.helm.release.v1.shop.v1`);
    const deployed = await get(
      `${secrets}?labelSelector=${encodeURIComponent('name=shop,owner=helm,status=deployed')}`,
    );
    assert.deepEqual(
      deployed.items.map(({ metadata }: Json) => metadata.labels.version),
      ['3'],
    );
  });

  it('uninstalls and waits until all is gone', async () => {
    await finish(3, 'uninstalling');
    for (const { path, object } of chart('shop:1').toReversed()) {
      const one = `${path}/${object.metadata.name}`;
      await remove(one);
      const left = await send('GET', one);
      assert.equal(left.code, 404, one);
      assert.equal(left.body.reason, 'NotFound');
    }
    for (const { metadata } of (await get(history)).items) await must(200, 'DELETE', `${secrets}/${metadata.name}`);
    assert.deepEqual((await get(history)).items, []);
  });
});

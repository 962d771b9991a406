/** What a ResourceQuota counts, and what it refuses. */
import type { Context, Rows, RowTest } from '../framework/context.js';
import { podSpec, podTemplate } from '../api/fixtures.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import type { Resource } from '../framework/resource.js';

const HARD = {
  pods: '5',
  services: '10',
  'services.nodeports': '1',
  'services.loadbalancers': '1',
  replicationcontrollers: '10',
  resourcequotas: '1',
  configmaps: '10',
  secrets: '10',
  cpu: '1',
  memory: '500Mi',
  'requests.ephemeral-storage': '50Gi',
  'requests.example.com/dongle': '3',
  'count/replicasets.apps': '5',
};

const WITHOUT_GRACE = { gracePeriodSeconds: 0 };

/** A quota in a new namespace, and what its status must come to say. */
class Quota {
  private constructor(
    readonly namespace: string,
    private readonly resource: Resource,
    private readonly name: string,
  ) {}

  static async create(t: Context, hard: Json = HARD, namespace?: string, scopes?: string[]): Promise<Quota> {
    t.needsControllers();
    const place = namespace ?? (await t.namespace('quota'));
    const resource = t.core('resourcequotas', place);
    const name = t.unique('quota');
    await resource.create({ metadata: { name }, spec: { hard, ...(scopes ? { scopes } : {}) } });
    const quota = new Quota(place, resource, name);
    await eventually('the status to have the hard limits', async () => {
      const { status } = await resource.get(name);
      includes(status.hard, hard);
      includes(Object.keys(status.used).toSorted(), Object.keys(hard).toSorted());
      return true;
    });
    return quota;
  }

  async used(expected: Json): Promise<void> {
    await eventually(`used ${JSON.stringify(expected)}`, async () => {
      includes((await this.resource.get(this.name)).status.used, expected);
      return true;
    });
  }
}

/** The count of one resource rises by a creation and falls by a deletion. */
const counts =
  (groupVersion: string, plural: string, counted: string, body: Json): RowTest =>
  async (t) => {
    const quota = await Quota.create(t);
    const resource = t.resource(groupVersion, plural, quota.namespace);
    const existing = (await resource.items()).length;
    await quota.used({ [counted]: String(existing) });
    const name = t.unique('counted');
    await resource.create({ metadata: { name }, ...body });
    await quota.used({ [counted]: String(existing + 1) });
    await resource.delete(name, { propagationPolicy: 'Background' });
    await quota.used({ [counted]: String(existing) });
  };

const exceeded = { status: 403, reason: 'Forbidden', message: /exceeded quota/ };

async function services(t: Context): Promise<void> {
  const quota = await Quota.create(t);
  const resource = t.core('services', quota.namespace);
  const service = (name: string, type: string) => ({ metadata: { name }, spec: { type, ports: [{ port: 80 }] } });
  await resource.create(service('cluster', 'ClusterIP'));
  await quota.used({ services: '1', 'services.nodeports': '0' });
  await resource.create(service('node-port', 'NodePort'));
  await quota.used({ services: '2', 'services.nodeports': '1', 'services.loadbalancers': '0' });
  await refused(resource.create(service('balancer', 'LoadBalancer')), exceeded);
  await refused(resource.create(service('second-port', 'NodePort')), exceeded);
  await resource.delete('cluster');
  await resource.delete('node-port');
  await quota.used({ services: '0', 'services.nodeports': '0', 'services.loadbalancers': '0' });
}

function pod(name: string, requests: Json, limits?: Json, more: Json = {}): Json {
  const spec = { ...podSpec(), ...more };
  spec.containers[0].resources = { requests, ...(limits ? { limits } : {}) };
  return { metadata: { name }, spec };
}

async function pods(t: Context): Promise<void> {
  const quota = await Quota.create(t);
  const resource = t.core('pods', quota.namespace);
  const dongle = 'example.com/dongle';
  const requests = { cpu: '500m', memory: '252Mi', 'ephemeral-storage': '30Gi', [dongle]: '2' };
  await resource.create(pod('fits', requests, { [dongle]: '2' }));
  const used = {
    pods: '1',
    cpu: '500m',
    memory: '252Mi',
    'requests.ephemeral-storage': '30Gi',
    'requests.example.com/dongle': '2',
  };
  await quota.used(used);
  const small = { memory: '100Mi', 'ephemeral-storage': '1Gi' };
  await refused(resource.create(pod('too-much-cpu', { ...small, cpu: '600m' })), exceeded);
  const dongles = pod('too-many-dongles', { ...small, cpu: '100m', [dongle]: '2' }, { [dongle]: '2' });
  await refused(resource.create(dongles), exceeded);
  await refused(
    resource.update('fits', ({ spec }) => (spec.containers[0].resources.requests.cpu = '100m')),
    { status: 422, reason: 'Invalid' },
  );
  await quota.used(used);
  await resource.delete('fits', WITHOUT_GRACE);
  await quota.used({
    pods: '0',
    cpu: '0',
    memory: '0',
    'requests.ephemeral-storage': '0',
    'requests.example.com/dongle': '0',
  });
}

/** Two quotas of opposite scopes: each pod is counted by one of them. */
const scopes =
  (scope: string, opposite: string, hard: Json, inScope: () => Json, outOfScope: () => Json): RowTest =>
  async (t) => {
    const one = await Quota.create(t, hard, undefined, [scope]);
    const other = await Quota.create(t, hard, one.namespace, [opposite]);
    const resource = t.core('pods', one.namespace);
    for (const [make, counting, blind] of [
      [inScope, one, other],
      [outOfScope, other, one],
    ] as const) {
      const object = make();
      await resource.create(object);
      await counting.used({ pods: '1' });
      await blind.used({ pods: '0' });
      await resource.delete(object.metadata.name, WITHOUT_GRACE);
      await counting.used({ pods: '0' });
    }
  };

const SMALL = { cpu: '100m', memory: '50Mi' };

async function status(t: Context): Promise<void> {
  const namespace = await t.namespace('quota');
  t.needsControllers();
  const resource = t.core('resourcequotas', namespace);
  const name = t.unique('quota');
  const hard = { cpu: '500m', memory: '500Mi' };
  await resource.create({ metadata: { name }, spec: { hard } });
  const settled = () =>
    eventually('the controller to set the status', async () => {
      includes((await resource.get(name)).status.hard, hard);
      return true;
    });
  await settled();
  const doubled = { cpu: '1', memory: '1Gi' };
  const updated = await resource.update(name, (quota) => (quota.status.hard = doubled), 'status');
  includes(updated, { spec: { hard }, status: { hard: doubled } });
  await settled();
  const patched = await resource.patch(name, { status: { hard: doubled } }, 'merge', 'status');
  includes(patched, { spec: { hard }, status: { hard: doubled } });
  await settled();
}

/** Too few pods allowed: the ReplicationController says so, and no longer once it wants no more. */
async function replicaFailure(t: Context): Promise<void> {
  const { namespace } = await Quota.create(t, { pods: '2' });
  const resource = t.core('replicationcontrollers', namespace);
  const name = 'condition-test';
  await resource.create({
    metadata: { name },
    spec: { replicas: 3, selector: { name }, template: { ...podTemplate(name), metadata: { labels: { name } } } },
  });
  const failing = async () =>
    ((await resource.get(name)).status.conditions ?? []).some(
      ({ type, status: value }: Json) => type === 'ReplicaFailure' && value === 'True',
    );
  await eventually('the condition ReplicaFailure', failing);
  await resource.update(name, ({ spec }) => (spec.replicas = 2));
  await eventually('ReplicaFailure to be gone', async () => !(await failing()));
}

export const rows: Rows = {
  'quota-prompt-status': async (t) => {
    const quota = await Quota.create(t);
    await quota.used({ resourcequotas: '1', pods: '0' });
  },
  'quota-configmap': counts('v1', 'configmaps', 'configmaps', { data: { a: 'b' } }),
  'quota-secret': counts('v1', 'secrets', 'secrets', { data: { a: 'Yg==' } }),
  'quota-replicaset': counts('apps/v1', 'replicasets', 'count/replicasets.apps', {
    spec: { replicas: 0, selector: { matchLabels: { app: 'a' } }, template: podTemplate('a') },
  }),
  'quota-rc': counts('v1', 'replicationcontrollers', 'replicationcontrollers', {
    spec: { replicas: 0, selector: { app: 'a' }, template: podTemplate('a') },
  }),
  'quota-service': services,
  'quota-pod': pods,
  'quota-scope-besteffort': scopes(
    'BestEffort',
    'NotBestEffort',
    { pods: '5' },
    () => pod('best-effort', {}),
    () => pod('burstable', SMALL, SMALL),
  ),
  'quota-scope-terminating': scopes(
    'Terminating',
    'NotTerminating',
    { pods: '5', 'requests.cpu': '1', 'requests.memory': '500Mi', 'limits.cpu': '2', 'limits.memory': '1Gi' },
    () => pod('terminating', SMALL, SMALL, { activeDeadlineSeconds: 3600 }),
    () => pod('long-running', SMALL, SMALL),
  ),
  'quota-status': status,
  'rc-quota-failure': replicaFailure,
};

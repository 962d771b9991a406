/** Namespaces, Services and Pods, as far as nothing has to run. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import { podSpec } from './fixtures.js';

async function namespaceStatus(t: Context): Promise<void> {
  const name = await t.namespace();
  const namespaces = t.core('namespaces');
  assert.equal((await namespaces.get(name, 'status')).status.phase, 'Active');
  const condition = (type: string) => ({ type, status: 'False', reason: 'Conformance', message: `${type} by a test` });
  const conditions = [condition('StatusPatch')];
  const patched = await namespaces.patch(name, { status: { conditions } }, 'merge', 'status');
  includes(patched.status, { phase: 'Active', conditions });
  const updated = await namespaces.update(
    name,
    ({ status }) => status.conditions.push(condition('StatusUpdate')),
    'status',
  );
  includes(updated.status.conditions, [condition('StatusPatch'), condition('StatusUpdate')]);
}

/** The load balancer's address, through the status alone, and as a watch sees it. */
async function serviceStatus(t: Context): Promise<void> {
  const services = t.core('services', await t.namespace());
  const name = t.unique('service');
  const watch = await services.watch();
  t.cleanup(() => Promise.resolve(watch.close()));
  const ports = [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 80 }];
  const service = { metadata: { name, labels: { static: 'true' } }, spec: { type: 'LoadBalancer', ports } };
  await services.create(service);
  await watch.type('ADDED', name);
  assert.deepEqual((await services.get(name, 'status')).status, { loadBalancer: {} });
  const ingress = [{ ip: '203.0.113.1' }];
  const annotations = { patchedstatus: 'true' };
  const patch = { metadata: { annotations }, status: { loadBalancer: { ingress } } };
  includes(await services.patch(name, patch, 'merge', 'status'), patch);
  await watch.until('the address', ({ object }) => object.status?.loadBalancer?.ingress?.[0]?.ip === '203.0.113.1');
  const condition = { type: 'StatusUpdate', status: 'True', reason: 'Conformance', message: 'set by a test' };
  await services.update(name, ({ status }) => (status.conditions = [condition]), 'status');
  await watch.until('the condition', ({ object }) => object.status?.conditions?.[0]?.type === 'StatusUpdate');
  const labelled = await services.patch(name, { metadata: { labels: { service: 'patched' } }, status: null });
  includes(labelled, { metadata: { labels: { service: 'patched' } }, status: { loadBalancer: { ingress } } });
  await services.delete(name);
  await watch.type('DELETED', name);
}

async function serviceCollection(t: Context): Promise<void> {
  const services = t.core('services', await t.namespace());
  const run = t.unique('run');
  for (const [name, label] of [
    ['one', run],
    ['two', run],
    ['three', 'another'],
  ] as const) {
    await services.create({ metadata: { name, labels: { run: label } }, spec: { ports: [{ port: 80 }] } });
  }
  assert.equal((await services.items()).length, 3);
  await services.deleteCollection(`run=${run}`);
  await eventually('one Service to be left', async () => (await services.names()).join() === 'three');
}

async function qos(t: Context): Promise<void> {
  const pods = t.core('pods', await t.namespace());
  const resources: [Json, string][] = [
    [{ requests: { cpu: '100m', memory: '100Mi' }, limits: { cpu: '100m', memory: '100Mi' } }, 'Guaranteed'],
    [{ limits: { cpu: '100m', memory: '100Mi' } }, 'Guaranteed'],
    [{ requests: { cpu: '100m' } }, 'Burstable'],
    [{}, 'BestEffort'],
  ];
  for (const [wanted, expected] of resources) {
    const name = t.unique('qos');
    const spec = podSpec();
    spec.containers[0].resources = wanted;
    await pods.create({ metadata: { name }, spec });
    t.cleanup(() => pods.delete(name));
    assert.equal((await pods.get(name)).status.qosClass, expected);
  }
}

async function badSysctls(t: Context): Promise<void> {
  const pods = t.core('pods', await t.namespace());
  const bad = ['foo-', 'bar..', 'kernel.shm_rmid_forced/', '', '.', 'a.-b'];
  for (const name of bad) {
    const sysctls = [
      { name: 'kernel.shmmax', value: '100000000' },
      { name, value: '1' },
    ];
    const pod = { metadata: { name: t.unique('sysctl') }, spec: { ...podSpec(), securityContext: { sysctls } } };
    const { details } = await refused(pods.create(pod), { status: 422, reason: 'Invalid' });
    assert.equal(details.causes[0].field, 'spec.securityContext.sysctls[1].name', `sysctl '${name}'`);
  }
}

export const rows: Rows = {
  'ns-update': async (t) => {
    const name = await t.namespace();
    const namespaces = t.core('namespaces');
    await namespaces.update(name, ({ metadata }) => (metadata.labels.updated = 'yes'));
    assert.equal((await namespaces.get(name)).metadata.labels.updated, 'yes');
  },
  'ns-patch': async (t) => {
    const name = await t.namespace();
    const namespaces = t.core('namespaces');
    await namespaces.patch(name, { metadata: { labels: { patched: 'yes' } } }, 'strategic');
    const { labels } = (await namespaces.get(name)).metadata;
    includes(labels, { patched: 'yes', 'kubernetes.io/metadata.name': name });
  },
  'ns-status': namespaceStatus,
  'svc-status': serviceStatus,
  'svc-collection': serviceCollection,
  'pod-qos': qos,
  'sysctl-reject': badSysctls,
};

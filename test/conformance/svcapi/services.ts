/** Services and their endpoints, as objects. */
import assert from 'node:assert/strict';
import { NotRun, type Context, type Rows } from '../framework/context.js';
import { eventually, includes } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

const ofService = (name: string) => `kubernetes.io/service-name=${name}`;

const slices = (t: Context, namespace: string) => t.resource('discovery.k8s.io/v1', 'endpointslices', namespace);

async function apiServers(t: Context): Promise<void> {
  t.needsControllers();
  if (t.isLoopback) throw new NotRun('API servers at loopback addresses have no endpoints');
  const { subsets } = await t.core('endpoints', 'default').get('kubernetes');
  const sorted = (addresses: string[]) => [...new Set(addresses)].toSorted((a, b) => a.localeCompare(b));
  const addresses = sorted(subsets.flatMap((subset: Json) => subset.addresses.map(({ ip }: Json) => ip)));
  assert.ok(addresses.length > 0, 'Endpoints kubernetes has no addresses');
  assert.ok(subsets.every(({ ports }: Json) => ports.some(({ name }: Json) => name === 'https')));
  const items = await slices(t, 'default').items(ofService('kubernetes'));
  assert.ok(items.length > 0, 'no EndpointSlice of kubernetes');
  const inSlices = items.flatMap(({ endpoints }: Json) => endpoints.flatMap((endpoint: Json) => endpoint.addresses));
  assert.deepEqual(sorted(inSlices), addresses);
}

/** A Service that selects nothing still gets its objects, and they go with it. */
async function emptyService(t: Context, groupVersion: string, plural: string, isEmpty: (object: Json) => boolean) {
  t.needsControllers();
  const namespace = await t.namespace('svcapi');
  const services = t.core('services', namespace);
  const name = t.unique('empty');
  await services.create({
    metadata: { name },
    spec: { selector: { 'does-not-match': 'any' }, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  });
  const resource = t.resource(groupVersion, plural, namespace);
  const mine = async () =>
    (await resource.items()).filter(
      ({ metadata }: Json) => metadata.name === name || metadata.labels?.['kubernetes.io/service-name'] === name,
    );
  await eventually(`${plural} of ${name}`, async () => {
    const objects = await mine();
    return objects.length === 1 && objects.every(isEmpty);
  });
  await services.delete(name);
  await eventually(`${plural} of ${name} to be gone`, async () => (await mine()).length === 0, 60_000);
}

async function mirroring(t: Context): Promise<void> {
  t.needsControllers();
  const namespace = await t.namespace('svcapi');
  const name = 'example-custom-endpoints';
  await t.core('services', namespace).create({
    metadata: { name },
    spec: { ports: [{ name: 'example', port: 80, protocol: 'TCP' }] },
  });
  const endpoints = t.core('endpoints', namespace);
  const subset = (ip: string) => [{ ports: [{ name: 'example', port: 80, protocol: 'TCP' }], addresses: [{ ip }] }];
  await endpoints.create({ metadata: { name }, subsets: subset('10.1.2.3') });
  const mirrors = async (ip: string) => {
    const items = await slices(t, namespace).items(ofService(name));
    if (items.length !== 1) return false;
    includes(items[0], {
      metadata: { labels: { 'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io' } },
      addressType: 'IPv4',
      ports: [{ name: 'example', port: 80, protocol: 'TCP' }],
      endpoints: [{ addresses: [ip] }],
    });
    return true;
  };
  await eventually('the slice', () => mirrors('10.1.2.3'));
  await endpoints.update(name, (object) => (object.subsets = subset('10.2.3.4')));
  await eventually('the slice to follow', () => mirrors('10.2.3.4'));
  await endpoints.delete(name);
  await eventually('the slice to go', async () => (await slices(t, namespace).items(ofService(name))).length === 0);
}

export const rows: Rows = {
  'apiserver-endpoints': apiServers,
  'apiserver-service': async (t) => {
    t.needsControllers();
    const { spec } = await t.core('services', 'default').get('kubernetes');
    assert.ok(spec.ports.some(({ name, port }: Json) => name === 'https' && port === 443));
  },
  'svc-find': async (t) => {
    t.needsControllers();
    const items = await t.core('services').items();
    assert.ok(items.some(({ metadata }) => metadata.namespace === 'default' && metadata.name === 'kubernetes'));
  },
  'eps-empty': (t) =>
    emptyService(t, 'discovery.k8s.io/v1', 'endpointslices', ({ endpoints, metadata }) => {
      assert.equal(metadata.labels['endpointslice.kubernetes.io/managed-by'], 'endpointslice-controller.k8s.io');
      return (endpoints ?? []).length === 0;
    }),
  'endpoints-empty': (t) => emptyService(t, 'v1', 'endpoints', ({ subsets }) => (subsets ?? []).length === 0),
  'eps-mirroring': mirroring,
};

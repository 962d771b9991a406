/**
 * A group that another API server answers for. (Kubernetes' own test runs its sample-apiserver in a pod; this one runs in the
 * test's process, and stands behind a Service by a hand-made EndpointSlice.)
 */
import assert from 'node:assert/strict';
import {
  API_VERSION,
  ExtensionServer,
  GROUP,
  OWN_ADDRESS,
  VERSION,
} from '../../integration/apiserver/extension-server.js';
import { NotRun, type Context, type Rows } from '../framework/context.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import { aggregated, resourcesOf } from '../api/discovery.js';

const NAME = `${VERSION}.${GROUP}`;
const AUTHENTICATION = 'extension-apiserver-authentication';
const AVAILABLE_MS = 60_000;

const condition = (api: Json, type: string): Json =>
  (api.status?.conditions ?? []).find((each: Json) => each.type === type);

/** A sample server that the cluster sends the group's requests to. */
async function register(t: Context): Promise<{ namespace: string; server: ExtensionServer }> {
  t.needsControllers();
  const namespace = await t.namespace('aggregator');
  const published = await eventually('the front proxy to be published', async () => {
    const configMaps = t.core('configmaps', 'kube-system');
    return (await configMaps.exists(AUTHENTICATION)) && configMaps.get(AUTHENTICATION);
  });
  const frontProxyCa: string = published.data['requestheader-client-ca-file'];
  const server = await ExtensionServer.open({ namespace, name: 'sample-api' }, frontProxyCa);
  t.cleanup(() => {
    server.close();
    return Promise.resolve();
  });
  const { service, slice, apiService } = server.registration(namespace, 'sample-api');
  await t.core('services', namespace).create(service);
  await t.resource('discovery.k8s.io/v1', 'endpointslices', namespace).create(slice);
  const apis = t.resource('apiregistration.k8s.io/v1', 'apiservices');
  await apis.create({ ...apiService, metadata: { ...apiService.metadata, labels: { run: namespace } } });
  t.cleanup(() => apis.delete(NAME));
  const last = await eventually(
    'the APIService to be available',
    async () => {
      const found = condition(await apis.get(NAME), 'Available');
      return (found?.status === 'True' || found?.reason === 'FailedDiscoveryCheck') && found;
    },
    AVAILABLE_MS,
  );
  if (last.status !== 'True' && server.seen.length === 0) {
    throw new NotRun(`the cluster does not reach this machine at ${OWN_ADDRESS}: ${last.message}`);
  }
  await eventually(
    'the server to have answered',
    async () => condition(await apis.get(NAME), 'Available').reason === 'Passed',
    AVAILABLE_MS,
  );
  return { namespace, server };
}

async function sampleApiServer(t: Context): Promise<void> {
  const { namespace, server } = await register(t);
  const flunders = t.resource(API_VERSION, 'flunders', namespace);
  for (const peer of t.api.eachPeer) {
    const { status, text } = await peer.send('GET', flunders.path());
    assert.equal(status, 200, text);
    await eventually('the group in discovery', async () =>
      resourcesOf(await aggregated({ api: peer }, '/apis')).includes(`${API_VERSION}/flunders`),
    );
  }
  const watch = await flunders.watch();
  const name = t.unique('flunder');
  const made = await flunders.create({ apiVersion: API_VERSION, kind: 'Flunder', metadata: { name } });
  includes(made, { kind: 'Flunder', metadata: { name, namespace } });
  await watch.type('ADDED', name);
  await flunders.update(name, (object) => (object.spec = { reference: 'other' }));
  assert.equal((await flunders.get(name)).spec.reference, 'other');
  assert.deepEqual(await flunders.names(), [name]);
  assert.match(await t.kubectlOk(['get', 'flunders', '-n', namespace, '-o', 'name']), new RegExp(name));
  await flunders.delete(name);
  assert.deepEqual(await flunders.names(), []);
  await refused(flunders.get(name), { status: 404, reason: 'NotFound' });
  watch.close();
  assert.ok(server.seen.every(({ headers }) => headers['x-remote-user'] !== undefined));
  await statusOf(t, namespace);
}

/** The APIService's own life (added to the row in v1.27). */
async function statusOf(t: Context, namespace: string): Promise<void> {
  const apis = t.resource('apiregistration.k8s.io/v1', 'apiservices');
  includes(await apis.get(NAME, 'status'), { metadata: { name: NAME } });
  await apis.patch(NAME, { spec: { versionPriority: 400 } });
  assert.equal((await apis.get(NAME)).spec.versionPriority, 400);
  const updated = await apis.update(
    NAME,
    ({ status }) =>
      status.conditions.push({ type: 'StatusUpdated', status: 'True', reason: 'E2E', message: 'Set from a test' }),
    'status',
  );
  assert.equal(condition(updated, 'StatusUpdated').reason, 'E2E');
  await apis.patch(NAME, { status: { conditions: [{ type: 'StatusPatched', status: 'True' }] } }, 'merge', 'status');
  assert.deepEqual(await apis.names(`run=${namespace}`), [NAME]);
  await apis.deleteCollection(`run=${namespace}`);
  await eventually('the APIService to be gone', async () => !(await apis.exists(NAME)));
  for (const peer of t.api.eachPeer) {
    await eventually(
      'its paths to be gone',
      async () => (await peer.send('GET', `/apis/${API_VERSION}/flunders`)).status === 404,
    );
  }
}

export const rows: Rows = { 'aggregator-sample-apiserver': sampleApiServer };

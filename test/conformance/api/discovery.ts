/** Discovery in both forms, the server's version, and the table nobody can make. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { discovers } from '../framework/discovery.js';
import { refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

export const AGGREGATED =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;' +
  'as=APIGroupDiscoveryList,application/json';

/** A resource of each group that every server has. */
const KNOWN: Readonly<Record<string, string>> = {
  'admissionregistration.k8s.io/v1': 'validatingwebhookconfigurations',
  'apiextensions.k8s.io/v1': 'customresourcedefinitions',
  'apiregistration.k8s.io/v1': 'apiservices',
  'apps/v1': 'deployments',
  'authentication.k8s.io/v1': 'tokenreviews',
  'authorization.k8s.io/v1': 'selfsubjectaccessreviews',
  'autoscaling/v1': 'horizontalpodautoscalers',
  'autoscaling/v2': 'horizontalpodautoscalers',
  'batch/v1': 'jobs',
  'certificates.k8s.io/v1': 'certificatesigningrequests',
  'coordination.k8s.io/v1': 'leases',
  'discovery.k8s.io/v1': 'endpointslices',
  'events.k8s.io/v1': 'events',
  'flowcontrol.apiserver.k8s.io/v1': 'flowschemas',
  'networking.k8s.io/v1': 'ingresses',
  'node.k8s.io/v1': 'runtimeclasses',
  'policy/v1': 'poddisruptionbudgets',
  'rbac.authorization.k8s.io/v1': 'roles',
  'scheduling.k8s.io/v1': 'priorityclasses',
  'storage.k8s.io/v1': 'csinodes',
};

const CORE = ['configmaps', 'namespaces', 'nodes', 'pods', 'pods/log', 'secrets', 'services', 'services/status'];

const GROUPS = new Set(Object.keys(KNOWN).map((groupVersion) => groupVersion.split('/')[0]));

/** Groups of definitions come and go while other rows run. */
const isBuiltIn = (group: string) => GROUPS.has(group);

/** `group/version/resource` of everything in an aggregated document. */
export const resourcesOf = (document: Json): string[] =>
  document.items.flatMap(({ metadata, versions }: Json) =>
    versions.flatMap(({ version, resources }: Json) =>
      resources.map(({ resource }: Json) => [metadata?.name, version, resource].filter(Boolean).join('/')),
    ),
  );

/** The aggregated document of /api or /apis, and that it is one. */
export async function aggregated(t: Pick<Context, 'api'>, path: string): Promise<Json> {
  const answer = await t.api.send('GET', path, { accept: AGGREGATED });
  assert.equal(answer.status, 200, answer.text);
  const type = answer.headers['content-type'] ?? '';
  assert.match(type, /application\/json/);
  assert.match(type, /g=apidiscovery\.k8s\.io;v=v2;as=APIGroupDiscoveryList/);
  assert.equal(answer.body.kind, 'APIGroupDiscoveryList');
  assert.equal(answer.body.apiVersion, 'apidiscovery.k8s.io/v2');
  return answer.body;
}

async function allBuiltIns(t: Context): Promise<void> {
  const groups = resourcesOf(await aggregated(t, '/apis'));
  for (const [groupVersion, resource] of Object.entries(KNOWN)) {
    assert.ok(groups.includes(`${groupVersion}/${resource}`), `no ${groupVersion}/${resource}`);
  }
  const core = resourcesOf(await aggregated(t, '/api'));
  for (const resource of CORE.filter((name) => !name.includes('/')))
    assert.ok(core.includes(`v1/${resource}`), resource);
}

/** What a client of the aggregated form needs of each entry, and that the old form says the same. */
async function interfaceOfAggregated(t: Context): Promise<void> {
  await allBuiltIns(t);
  const { items } = await aggregated(t, '/apis');
  const { groups } = await t.api.get('/apis');
  const names = groups.map(({ name }: Json) => name).filter(isBuiltIn);
  const builtIn = items.filter(({ metadata }: Json) => isBuiltIn(metadata.name));
  assert.deepEqual(builtIn.map(({ metadata }: Json) => metadata.name).toSorted(), names.toSorted());
  for (const { metadata, versions } of builtIn) {
    for (const { version, resources } of versions) {
      for (const { resource, responseKind, scope, singularResource, verbs } of resources) {
        const where = `${metadata.name}/${version}/${resource}`;
        assert.ok(responseKind.kind, `${where}: responseKind`);
        assert.match(scope, /^(Cluster|Namespaced)$/, where);
        assert.ok(singularResource, `${where}: singularResource`);
        assert.ok(verbs.length > 0, `${where}: verbs`);
      }
    }
  }
}

async function everyGroup(t: Context): Promise<void> {
  await discovers(t.api, 'v1', CORE);
  const { groups } = await t.api.get('/apis');
  for (const { name, versions } of groups) {
    for (const { groupVersion } of isBuiltIn(name) ? versions : []) {
      const document = await t.api.get(`/apis/${groupVersion}`);
      assert.equal(document.kind, 'APIResourceList');
      assert.equal(document.groupVersion, groupVersion);
    }
  }
  for (const [groupVersion, resource] of Object.entries(KNOWN)) await discovers(t.api, groupVersion, [resource]);
}

async function preferredVersions(t: Context): Promise<void> {
  const { groups, kind } = await t.api.get('/apis');
  assert.equal(kind, 'APIGroupList');
  assert.ok(groups.length > 0);
  for (const { name, preferredVersion } of groups.filter((group: Json) => isBuiltIn(group.name))) {
    const group = await t.api.get(`/apis/${name}`);
    assert.equal(group.kind, 'APIGroup');
    assert.equal(group.name, name);
    assert.deepEqual(group.preferredVersion, preferredVersion);
    assert.ok(
      group.versions.some(({ groupVersion }: Json) => groupVersion === preferredVersion.groupVersion),
      `${name}: ${preferredVersion.groupVersion} is not among its versions`,
    );
  }
}

async function tableOfNothing(t: Context): Promise<void> {
  const namespace = await t.namespace();
  const review = { spec: { nonResourceAttributes: { path: '/', verb: 'get' } } };
  const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  await refused(t.api.call('POST', path, { body: review, accept }), { status: 406, reason: 'NotAcceptable' });
  // Where a table can be made, it is.
  const table = await t.api.get(`/api/v1/namespaces/${namespace}/configmaps`, { accept });
  assert.equal(table.kind, 'Table');
}

export const rows: Rows = {
  'discovery-groupversion': everyGroup,
  'discovery-preferred': preferredVersions,
  'aggdisc-interface': interfaceOfAggregated,
  'aggdisc-accept': allBuiltIns,
  'table-406': tableOfNothing,
  'webhook-discovery': (t) =>
    discovers(t.api, 'admissionregistration.k8s.io/v1', [
      'mutatingwebhookconfigurations',
      'validatingwebhookconfigurations',
    ]),
  'server-version': async (t) => {
    const { major, minor, gitVersion } = await t.api.get('/version');
    assert.match(major, /^\d+$/);
    assert.match(minor, /^\d+\+?$/);
    assert.match(gitVersion, /^v\d+\.\d+\.\d+/);
  },
};

import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/log.js';
import { noMetrics } from '../../../src/base/metrics.js';
import { systemRandom } from '../../../src/base/random.js';
import { ApiError } from '../../../src/api/errors.js';
import type { KubeObject } from '../../../src/api/object.js';
import { CONFIGMAPS, ENDPOINTSLICES, NAMESPACES, PODS, type ResourceRef } from '../../../src/api/resource.js';
import type { Pod } from '../../../src/api/types/core-v1.js';
import { KindRegistry } from '../../../src/api/schema/registry.js';
import { InProcessClient } from '../../../src/control/apiserver/client.js';
import { createApiPipeline, createWritePipeline, type ApiPipeline } from '../../../src/control/apiserver/pipeline.js';
import { connectSubject } from '../../../src/control/apiserver/webhooks/connection.js';
import { ClusterCa } from '../../../src/security/ca/authority.js';
import type { ObjectStore, WriteReply } from '../../../src/store/object-store.js';
import { MemoryStore } from '../../../src/testing/memory-store.js';

type Json = Record<string, unknown>;
interface Review extends Json {
  readonly uid: string;
  readonly operation: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly object: KubeObject | null;
  readonly oldObject: KubeObject | null;
}
/** The response's fields; `raw` is answered as it is. */
type Answer = Json | { readonly raw: string } | Promise<Json>;

const GROUP = 'admissionregistration.k8s.io';
const resource = (name: string, kind: string): ResourceRef => ({
  group: GROUP,
  version: 'v1',
  resource: name,
  kind,
  namespaced: false,
});
const MUTATING = resource('mutatingwebhookconfigurations', 'MutatingWebhookConfiguration');
const VALIDATING = resource('validatingwebhookconfigurations', 'ValidatingWebhookConfiguration');
const POLICIES = resource('validatingadmissionpolicies', 'ValidatingAdmissionPolicy');
const BINDINGS = resource('validatingadmissionpolicybindings', 'ValidatingAdmissionPolicyBinding');
const DEPLOYMENTS: ResourceRef = {
  group: 'apps',
  version: 'v1',
  resource: 'deployments',
  kind: 'Deployment',
  namespaced: true,
};

/** Slices may not name loopback addresses. */
const ownAddress = (): string => {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? assert.fail('no address');
};

const patch = (...operations: Json[]) => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

const configMap = (name: string, data: Record<string, string> = {}): KubeObject =>
  ({ metadata: { name, namespace: 'default' }, data }) as KubeObject;

const container = { name: 'c', image: 'busybox' };
const pod = (name: string): KubeObject => ({
  metadata: { name, namespace: 'default' },
  spec: { containers: [container] },
});

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error;
  }
  return assert.fail('it was accepted');
}

describe('admission webhooks and policies', function () {
  this.timeout(20_000);
  let ca: ClusterCa;
  let server: Server;
  let port: number;
  let caBundle: string;
  let store: MemoryStore;
  let staged: ObjectStore;
  let pipeline: ApiPipeline;
  let client: InProcessClient;
  /** By path. */
  const handlers = new Map<string, (request: Review, body: Json) => Answer>();
  const seen: { path: string; request: Review }[] = [];
  let connections = 0;

  before(async () => {
    ca = await ClusterCa.create({ clock: systemClock, random: systemRandom }, 'hooks');
    caBundle = Buffer.from(ca.certPem).toString('base64');
    const serving = await ca.issueServing({ nodeName: 'hook.default.svc', addresses: ['127.0.0.1'] });
    server = createServer({ key: serving.keyPem, cert: serving.certPem }, (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        void (async () => {
          const body = JSON.parse(Buffer.concat(parts).toString()) as Json;
          const review = body['request'] as Review;
          const path = (request.url ?? '').split('?')[0] ?? '';
          seen.push({ path, request: review });
          const handler = handlers.get(path);
          if (!handler) return void response.writeHead(404).end();
          const answer = await handler(review, body);
          if ('raw' in answer) return void response.end(answer['raw']);
          const whole = {
            kind: 'AdmissionReview',
            apiVersion: body['apiVersion'],
            response: { uid: review.uid, ...answer },
          };
          response.setHeader('Content-Type', 'application/json');
          response.end(JSON.stringify(whole));
        })();
      });
    });
    server.on('secureConnection', () => connections++);
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
    port = (server.address() as AddressInfo).port;
  });

  after(() => {
    server.closeAllConnections();
    server.close();
  });

  beforeEach(async () => {
    handlers.clear();
    seen.length = 0;
    const registry = KindRegistry.load();
    const writes = createWritePipeline({ registry, random: systemRandom });
    store = new MemoryStore({ clock: systemClock, executor: writes.executor });
    pipeline = createApiPipeline({
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
      metrics: noMetrics,
      registry,
      store,
      writes,
      clusterSecret: systemRandom.bytes(32),
    });
    await pipeline.followers.start();
    staged = pipeline.server.store;
    ({ client } = pipeline);
    await client.create(NAMESPACES, { metadata: { name: 'default', labels: { checked: 'yes' } } });
    await client.create(NAMESPACES, { metadata: { name: 'exempt' } });
  });

  afterEach(async () => {
    await pipeline.followers.stop();
  });

  const hook = (path: string, more: Json = {}): Json => ({
    name: `${path.slice(1)}.example.com`,
    clientConfig: { url: `https://127.0.0.1:${port}${path}`, caBundle },
    rules: [{ operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps', 'pods'] }],
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    ...more,
  });
  const mutating = (name: string, ...hooks: Json[]) => client.create(MUTATING, { metadata: { name }, webhooks: hooks });
  const validating = (name: string, ...hooks: Json[]) =>
    client.create(VALIDATING, { metadata: { name }, webhooks: hooks });

  it('changes objects in order, so that a later webhook sees what an earlier one added', async () => {
    handlers.set('/one', () => patch({ op: 'add', path: '/data/one', value: 'yes' }));
    handlers.set('/two', ({ object }) => {
      const { data } = object as KubeObject & { data: Record<string, string> };
      return data['one'] === 'yes' ? patch({ op: 'add', path: '/data/two', value: 'yes' }) : { allowed: true };
    });
    await mutating('a', hook('/one'));
    await mutating('b', hook('/two'));
    const made = await client.create(CONFIGMAPS, configMap('x', { start: 'yes' }));
    assert.deepEqual(made['data' as keyof KubeObject], { start: 'yes', one: 'yes', two: 'yes' });
    assert.equal(made.metadata.uid?.length, 36);
  });

  it('shows validating webhooks the mutated and stored state, and mutating ones the state before', async () => {
    handlers.set('/mutate', () => patch({ op: 'add', path: '/data', value: { added: 'yes' } }));
    handlers.set('/validate', () => ({ allowed: true, warnings: ['take care'] }));
    await mutating('m', hook('/mutate'));
    await validating('v', hook('/validate'));
    const made = await client.create(CONFIGMAPS, {
      metadata: { generateName: 'x-', namespace: 'default' },
    } as KubeObject);
    const [first, second] = seen;
    assert.equal(first?.request.name, undefined);
    assert.equal(first?.request.object?.metadata.uid, undefined);
    assert.equal(second?.request.object?.metadata.uid, made.metadata.uid);
    assert.equal(second?.request.name, made.metadata.name);
    assert.deepEqual(second?.request.object?.['data' as keyof KubeObject], { added: 'yes' });
  });

  it('applies defaults to what a webhook adds to a pod, made by a component in this process', async () => {
    handlers.set('/init', () =>
      patch({ op: 'add', path: '/spec/initContainers', value: [{ name: 'i', image: 'busybox' }] }),
    );
    await mutating('m', hook('/init'));
    const made = (await client.create(PODS, pod('p'))) as KubeObject & { spec: { initContainers: Json[] } };
    assert.equal(made.spec.initContainers[0]?.['terminationMessagePolicy'], 'File');
  });

  it('settles what the server says of an object after the webhooks have changed it', async () => {
    const resources = { limits: { cpu: '1', memory: '1Mi' }, requests: { cpu: '1', memory: '1Mi' } };
    handlers.set('/size', () =>
      patch(
        { op: 'add', path: '/spec/containers/0/resources', value: resources },
        { op: 'add', path: '/status/message', value: 'hooked' },
      ),
    );
    await mutating('m', hook('/size'));
    const made = (await client.create(PODS, pod('p'))) as KubeObject & { status: Json };
    assert.deepEqual(made.status, { phase: 'Pending', qosClass: 'Guaranteed' });
  });

  it('counts what a webhook changes in an update as a change of what is asked for', async () => {
    const labels = { app: 'd' };
    const template = { metadata: { labels }, spec: { containers: [container] } };
    const made = (await client.create(DEPLOYMENTS, {
      metadata: { name: 'd', namespace: 'default' },
      spec: { selector: { matchLabels: labels }, template },
    } as KubeObject)) as KubeObject & { status: Json };
    handlers.set('/more', () =>
      patch(
        { op: 'add', path: '/spec/template/spec/containers/0/env', value: [{ name: 'A', value: 'b' }] },
        { op: 'add', path: '/status', value: { replicas: 7 } },
      ),
    );
    const rules = [{ operations: ['UPDATE'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments'] }];
    await mutating('m', hook('/more', { rules }));
    const changed = (await client.patch(DEPLOYMENTS, 'default', 'd', 'merge', {
      metadata: { labels: { more: 'yes' } },
    })) as KubeObject & { status: Json };
    assert.equal(changed.metadata.generation, 2);
    assert.equal(changed.metadata.uid, made.metadata.uid);
    assert.deepEqual(changed.status, made.status);
  });

  it('refuses with the message, code and reason of the webhook', async () => {
    handlers.set('/deny', () => ({ allowed: false, status: { message: 'no way', code: 403, reason: 'Forbidden' } }));
    await validating('v', hook('/deny'));
    const error = await failure(client.create(CONFIGMAPS, configMap('x')));
    assert.equal(error.message, 'admission webhook "deny.example.com" denied the request: no way');
    assert.equal(error.code, 403);
    handlers.set('/deny', () => ({ allowed: false }));
    const silent = await failure(client.create(CONFIGMAPS, configMap('x')));
    assert.equal(silent.message, 'admission webhook "deny.example.com" denied the request without explanation');
    assert.equal(silent.code, 400);
  });

  it('asks about updates, patches and deletions with the old object', async () => {
    await client.create(CONFIGMAPS, configMap('x', { a: '1' }));
    handlers.set('/v', ({ object }) => ({ allowed: (object as { data?: Json } | null)?.data?.['a'] !== 'bad' }));
    await validating('v', hook('/v'));
    await failure(client.update(CONFIGMAPS, configMap('x', { a: 'bad' })));
    await failure(client.patch(CONFIGMAPS, 'default', 'x', 'merge', { data: { a: 'bad' } }));
    await client.patch(CONFIGMAPS, 'default', 'x', 'merge', { data: { a: 'good' } });
    handlers.set('/v', ({ operation }) => ({ allowed: operation !== 'DELETE' }));
    await failure(client.delete(CONFIGMAPS, 'default', 'x'));
    const last = seen.at(-1)?.request;
    assert.equal(last?.operation, 'DELETE');
    assert.equal(last?.object, null);
    assert.equal(last?.oldObject?.metadata.name, 'x');
    handlers.set('/v', () => ({ allowed: true }));
    await client.delete(CONFIGMAPS, 'default', 'x');
  });

  it('leaves out what selectors, rules and match conditions leave out', async () => {
    handlers.set('/deny', () => ({ allowed: false }));
    await validating(
      'v',
      hook('/deny', {
        namespaceSelector: { matchLabels: { checked: 'yes' } },
        objectSelector: { matchExpressions: [{ key: 'skip', operator: 'DoesNotExist' }] },
        matchConditions: [{ name: 'not-me', expression: "object.metadata.name != 'skip-me'" }],
      }),
    );
    await failure(client.create(CONFIGMAPS, configMap('x')));
    await client.create(CONFIGMAPS, configMap('skip-me'));
    await client.create(CONFIGMAPS, { metadata: { name: 'x', namespace: 'exempt' } });
    await client.create(CONFIGMAPS, { metadata: { name: 'y', namespace: 'default', labels: { skip: 'yes' } } });
    assert.equal(seen.length, 1);
  });

  it('fails closed or open when the webhook cannot be called, answers too late or answers nonsense', async () => {
    const cases: [string, Json, RegExp][] = [
      ['down', { clientConfig: { url: 'https://127.0.0.1:1/x', caBundle } }, /connection refused/],
      ['no-ca', { clientConfig: { url: `https://127.0.0.1:${port}/x` } }, /certificate signed by unknown authority/],
      ['missing', {}, /could not find the requested resource/],
      ['slow', { timeoutSeconds: 1 }, /context deadline exceeded/],
      ['garbage', {}, /json parse error/],
      ['uid', {}, /expected response.uid=/],
      [
        'service',
        { clientConfig: { service: { namespace: 'default', name: 'nope' }, caBundle } },
        /service "nope" not found/,
      ],
    ];
    handlers.set('/garbage', () => ({ raw: 'not json' }));
    handlers.set('/uid', () => ({ uid: 'other', allowed: true }));
    handlers.set('/slow', () => systemClock.sleep(1500).then(() => ({ allowed: true })));
    for (const [name, more, why] of cases) {
      await validating(name, hook(`/${name}`, more));
      const error = await failure(client.create(CONFIGMAPS, configMap('x')));
      assert.equal(error.code, 500, name);
      assert.match(
        error.message,
        new RegExp(`^Internal error occurred: failed calling webhook "${name}.example.com": `),
      );
      assert.match(error.message, why);
      await client.patch(VALIDATING, '', name, 'json', [
        { op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Ignore' },
      ]);
      await client.create(CONFIGMAPS, configMap('x'), {});
      await client.delete(VALIDATING, '', name);
      await client.delete(CONFIGMAPS, 'default', 'x');
    }
  });

  it('reaches a Service through its endpoints by the name in the certificate, and keeps the connection', async () => {
    const SERVICES: ResourceRef = { group: '', version: 'v1', resource: 'services', kind: 'Service', namespaced: true };
    const SLICES: ResourceRef = {
      group: 'discovery.k8s.io',
      version: 'v1',
      resource: 'endpointslices',
      kind: 'EndpointSlice',
      namespaced: true,
    };
    await client.create(SERVICES, {
      metadata: { name: 'hook', namespace: 'default' },
      spec: { ports: [{ port: 443, targetPort: port }] },
    } as KubeObject);
    await client.create(SLICES, {
      metadata: { name: 'hook-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'hook' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [ownAddress()], conditions: { ready: true } }],
      ports: [{ name: '', port }],
    } as unknown as KubeObject);
    handlers.set('/v', () => ({ allowed: true }));
    const service = { namespace: 'default', name: 'hook', path: '/v' };
    await validating('v', hook('/v', { clientConfig: { service, caBundle } }));
    connections = 0;
    for (const name of ['a', 'b', 'c']) await client.create(CONFIGMAPS, configMap(name));
    assert.equal(seen.length, 3);
    assert.equal(connections, 1);
  });

  it('never asks about webhook configurations themselves', async () => {
    handlers.set('/deny', () => ({ allowed: false }));
    const everything = [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }];
    await validating('v', hook('/deny', { rules: everything }));
    await failure(client.create(CONFIGMAPS, configMap('x')));
    await mutating('m', hook('/deny'));
    await client.delete(MUTATING, '', 'm');
    await client.delete(VALIDATING, '', 'v');
    await client.create(CONFIGMAPS, configMap('x'));
  });

  it('lets skein itself tell where pods are, so that a webhook served by one can be reached again', async () => {
    handlers.set('/deny', () => ({ allowed: false }));
    await client.create(PODS, pod('p'));
    const rules = [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }];
    await validating('v', hook('/deny', { rules }));
    const live = await client.get<Pod>(PODS, 'default', 'p');
    const status = { ...live, status: { ...live.status, podIP: '10.0.0.1' } };
    const { reads } = pipeline;
    const deps = { store: staged, reads, random: systemRandom };
    const user = new InProcessClient(deps, { user: { name: 'anna', groups: ['system:masters'] } });
    await failure(user.updateStatus<Pod>(PODS, status));
    await client.updateStatus<Pod>(PODS, status);
    const slice = { metadata: { name: 's', namespace: 'default' }, addressType: 'IPv4', endpoints: [] };
    await failure(user.create(ENDPOINTSLICES, slice as KubeObject));
    await client.create(ENDPOINTSLICES, slice as KubeObject);
    await failure(client.create(PODS, pod('q')));
  });

  it('reinvokes webhooks that asked for it after a later change', async () => {
    handlers.set('/first', () => ({ allowed: true }));
    handlers.set('/second', () => patch({ op: 'add', path: '/data', value: { x: 'y' } }));
    await mutating('m', hook('/first', { reinvocationPolicy: 'IfNeeded' }), hook('/second'));
    await client.create(CONFIGMAPS, configMap('x'));
    assert.deepEqual(
      seen.map(({ path }) => path),
      ['/first', '/second', '/first'],
    );
  });

  it('tells webhooks of dry runs, and refuses them for webhooks with side effects', async () => {
    handlers.set('/v', () => ({ allowed: true }));
    await validating('v', hook('/v', { sideEffects: 'NoneOnDryRun' }));
    const request = (id: string) => ({
      id,
      verb: 'create',
      group: '',
      version: 'v1',
      resource: 'configmaps',
      subresource: '',
      namespace: 'default',
      name: '',
      user: { name: 'u', groups: [] },
      dryRun: true,
      fieldManager: '',
      fieldValidation: 'Ignore',
      force: false,
      contentType: '',
      object: configMap('x'),
    });
    assert.equal((await staged.write('1', request('1'))).code, 201);
    assert.equal(seen[0]?.request['dryRun'], true);
    await client.delete(VALIDATING, '', 'v');
    // Only v1beta1 knew webhooks with unknown side effects: such a configuration is refused before it is used.
    await failure(validating('v', hook('/v', { sideEffects: 'Some' })));
  });

  it('asks again when the object changes meanwhile, and never submits what webhooks have not seen', async () => {
    await client.create(CONFIGMAPS, configMap('x', { n: '0' }));
    let interfered = false;
    handlers.set('/v', async () => {
      if (!interfered) {
        interfered = true;
        await store.write('meanwhile', {
          id: 'meanwhile',
          verb: 'patch',
          group: '',
          version: 'v1',
          resource: 'configmaps',
          subresource: '',
          namespace: 'default',
          name: 'x',
          user: { name: 'u', groups: [] },
          dryRun: false,
          fieldManager: 'm',
          fieldValidation: 'Ignore',
          force: false,
          contentType: '',
          patch: 'merge',
          object: { data: { other: '1' } },
        });
      }
      return { allowed: true };
    });
    await validating('v', hook('/v'));
    const patched = await client.patch(CONFIGMAPS, 'default', 'x', 'merge', { data: { n: '1' } });
    assert.deepEqual(patched['data' as keyof KubeObject], { n: '1', other: '1' });
    assert.equal(seen.length, 2);
    interfered = false;
    const stored = await client.get(CONFIGMAPS, 'default', 'x');
    const stale = await failure(
      client.update(CONFIGMAPS, { ...stored, metadata: { ...stored.metadata, resourceVersion: '1' } }),
    );
    assert.equal(stale.reason, 'Conflict');
  });

  it('gives the refusal of the store itself without asking', async () => {
    handlers.set('/v', () => ({ allowed: true }));
    await validating('v', hook('/v'));
    assert.equal((await failure(client.patch(CONFIGMAPS, 'default', 'nope', 'merge', {}))).code, 404);
    assert.equal((await failure(client.create(PODS, { metadata: { name: 'p', namespace: 'default' } }))).code, 422);
    await client.create(CONFIGMAPS, configMap('x'));
    assert.equal((await failure(client.create(CONFIGMAPS, configMap('x')))).reason, 'AlreadyExists');
  });

  it('passes warnings and audit annotations on', async () => {
    handlers.set('/v', () => ({ allowed: true, warnings: ['take\ncare'], auditAnnotations: { seen: 'yes' } }));
    await validating('v', hook('/v'));
    const reply = await staged.write('1', {
      id: '1',
      verb: 'create',
      group: '',
      version: 'v1',
      resource: 'configmaps',
      subresource: '',
      namespace: 'default',
      name: '',
      user: { name: 'u', groups: [] },
      dryRun: false,
      fieldManager: '',
      fieldValidation: 'Ignore',
      force: false,
      contentType: '',
      object: configMap('x'),
    });
    assert.deepEqual(reply.warnings, ['take care']);
    assert.deepEqual(reply.annotations, { 'v.example.com/seen': 'yes' });
  });

  it('asks about connections', async () => {
    handlers.set('/v', () => ({ allowed: false, status: { message: 'no attaching' } }));
    const rules = [{ operations: ['CONNECT'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/attach'] }];
    await validating('v', hook('/v', { rules }));
    const target = (subresource: string) => ({
      group: '',
      version: 'v1',
      resource: 'pods',
      subresource,
      namespace: 'default',
      name: 'p',
    });
    const url = new URL('http://localhost/api/v1/namespaces/default/pods/p/attach?container=c&stdin=true');
    const user = { name: 'u', groups: [] };
    const connect = (verb: string) =>
      pipeline.server.admission?.admit(connectSubject(target(verb), user, url), (sent) => sent as KubeObject);
    await connect('exec');
    const error = await failure(Promise.resolve(connect('attach')));
    assert.match(error.message, /denied the request: no attaching/);
    assert.deepEqual(seen[0]?.request.object, {
      kind: 'PodAttachOptions',
      apiVersion: 'v1',
      stdin: true,
      container: 'c',
    });
  });

  it('asks about scales and bindings in their own form', async () => {
    handlers.set('/v', () => ({ allowed: true }));
    const rules = [
      { operations: ['*'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments/scale'] },
      { operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/binding'] },
    ];
    const made = { replicas: 1, selector: { matchLabels: { a: 'b' } } };
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [container] } };
    const metadata = { name: 'd', namespace: 'default' };
    await client.create(DEPLOYMENTS, { metadata, spec: { ...made, template } } as KubeObject);
    await client.create(PODS, pod('p'));
    await validating('v', hook('/v', { rules }));
    await client.patch(DEPLOYMENTS, 'default', 'd', 'merge', { spec: { replicas: 4 } }, { subresource: 'scale' });
    await client.createSubresource(PODS, 'default', 'p', 'binding', {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'p', namespace: 'default' },
      target: { kind: 'Node', name: 'n' },
    });
    assert.deepEqual(
      seen.map(({ request }) => [request['subResource'], request.object?.kind, request.operation]),
      [
        ['scale', 'Scale', 'UPDATE'],
        ['binding', 'Binding', 'CREATE'],
      ],
    );
    const scale = seen[0]?.request.object as KubeObject & { spec: Json };
    assert.equal(scale.spec['replicas'], 4);
  });

  it('asks about each object of a collection', async () => {
    for (const name of ['a', 'b']) await client.create(CONFIGMAPS, configMap(name));
    handlers.set('/v', ({ name }) => ({ allowed: name !== 'b' }));
    await validating('v', hook('/v'));
    const reply: WriteReply = await staged.write('c', {
      id: 'c',
      verb: 'deletecollection',
      group: '',
      version: 'v1',
      resource: 'configmaps',
      subresource: '',
      namespace: 'default',
      name: '',
      user: { name: 'u', groups: [] },
      dryRun: false,
      fieldManager: '',
      fieldValidation: 'Ignore',
      force: false,
      contentType: '',
    });
    assert.equal(reply.code, 400);
    assert.deepEqual(
      seen.map(({ request }) => request.name),
      ['a', 'b'],
    );
  });

  it('refuses configurations whose match conditions do not compile', async () => {
    const bad = hook('/v', { matchConditions: [{ name: 'bad', expression: 'object.metadata.name ==' }] });
    const error = await failure(validating('v', bad));
    assert.equal(error.code, 422);
    assert.match(error.message, /webhooks\[0\].matchConditions\[0\].expression: Invalid value: .*compilation failed/s);
    await failure(mutating('m', hook('/v', { matchConditions: [{ name: 'bad', expression: 'nope' }] })));
  });

  describe('policies', () => {
    const deployment = (name: string, replicas: number): KubeObject =>
      ({
        metadata: { name, namespace: 'default' },
        spec: {
          replicas,
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels: { a: 'b' } }, spec: { containers: [container] } },
        },
      }) as KubeObject;
    const policy = (spec: Json) =>
      client.create(POLICIES, {
        metadata: { name: 'p' },
        spec: {
          matchConstraints: {
            resourceRules: [
              {
                operations: ['CREATE', 'UPDATE'],
                apiGroups: ['apps'],
                apiVersions: ['v1'],
                resources: ['deployments'],
              },
            ],
          },
          ...spec,
        },
      } as KubeObject);
    const bind = (spec: Json = {}) =>
      client.create(BINDINGS, {
        metadata: { name: 'b' },
        spec: { policyName: 'p', validationActions: ['Deny'], ...spec },
      } as KubeObject);

    it('denies what breaks an expression, from the write after the binding on', async () => {
      await policy({ validations: [{ expression: 'object.spec.replicas <= 5' }] });
      await client.create(DEPLOYMENTS, deployment('before', 9));
      await bind();
      await client.create(DEPLOYMENTS, deployment('good', 5));
      const error = await failure(client.create(DEPLOYMENTS, deployment('bad', 6)));
      assert.equal(
        error.message,
        `deployments.apps "bad" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ` +
          'failed expression: object.spec.replicas <= 5',
      );
      assert.deepEqual([error.code, error.reason], [422, 'Invalid']);
    });

    it('knows variables, message expressions, reasons and match conditions', async () => {
      await policy({
        variables: [
          { name: 'replicas', expression: 'object.spec.replicas' },
          { name: 'odd', expression: 'variables.replicas % 2 == 1' },
        ],
        matchConditions: [{ name: 'not-system', expression: "!request.userInfo.username.startsWith('nobody')" }],
        validations: [
          {
            expression: 'variables.replicas > 1 ? !variables.odd : true',
            messageExpression: "'replicas are ' + string(variables.replicas)",
            reason: 'Forbidden',
          },
        ],
      });
      await bind();
      await client.create(DEPLOYMENTS, deployment('one', 1));
      const error = await failure(client.create(DEPLOYMENTS, deployment('three', 3)));
      assert.match(error.message, /denied request: replicas are 3$/);
      assert.deepEqual([error.code, error.reason], [403, 'Forbidden']);
    });

    it('evaluates with every parameter object, and denies when there is none', async () => {
      await policy({
        paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
        validations: [{ expression: 'object.spec.replicas <= int(params.data.max)' }],
      });
      await bind({ paramRef: { selector: { matchLabels: { limits: 'yes' } }, parameterNotFoundAction: 'Deny' } });
      assert.match((await failure(client.create(DEPLOYMENTS, deployment('x', 1)))).message, /no params found/);
      const limit = (name: string, max: string): KubeObject =>
        ({ metadata: { name, namespace: 'default', labels: { limits: 'yes' } }, data: { max } }) as KubeObject;
      await client.create(CONFIGMAPS, limit('a', '5'));
      await client.create(CONFIGMAPS, limit('b', '3'));
      await client.create(DEPLOYMENTS, deployment('x', 3));
      await failure(client.create(DEPLOYMENTS, deployment('y', 4)));
    });

    it('warns where it may not deny, and fails open where the policy says so', async () => {
      await policy({
        failurePolicy: 'Ignore',
        auditAnnotations: [{ key: 'replicas', valueExpression: 'string(object.spec.replicas)' }],
        validations: [{ expression: 'object.spec.nope == 1' }, { expression: 'false' }],
      });
      await bind({ validationActions: ['Warn', 'Audit'] });
      const reply = await staged.write('w', {
        id: 'w',
        verb: 'create',
        group: 'apps',
        version: 'v1',
        resource: 'deployments',
        subresource: '',
        namespace: 'default',
        name: '',
        user: { name: 'u', groups: [] },
        dryRun: false,
        fieldManager: '',
        fieldValidation: 'Ignore',
        force: false,
        contentType: '',
        object: deployment('w', 1),
      });
      assert.equal(reply.code, 201);
      const audited = JSON.parse(
        reply.annotations?.['validation.policy.admission.k8s.io/validation_failure'] ?? '[]',
      ) as unknown;
      assert.deepEqual(audited, [
        {
          message: 'failed expression: false',
          policy: 'p',
          binding: 'b',
          expressionIndex: 1,
          validationActions: ['Warn', 'Audit'],
        },
      ]);
      assert.equal(reply.annotations?.['p/replicas'], '1');
      assert.deepEqual(reply.warnings, [
        "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: false",
      ]);
    });

    it('asks the authorizer', async () => {
      const expression =
        "authorizer.group('apps').resource('deployments').namespace('default').check('delete').allowed()";
      await policy({ validations: [{ expression }] });
      await bind();
      await client.create(DEPLOYMENTS, deployment('x', 1));
    });

    it('refuses policies whose expressions do not compile', async () => {
      const error = await failure(policy({ validations: [{ expression: 'object.spec.replicas <' }] }));
      assert.match(error.message, /spec.validations\[0\].expression: Invalid value: .*compilation failed/s);
    });
  });
});

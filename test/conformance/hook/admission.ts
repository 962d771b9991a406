/** Webhooks that are asked, and what they may refuse and change. */
import assert from 'node:assert/strict';
import { podSpec } from '../api/fixtures.js';
import { define, definition, definitions } from '../crd/definitions.js';
import { NotRun, type Context, type Rows } from '../framework/context.js';
import { eventually, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import {
  ALLOWED,
  denied,
  HookServer,
  patched,
  rule,
  type Answer,
  type ConfigurationKind,
  type Hook,
} from './hook-server.js';

const UNWANTED = { 'webhook-e2e-test': 'webhook-disallow' };
const REFUSED = { status: 400, message: /denied the request: the data is unwanted/ };

const judgeData: Answer = ({ operation, object, oldObject }) => {
  if (operation === 'DELETE')
    return oldObject?.data?.['webhook-e2e-test'] === 'webhook-nondeletable' ? denied('it may not be deleted') : ALLOWED;
  return object?.data?.['webhook-e2e-test'] === 'webhook-disallow' ? denied('the data is unwanted') : ALLOWED;
};
const add = (key: string): Json => ({ op: 'add', path: `/data/${key}`, value: 'yes' });
/** Two stages, of which the second follows the first only. */
const stage =
  (number: 1 | 2): Answer =>
  ({ object }) => {
    const { data = {} } = object as Json;
    const due = number === 1 ? data['mutation-start'] === 'yes' : data['mutation-stage-1'] === 'yes';
    return due ? patched(add(`mutation-stage-${number}`)) : ALLOWED;
  };
const STARTED = { 'mutation-start': 'yes' };

const onConfigMaps = (answer: Answer, ...operations: string[]): Hook => ({
  answer,
  rules: [rule(operations, '', 'configmaps')],
});

async function listed(t: Context, kind: ConfigurationKind): Promise<void> {
  const hooks = await HookServer.open(t);
  const label = { 'conformance.example.com/list': t.unique('list') };
  const selector = Object.entries(label)
    .map((entry) => entry.join('='))
    .join();
  const hook = onConfigMaps(kind === 'Mutating' ? stage(1) : judgeData, 'CREATE');
  for (let i = 0; i < 10; i++) await hooks.register(kind, [hook], label);
  const { items } = await hooks.resource(kind).list({ labelSelector: selector });
  assert.equal(items.length, 10);
  const maps = t.core('configmaps', hooks.namespace);
  if (kind === 'Mutating') {
    const made = await maps.create({ metadata: { name: 'changed' }, data: STARTED });
    assert.deepEqual(made.data, { ...STARTED, 'mutation-stage-1': 'yes' });
  } else await refused(maps.create({ metadata: { name: 'bad' }, data: UNWANTED }), REFUSED);
  await hooks.resource(kind).deleteCollection(selector);
  await eventually('nobody to be asked any longer', async () => {
    const name = t.unique('free');
    const { status, body } = await t.api.send('POST', maps.path(), {
      body: { metadata: { name }, data: { ...STARTED, ...UNWANTED } },
    });
    return status === 201 && body?.data['mutation-stage-1'] === undefined;
  });
}

async function updated(t: Context, kind: ConfigurationKind): Promise<void> {
  const hooks = await HookServer.open(t);
  const name = await hooks.register(kind, [onConfigMaps(kind === 'Mutating' ? stage(1) : judgeData, 'CREATE')]);
  const maps = t.core('configmaps', hooks.namespace);
  const isAsked = async () => {
    const { status, body } = await t.api.send('POST', maps.path(), {
      body: { metadata: { name: t.unique('cm') }, data: { ...STARTED, ...UNWANTED } },
    });
    return kind === 'Mutating' ? body?.data?.['mutation-stage-1'] === 'yes' : status === 400;
  };
  assert.ok(await isAsked());
  await hooks.resource(kind).update(name, ({ webhooks }) => {
    webhooks[0].rules[0].operations = ['UPDATE'];
  });
  await eventually('creations to go through', async () => !(await isAsked()));
  const patch = [{ op: 'replace', path: '/webhooks/0/rules/0/operations', value: ['CREATE'] }];
  await hooks.resource(kind).patch(name, patch, 'json');
  await eventually('creations to be asked about', isAsked);
}

async function denyAttach(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  const answer: Answer = ({ name, object }) =>
    name === 'to-be-attached' && object.kind === 'PodAttachOptions' ? denied('attaching is not allowed') : ALLOWED;
  await hooks.register('Validating', [{ answer, rules: [rule(['CONNECT'], '', 'pods/attach')] }]);
  await t.core('pods', hooks.namespace).create({ metadata: { name: 'to-be-attached' }, spec: podSpec() });
  // Whether it runs does not matter to who is asked first.
  const options = { query: { container: podSpec().containers[0].name, stdout: 'true' } };
  const path = t.core('pods', hooks.namespace).path('to-be-attached', 'attach');
  const { status, text } = await t.api.send('POST', path, options);
  assert.deepEqual([status, /attaching is not allowed/.test(text)], [400, true], text);
}

async function denyCustom(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  const { group, plural, kind, resource } = await define(t);
  const answers = [{ answer: judgeData, rules: [rule(['CREATE', 'UPDATE', 'DELETE'], group, plural)] }];
  await hooks.register('Validating', answers);
  const customs = resource(hooks.namespace);
  const object = (name: string, data: Json): Json => ({ apiVersion: `${group}/v1`, kind, metadata: { name }, data });
  await refused(customs.create(object('bad', UNWANTED)), REFUSED);
  await customs.create(object('good', { 'webhook-e2e-test': 'webhook-nondeletable' }));
  await refused(customs.patch('good', { data: UNWANTED }), REFUSED);
  await refused(customs.delete('good'), { status: 400, message: /it may not be deleted/ });
  await customs.patch('good', { data: { 'webhook-e2e-test': 'webhook-allow' } });
  await customs.delete('good');
}

async function denyCreation(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  const hang: Answer = () => new Promise<Json>((resolve) => t.cleanup(() => Promise.resolve(resolve(ALLOWED))));
  const judgePod: Answer = ({ object }) =>
    object.spec.containers.some(({ name }: Json) => name === 'webhook-disallow')
      ? denied('the container is unwanted')
      : ALLOWED;
  await hooks.register('Validating', [
    { answer: judgePod, rules: [rule(['CREATE'], '', 'pods')] },
    onConfigMaps(judgeData, 'CREATE', 'UPDATE', 'DELETE'),
    {
      answer: hang,
      rules: [rule(['CREATE'], '', 'pods')],
      more: { objectSelector: { matchLabels: { hanging: 'yes' } }, timeoutSeconds: 1 },
    },
  ]);
  const [pods, maps] = [t.core('pods', hooks.namespace), t.core('configmaps', hooks.namespace)];
  const [container] = podSpec().containers;
  const bad = { ...podSpec(), containers: [{ ...container, name: 'webhook-disallow' }] };
  const unwanted = { status: 400, message: /denied the request: the container is unwanted/ };
  await refused(pods.create({ metadata: { name: 'bad' }, spec: bad }), unwanted);
  const hanging = { metadata: { name: 'hangs', labels: { hanging: 'yes' } }, spec: podSpec() };
  await refused(pods.create(hanging), { status: 500, message: /failed calling webhook .*(deadline|timeout)/i });
  await refused(maps.create({ metadata: { name: 'bad' }, data: UNWANTED }), REFUSED);
  const allowed = await maps.create({ metadata: { name: 'good' }, data: { admit: 'this' } });
  await refused(maps.replace({ ...allowed, data: UNWANTED }), REFUSED);
  await refused(maps.patch('good', { data: UNWANTED }), REFUSED);
  const elsewhere = t.core('configmaps', await t.namespace('exempt'));
  await elsewhere.create({ metadata: { name: 'bad' }, data: UNWANTED });
}

async function denyDefinition(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  const labels = { 'conformance.example.com/deny': t.unique('crd') };
  const more = { namespaceSelector: {}, objectSelector: { matchLabels: labels } };
  const rules = [rule(['CREATE'], 'apiextensions.k8s.io', 'customresourcedefinitions')];
  await hooks.register('Validating', [{ answer: () => denied('no such kinds'), rules, more }]);
  const object = definition(t, { labels });
  await refused(definitions(t).create(object), { status: 400, message: /denied the request: no such kinds/ });
  assert.equal(await definitions(t).exists(object.metadata.name), false);
}

const SLOW_MS = 3_000;

async function honorTimeout(t: Context): Promise<void> {
  const slow: Answer = () => new Promise((resolve) => setTimeout(() => resolve(ALLOWED), SLOW_MS));
  const rows: readonly [more: Json, isRefused: boolean][] = [
    [{ timeoutSeconds: 1, failurePolicy: 'Fail' }, true],
    [{ timeoutSeconds: 1, failurePolicy: 'Ignore' }, false],
    [{ timeoutSeconds: 30, failurePolicy: 'Fail' }, false],
  ];
  for (const [more, isRefused] of rows) {
    const hooks = await HookServer.open(t);
    const objectSelector = { matchLabels: { slow: 'yes' } };
    await hooks.register('Validating', [{ ...onConfigMaps(slow, 'CREATE'), more: { ...more, objectSelector } }]);
    const map = { metadata: { name: 'cm', labels: { slow: 'yes' } } };
    const made = t.core('configmaps', hooks.namespace).create(map);
    if (isRefused) await refused(made, { status: 500, message: /failed calling webhook .*(deadline|timeout)/i });
    else await made;
  }
}

async function ordered(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  await hooks.register('Mutating', [onConfigMaps(stage(1), 'CREATE'), onConfigMaps(stage(2), 'CREATE')]);
  const made = await t.core('configmaps', hooks.namespace).create({ metadata: { name: 'cm' }, data: STARTED });
  assert.deepEqual(made.data, { ...STARTED, 'mutation-stage-1': 'yes', 'mutation-stage-2': 'yes' });
}

async function skipByName(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  const matchConditions = [{ name: 'not-skip-me', expression: "object.metadata.name != 'skip-me'" }];
  await hooks.register('Mutating', [{ ...onConfigMaps(stage(1), 'CREATE'), more: { matchConditions } }]);
  const maps = t.core('configmaps', hooks.namespace);
  const skipped = await maps.create({ metadata: { name: 'skip-me' }, data: STARTED });
  assert.deepEqual(skipped.data, STARTED);
  const changed = await maps.create({ metadata: { name: 'changed' }, data: STARTED });
  assert.deepEqual(changed.data, { ...STARTED, 'mutation-stage-1': 'yes' });
}

/** Both stages on a custom resource; `known` are the fields of `data` that its schema names, all if undefined. */
async function changeCustom(t: Context, known?: readonly string[]): Promise<void> {
  const hooks = await HookServer.open(t);
  const properties = known && Object.fromEntries(known.map((name) => [name, { type: 'string' }]));
  const data = { type: 'object', ...(properties ? { properties } : { 'x-kubernetes-preserve-unknown-fields': true }) };
  const { group, plural, kind, resource } = await define(t, {
    versions: { v1: { type: 'object', properties: { data } } },
  });
  const rules = [rule(['CREATE'], group, plural)];
  await hooks.register('Mutating', [
    { answer: stage(1), rules },
    { answer: stage(2), rules },
  ]);
  const object = { apiVersion: `${group}/v1`, kind, metadata: { name: 'cr' }, data: STARTED };
  const made = await resource(hooks.namespace).create(object);
  const second = known === undefined ? { 'mutation-stage-2': 'yes' } : {};
  assert.deepEqual(made.data, { ...STARTED, 'mutation-stage-1': 'yes', ...second });
}

async function changeStoredVersion(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  const data = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { type: 'object', properties: { data } };
  const { name, group, plural, kind, resource } = await define(t, { versions: { v1: schema, v2: schema } });
  const rules = [rule(['CREATE', 'UPDATE'], group, plural, ['*'])];
  await hooks.register('Mutating', [{ answer: stage(1), rules }]);
  const old = { apiVersion: `${group}/v1`, kind, metadata: { name: 'cr' }, data: {} };
  await resource(hooks.namespace, 'v1').create(old);
  await definitions(t).update(name, ({ spec }) => {
    for (const version of spec.versions) version.storage = version.name === 'v2';
  });
  const changed = await resource(hooks.namespace, 'v1').patch('cr', { data: STARTED });
  assert.deepEqual(changed.data, { ...STARTED, 'mutation-stage-1': 'yes' });
  const shown = await resource(hooks.namespace, 'v2').get('cr');
  assert.deepEqual([shown.apiVersion, shown.data], [`${group}/v2`, changed.data]);
}

async function defaultsAfterwards(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  const init = [{ name: 'added', image: podSpec().containers[0].image, resources: {} }];
  const answer: Answer = () => patched({ op: 'add', path: '/spec/initContainers', value: init });
  await hooks.register('Mutating', [{ answer, rules: [rule(['CREATE'], '', 'pods')] }]);
  const made = await t.core('pods', hooks.namespace).create({ metadata: { name: 'changed' }, spec: podSpec() });
  assert.equal(made.spec.initContainers.length, 1);
  assert.equal(made.spec.initContainers[0].terminationMessagePolicy, 'File');
}

async function notOnConfigurations(t: Context): Promise<void> {
  const hooks = await HookServer.open(t);
  const group = 'admissionregistration.k8s.io';
  const more = { namespaceSelector: {} };
  const rules = ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'].map((plural) =>
    rule(['*'], group, plural),
  );
  await hooks.register('Validating', [{ answer: () => denied('never'), rules, more }]);
  const change: Answer = () => patched({ op: 'add', path: '/metadata/labels', value: { changed: 'yes' } });
  await hooks.register('Mutating', [{ answer: change, rules, more }]);
  for (const kind of ['Validating', 'Mutating'] as const) {
    const dummy = hooks.configuration(t.unique('dummy'), [
      { answer: () => ALLOWED, rules: [rule(['CREATE'], '', 'nothing')] },
    ]);
    const made = await hooks.resource(kind).create(dummy);
    assert.deepEqual(made.metadata.labels ?? {}, {});
    await hooks.resource(kind).delete(made.metadata.name);
    assert.equal(await hooks.resource(kind).exists(made.metadata.name), false);
  }
}

/** `hostPort` of v1 is `host` and `port` of v2. */
export async function withConversion(t: Context) {
  const hooks = await HookServer.open(t);
  const convert = (object: Json, to: string): Json => {
    const { hostPort, host, port, ...rest } = object;
    const [name, number] = hostPort === undefined ? [host, port] : String(hostPort).split(':');
    const fields = to.endsWith('/v1') ? { hostPort: `${name}:${number}` } : { host: name, port: number };
    return { ...rest, apiVersion: to, ...fields };
  };
  const answer: Answer = ({ objects, desiredAPIVersion }) => ({
    result: { status: 'Success' },
    convertedObjects: objects.map((object: Json) => convert(object, desiredAPIVersion)),
  });
  const schema = (...fields: string[]): Json => ({
    type: 'object',
    'x-kubernetes-preserve-unknown-fields': true,
    properties: Object.fromEntries(fields.map((field) => [field, { type: 'string' }])),
  });
  const versions = { v1: schema('hostPort'), v2: schema('host', 'port') };
  const { name, group, kind, resource } = await define(t, { versions });
  await definitions(t).update(name, ({ spec }) => {
    for (const each of spec.versions) {
      const fields = Object.keys(each.schema.openAPIV3Schema.properties);
      each.selectableFields = fields.map((field) => ({ jsonPath: `.${field}` }));
    }
    const webhook = { clientConfig: hooks.clientConfig(answer), conversionReviewVersions: ['v1'] };
    spec.conversion = { strategy: 'Webhook', webhook };
  });
  const object = (called: string, version: 'v1' | 'v2'): Json => ({
    apiVersion: `${group}/${version}`,
    kind,
    metadata: { name: called },
    ...(version === 'v1' ? { hostPort: 'localhost:8080' } : { host: 'localhost', port: '8080' }),
  });
  const shown = (found: Json) => [found.apiVersion, found.host, found.port, found.hostPort];
  const inV2 = [`${group}/v2`, 'localhost', '8080', undefined];
  const store = (version: 'v1' | 'v2') =>
    definitions(t).update(name, ({ spec }) => {
      for (const each of spec.versions) each.storage = each.name === version;
    });
  const customs = (version: 'v1' | 'v2') => resource(hooks.namespace, version);
  // Every peer has to know of the conversion.
  await customs('v1').create(object('first', 'v1'));
  for (const peer of t.api.eachPeer) {
    await eventually('the conversion to take effect', async () => {
      const { body } = await peer.send('GET', customs('v2').path('first'));
      if (hooks.seen.length === 0 && body?.kind === 'Status')
        throw new NotRun('the cluster does not reach this machine');
      return body?.host === 'localhost';
    });
  }
  return { customs, object, shown, inV2, store };
}

async function convertOne(t: Context): Promise<void> {
  const { customs, shown, inV2 } = await withConversion(t);
  assert.deepEqual(shown(await customs('v2').get('first')), inV2);
  assert.equal((await customs('v1').get('first')).hostPort, 'localhost:8080');
}

async function convertList(t: Context): Promise<void> {
  const { customs, object, shown, inV2, store } = await withConversion(t);
  await store('v2');
  await customs('v2').create(object('second', 'v2'));
  const { items } = await customs('v2').list();
  assert.deepEqual(items.map(shown), [inV2, inV2]);
  const inV1 = (await customs('v1').list()).items;
  assert.deepEqual(
    inV1.map(({ hostPort }: Json) => hostPort),
    ['localhost:8080', 'localhost:8080'],
  );
}

export const rows: Rows = {
  'webhook-list-mutating': (t) => listed(t, 'Mutating'),
  'webhook-list-validating': (t) => listed(t, 'Validating'),
  'webhook-update-mutating': (t) => updated(t, 'Mutating'),
  'webhook-update-validating': (t) => updated(t, 'Validating'),
  'webhook-deny-attach': denyAttach,
  'webhook-deny-cr': denyCustom,
  'webhook-deny-create': denyCreation,
  'webhook-deny-crd': denyDefinition,
  'webhook-timeout': honorTimeout,
  'webhook-ordered': ordered,
  'webhook-mutate-cr': (t) => changeCustom(t),
  'webhook-mutate-cr-pruning': (t) => changeCustom(t, ['mutation-start', 'mutation-stage-1']),
  'webhook-mutate-cr-stored-version': changeStoredVersion,
  'webhook-mutate-pod-defaults': defaultsAfterwards,
  'webhook-mutate-skip-me': skipByName,
  'webhook-not-on-webhookconfigs': notOnConfigurations,
  'crd-conversion-single': convertOne,
  'crd-conversion-list': convertList,
};

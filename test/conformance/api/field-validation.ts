/** `fieldValidation=Strict` on built-in kinds. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import { refused } from '../framework/expect.js';
import type { Resource } from '../framework/resource.js';
import { IMAGE } from './fixtures.js';

const STRICT = { fieldValidation: 'Strict' };

/** Text, so that keys can come twice. */
const deployment = (name: string, metadata: string, spec: string) => `{
  "apiVersion": "apps/v1", "kind": "Deployment",
  "metadata": {"name": "${name}"${metadata}},
  "spec": {${spec} "selector": {"matchLabels": {"app": "a"}}, "template": {
    "metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "${IMAGE}"}]}}}}`;

async function deployments(t: Context): Promise<Resource> {
  return t.resource('apps/v1', 'deployments', await t.namespace('strict'));
}

async function typed(t: Context): Promise<void> {
  const resource = await deployments(t);
  const bad = deployment('bad', '', '"replicas": 1, "replicas": 2, "unknown": "x", "paused": true, "paused": true,');
  const { message } = await refused(resource.create(bad, STRICT), { status: 400, reason: 'BadRequest' });
  assert.match(message, /strict decoding error/);
  assert.match(message, /unknown field "spec\.unknown"/);
  assert.match(message, /duplicate field "spec\.replicas"/);
  assert.match(message, /duplicate field "spec\.paused"/);
  assert.equal(await resource.exists('bad'), false);
  // What is not asked for strictly is warned of, and dropped.
  const warned = await t.api.send('POST', resource.path(), { body: bad, query: { fieldValidation: 'Warn' } });
  assert.equal(warned.status, 201, warned.text);
  assert.match(String(warned.headers['warning']), /299 - "unknown field \\"spec\.unknown\\""/);
  assert.equal(warned.body.spec.unknown, undefined);
  const ignored = await t.api.send('POST', resource.path(), {
    body: bad.replaceAll('"bad"', '"ignored"'),
    query: { fieldValidation: 'Ignore' },
  });
  assert.equal(ignored.status, 201, ignored.text);
  assert.equal(ignored.headers['warning'], undefined);
  // Patches, of each kind.
  const invalid = { status: 422, reason: 'Invalid' };
  await refused(resource.patch('bad', { spec: { foo: 'x' } }, 'merge', '', STRICT), invalid);
  await refused(resource.patch('bad', { spec: { foo: 'x' } }, 'strategic', '', STRICT), invalid);
  await refused(resource.patch('bad', [{ op: 'add', path: '/spec/foo', value: 1 }], 'json', '', STRICT), invalid);
  const apply = deployment('bad', '', '"foo": "x",');
  const forced = { ...STRICT, fieldManager: 'conformance', force: true };
  const applied = await t.api.send('PATCH', resource.path('bad'), {
    body: apply,
    type: 'application/apply-patch+yaml',
    query: forced,
  });
  assert.ok([400, 422, 500].includes(applied.status), `apply of an unknown field: ${applied.status}`);
  assert.match(applied.body.message, /\.spec\.foo: field not declared in schema|unknown field "spec\.foo"/);
}

async function typedMetadata(t: Context): Promise<void> {
  const resource = await deployments(t);
  const bad = deployment('bad', ', "unknownMeta": "x"', '');
  const { message } = await refused(resource.create(bad, STRICT), { status: 400, reason: 'BadRequest' });
  assert.match(message, /strict decoding error: unknown field "metadata\.unknownMeta"/);
  const nested = deployment('bad', '', '').replace('"labels"', '"unknownMeta": "x", "labels"');
  const second = await refused(resource.create(nested, STRICT), { status: 400, reason: 'BadRequest' });
  assert.match(second.message, /unknown field "spec\.template\.metadata\.unknownMeta"/);
}

export const rows: Rows = { 'fieldval-typed': typed, 'fieldval-typed-metadata': typedMetadata };

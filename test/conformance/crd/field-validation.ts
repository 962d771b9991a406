/** `fieldValidation=Strict` on custom resources, applied on the server's side. */
import assert from 'node:assert/strict';
import type { Context, Rows } from '../framework/context.js';
import type { Answer, Json } from '../framework/http.js';
import { ANYTHING, define, type Defined } from './definitions.js';

const SCHEMA: Json = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: {
        foo: { type: 'string' },
        cronSpec: { type: 'string', pattern: '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$' },
        ports: {
          type: 'array',
          'x-kubernetes-list-map-keys': ['containerPort', 'protocol'],
          'x-kubernetes-list-type': 'map',
          items: {
            type: 'object',
            required: ['containerPort', 'protocol'],
            properties: {
              containerPort: { type: 'integer' },
              hostPort: { type: 'integer' },
              protocol: { type: 'string' },
            },
          },
        },
        embedded: { type: 'object', 'x-kubernetes-embedded-resource': true, ...ANYTHING },
      },
    },
  },
};

const PORT = '{"containerPort": 8080, "protocol": "TCP"}';

/** Applies a manifest given as text, strictly. */
async function apply(t: Context, { group, kind, resource }: Defined, spec: string, metadata = ''): Promise<Answer> {
  const body = `{"apiVersion": "${group}/v1", "kind": "${kind}", "metadata": {"name": "mytest"${metadata}}, "spec": {${spec}}}`;
  const namespace = await t.namespace('strict');
  return t.api.send('PATCH', resource(namespace).path('mytest'), {
    body,
    type: 'application/apply-patch+yaml',
    query: { fieldManager: 'conformance', fieldValidation: 'Strict' },
  });
}

async function applies(t: Context, defined: Defined, spec: string): Promise<void> {
  const { status, text } = await apply(t, defined, spec);
  assert.equal(status, 201, text);
}

async function refuses(t: Context, defined: Defined, message: RegExp, spec: string, metadata = ''): Promise<void> {
  const answer = await apply(t, defined, spec, metadata);
  assert.ok(answer.status >= 400, `was accepted: ${answer.text}`);
  assert.match(answer.body.message, message);
}

const withSchema = (t: Context) => define(t, { versions: { v1: SCHEMA } });

export const rows: Rows = {
  'fieldval-cr-noschema': async (t) => {
    await applies(t, await define(t), '"foo": "bar", "unknown": {"deep": [1, 2]}, "cronSpec": "* * * * */5"');
  },
  'fieldval-cr-valid': async (t) => {
    await applies(t, await withSchema(t), `"foo": "foo1", "cronSpec": "* * * * */5", "ports": [${PORT}]`);
  },
  'fieldval-cr-unknown': async (t) => {
    const defined = await withSchema(t);
    const unknown = /spec\.ports\[0\]\.foo|\.spec\.unknown|unknown field "spec\.unknown"/;
    await refuses(t, defined, unknown, `"unknown": "x", "cronSpec": "* * * * */5"`);
    await refuses(t, defined, /cronSpec/, `"cronSpec": "never"`);
  },
  'fieldval-cr-duplicates': async (t) => {
    const twice = `"foo": "foo1", "foo": "foo2", "unknown": "x"`;
    await refuses(t, await define(t), /key "foo" already set in map|duplicate field "spec\.foo"/, twice);
  },
  'fieldval-cr-metadata': async (t) => {
    const defined = await withSchema(t);
    await refuses(
      t,
      defined,
      /metadata\.unknownMeta|\.unknownMeta: field not declared/,
      '"foo": "a"',
      ', "unknownMeta": "x"',
    );
    const embedded = '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "my-pod", "unknownSub": "x"}}';
    await refuses(t, defined, /unknownSub/, `"embedded": ${embedded}`);
  },
};

/** Custom resources in the published OpenAPI, and what kubectl makes of it. */
import assert from 'node:assert/strict';
import type { Context, Rows, RowTest } from '../framework/context.js';
import { eventually } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import { ANYTHING, define, definitions, type Defined } from './definitions.js';

const SCHEMA: Json = {
  description: 'Foo CRD for Testing',
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      description: 'Specification of Foo',
      properties: {
        bars: {
          description: 'List of Bars and their specs.',
          type: 'array',
          items: {
            type: 'object',
            required: ['name'],
            properties: {
              name: { description: 'Name of Bar.', type: 'string' },
              age: { description: 'Age of Bar.', type: 'string' },
              feeling: { description: 'Whether Bar is feeling great.', type: 'string', enum: ['Great', 'Down'] },
              bazs: { description: 'List of Bazs.', type: 'array', items: { type: 'string' } },
            },
          },
        },
      },
    },
    status: { type: 'object', description: 'Status of Foo' },
  },
};

/** The definition's name: its group backwards, its version, its kind. */
const definitionName = ({ group, kind }: Defined, version: string) =>
  [...group.split('.').toReversed(), version, kind].join('.');

async function published(t: Context, defined: Defined, version: string): Promise<Json> {
  const name = definitionName(defined, version);
  return eventually(
    `${name} in every peer's OpenAPI`,
    async () => {
      let found: Json;
      for (const peer of t.api.eachPeer) {
        found = (await peer.get('/openapi/v2')).definitions[name];
        if (found === undefined) return undefined;
        const v3 = await peer.get(`/openapi/v3/apis/${defined.group}/${version}`);
        if (v3.components.schemas[name] === undefined) return undefined;
      }
      return found;
    },
    60_000,
  );
}

async function unpublished(t: Context, defined: Defined, version: string): Promise<void> {
  const name = definitionName(defined, version);
  await eventually(
    `${name} to leave every peer's OpenAPI`,
    async () => {
      const documents = await Promise.all(t.api.eachPeer.map((peer) => peer.get('/openapi/v2')));
      return documents.every((document) => document.definitions[name] === undefined);
    },
    60_000,
  );
}

/** kubectl with manifests of one kind in one namespace. */
class Manifests {
  private constructor(
    private readonly t: Context,
    private readonly defined: Defined,
    private readonly namespace: string,
  ) {}

  static async open(t: Context, defined: Defined): Promise<Manifests> {
    return new Manifests(t, defined, await t.namespace('crd-openapi'));
  }

  async accepts(fields: Json): Promise<void> {
    const input = this.manifest(fields);
    const here = ['-n', this.namespace];
    await this.t.kubectlOk(['create', ...here, '-f', '-'], input);
    await this.t.kubectlOk(['delete', ...here, this.resource(), 'test-cr']);
    await this.t.kubectlOk(['apply', ...here, '-f', '-'], input);
    await this.t.kubectlOk(['delete', ...here, this.resource(), 'test-cr']);
  }

  async refuses(fields: Json, message: RegExp): Promise<void> {
    for (const verb of ['create', 'apply']) {
      const { code, stdout, stderr } = await this.t.kubectl(
        [verb, '-n', this.namespace, '-f', '-'],
        this.manifest(fields),
      );
      assert.notEqual(code, 0, `kubectl ${verb} took ${JSON.stringify(fields)}: ${stdout}`);
      assert.match(stderr, message);
    }
  }

  async explains(path: string, pattern: RegExp): Promise<void> {
    const text = await this.t.kubectlOk(['explain', [this.resource(), path].filter(Boolean).join('.')]);
    assert.match(text, pattern);
  }

  private resource(): string {
    return this.defined.plural;
  }

  private manifest(fields: Json): string {
    const { group, kind } = this.defined;
    return JSON.stringify({ apiVersion: `${group}/v1`, kind, metadata: { name: 'test-cr' }, ...fields });
  }
}

async function withSchema(t: Context): Promise<void> {
  const defined = await define(t, { versions: { v1: SCHEMA } });
  assert.equal((await published(t, defined, 'v1')).properties.spec.description, 'Specification of Foo');
  const manifests = await Manifests.open(t, defined);
  await manifests.accepts({ spec: { bars: [{ name: 'test-bar', age: '10', feeling: 'Great' }] } });
  await manifests.refuses(
    { spec: { bars: [{ name: 'bar', unknown: 'x' }] } },
    /unknown field "spec\.bars\[0\]\.unknown"/,
  );
  await manifests.refuses(
    { spec: { bars: [{ age: '10' }] } },
    /spec\.bars\[0\]\.name: Required value|missing required field "name"/,
  );
  await manifests.refuses({ spec: { bars: [{ name: 'bar', feeling: 'NonExistentValue' }] } }, /Unsupported value/);
  await manifests.explains('', /DESCRIPTION:\s+Foo CRD for Testing[\s\S]*FIELDS:[\s\S]*spec/);
  await manifests.explains('metadata', /metadata <ObjectMeta>[\s\S]*creationTimestamp/);
  await manifests.explains(
    'spec',
    /DESCRIPTION:\s+Specification of Foo[\s\S]*bars\s+<\[\]Object>\s+List of Bars and their specs/,
  );
  await manifests.explains('spec.bars', /age\s+<string>[\s\S]*bazs\s+<\[\]string>[\s\S]*name\s+<string> -required-/);
  const { code } = await t.kubectl(['explain', `${defined.plural}.spec.bars2`]);
  assert.notEqual(code, 0);
}

async function withoutSchema(t: Context): Promise<void> {
  const defined = await define(t, { versions: { v1: ANYTHING } });
  await published(t, defined, 'v1');
  const manifests = await Manifests.open(t, defined);
  await manifests.accepts({ a: { b: { c: 'd' } }, spec: 12 });
  await manifests.explains('', new RegExp(`KIND:\\s+${defined.kind}[\\s\\S]*DESCRIPTION:`));
}

async function preserveAtRoot(t: Context): Promise<void> {
  const schema = { ...SCHEMA, 'x-kubernetes-preserve-unknown-fields': true };
  const defined = await define(t, { versions: { v1: schema } });
  await published(t, defined, 'v1');
  const manifests = await Manifests.open(t, defined);
  await manifests.accepts({ unknown: { a: 1 } });
  await manifests.explains('', new RegExp(`KIND:\\s+${defined.kind}`));
}

async function preserveEmbedded(t: Context): Promise<void> {
  const preserved = { description: 'Specification of Waldo', ...ANYTHING };
  const schema = {
    description: 'preserve-unknown-properties in nested field',
    type: 'object',
    properties: { spec: preserved },
  };
  const defined = await define(t, { versions: { v1: schema } });
  await published(t, defined, 'v1');
  const manifests = await Manifests.open(t, defined);
  await manifests.accepts({ spec: { a: null, b: [{ c: 'd' }] } });
  await manifests.refuses({ unknown: 1 }, /unknown field "unknown"/);
  await manifests.explains(
    '',
    /preserve-unknown-properties in nested field[\s\S]*spec\s+<Object>\s+Specification of Waldo/,
  );
}

/** Two definitions at once. */
const both =
  (group: boolean, sameVersions: boolean): RowTest =>
  async (t) => {
    const name = `${t.unique('both')}.example.com`;
    const place = group ? { group: name } : {};
    const one = await define(t, { ...place, versions: { v1: SCHEMA } });
    const other = await define(t, { ...place, versions: sameVersions ? { v1: SCHEMA } : { v2: SCHEMA } });
    await published(t, one, 'v1');
    await published(t, other, sameVersions ? 'v1' : 'v2');
  };

async function rename(t: Context): Promise<void> {
  const defined = await define(t, { versions: { v2: SCHEMA, v3: SCHEMA } });
  await published(t, defined, 'v2');
  await published(t, defined, 'v3');
  await definitions(t).patch(defined.name, [{ op: 'replace', path: '/spec/versions/1/name', value: 'v4' }], 'json');
  await published(t, defined, 'v4');
  await unpublished(t, defined, 'v3');
  await published(t, defined, 'v2');
}

async function unserve(t: Context): Promise<void> {
  const defined = await define(t, { versions: { v5: SCHEMA, v6: SCHEMA } });
  await published(t, defined, 'v5');
  await published(t, defined, 'v6');
  await definitions(t).patch(defined.name, [{ op: 'replace', path: '/spec/versions/1/served', value: false }], 'json');
  await unpublished(t, defined, 'v6');
  await published(t, defined, 'v5');
}

export const rows: Rows = {
  'crd-openapi-schema': withSchema,
  'crd-openapi-noschema': withoutSchema,
  'crd-openapi-preserve-root': preserveAtRoot,
  'crd-openapi-preserve-embedded': preserveEmbedded,
  'crd-openapi-groups': both(false, true),
  'crd-openapi-kinds': both(true, true),
  'crd-openapi-versions': both(true, false),
  'crd-openapi-rename': rename,
  'crd-openapi-unserve': unserve,
};

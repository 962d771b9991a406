/** The texts of `kubectl explain`: whole, and about what exists. */
import assert from 'node:assert/strict';
import { Descriptions, loadDescriptions, parseDescriptions } from '../../../../src/api/schema/descriptions.js';
import { KindRegistry } from '../../../../src/api/schema/registry.js';
import type { OpenApiSchema } from '../../../../src/api/schema/schema.js';

const registry = KindRegistry.load();
const { schemas } = registry.compiler;
const entries = loadDescriptions();
const descriptions = new Descriptions(entries);
const described = new Map(Object.entries(schemas).map(([name, schema]) => [name, descriptions.describe(name, schema)]));

const byPackage = new Map<string, [type: string, schema: OpenApiSchema][]>();
for (const [name, schema] of Object.entries(schemas)) {
  const dot = name.lastIndexOf('.');
  const known = byPackage.get(name.slice(0, dot)) ?? [];
  byPackage.set(name.slice(0, dot), [...known, [name.slice(dot + 1), schema]]);
}

/** The schemas of the packages that a type of an entry stands for. */
function schemasOf(packages: readonly string[], type: string): OpenApiSchema[] {
  const pattern = new RegExp(`^${type.replaceAll('*', '[A-Za-z0-9]*')}$`);
  return (packages[0] === '*' ? [...byPackage.keys()] : packages)
    .flatMap((name) => byPackage.get(name) ?? [])
    .filter(([name]) => pattern.test(name))
    .map(([, schema]) => schema);
}

function sample(text: string): Descriptions {
  return new Descriptions(parseDescriptions(text, 'sample'));
}

describe('descriptions of built-in kinds', () => {
  it('say what each served kind and its list are', () => {
    const lacking = registry
      .all()
      .flatMap(({ schemaName }) => [schemaName, `${schemaName}List`])
      .filter((name) => described.has(name) && described.get(name)?.description === undefined);
    assert.deepEqual(lacking, []);
  });

  it('say what nearly all fields are', () => {
    const lacking: string[] = [];
    let fields = 0;
    for (const [name, { properties }] of described) {
      for (const [field, { description }] of Object.entries(properties ?? {})) {
        fields += 1;
        if (description === undefined) lacking.push(`${name}.${field}`);
      }
    }
    assert.ok(
      lacking.length <= fields * 0.05,
      `of ${fields} fields ${lacking.length} have none:\n${lacking.join('\n')}`,
    );
  });

  it('name no package, type or field that does not exist', () => {
    const stale: string[] = [];
    for (const entry of entries) {
      for (const type of entry.types) {
        if (schemasOf(entry.packages, type).length === 0) stale.push(`${entry.packages.join(' ')}.${type}`);
      }
      const all = entry.types.flatMap((type) => schemasOf(entry.packages, type));
      for (const field of entry.fields.keys()) {
        if (!all.some(({ properties }) => properties !== undefined && field in properties)) {
          stale.push(`${entry.packages.join(' ')}.${entry.types.join(', ')}.${field}`);
        }
      }
    }
    for (const name of new Set(entries.flatMap(({ packages }) => packages))) {
      if (name !== '*' && !byPackage.has(name)) stale.push(name);
    }
    assert.deepEqual(stale, []);
  });

  it('are never said twice for a type with the same name, so that none is dead', () => {
    const seen = new Map<string, string>();
    const twice: string[] = [];
    for (const { packages, types, text, fields } of entries) {
      for (const type of packages.flatMap((name) => types.map((one) => `${name}.${one}`))) {
        for (const key of [
          ...(text === undefined ? [] : [type]),
          ...[...fields.keys()].map((one) => `${type} ${one}`),
        ]) {
          if (seen.has(key)) twice.push(key);
          seen.set(key, type);
        }
      }
    }
    assert.deepEqual(twice, []);
  });

  it('prefer the text of the full name to that of its packages, and that to what holds for all', () => {
    const found = sample(
      '[*]\n*: any\n  a: any a\n  b: any b\n  c: any c\n[p]\nX*: of p\n  a: p a\n  b: p b\n[p q]\nXy: exact\n  a: exact a\n',
    ).describe('p.Xy', { properties: { a: {}, b: {}, c: {}, d: {} } });
    assert.deepEqual(found, {
      description: 'exact',
      properties: { a: { description: 'exact a' }, b: { description: 'p b' }, c: { description: 'any c' }, d: {} },
    });
  });

  it('put what an asterisk stands for into the text of the type', () => {
    assert.equal(
      sample('[*]\n*List: A list of {*} objects.\n').describe('p.PodList', {}).description,
      'A list of Pod objects.',
    );
  });

  it('are put beside a reference as upstream does, and do not replace a description', () => {
    const schema = {
      properties: { r: { $ref: '#/components/schemas/p.R', default: {} }, own: { description: 'own' } },
    };
    assert.deepEqual(sample('[p]\nX:\n  r: a reference\n  own: other\n').describe('p.X', schema), {
      properties: {
        r: { description: 'a reference', default: {}, allOf: [{ $ref: '#/components/schemas/p.R' }] },
        own: { description: 'own' },
      },
    });
  });

  for (const [what, text] of [
    ['a field before any type', '[p]\n  a: text\n'],
    ['a type before any section', 'X: text\n'],
    ['a field that is there already', '[p]\nX:\n  a: text\n  a: again\n'],
    ['a line of no known form', '[p]\nX\n'],
  ] as const) {
    it(`are refused with ${what}`, () => {
      assert.throws(() => parseDescriptions(text, 'sample'), /sample:\d+: not a section, a type or a new field/);
    });
  }
});

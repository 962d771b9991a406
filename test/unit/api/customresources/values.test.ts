import assert from 'node:assert/strict';
import { defaulted } from '../../../../src/api/customresources/defaulting.js';
import { validateEmbedded } from '../../../../src/api/customresources/embedded.js';
import { validateRules } from '../../../../src/api/customresources/expressions.js';
import { JsonPath } from '../../../../src/api/customresources/json-path.js';
import { prune } from '../../../../src/api/customresources/pruning.js';
import { v2Schema } from '../../../../src/api/customresources/published-schema.js';
import { structuralOf } from '../../../../src/api/customresources/structural.js';
import { validateUniqueLists } from '../../../../src/api/customresources/unique-lists.js';
import { ABSENT, validateValue } from '../../../../src/api/customresources/value-validation.js';
import type { JSONSchemaProps } from '../../../../src/api/types/apiextensions-v1.js';

const object = (properties: Record<string, JSONSchemaProps>, more: JSONSchemaProps = {}): JSONSchemaProps => ({
  type: 'object',
  properties,
  ...more,
});
const texts = (errors: readonly { field: string; message: string }[]) =>
  errors.map(({ field, message }) => `${field}: ${message}`);
const check = (value: unknown, schema: JSONSchemaProps, old: unknown = ABSENT) =>
  texts(validateValue(value, structuralOf(schema), '', old));

describe('values of custom resources', () => {
  const cases: readonly [string, JSONSchemaProps, unknown, string[]][] = [
    [
      'a wrong type',
      { type: 'integer' },
      'x',
      ['a: Invalid value: "string": a in body must be of type integer: "string"'],
    ],
    ['a null', { type: 'string' }, null, ['a: Invalid value: "null": a in body must be of type string: "null"']],
    ['a nullable null', { type: 'string', nullable: true }, null, []],
    ['an integer as a number', { type: 'number' }, 1, []],
    [
      'a fraction as an integer',
      { type: 'integer' },
      1.5,
      ['a: Invalid value: "number": a in body must be of type integer: "number"'],
    ],
    [
      'neither int nor string',
      { 'x-kubernetes-int-or-string': true },
      true,
      ['a: Invalid value: "boolean": a in body must be of type integer,string: "boolean"'],
    ],
    [
      'a string outside an enumeration',
      { type: 'string', enum: ['x', 'y'] },
      'z',
      ['a: Unsupported value: "z": supported values: "x", "y"'],
    ],
    [
      'a large number',
      { type: 'integer', maximum: 5 },
      6,
      ['a: Invalid value: 6: a in body should be less than or equal to 5'],
    ],
    [
      'a limit that is excluded',
      { type: 'integer', maximum: 5, exclusiveMaximum: true },
      5,
      ['a: Invalid value: 5: a in body should be less than 5'],
    ],
    [
      'a small number',
      { type: 'integer', minimum: 5 },
      4,
      ['a: Invalid value: 4: a in body should be greater than or equal to 5'],
    ],
    [
      'no multiple',
      { type: 'number', multipleOf: 0.1 },
      0.35,
      ['a: Invalid value: 0.35: a in body should be a multiple of 0.1'],
    ],
    ['a multiple in spite of rounding', { type: 'number', multipleOf: 0.1 }, 0.3, []],
    ['a long string', { type: 'string', maxLength: 2 }, 'abc', ['a: Too long: may not be more than 2 bytes']],
    [
      'a short string',
      { type: 'string', minLength: 2 },
      'a',
      ['a: Invalid value: "a": a in body should be at least 2 chars long'],
    ],
    [
      'a string of another pattern',
      { type: 'string', pattern: '^a+$' },
      'b',
      ['a: Invalid value: "b": a in body should match \'^a+$\''],
    ],
    [
      'a time that is none',
      { type: 'string', format: 'date-time' },
      'now',
      ['a: Invalid value: "now": a in body must be of type date-time: "now"'],
    ],
    ['an unknown format', { type: 'string', format: 'whatever' }, 'now', []],
    [
      'too many items',
      { type: 'array', maxItems: 1, items: { type: 'string' } },
      ['a', 'b'],
      ['a: Too many: 2: must have at most 1 items'],
    ],
    [
      'an item',
      { type: 'array', items: { type: 'string' } },
      ['a', 2],
      ['a[1]: Invalid value: "integer": a[1] in body must be of type string: "integer"'],
    ],
    ['a missing field', object({ b: { type: 'string' } }, { required: ['b'] }), {}, ['a.b: Required value']],
    [
      'no alternative',
      object({ b: { type: 'string' }, c: { type: 'string' } }, { oneOf: [{ required: ['b'] }, { required: ['c'] }] }),
      {},
      [
        '<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found none valid',
        'a.b: Required value',
      ],
    ],
    [
      'two alternatives',
      object({ b: { type: 'string' }, c: { type: 'string' } }, { oneOf: [{ required: ['b'] }, { required: ['c'] }] }),
      { b: '', c: '' },
      ['<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ],
    [
      'what must not be',
      { type: 'string', not: { enum: ['x'] } },
      'x',
      ['<nil>: Invalid value: "": "a" must not validate the schema (not)'],
    ],
  ];
  for (const [name, schema, value, expected] of cases) {
    it(`judges ${name}`, () => assert.deepEqual(check({ a: value }, object({ a: schema })), expected));
  }

  it('does not judge again what did not change', () => {
    const schema = object({ a: { type: 'integer' }, b: { type: 'integer' } });
    assert.deepEqual(check({ a: 'x', b: 1 }, schema, { a: 'x', b: 0 }), []);
    assert.equal(check({ a: 'y', b: 1 }, schema, { a: 'x', b: 0 }).length, 1);
    const list: JSONSchemaProps = {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['k'],
      items: object({ k: { type: 'string' }, v: { type: 'integer' } }),
    };
    assert.deepEqual(check([{ k: 'new' }, { k: 'a', v: 'x' }], list, [{ k: 'a', v: 'x' }]), []);
  });

  it('finds repetitions in sets and maps', () => {
    const set = structuralOf(
      object({ s: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } } }),
    );
    assert.deepEqual(texts(validateUniqueLists({ s: ['a', 'b', 'a'] }, set)), ['s[2]: Duplicate value: "a"']);
    const map = structuralOf(
      object({
        m: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['k'],
          items: object({ k: { type: 'string' } }),
        },
      }),
    );
    assert.deepEqual(texts(validateUniqueLists({ m: [{ k: 'a' }, { k: 'a' }] }, map)), [
      'm[1]: Duplicate value: map[string]interface {}{"k":"a"}',
    ]);
  });

  it('drops and names what the schema does not know', () => {
    const schema = structuralOf(
      object({
        known: { type: 'string' },
        open: object({ inner: object({ a: { type: 'string' } }) }, { 'x-kubernetes-preserve-unknown-fields': true }),
        list: { type: 'array', items: object({ a: { type: 'string' } }) },
        map: { type: 'object', additionalProperties: object({ a: { type: 'string' } }) },
        embedded: { type: 'object', 'x-kubernetes-embedded-resource': true, properties: { spec: { type: 'object' } } },
      }),
    );
    const dropped: string[] = [];
    const value = Object.freeze({
      apiVersion: 'v',
      kind: 'K',
      metadata: { name: 'x' },
      known: 'a',
      other: 1,
      open: { x: { y: 1 }, inner: { a: 'a', b: 'b' } },
      list: [{ a: 'a', b: 'b' }],
      map: { one: { a: 'a', b: 'b' } },
      embedded: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { x: 1 }, y: 1 },
    });
    const result: unknown = prune(value, schema, (path) => dropped.push(path));
    assert.deepEqual(dropped, ['other', 'open.inner.b', 'list[0].b', 'map.one.b', 'embedded.spec.x', 'embedded.y']);
    assert.deepEqual(result, {
      apiVersion: 'v',
      kind: 'K',
      metadata: { name: 'x' },
      known: 'a',
      open: { x: { y: 1 }, inner: { a: 'a' } },
      list: [{ a: 'a' }],
      map: { one: { a: 'a' } },
      embedded: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: {} },
    });
    assert.equal(prune(result, schema), result, 'nothing to drop: the same object');
  });

  it('fills in defaults, also for nulls, and drops other nulls', () => {
    const schema = structuralOf(
      object({
        a: { type: 'string', default: 'x' },
        b: { type: 'string', default: 'y' },
        c: { type: 'string' },
        d: { type: 'string', nullable: true, default: 'z' },
        e: object({ f: { type: 'integer', default: 1 } }),
        g: object({ f: { type: 'integer', default: 1 } }, { default: {} }),
      }),
    );
    assert.deepEqual(defaulted({ a: 'set', b: null, c: null, d: null, e: {} }, schema), {
      a: 'set',
      b: 'y',
      d: null,
      e: { f: 1 },
      g: { f: 1 },
    });
    const full = { a: '', b: '', d: null, g: { f: 2 } };
    assert.equal(defaulted(full, schema), full, 'nothing to fill in: the same object');
  });

  it('wants embedded objects to have a type', () => {
    const schema = structuralOf(object({ e: { type: 'object', 'x-kubernetes-embedded-resource': true } }));
    assert.deepEqual(texts(validateEmbedded({ e: { kind: 'X' } }, schema)), [
      'e.apiVersion: Required value: must not be empty',
    ]);
  });

  it('runs rules, transition rules with the old value alone', () => {
    const schema = structuralOf(
      object({
        spec: object(
          { min: { type: 'integer' }, max: { type: 'integer' } },
          {
            'x-kubernetes-validations': [
              {
                rule: 'self.min <= self.max',
                messageExpression: '"min " + string(self.min) + " is above max"',
                fieldPath: '.min',
              },
              { rule: 'self.max >= oldSelf.max', message: 'max must not shrink', reason: 'FieldValueForbidden' },
            ],
          },
        ),
      }),
    );
    const run = (spec: unknown, old: unknown = ABSENT) =>
      texts(validateRules({ metadata: {}, spec }, schema, old === ABSENT ? ABSENT : { metadata: {}, spec: old }, []));
    assert.deepEqual(run({ min: 1, max: 2 }), []);
    assert.deepEqual(run({ min: 3, max: 2 }), ['spec.min: Invalid value: "object": min 3 is above max']);
    assert.deepEqual(run({ min: 1, max: 2 }, { min: 1, max: 3 }), ['spec: Forbidden: max must not shrink']);
    assert.deepEqual(run({ min: 3, max: 2 }, { min: 3, max: 2 }), [], 'unchanged: not judged again');
  });

  it('follows JSON paths', () => {
    const value = {
      metadata: { labels: { 'a.b/c': 'x' } },
      status: {
        conditions: [
          { type: 'Ready', status: 'True' },
          { type: 'Other', status: 'False' },
        ],
      },
    };
    const find = (path: string) => JsonPath.parse(path).find(value);
    assert.deepEqual(find('.status.conditions[?(@.type=="Ready")].status'), ['True']);
    assert.deepEqual(find('.metadata.labels.a\\.b/c'), ['x']);
    assert.deepEqual(find(".metadata.labels['a.b/c']"), ['x']);
    assert.deepEqual(find('.status.conditions[*].type'), ['Ready', 'Other']);
    assert.deepEqual(find('.status.conditions[-1].type'), ['Other']);
    assert.deepEqual(find('.nothing.here'), []);
    assert.throws(() => JsonPath.parse('.a['), /unterminated array/);
  });

  it('publishes for OpenAPI v2 what clients can check, and no more', () => {
    const published = v2Schema({
      type: 'object',
      'x-kubernetes-group-version-kind': [{ group: 'g', version: 'v', kind: 'K' }],
      properties: {
        a: { type: 'string', nullable: true },
        b: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties: { c: { type: 'string' } } },
        metadata: { allOf: [{ $ref: '#/components/schemas/M' }] },
      },
    });
    assert.deepEqual(published['properties'], {
      a: {},
      b: { 'x-kubernetes-preserve-unknown-fields': true },
      metadata: { $ref: '#/definitions/M' },
    });
  });
});

import assert from 'node:assert/strict';
import { CostBudget } from '../../../../src/api/cel/evaluation.js';
import { compileRule } from '../../../../src/api/cel/rules.js';
import { escapeProperty, type StructuralSchema } from '../../../../src/api/cel/schema-types.js';

const SCHEMA: StructuralSchema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: {
        replicas: { type: 'integer' },
        weight: { type: 'number' },
        namespace: { type: 'string' },
        'x-prop': { type: 'string' },
        redact__d: { type: 'string' },
        port: { 'x-kubernetes-int-or-string': true },
        when: { type: 'string', format: 'date-time' },
        wait: { type: 'string', format: 'duration' },
        raw: { type: 'string', format: 'byte' },
        any: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        labels: { type: 'object', additionalProperties: { type: 'string' } },
        tags: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
        servers: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: { type: 'object', properties: { name: { type: 'string' }, port: { type: 'integer' } } },
        },
      },
    },
  },
};

const SELF = {
  metadata: { name: 'one' },
  spec: {
    replicas: 3,
    weight: 2,
    namespace: 'n',
    'x-prop': 'x',
    redact__d: 'r',
    port: 80,
    when: '2024-01-01T00:00:00Z',
    wait: '90s',
    raw: 'YWJj',
    any: { deep: [1] },
    labels: { a: 'b' },
    tags: ['a', 'b'],
    servers: [
      { name: 'x', port: 1 },
      { name: 'y', port: 2 },
    ],
  },
};

function check(expression: string, oldSelf: unknown = SELF, options = {}): unknown {
  const compiled = compileRule(expression, SCHEMA, { isResourceRoot: true, ...options });
  if (!compiled.ok) return compiled.message;
  const result = compiled.rule.evaluate({ self: SELF, oldSelf });
  return result.ok ? result.value : `error: ${result.message}`;
}

const OLD = { ...SELF, spec: { ...SELF.spec, tags: ['b', 'a'], servers: [...SELF.spec.servers].reverse() } };

const TRUE: readonly string[] = [
  'self.spec.replicas == 3',
  'self.spec.weight == 2.0',
  "self.spec.__namespace__ == 'n' && self.spec.x__dash__prop == 'x' && self.spec.redact__underscores__d == 'r'",
  'self.spec.port == 80',
  "self.spec.when < timestamp('2025-01-01T00:00:00Z') && self.spec.wait == duration('1m30s')",
  "string(self.spec.raw) == 'abc'",
  'self.spec.any.deep[0] == 1',
  "self.spec.labels['a'] == 'b' && self.spec.labels.all(k, k == 'a')",
  "self.metadata.name == 'one'",
  '!has(self.kind)',
  'self.spec.tags == oldSelf.spec.tags',
  'self.spec.servers == oldSelf.spec.servers',
  "(self.spec.tags + ['b', 'c']).size() == 3",
  "self.spec.servers.exists(s, s.name == 'y' && s.port == 2)",
];

describe('validation rules of custom resources', () => {
  for (const expression of TRUE) it(`holds: ${expression}`, () => assert.equal(check(expression, OLD), true));

  it('names undefined fields with their place', () => {
    assert.equal(
      check('self.spec.replica > 1'),
      "compilation failed: ERROR: <input>:1:10: undefined field 'replica'\n | self.spec.replica > 1\n | .........^",
    );
    assert.match(String(check('self.metadata.labels == null')), /undefined field 'labels'/);
  });

  it('checks the type of the result', () => {
    assert.equal(check('self.spec.replicas'), 'cel expression must evaluate to a bool');
    assert.equal(
      check('self.spec.replicas', SELF, { purpose: 'messageExpression' }),
      'messageExpression must evaluate to a string',
    );
    assert.equal(check("'is ' + string(self.spec.replicas)", SELF, { purpose: 'messageExpression' }), 'is 3');
  });

  it('tells absent fields when they are read', () => {
    const compiled = compileRule('self.spec.replicas > 1', SCHEMA);
    assert.ok(compiled.ok);
    assert.deepEqual(compiled.rule.evaluate({ self: { spec: {} } }), {
      ok: false,
      message: 'no such key: replicas',
      costExceeded: false,
    });
  });

  it('knows transition rules, and gives an optional old value where it is asked for', () => {
    const plain = compileRule('self.spec.replicas == oldSelf.spec.replicas', SCHEMA);
    const without = compileRule("self.spec.__namespace__ != 'oldSelf'", SCHEMA);
    assert.ok(plain.ok && plain.rule.usesOldSelf);
    assert.ok(without.ok && !without.rule.usesOldSelf);
    const expression = 'oldSelf.hasValue() ? oldSelf.value().spec.replicas == 3 : true';
    assert.equal(check(expression, undefined, { optionalOldSelf: true }), true);
    assert.equal(check(expression, SELF, { optionalOldSelf: true }), true);
    assert.equal(check("oldSelf.?spec.?__namespace__.orValue('n') == 'n'", undefined, { optionalOldSelf: true }), true);
  });

  it('cuts off rules over large lists within their cost', () => {
    const schema: StructuralSchema = { type: 'array', items: { type: 'integer' } };
    const compiled = compileRule('self.all(x, self.all(y, x + y >= 0))', schema);
    assert.ok(compiled.ok);
    const budget = new CostBudget();
    const self = Array.from({ length: 10_000 }, (_, i) => i);
    const result = compiled.rule.evaluate({ self }, budget);
    assert.ok(!result.ok && result.costExceeded);
  });

  it('escapes property names as upstream', () => {
    const names = ['namespace', 'a-b', 'a.b', 'a/b', 'a__b', '__a', '1a', 'a b', 'ok', 'int', ''];
    assert.deepEqual(names.map(escapeProperty), [
      '__namespace__',
      'a__dash__b',
      'a__dot__b',
      'a__slash__b',
      'a__underscores__b',
      '__underscores__a',
      undefined,
      undefined,
      'ok',
      'int',
      undefined,
    ]);
  });
});

/** Figures are those of Kubernetes' own estimator for the same rules and schemas. */
import assert from 'node:assert/strict';
import type { BoundedSchema } from '../../../../src/api/cel/cost-sizes.js';
import { compileRule } from '../../../../src/api/cel/rules.js';

/** A schema with, or without, a bound. */
type Bounded = (max?: number) => BoundedSchema;

const FORMATS: Readonly<Record<string, BoundedSchema>> = {
  'int-or-string': { 'x-kubernetes-int-or-string': true },
  duration: { type: 'string', format: 'duration' },
  date: { type: 'string', format: 'date' },
  'date-time': { type: 'string', format: 'date-time' },
};
const plain = (name: string): BoundedSchema => FORMATS[name] ?? { type: name };
const bound = <K extends string>(key: K, max: number | undefined) => (max === undefined ? {} : { [key]: max });

const text: Bounded = (max) => ({ type: 'string', ...bound('maxLength', max) });
const bytes: Bounded = (max) => ({ type: 'string', format: 'byte', ...bound('maxLength', max) });
const choice: Bounded = (max) => ({ ...text(max), enum: ['A', 'B', 'C', 'LongValue'] });
const array =
  (items: BoundedSchema): Bounded =>
  (max) => ({ type: 'array', items, ...bound('maxItems', max) });
const map =
  (values: BoundedSchema): Bounded =>
  (max) => ({ type: 'object', additionalProperties: values, ...bound('maxProperties', max) });
const texts: Bounded = (max) => ({ ...array(text(max))(max) });
const object =
  (properties: Readonly<Record<string, Bounded>>): Bounded =>
  (max) => ({
    type: 'object',
    properties: Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, schema(max)])),
  });
const required: BoundedSchema = {
  type: 'object',
  required: ['required'],
  properties: { required: { type: 'string' } },
};

type Row = readonly [rule: string, schema: Bounded, unbounded: number, max: number, bounded: number];

const ROWS: readonly Row[] = [
  ['self.all(x, true)', array(plain('number')), 4718591, 10, 32],
  ['self.all(x, true)', array(plain('string')), 3145727, 20, 62],
  ['self.all(x, true)', array(plain('boolean')), 1887437, 5, 17],
  ['self.all(x, true)', array(array(plain('number'))()), 3145727, 100, 302],
  ['self.all(x, true)', array(plain('int-or-string')), 4718591, 10, 32],
  ['self.all(x, true)', array(plain('duration')), 2359295, 5, 17],
  ['self.all(x, true)', array(plain('date')), 725936, 15, 47],
  ['self.all(x, true)', array(plain('date-time')), 428963, 25, 77],
  ['self.all(x, true)', map(plain('number')), 1348169, 10, 32],
  ['self.all(x, true)', map(plain('string')), 1179647, 3, 11],
  ['self.all(x, true)', map(plain('boolean')), 943718, 100, 302],
  ['self.all(x, true)', map(plain('date-time')), 349526, 25, 77],
  ["self.contains('test')", text, 314574, 10, 5],
  ["self.contains('A')", choice, 2, 1000, 401],
  ["self.startsWith('test')", text, 2, 15, 2],
  ["self.endsWith('test')", text, 2, 30, 2],
  ['size(self + "hello") > size("hello")', text, 314578, 4, 7],
  ['self[1] == 0.0', array(plain('number')), 2, 5000, 2],
  ['self[1] == self[1]', array(plain('string')), 314577, 8, 314577],
  ['self[0] == 5', array(plain('int-or-string')), 3, 10, 3],
  ['self[0].getHours() == 2', array(plain('duration')), 4, 525, 4],
  ['self[0][0] == -1.0', array(array(plain('number'))()), 3, 51, 3],
  ['self.all(x, self.all(y, true))', array(plain('number')), Infinity, 10, 352],
  ['self.all(x, self.all(y, self.all(z, true)))', array(plain('number')), Infinity, 10, 3552],
  ['self.all(x, x == 0.0)', array(plain('number')), 6291454, 3 * 1024 * 2048, 25165826],
  ['self.all(x, x.y == 25.2)', array(map(plain('number'))()), 6291452, 12, 74],
  ['self[0].x > 2.0', array(map(plain('number'))()), 4, 3000, 4],
  ['self.all(x, x["y"].required == "z")', array(map(required)()), 7340027, 10, 72],
  ['self.matches("x")', text, 314574, 50, 22],
  ['"".matches("(((((((((())))))))))[0-9]")', text, 7, 10, 7],
  ['self.matches("")', text, 1, 100, 1],
  ['self == "x"', text, 2, 0, 1],
  ['self == b"x"', bytes, 2, 0, 1],
  ["self.find('[0-9]+') == ''", text, 629147, 10, 11],
  ["self.join(' ') == 'aa bb'", texts, 329853068905, 10, 43],
  ['self.isSorted() == true', texts, 329854432052, 10, 52],
  ["self.lowerAscii() == 'lower!'", text, 314575, 10, 6],
  ['self.str.split(self.separator) == []', object({ str: text, separator: text }), 629160, 10, 22],
  [
    "self.str.replace(self.before, self.after) == 'does not matter'",
    object({ str: text, before: () => text(2), after: () => text(4) }),
    629154,
    4,
    12,
  ],
  ['oldSelf.size() == self.size()', map(plain('integer')), 5, 10, 5],
  ['self["a"] == self["b"]', map(plain('date-time')), 8, 7, 8],
];

/** From here on no definition is accepted. */
const LIMIT = 10_000_000;

describe('the estimated cost of rules', () => {
  function costOf(rule: string, schema: BoundedSchema): number {
    const compiled = compileRule(rule, schema);
    assert.ok(compiled.ok, `${rule}: ${compiled.ok ? '' : compiled.message}`);
    return compiled.rule.maxCost();
  }

  for (const [rule, schema, unbounded, max, bounded] of ROWS) {
    it(`of ${rule} on ${schema().type ?? 'anything'} is upstream's`, () => {
      const cost = costOf(rule, schema());
      if (unbounded === Infinity) assert.ok(cost > LIMIT, `${cost}`);
      else assert.equal(cost, unbounded);
      assert.equal(costOf(rule, schema(max)), bounded);
    });
  }

  it('counts what macros expand to', () => {
    const numbers = array(plain('integer'))(10);
    assert.equal(costOf('self.exists(x, true)', numbers), 1 + 10 * 4 + 1);
    assert.equal(costOf('self.exists_one(x, true)', numbers), 1 + 10 * 2 + 2);
    assert.equal(costOf('self.map(x, x).size() > 0', numbers), 1 + 10 + 10 * (12 + 1) + 1 + 2);
    assert.equal(costOf('self.filter(x, true).size() > 0', numbers), 1 + 10 + 10 * 13 + 1 + 2);
    assert.equal(costOf('has(self.a)', object({ a: text })()), 1);
  });
});

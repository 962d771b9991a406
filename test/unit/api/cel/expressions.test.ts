import assert from 'node:assert/strict';
import { compile } from '../../../../src/api/cel/environment.js';
import { CostBudget } from '../../../../src/api/cel/evaluation.js';
import { equal } from '../../../../src/api/cel/equality.js';
import { DYN, INT, LIST_OF_DYN, STRING, type CelType } from '../../../../src/api/cel/types.js';
import { fromAnyJson } from '../../../../src/api/cel/values.js';

const VARIABLES = new Map<string, CelType>([
  ['object', DYN],
  ['name', STRING],
  ['count', INT],
  ['items', LIST_OF_DYN],
]);

const DATA: Readonly<Record<string, unknown>> = {
  object: {
    metadata: { name: 'web', namespace: 'default', labels: { app: 'web', 'a.b/c': 'x' } },
    spec: { replicas: 3, ratio: 1.5, ports: [80, 443], nothing: null },
  },
  name: 'zażółć',
  count: 7,
  items: [1, 'two', { three: 3 }],
};

const variables = (name: string) => (name in DATA ? fromAnyJson(DATA[name]) : undefined);

function evaluate(expression: string): unknown {
  const compiled = compile(expression, { variables: VARIABLES });
  if (!compiled.ok) return compiled.message;
  const result = compiled.program.evaluate(variables);
  return result.ok ? result.value : `error: ${result.message}`;
}

/** Each is true. */
const TRUE = [
  '1 + 2 * 3 == 7',
  '7 / 2 == 3 && -7 / 2 == -3 && 7 % 3 == 1',
  '1 < 2.5 && 3u > 2 && dyn(1) == 1.0',
  "'a' + 'b' == 'ab'",
  '[1, 2] + [3] == [1, 2, 3]',
  "object.metadata.name == 'web'",
  "object.metadata.namespace == 'default'",
  'object.spec.replicas <= 5',
  'object.spec.ratio == 1.5',
  "object.metadata.labels['a.b/c'] == 'x'",
  "'app' in object.metadata.labels && !('nope' in object.metadata.labels)",
  '443 in object.spec.ports',
  'has(object.spec.replicas) && !has(object.spec.missing)',
  "object.?spec.?missing.orValue('x') == 'x'",
  "object.metadata.labels[?'app'].orValue('') == 'web'",
  'optional.of(3).optMap(x, x + 1).value() == 4',
  'optional.none().orValue(2) == 2',
  'optional.ofNonZeroValue(0).hasValue() == false',
  'object.spec.ports.all(p, p > 10) && object.spec.ports.exists(p, p == 80)',
  'object.spec.ports.exists_one(p, p == 80)',
  'object.spec.ports.map(p, p * 2) == [160, 886]',
  'object.spec.ports.filter(p, p > 100).size() == 1',
  "object.metadata.labels.all(k, k != '')",
  'object.spec.ports.all(i, p, p > i)',
  "{'a': 1, 'b': 2}.exists(k, v, k == 'b' && v == 2)",
  "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
  "{'a': 1}.transformList(k, v, k + string(v)) == ['a1']",
  'cel.bind(x, 3, x * x) == 9',
  'true || object.missing.field == 1',
  'object.missing.field == 1 || true',
  'false && object.missing.field == 1 || true',
  'object.spec.ports.exists(p, p == 443 || p.missing)',
  '[1, 2, 3].exists(x, x > 2 || 1 / 0 == 1)',
  "type(1) == int && type('') == string && type([]) == list && type({}) == map && type(null) == null_type",
  "type(timestamp('2024-01-01T00:00:00Z')) == google.protobuf.Timestamp",
  'size(name) == 6 && name.size() == 6',
  "name.charAt(2) == 'ż' && name.indexOf('ł') == 4 && name.substring(3, 5) == 'ół'",
  "'hello mellow'.indexOf('ello', 2) == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
  "'TacoCat'.lowerAscii() == 'tacocat' && 'TacoCÆt'.upperAscii() == 'TACOCÆT'",
  "'hello hello'.replace('he', 'we') == 'wello wello' && 'hello hello'.replace('he', 'we', 1) == 'wello hello'",
  "'a b c'.split(' ') == ['a', 'b', 'c'] && 'a b c'.split(' ', 2) == ['a', 'b c']",
  "['x', 'y'].join('-') == 'x-y' && ' x '.trim() == 'x'",
  'strings.quote(\'a\\n"b\') == \'"a\\\\n\\\\"b"\'',
  "'%s is %d, %.2f, %x'.format(['a', 3, 1.5, 255]) == 'a is 3, 1.50, ff'",
  "'%s'.format([[1, 'a', {'k': true}]]) == '[1, a, {k: true}]'",
  "'abc123'.matches('^[a-z]+[0-9]+$') && !'abc'.matches('[0-9]')",
  "'abc 123'.find('[0-9]+') == '123' && 'a1 b2'.findAll('[0-9]') == ['1', '2']",
  "'a1 b2'.findAll('[0-9]', 1) == ['1']",
  '[1, 2, 3].isSorted() && ![2, 1].isSorted() && [1, 2].sum() == 3 && [3, 1].min() == 1 && [3, 1].max() == 3',
  "[].sum() == 0 && [1.5].sum() == 1.5 && ['a', 'b'].indexOf('b') == 1 && [1, 1].lastIndexOf(1) == 1",
  'sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2])',
  "quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('1k').asInteger() == 1000",
  "quantity('50k').add(20).compareTo(quantity('50020')) == 0 && isQuantity('1Mi') && !isQuantity('x')",
  "quantity('200M') == quantity('0.2G')",
  "ip('192.168.0.1').family() == 4 && isIP('::1') && !isIP('127.0.0.001') && ip('fe80::1').isLinkLocalUnicast()",
  "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1') && string(ip('::1')) == '::1'",
  "cidr('192.168.0.0/24').containsIP('192.168.0.7') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
  "cidr('192.168.1.5/24').masked() == cidr('192.168.1.0/24') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
  "cidr('10.0.0.0/8').prefixLength() == 8 && isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0')",
  "url('https://user@example.com:80/a%20b?x=1&x=2').getHost() == 'example.com:80'",
  "url('https://example.com:80/p?x=1&x=2').getQuery()['x'] == ['1', '2'] && !isURL('../x')",
  "format.dns1123Label().validate('My-Name').hasValue() && !format.named('dns1123Label').value().validate('ok').hasValue()",
  "timestamp('2024-02-29T10:20:30.5Z').getDayOfYear() == 59 && timestamp('2024-02-29T10:20:30Z').getMonth() == 1",
  "timestamp('2024-01-01T00:00:00Z').getHours('America/New_York') == 19",
  "timestamp('2024-01-01T00:00:00Z') + duration('1h') == timestamp('2024-01-01T01:00:00Z')",
  "timestamp('2024-01-01T00:00:01Z') - timestamp('2024-01-01T00:00:00Z') == duration('1s')",
  "string(duration('1h30m')) == '5400s' && duration('90m').getHours() == 1",
  "int('42') == 42 && double('1.5') == 1.5 && string(42) == '42' && bool('true') && int(3.9) == 3",
  "b'abc' == bytes('abc') && string(b'abc') == 'abc' && size(b'ab') == 2",
  '-9223372036854775808 < 0 && 0x10 == 16 && 1e3 == 1000.0',
  "(count > 5 ? 'many' : 'few') == 'many'",
  'object.spec.nothing == null',
  'dyn(items)[1] == "two" && items[2].three == 3',
];

/** What evaluation or compilation answers. */
const ANSWERS: readonly (readonly [string, RegExp | string])[] = [
  ['1 / 0', 'error: division by zero'],
  ['1 % 0', 'error: modulus by zero'],
  ['9223372036854775807 + 1', 'error: integer overflow'],
  ['object.missing', 'error: no such key: missing'],
  ['items[9]', 'error: index out of bounds: 9'],
  ["object.metadata.labels['x']", 'error: no such key: x'],
  ['object.spec + 1', 'error: no such overload'],
  ["'x'.substring(3)", 'error: index out of range: 3'],
  ["quantity('no')", /^error: quantities must match/],
  ['optional.none().value()', 'error: optional.none() dereference'],
  ['nope', "ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')\n | nope\n | ^"],
  [
    "count > 'a'",
    "ERROR: <input>:1:7: found no matching overload for '_>_' applied to '(int, string)'\n | count > 'a'\n | ......^",
  ],
  ['name.foo', /type 'string' does not support field selection/],
  ['name.nope()', /undeclared reference to 'nope'/],
  ['name.size(1)', /no matching overload for 'size' applied to 'string.\(int\)'/],
  ['has(name)', /invalid argument to has\(\) macro/],
  ["[1, 'a']", /expected type 'int' but found 'string'/],
  ["name.matches('(')", /invalid matches argument/],
  ["duration('x')", /invalid duration argument/],
  ['count &&', /Syntax error: mismatched input '<EOF>'/],
  ['count + ', /Syntax error/],
  ['name && true', /expected type 'bool' but found 'string'/],
];

describe('CEL expressions', () => {
  for (const expression of TRUE) {
    it(`holds: ${expression}`, () => assert.equal(evaluate(expression), true));
  }

  for (const [expression, expected] of ANSWERS) {
    it(`answers as upstream: ${expression}`, () => {
      const answer = evaluate(expression);
      if (typeof expected === 'string') assert.equal(answer, expected);
      else assert.match(String(answer), expected);
    });
  }

  it('stops what takes too long, whatever is nested', () => {
    const list = `[${Array.from({ length: 100 }, (_, i) => i).join(',')}]`;
    const bombs = [
      `${list}.all(a, ${list}.all(b, ${list}.all(c, ${list}.all(d, true))))`,
      `false || ${list}.exists(a, ${list}.exists(b, ${list}.exists(c, ${list}.exists(d, false))))`,
      `['x'].map(s, ${'cel.bind(s, s + s, '.repeat(30)}s${')'.repeat(30)}).size() == 1`,
      `cel.bind(s, '${'a'.repeat(1000)}', s.replace('', s).replace('', s).replace('', s).size() > 0)`,
    ];
    for (const bomb of bombs) {
      const compiled = compile(bomb, { variables: VARIABLES });
      assert.ok(compiled.ok, compiled.ok ? '' : compiled.message);
      const result = compiled.program.evaluate(variables);
      assert.deepEqual(result, {
        ok: false,
        message: 'operation cancelled: actual cost limit exceeded',
        costExceeded: true,
      });
    }
  });

  it('matches hostile patterns in linear time', () => {
    assert.equal(evaluate(`'${'a'.repeat(2000)}b'.matches('^(a+)+$')`), false);
    assert.match(
      String(evaluate(`'x'.matches('((((a{1,1000}){1,1000}){1,1000}){1,1000})')`)),
      /invalid matches argument/,
    );
  });

  it('takes what all evaluations cost from one budget', () => {
    const compiled = compile('items.all(i, i != 5)', { variables: VARIABLES });
    assert.ok(compiled.ok);
    const budget = new CostBudget(100);
    let runs = 0;
    while (compiled.program.evaluate(variables, budget).ok) runs++;
    assert.ok(runs > 0 && runs < 100);
    assert.ok(budget.spent);
  });

  it('refuses expressions that are too long or too deep', () => {
    const long = `'${'a'.repeat(100_001)}' == ''`;
    const deep = `${'('.repeat(1000)}1${')'.repeat(1000)}`;
    for (const expression of [long, deep, '!'.repeat(50_000) + 'true', `${'-'.repeat(90_000)}1`]) {
      const compiled = compile(expression, { variables: VARIABLES });
      assert.equal(compiled.ok, false);
    }
  });

  it('compares by value across types of numbers, and nothing else', () => {
    assert.equal(equal(1n, 1), true);
    assert.equal(equal(fromAnyJson({ a: [1] }), fromAnyJson({ a: [1] })), true);
    assert.equal(equal('1', 1n), false);
  });
});

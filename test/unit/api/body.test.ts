import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseBody, parseJsonBody, parseYamlBody } from '../../../src/api/body.js';

describe('request bodies', () => {
  it('report keys that JSON.parse would swallow, with their path', () => {
    const { value, duplicates } = parseJsonBody('{"a":1,"a":2,"s":{"l":[{"x":"}"},{"y":1,"y\\u0020":2,"\\u0079":3}]}}');
    assert.deepEqual((value as { a: number }).a, 2);
    assert.deepEqual(duplicates, ['duplicate field "a"', 'duplicate field "s.l[1].y"']);
  });

  it('find nothing in any value that has no duplicates', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        assert.deepEqual(parseJsonBody(JSON.stringify(JSON.parse(text))).duplicates, []);
      }),
    );
  });

  it('are limited in depth and size', () => {
    assert.throws(() => parseJsonBody('['.repeat(200) + ']'.repeat(200)), { code: 400 });
    assert.throws(() => parseJsonBody('[1,2,3]', { maxBytes: 3, maxDepth: 9 }), { code: 413 });
    assert.throws(
      () =>
        parseYamlBody(
          'a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*c,*c]\ne: &e [*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f]',
        ),
      {
        code: 400,
      },
    );
    assert.throws(() => parseJsonBody('{'), /json parse error/);
    assert.throws(() => parseBody(Buffer.from('x'), 'text/html'), { code: 415 });
  });

  it('read YAML by the rules of kubectl', () => {
    const { value } = parseYamlBody('a: yes\nb: 0644\nt: 2020-01-01T00:00:00Z\nport: "80"\nc: 1:30\nd: ~\n');
    assert.deepEqual(value, { a: true, b: 420, t: '2020-01-01T00:00:00Z', port: '80', c: '1:30', d: null });
    assert.match(parseYamlBody('a: 1\na: 2\n').duplicates[0] ?? '', /line 2: key "a" already set in map/);
    assert.throws(() => parseYamlBody('a: [1'), { code: 400 });
    assert.throws(() => parseYamlBody('a: .nan'), { code: 400 });
  });
});
